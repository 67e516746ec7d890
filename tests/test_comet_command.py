"""`python -m alarm comet`: every translation on record scored by source and reference, beside the runs."""

from __future__ import annotations

import shutil

import pytest

from alarm.__main__ import main
from alarm.records import Generation, PromptRow, read_metric, sft_generations_path, write_generations, write_prompts
from alarm.report.runs import read_runs
from alarm.scorers.comet import CometScorer
from tests.comet_models import generated_rows, train_comet
from tests.synthetic_runs import run, write_record

PREFIX = "translate: "
SCORE_OF_EACH = {"gold": 0.5}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comet")
    return train_comet(folder / "model", generated_rows(folder / "world", 100, seed=5), epochs=1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return generated_rows(tmp_path_factory.mktemp("world") / "test", 12, seed=9)


def responses(rows, side: str) -> list[Generation]:
    return [Generation(f"wmt-{i}", row[side], 5, SCORE_OF_EACH) for i, row in enumerate(rows)]


@pytest.fixture
def results(tmp_path, rows):
    """`alarm` writes the references, `holistic_only` the damaged translations, the SFT policy the sources."""
    folder = tmp_path / "results"
    for seed in (1, 2):
        write_record(folder, run("wmt", "alarm", seed), responses(rows, "ref"))
        write_record(folder, run("wmt", "holistic_only", seed), responses(rows, "mt")[: 12 - seed])
    write_record(folder, run("wmt", "weighted_sum", 1, error="iteration 3: a NaN reward"))
    write_generations(sft_generations_path(folder, "tiny", "wmt"), responses(rows, "src"))
    prompts = [PromptRow(f"wmt-{i}", PREFIX + r["src"], r["ref"], {"source": r["src"]}) for i, r in enumerate(rows)]
    write_prompts(folder, "tiny", "wmt", prompts)
    return folder


def call(results, model, *arguments: object) -> int:
    return main(["comet", "--results", str(results), "--checkpoint", str(model), *map(str, arguments)])


def test_every_response_on_record_gets_its_score(results, model, rows, capsys):
    assert call(results, model) == 0
    metric = read_metric(results / "tiny" / "records" / "wmt" / "metric_comet.json")
    scorer = CometScorer(model, references={row["src"]: row["ref"] for row in rows})
    expected = {
        side: [s.value for s in scorer.score([r["src"] for r in rows], [r[side] for r in rows])]
        for side in ("ref", "mt", "src")
    }
    ids = [f"wmt-{i}" for i in range(12)]
    assert metric.scores["alarm"] == {seed: dict(zip(ids, expected["ref"], strict=True)) for seed in ("1", "2")}
    assert metric.scores["holistic_only"]["2"] == pytest.approx(dict(zip(ids[:10], expected["mt"], strict=False)))
    assert metric.scores["sft"] == {"0": pytest.approx(dict(zip(ids, expected["src"], strict=True)))}
    assert set(metric.scores) == {"alarm", "holistic_only", "sft"}
    assert (metric.name, metric.label, metric.higher_is_better) == ("comet", "COMET", True)
    assert metric.facts["version"] == scorer.version and metric.facts["reads_references"] is True
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    mean = sum(expected["ref"]) / 12
    assert ["alarm", f"{mean:.4f}", "0.0000", "2"] in table
    assert [row[0] for row in table if len(row) == 4 and row[3] == "1"] == ["sft"]


def test_scores_of_replaced_responses_are_no_longer_shown(results, model, rows):
    call(results, model)
    (runs,) = read_runs(results, "tiny")
    assert set(runs.metrics[0].scores) == {"alarm", "holistic_only", "sft"}
    write_record(results, run("wmt", "alarm", 2), responses(rows, "mt"))
    (runs,) = read_runs(results, "tiny")
    assert set(runs.metrics[0].scores["alarm"]) == {"1"}
    write_generations(sft_generations_path(results, "tiny", "wmt"), responses(rows, "ref"))
    (runs,) = read_runs(results, "tiny")
    assert set(runs.metrics[0].scores) == {"alarm", "holistic_only"}


def test_the_tasks_own_prompts_are_read_where_records_have_none(results, model, labs, micro_store, monkeypatch, capsys):
    """At other scales references stay in the data folder; here a micro lab stands in for it."""
    from tests.micro import micro_preset

    monkeypatch.setattr("alarm.experiment.session.preset", lambda scale, task: micro_preset(task))
    folder = results / "tiny" / "records" / "wmt"
    shutil.rmtree(folder)
    examples = labs("wmt").task.split("test")[:4]
    generations = [Generation(example.id, example.reference, 5, SCORE_OF_EACH) for example in examples]
    write_record(results, run("wmt", "alarm", 1), generations)
    assert call(results, model, "--store", micro_store) == 2
    assert "the wmt runs were made with other data than this; name theirs with --data" in capsys.readouterr().err
    write_record(results, run("wmt", "alarm", 1, data_fingerprint=labs("wmt").task.fingerprint), generations)
    assert call(results, model, "--store", micro_store, "--name", "comet-small") == 0
    scorer = CometScorer(model, references={example.prompt: example.reference for example in examples})
    found = read_metric(folder / "metric_comet-small.json").scores["alarm"]["1"]
    prompts, references = [e.prompt for e in examples], [e.reference for e in examples]
    assert list(found.values()) == pytest.approx([score.value for score in scorer.score(prompts, references)], abs=2e-5)


def test_what_cannot_be_scored_is_one_sentence(results, model, rows, tmp_path, capsys):
    write_record(results, run("long_form_qa", "alarm", 1), [Generation("a", "text", 3, SCORE_OF_EACH)])
    write_prompts(results, "tiny", "long_form_qa", [PromptRow("a", "question", "answer", {"question": "question"})])
    for arguments, problem in (
        (("--task", "long_form_qa"), "long_form_qa is no translation: COMET compares"),
        (("--task", "wnt"), "unknown task on record 'wnt'. Did you mean 'wmt'"),
        (("--batch-size", 0), "--batch-size must be at least 1"),
        (("--scale", "paper"), "there are no records in"),
        (("--checkpoint", tmp_path), "holds no COMET model"),
        (("--checkpoint", "Unbabel/wmt22-comet-da"), "HF_HUB_OFFLINE forbids to fetch"),
    ):
        assert call(results, model, *arguments) == 2
        captured = capsys.readouterr()
        assert problem in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert not list(results.rglob("metric_*"))


def test_prompts_without_a_common_prefix_are_refused(results, model, rows, capsys):
    prompts = [PromptRow(f"wmt-{i}", f"{i}: {r['src']}", r["ref"], {"source": r["src"]}) for i, r in enumerate(rows)]
    write_prompts(results, "tiny", "wmt", prompts)
    assert call(results, model) == 2
    assert "no source sentences behind one common prefix" in capsys.readouterr().err
