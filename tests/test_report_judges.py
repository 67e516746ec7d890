"""Judges in the report: win rates by language models, rankings, agreement; every verdict counted, nothing outdated."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from alarm.__main__ import main
from alarm.evaluation.effects import cohen_h, minimum_detectable_difference, sign_test
from alarm.evaluation.statistics import bootstrap_win_rate
from alarm.records import (
    PromptRow,
    generations_of,
    judge_path,
    read_judge,
    read_record,
    record_path,
    write_judge,
    write_prompts,
    write_record,
)
from alarm.report.agreement_table import agreement_table
from alarm.report.comparisons import BOOTSTRAP_SEED
from alarm.report.judge_table import judge_table
from alarm.report.pairing import paired
from alarm.report.published import PAPER_METHODS, Published
from alarm.report.ranking_table import ranking_table
from alarm.report.render import render
from alarm.report.runs import TaskRuns, read_runs
from alarm.report.verdicts import SFT, model_verdicts, score_verdicts
from alarm.report.win_tables import win_rate_table
from tests.openai_server import SERVED, longer_wins, serving
from tests.synthetic_runs import judge_record, run, write_distinct_responses, write_experiment, write_judged, write_run

JUDGE = "openai:made-up"
PAIRS, SEEDS, PROMPTS = 6, 3, 60


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_judged(folder, "wmt")
    return folder


@pytest.fixture
def own_results(tmp_path) -> Path:
    write_judged(tmp_path, "wmt", methods=("holistic_only", "alarm"))
    return tmp_path


def runs_of(results: Path) -> TaskRuns:
    (runs,) = read_runs(results, "tiny")
    return runs


def published() -> Published:
    return Published.read(Path("nowhere"))


def cells(table) -> dict[tuple[str, str, str], dict[str, str]]:
    return {(r["block"], r["row"], r["column"]): r for r in csv.DictReader(io.StringIO(table.csv()))}


def said(results: Path, row: str, column: str) -> list[list[str]]:
    """[S][P], verdicts on row against column as the record has them."""
    record = read_judge(judge_path(results, "tiny", "wmt", JUDGE))
    return [c["verdicts"] for c in record.comparisons if (c["row"], c["column"]) == (row, column)]


# Win rates.


def test_a_models_win_rate_is_what_its_record_says(results):
    table = cells(judge_table(runs_of(results), published()))
    verdicts = said(results, "holistic_only", "alarm")
    rates = [100 * v.count("win") / (v.count("win") + v.count("lose")) for v in verdicts]
    cell, mirror = (table[f"By {JUDGE}", *pair] for pair in (("holistic_only", "alarm"), ("alarm", "holistic_only")))
    assert float(cell["mean"]) == pytest.approx(np.mean(rates)) and cell["n"] == "3"
    assert float(cell["mean"]) + float(mirror["mean"]) == pytest.approx(100)
    assert float(cell["p_holm"]) == pytest.approx(float(mirror["p_holm"]))
    assert float(mirror["low"]) > 50, "gold, which the judge follows, prefers alarm"
    assert float(mirror["published_mean"]) == 51.03 and mirror["verdict"] == "not distinguishable", "sd 1.70"
    assert table[f"By {JUDGE}", "alarm", "aspect_only"]["verdict"] == "same direction"


def test_ties_and_invalid_verdicts_are_counted_and_shown(results):
    table = cells(judge_table(runs_of(results), published()))
    total = PAIRS * SEEDS * PROMPTS
    counts = {column: float(table["All verdicts", JUDGE, column]["mean"]) for column in ("win", "lose", "tie")}
    assert counts["tie"] == PAIRS * SEEDS, "one tie by disagreement per match, equal responses apart"
    assert float(table["All verdicts", JUDGE, "equal"]["mean"]) == 10 * PAIRS * SEEDS
    invalid = table["All verdicts", JUDGE, "invalid"]
    assert float(invalid["mean"]) == 2 * PAIRS * SEEDS
    assert invalid["note"].endswith(f"orders: {PAIRS * SEEDS} refusal, {PAIRS * SEEDS} missing")
    assert sum(counts.values()) + 12 * PAIRS * SEEDS == total
    cell = table[f"By {JUDGE}", "alarm", "holistic_only"]
    assert cell["note"] == f"{100 * 11 / 58:.1f} % ties, {2 * SEEDS} invalid"


def test_position_bias_is_the_share_of_first_places(results):
    """Each decided pair chooses both places once; the others chose the first three times and the second once."""
    matches = PAIRS * SEEDS
    first, second = 47 * matches + 3 * matches, 47 * matches + matches
    cell = cells(judge_table(runs_of(results), published()))["All verdicts", JUDGE, "first_place"]
    assert float(cell["mean"]) == pytest.approx(100 * first / (first + second))
    assert int(cell["n"]) == first + second


def test_the_caption_names_model_prompt_and_what_became_of_the_papers(results):
    text = judge_table(runs_of(results), published()).markdown()
    assert "answered by made-up-2026-01-01 at http://localhost" in text
    assert "prompt wmt v1 (sha256 ffffffffffff), temperature 0.0; 60 prompts; 2026-01-03" in text
    assert "gpt-3.5-turbo in the paper, which its maker has retired or is about to" in text


def test_verdicts_on_replaced_responses_are_left_out_and_named(own_results):
    path = record_path(own_results, "tiny", "wmt", "alarm", 2)
    record = read_record(path)
    write_record(own_results, record, [replace(g, response="New.") for g in generations_of(record)])
    runs = runs_of(own_results)
    verdicts = model_verdicts(runs, runs.judges[0])
    assert verdicts.seeds == (1, 3)
    table = judge_table(runs, published())
    assert table.missing[0].startswith(f"{JUDGE}: 1 of 3 comparisons are of responses made anew since")
    assert cells(table)[f"By {JUDGE}", "alarm", "holistic_only"]["n"] == "2"


def test_without_verdicts_there_is_no_table_and_the_page_says_so(tmp_path):
    write_experiment(tmp_path, seeds=(1,))
    assert all(judge_table(runs, published()) is None for runs in read_runs(tmp_path, "tiny"))
    render(tmp_path, "tiny")
    assert "wmt: verdicts of a language model" in (tmp_path / "tiny" / "README.md").read_text()


def test_win_rate_tables_state_ties_effect_size_and_what_could_be_found(results):
    runs = runs_of(results)
    table = win_rate_table(runs, published())
    cell = cells(table)["By gold quality", "holistic_only", "weighted_sum"]
    assert cell["note"] == "100.0 % ties", "both runs have the same golds here"
    cell = cells(table)["By gold quality", "alarm", "aspect_only"]
    pair = paired(runs, "alarm", "aspect_only", "gold")
    estimate = bootstrap_win_rate([pair.outcomes], seed=BOOTSTRAP_SEED, spread=pair.spread)
    assert cell["note"] == "0.0 % ties" and float(cell["mean"]) == pytest.approx(estimate.value)
    assert float(cell["effect_size"]) == pytest.approx(cohen_h(estimate.value))
    assert float(cell["detectable"]) == pytest.approx(minimum_detectable_difference(estimate))
    assert float(cell["sign_p"]) == sign_test(pair.outcomes).p
    average = cells(table)["By gold quality", "alarm", "average"]
    assert average["sign_p"] == "" and float(average["effect_size"]) > 0
    assert "in half of these pairs with a power of 80 %" in table.markdown()


# Ranking.


def test_the_ranking_has_every_method_and_the_sft_policy_at_zero(results):
    table = cells(ranking_table(runs_of(results)))
    block = "By gold quality"
    rows = [row for name, row, column in table if name == block and column == "rank"]
    assert set(rows) == {*PAPER_METHODS, SFT} and rows[0] == "alarm", "strongest first"
    assert [float(table[block, row, "rank"]["mean"]) for row in rows] == [1, 2, 3, 4, 5]
    assert float(table[block, SFT, "elo"]["mean"]) == 0
    best = table[block, "alarm", "elo"]
    assert float(best["low"]) > 0 and float(best["p_holm"]) < 0.05
    expected = float(table[block, "alarm", "expected"]["mean"])
    assert expected == pytest.approx(100 / (1 + 10 ** (-float(best["mean"]) / 400)))


def test_models_rank_too_and_without_the_sft_policy_the_mean_is_zero(results):
    table = cells(ranking_table(runs_of(results)))
    points = [float(c["mean"]) for (block, _, column), c in table.items() if block == f"By {JUDGE}" and column == "elo"]
    assert len(points) == 4 and sum(points) == pytest.approx(0, abs=1e-6)


def test_a_method_with_too_few_seeds_is_left_out_of_the_ranking_and_of_nothing_else(tmp_path):
    for seed in (1, 2, 3):
        for method in ("holistic_only", "alarm", "weighted_sum"):
            write_run(tmp_path, run("wmt", method, seed))
    write_run(tmp_path, run("wmt", "mine", 1))
    runs = runs_of(tmp_path)
    verdicts = score_verdicts(runs, ["holistic_only", "alarm", "weighted_sum", "mine"], "gold")
    assert verdicts.left_out == ("mine",) and verdicts.seeds == (1, 2, 3) and len(verdicts.outcomes) == 3
    table = ranking_table(runs)
    assert "mine" not in table.blocks[0].rows


def test_lower_wins_where_lower_is_better(results):
    runs = runs_of(results)
    outcome = score_verdicts(runs, ["alarm", "holistic_only"], "grammar").outcomes["alarm", "holistic_only"]
    ours, theirs = (runs.scores(name, 1, "grammar") for name in ("alarm", "holistic_only"))
    assert outcome[0].tolist() == [float(np.sign(theirs[i] - ours[i])) for i in sorted(ours)]


# Agreement.


def test_agreement_with_gold_is_sklearns_kappa_of_the_verdicts_on_different_responses(results):
    runs = runs_of(results)
    record = runs.judges[0]
    points = {"win": 1, "lose": -1, "tie": 0}
    model, gold = [], []
    for c in record.comparisons:
        ours, theirs = (runs.generations(c[side], c["seed"]) for side in ("row", "column"))
        for i, verdict in zip(c["ids"], c["verdicts"], strict=True):
            if ours[i].response != theirs[i].response and verdict != "invalid":
                sign = int(np.sign(ours[i].scores["gold"] - theirs[i].scores["gold"]))
                model += [points[verdict], -points[verdict]]
                gold += [sign, -sign]
    cell = cells(agreement_table(runs))["", "gold quality", JUDGE]
    assert float(cell["mean"]) == pytest.approx(cohen_kappa_score(model, gold))
    assert 0.5 < float(cell["mean"]) < 0.65, "choices were overturned, and equal golds decided"
    assert f"{len(model) // 2} verdicts, {2 * PAIRS * SEEDS} left out" in cell["note"]


def test_scores_are_judges_of_each_other_without_any_model(tmp_path):
    write_judged(tmp_path, "wmt", methods=("holistic_only", "alarm"))
    judge_path(tmp_path, "tiny", "wmt", JUDGE).unlink()
    table = agreement_table(runs_of(tmp_path))
    assert set(cells(table)) == {
        ("", "gold quality", "holistic reward"),
        ("", "gold quality", "grammar error rate"),
        ("", "holistic reward", "grammar error rate"),
    }
    assert table.missing == ["wmt verdicts of a language model"]


def test_two_models_agree_where_both_judged(own_results):
    methods = ("holistic_only", "alarm")
    other = judge_record(own_results, "wmt", methods, (1, 2), judge="openai:other", noise=0.0)
    write_judge(own_results, other)
    exact = judge_record(own_results, "wmt", methods, (1, 2, 3), noise=0.0)
    write_judge(own_results, exact)
    cell = cells(agreement_table(runs_of(own_results)))["", JUDGE, "openai:other"]
    assert float(cell["mean"]) == 1.0 and f"{48 * 2} verdicts, 4 left out" in cell["note"]


def test_all_stand_on_the_page(results):
    names = {path.name for path in render(results, "tiny")}
    assert {"judge_wmt.md", "ranking_wmt.csv", "agreement_wmt.md"} <= names
    readme = (results / "tiny" / "README.md").read_text()
    places = [readme.index(title) for title in ("Table 3", "Win rates by language models in wmt", "Ranking of all")]
    assert places == sorted(places)


# From the question to the table.


def test_what_the_judge_command_records_becomes_tables(tmp_path, monkeypatch):
    """A server that likes the longer response, which is that of the run with the longer name."""
    methods, store = ("aspect_only", "holistic_only"), tmp_path / "store"
    for name in methods:
        write_run(tmp_path, run("wmt", name, 1))
    write_distinct_responses(tmp_path, "wmt", methods, (1,), equal=10)
    rows = [PromptRow(f"wmt-{p}", f"Hund {p}.", "A dog.", {"source": f"Hund {p}."}) for p in range(PROMPTS)]
    write_prompts(tmp_path, "tiny", "wmt", rows)
    with serving(longer_wins) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert main(["judge", "--judge", "openai:m", "--results", str(tmp_path), "--store", str(store)]) == 0
    runs = runs_of(tmp_path)
    found = cells(judge_table(runs, published()))
    cell = found["By openai:m", "holistic_only", "aspect_only"]
    assert (float(cell["mean"]), cell["note"]) == (100.0, f"{100 * 10 / 60:.1f} % ties, 0 invalid")
    assert float(found["All verdicts", "openai:m", "first_place"]["mean"]) == 50.0
    assert float(found["All verdicts", "openai:m", "equal"]["mean"]) == 10
    assert f"answered by {SERVED}" in judge_table(runs, published()).markdown()
    ranked = cells(ranking_table(runs))
    assert float(ranked["By openai:m", "holistic_only", "rank"]["mean"]) == 1
    assert ("", "gold quality", "openai:m") in cells(agreement_table(runs))
