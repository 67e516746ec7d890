"""`python -m alarm compare`: the screen's numbers from the generations, the prompts that differ most, wrong names."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alarm.__main__ import main
from alarm.evaluation.statistics import bootstrap_mean, holm
from alarm.records import (
    Generation,
    MetricRecord,
    PromptRow,
    generations_of,
    read_record,
    record_path,
    write_metric,
    write_prompts,
    write_record,
)
from alarm.report.compare import comparison
from alarm.report.pairing import Paired, paired
from alarm.report.runs import read_runs
from alarm.report.side_by_side import most_different, plain, side_by_side
from tests.synthetic_runs import ENVIRONMENT, run, write_experiment, write_judged, write_run

WIDEST = 100


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_experiment(folder)
    write_judged(folder, "wmt")
    return folder


def runs_of(results: Path, task: str = "wmt"):
    return next(runs for runs in read_runs(results, "tiny") if runs.task == task)


def row(text: str, start: str) -> list[str]:
    """The cells of the first line that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(start))
    return re.split(r"\s{2,}", line.strip())


def golds(results: Path, name: str) -> np.ndarray:
    paths = [record_path(results, "tiny", "wmt", name, seed) for seed in (1, 2, 3)]
    return np.array([[g.scores["gold"] for g in generations_of(read_record(path))] for path in paths])


def test_means_and_their_difference_are_those_of_the_generations(results):
    text = comparison(runs_of(results), "alarm", "holistic_only")
    ours, theirs = golds(results, "alarm"), golds(results, "holistic_only")
    _, method, baseline, difference, interval, p, d, least = row(text, "gold quality")
    assert (float(method), float(baseline)) == (round(ours.mean(), 3), round(theirs.mean(), 3))
    assert float(difference) == pytest.approx((ours - theirs).mean(), abs=5e-4)
    low, high = json.loads(interval)
    assert low < float(difference) < high and p.endswith("*") and float(d) > 0.2
    assert 0 < float(least) < float(difference) + (high - low)


def test_p_values_are_corrected_over_the_scores_of_the_screen(results):
    runs = runs_of(results)
    pairs = [paired(runs, "alarm", "holistic_only", score) for score in ("gold", "confidence")]
    expected = holm([bootstrap_mean(p.differences, seed=0, spread=p.spread).p for p in pairs])
    text = comparison(runs, "alarm", "holistic_only", ["gold", "confidence"])
    shown = [row(text, start)[5].rstrip("*") for start in ("gold quality", "confidence score")]
    assert [float(p.replace("<", "")) for p in shown] == [max(0.001, round(p, 3)) for p in expected]


def test_wins_ties_and_losses_are_counted_and_lower_wins_where_it_is_better(results):
    text = comparison(runs_of(results), "alarm", "holistic_only")
    wins = text.index("won/tied/lost")
    ours, theirs = golds(results, "alarm"), golds(results, "holistic_only")
    _, rate, _, _, counts, _, sign_p, _ = row(text[wins:], "gold quality")
    assert counts == f"{(ours > theirs).sum()}/{(ours == theirs).sum()}/{(ours < theirs).sum()}"
    rates = 100 * (ours > theirs).sum(axis=1) / (ours != theirs).sum(axis=1)
    assert float(rate) == pytest.approx(rates.mean(), abs=0.05) and sign_p == "<0.001"
    assert float(row(text[wins:], "grammar error rate")[1]) > 50
    assert "tokens" not in text[wins:], "no length is better than another"


def test_a_language_models_verdicts_and_corpus_metrics_stand_beside(results):
    text = comparison(runs_of(results), "holistic_only", "alarm")
    assert float(row(text, "openai:made-up")[1]) < 50 and re.search(r"\(6\s.*?invalid\)", text, re.DOTALL)
    assert row(text, "BLEU") == ["BLEU", "30.30", "30.80", "-0.50"]


def test_a_metric_computed_later_is_one_more_score(tmp_path):
    write_judged(tmp_path, "wmt", methods=("holistic_only", "alarm"), seeds=(1, 2))
    ids = [f"wmt-{p}" for p in range(60)]
    scores = {
        name: {str(s): {i: shift + 0.01 * s + 0.01 * (p % 2) for p, i in enumerate(ids)} for s in (1, 2)}
        for name, shift in (("holistic_only", 0.5), ("alarm", 0.6))
    }
    metric = MetricRecord("wmt", "tiny", "comet", "COMET", True, {}, scores, "2026-01-03T00:00:00+00:00", ENVIRONMENT)
    write_metric(tmp_path, metric)
    text = comparison(runs_of(tmp_path), "alarm", "holistic_only", ["comet"])
    assert row(text, "COMET")[1:4] == ["0.620", "0.520", "+0.100"]


def test_the_sft_policy_is_a_baseline_for_every_seed(results):
    runs = runs_of(results)
    pair = paired(runs, "alarm", "sft", "gold")
    assert pair.seeds == (1, 2, 3) and (pair.baseline == pair.baseline[0]).all()
    assert pair.baseline[0].tolist() == [runs.sft[i].scores["gold"] for i in pair.ids]
    assert float(row(comparison(runs, "alarm", "sft"), "gold quality")[3]) > 0


def test_every_line_fits_a_terminal(results, capsys):
    assert main(["compare", "alarm", "holistic_only", "--results", str(results)]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= WIDEST
    assert "alarm against holistic_only: long_form_qa" in text and "alarm against holistic_only: wmt" in text
    assert text.count("below, seed") == 20, "ten prompts per task"


def test_the_prompts_that_differ_most_come_first():
    differences = np.array([[0.1, -0.9, 0.5, 0.0], [0.1, -0.5, 0.1, 0.0]])
    pair = Paired("gold", "gold", True, differences + 1, np.ones((2, 4)), (4, 7), ("a", "b", "c", "d"), None)
    found = most_different(pair, 10)
    assert [e.id for e in found] == ["b", "c", "a"], "a prompt without any difference is none"
    assert [e.seed for e in found] == [4, 4, 4] and found[0].difference == pytest.approx(-0.7)
    assert found[0].scores == pytest.approx((0.1, 1.0))
    assert [e.id for e in most_different(pair, 1)] == ["b"]


def edit_responses(results: Path, name: str, response) -> None:
    path = record_path(results, "tiny", "wmt", name, 1)
    record = read_record(path)
    write_record(results, record, [replace(g, response=response(g)) for g in generations_of(record)])


def test_both_responses_stand_side_by_side_with_prompt_and_reference(tmp_path):
    for name in ("alarm", "holistic_only"):
        write_run(tmp_path, run("wmt", name, 1))
    edit_responses(tmp_path, "alarm", lambda g: f"Ours of {g.id} " + "word " * 30)
    edit_responses(tmp_path, "holistic_only", lambda g: f"\x1b[31mTheirs\nof {g.id}")
    rows = [PromptRow(f"wmt-{p}", f"Übersetze {p}.", f"Translate {p}.") for p in range(60)]
    write_prompts(tmp_path, "tiny", "wmt", rows)
    runs = runs_of(tmp_path)
    pair = paired(runs, "alarm", "holistic_only", "gold")
    place = int(np.argmax(np.abs(pair.differences[0])))
    number = pair.ids[place].removeprefix("wmt-")
    text = side_by_side(runs, "alarm", "holistic_only", "gold", 1)
    assert f"wmt-{number}: {pair.differences[0, place]:+.3f}; below, seed 1" in text
    assert f"prompt: Übersetze {number}." in text and f"reference: Translate {number}." in text
    assert re.search(rf"Ours of wmt-{number} .*\| \[31mTheirs of wmt-{number}", text)
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= WIDEST


def test_without_prompts_on_record_the_sft_response_gives_orientation(results):
    text = side_by_side(runs_of(results), "alarm", "holistic_only", "gold", 1)
    assert "SFT policy: A dog runs." in text and "prompt:" not in text
    assert "SFT policy:" not in side_by_side(runs_of(results), "alarm", "sft", "gold", 1)


def test_equal_runs_have_no_prompt_to_show(tmp_path):
    for name in ("holistic_only", "weighted_sum"):
        write_run(tmp_path, run("wmt", name, 1))
    runs = runs_of(tmp_path)
    assert side_by_side(runs, "holistic_only", "weighted_sum", "gold", 5).startswith("No prompt on which")
    assert "One seed: intervals and p say nothing about other seeds." in comparison(
        runs, "holistic_only", "weighted_sum"
    )


def test_prompts_can_be_chosen_by_another_score_and_left_out(results, capsys):
    common = ["compare", "alarm", "holistic_only", "--results", str(results), "--task", "wmt"]
    assert main([*common, "--by", "confidence", "--prompts", "2"]) == 0
    text = capsys.readouterr().out
    assert "The 2 prompts with the largest difference in confidence score" in text
    assert main([*common, "--prompts", "0", "--score", "gold"]) == 0
    text = capsys.readouterr().out
    assert "prompts with the largest" not in text and "confidence" not in text and "long_form_qa" not in text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["alarn", "sft"], r"unknown run on record 'alarn'. Did you mean 'alarm'\? Known: .*holistic_only.*sft"),
        (["alarm", "stf"], r"unknown run on record 'stf'. Did you mean 'sft'\?"),
        (["alarm", "alarm"], r"alarm cannot be compared with itself"),
        (["alarm", "sft", "--score", "glod"], r"unknown score of .* 'glod'. Did you mean 'gold'\?"),
        (["alarm", "sft", "--by", "glod"], r"unknown score of .* 'glod'"),
        (["alarm", "sft", "--task", "wnt"], r"unknown task on record 'wnt'. Did you mean 'wmt'\?"),
        (["alarm", "sft", "--scale", "tinny"], r"unknown scale 'tinny'"),
        (["alarm", "sft", "--prompts", "-1"], r"--prompts must be 0 or more"),
        (["alarm+readability", "sft", "--task", "long_form_qa"], r"unknown run on record 'alarm\+readability'"),
        (["alarm+relevance", "alarm+grammar"], r"unknown run on record 'alarm\+grammar'"),
        (["alarm+relevance", "alarm+readability"], r"are not both on record in any one task"),
    ],
)
def test_wrong_arguments_are_named_in_one_sentence(results, capsys, arguments, problem):
    assert main(["compare", *arguments, "--results", str(results)]) == 2
    captured = capsys.readouterr()
    assert re.search(problem, captured.err) and captured.err.count("\n") == 1 and not captured.out


def test_runs_without_a_common_seed_cannot_be_paired(tmp_path, capsys):
    write_run(tmp_path, run("wmt", "alarm", 1))
    write_run(tmp_path, run("wmt", "holistic_only", 2))
    assert main(["compare", "alarm", "holistic_only", "--results", str(tmp_path)]) == 2
    assert "share no seed" in capsys.readouterr().err


def test_cpu_and_gpu_runs_are_never_mixed(tmp_path, capsys):
    for name in ("alarm", "holistic_only"):
        write_run(tmp_path, run("wmt", name, 1))
        write_run(tmp_path, run("wmt", name, 2, environment={**ENVIRONMENT, "device": "cuda"}))
    arguments = ["compare", "alarm", "holistic_only", "--results", str(tmp_path), "--prompts", "0"]
    assert main(arguments) == 2 and "choose with --hardware" in capsys.readouterr().err
    assert main([*arguments, "--hardware", "gpu"]) == 0 and "seed 2," in capsys.readouterr().out


def test_prompts_with_a_score_that_is_undefined_are_left_out_of_that_score_alone(tmp_path):
    for name in ("alarm", "holistic_only"):
        write_run(tmp_path, run("wmt", name, 1))
    path = record_path(tmp_path, "tiny", "wmt", "alarm", 1)
    record = read_record(path)
    rows = generations_of(record)
    rows[0] = Generation(rows[0].id, rows[0].response, 3, {**rows[0].scores, "confidence": float("nan")})
    write_record(tmp_path, record, rows)
    runs = runs_of(tmp_path)
    sizes = [len(paired(runs, "alarm", "holistic_only", score).ids) for score in ("confidence", "gold")]
    assert sizes == [59, 60]


def test_text_is_made_safe_for_a_terminal():
    assert plain("a\tb\u2028c \x07\x1b]0;title\x07d") == "a b c ]0;titled"
