"""The study of a task's comparisons in miniature: every part stored once, in any order, and the record of all."""

from __future__ import annotations

from dataclasses import replace

import pytest

import baselines  # noqa: F401  registers the baselines
from alarm.experiment.reward_study import StudyPart, first_pairs, study_parts, task_study
from alarm.records import read_reward_models, write_reward_models
from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.study import curve_plan
from alarm.reward_modeling.validation import ComparisonSource


def test_a_tasks_study_becomes_a_record_whatever_the_order_of_its_parts(labs, tmp_path):
    lab = labs("wmt")
    study = task_study(lab, shifted_seeds=(1,), sweep=False)
    parts = study.parts()
    assert len(parts) == len(set(map(str, parts))) == 2 + 1 + len(curve_plan(lab.preset.recipes)) + 10
    backwards = {str(part): study.part(part) for part in reversed(parts)}
    record = task_study(lab, shifted_seeds=(1,), sweep=False).record()
    assert [study.part(part) for part in parts] == [backwards[str(part)] for part in parts], "each is trained once"
    train, _ = lab.preferences
    assert record.source == "wmt" and record.facts["train_pairs"] == len(train) == len(record.wrong)
    assert record.facts["curve_pairs"] == lab.preset.recipes.study_pairs
    assert set(record.strength) == {"in_sample", "cross_fitted"}
    assert all(len(entry["mean"]) == len(train) for entry in record.strength.values())
    assert record.strength["cross_fitted"]["mean"] == lab.strength
    assert {"noisy", "gold", "agreeing"} <= set(record.validation_sets)
    assert record.sweep == [] and len(record.deciles) == 10
    assert record.seconds == pytest.approx(sum(part["seconds"] for part in backwards.values()))
    assert read_reward_models(write_reward_models(tmp_path, record)) == record


def test_the_sweep_relabels_the_same_responses_at_the_asked_noise(labs):
    lab = labs("wmt")
    study = task_study(lab, shifted_seeds=(1,), sweep=True)
    assert [str(part) for part in study.parts()][-2:] == ["sweep-0.0", "sweep-0.4"]
    rows = study.part(StudyPart("sweep", (0.0,)))["rows"]
    assert {row["wrong_label_share"] for row in rows} == {0.0}
    assert [row["recipe"] for row in rows] == ["plain", "flip", "margin", "flip_margin", "soft_label_margin"]


def test_parts_have_readable_names(labs):
    names = [str(part) for part in study_parts(labs("wmt").preset.recipes, sweep=True)]
    assert {"strength-in_sample", "curve-plain-1", "curve-simcse-pair-1", "decile-0", "sweep-0.4"} <= set(names)


def test_the_first_pairs_end_with_a_prompt():
    pairs = [Comparison(f"p{i // 3}", f"a{i}", f"b{i}") for i in range(9)]
    source = ComparisonSource("s", "tiny", pairs, pairs, make_reader=lambda seed: None, train_truth=[1, -1, 0] * 3)
    assert first_pairs(source, None) is source and first_pairs(source, 9) is source
    assert [len(first_pairs(source, count).train) for count in (1, 3, 4, 8)] == [3, 3, 6, 9]
    assert first_pairs(source, 4).train_truth == [1, -1, 0, 1, -1, 0]
    with pytest.raises(ValueError, match="study_pairs must be at least 1"):
        first_pairs(source, 0)
    assert first_pairs(replace(source, train_truth=None), 4).train_truth is None
