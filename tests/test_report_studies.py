"""Studies of reward-model recipes: tables and figures from one record per source, published values beside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from alarm.evaluation.win_rates import Spread
from alarm.records import RewardModelRecord, write_reward_models
from alarm.report.published import Number
from alarm.report.published_study import PublishedStudy
from alarm.report.recipe_figure import recipe_figure
from alarm.report.recipe_table import UNTRAINED, recipe_table, sweep_accuracies
from alarm.report.render import render
from alarm.report.strength_figure import strength_figure
from alarm.report.strength_table import strength_table
from alarm.report.studies import final_accuracies, paired_by_seed, read_studies
from tests.synthetic_runs import run, study_record, write_run

PUBLISHED = PublishedStudy.read(Path(__file__).resolve().parents[1] / "results")


@pytest.fixture(scope="module")
def record() -> RewardModelRecord:
    return study_record("wmt")


def emptied(record: RewardModelRecord) -> RewardModelRecord:
    return replace(record, strength={}, wrong=None, deciles=[], curves=[], sweep=[], heuristics={})


def test_published_numbers_are_found_under_our_names():
    assert PUBLISHED.strength(25) == Number(-0.03) and PUBLISHED.strength(33) is None
    assert PUBLISHED.negative_share() == Number(25.0)
    assert [PUBLISHED.agreement(group, 10).mean for group in (0, 9)] == pytest.approx([16.4, 95.6])
    assert PUBLISHED.agreement(5, 10) is None
    assert PUBLISHED.decile_accuracy(9, "noisy").mean == pytest.approx(65.9)
    assert PUBLISHED.decile_accuracy(9, "gold") is None
    assert PUBLISHED.final_accuracy("flip_margin", "agreeing").mean == pytest.approx(82.5)
    assert PUBLISHED.final_accuracy("plain", "noisy").mean == pytest.approx(69.4)
    assert PUBLISHED.final_accuracy("simcse", "noisy") is None and PUBLISHED.final_accuracy("flip", "shifted") is None
    nothing = PublishedStudy(None)
    assert nothing.strength(25) is nothing.final_accuracy("flip", "gold") is nothing.decile_accuracy(0, "noisy") is None


def test_a_difference_is_paired_by_seed_with_students_interval():
    value, estimate = paired_by_seed({1: 70.0, 2: 73.0, 3: 71.0, 9: 0.0}, {3: 70.0, 2: 70.0, 1: 68.0})
    differences = np.array([2.0, 3.0, 1.0])
    half = t.ppf(0.975, 2) * differences.std(ddof=1) / np.sqrt(3)
    assert value == estimate.value == 2.0
    assert (estimate.low, estimate.high) == (pytest.approx(2 - half), pytest.approx(2 + half))
    assert paired_by_seed({1: 70.0}, {1: 69.0}) == (1.0, None)
    assert paired_by_seed({1: 70.0, 2: 71.0}, {1: 70.0, 2: 71.0}) == (0.0, None), "no spread, so no interval"
    assert paired_by_seed({1: 70.0}, {2: 70.0}) is None


def test_recipes_are_compared_with_plain_and_with_the_paper(record):
    block = recipe_table(record, PUBLISHED).blocks[0]
    assert block.rows == ["length", UNTRAINED, "plain", "flip", "margin", "flip_margin", "soft_label_margin"]
    assert block.cells[UNTRAINED, "gold"].measured == Spread(50.0, 0.0, 3), "the made-up curves start at 50 %"
    cell = block.cells["flip", "gold"]
    ours, plain = (final_accuracies(record, (name, None), "gold") for name in ("flip", "plain"))
    assert cell.measured.mean == pytest.approx(np.mean(list(ours.values()))) and cell.measured.count == 3
    assert cell.estimate.value == pytest.approx(np.mean([ours[s] - plain[s] for s in (1, 2, 3)]))
    assert cell.published.mean == pytest.approx(69.9) and cell.verdict == "same direction"
    assert block.cells["plain", "gold"].estimate is None and block.cells["length", "gold"].measured.mean == 53
    assert block.cells["flip", "shifted"].published is None


def test_contrastive_targets_have_rows_of_their_own(record):
    block = recipe_table(record, PUBLISHED).blocks[1]
    assert block.rows == ["plain", "simcse (pair)", "simcse (difference)", "swav (pair)", "swav (difference)"]
    single = block.cells["swav (difference)", "shifted"]
    assert single.measured.count == 1 and single.estimate is None and single.note.startswith("against plain +")


def test_the_sweep_has_the_studys_own_noise_between(record):
    swept = sweep_accuracies(record)
    own = 100 * np.mean(record.wrong)
    assert list(swept) == [pytest.approx(5.0), pytest.approx(own), pytest.approx(45.0)]
    assert swept[own]["flip"] == final_accuracies(record, ("flip", None), "gold")
    assert swept[list(swept)[2]]["flip"][1] == pytest.approx(64.0)


def test_strength_tables_are_what_the_lists_say(record):
    percentiles, detector, agreement, deciles = strength_table(record, PUBLISHED).blocks
    mean, wrong = np.array(record.strength["in_sample"]["mean"]), np.array(record.wrong)
    weakest = np.sort(mean)[: len(mean) // 20]
    assert percentiles.cells["5 %", "in_sample_mean"].measured.mean == pytest.approx(weakest.mean())
    assert percentiles.cells["5 %", "in_sample_mean"].published == Number(-1.22)
    assert percentiles.cells["5 %", "cross_fitted_mean"].published is None, "the paper's is in sample"
    assert detector.cells["in_sample", "precision"].measured.mean == pytest.approx(100 * wrong[mean < 0].mean())
    assert detector.cells["in_sample", "recall"].measured.mean == pytest.approx(100 * (mean < 0)[wrong].mean())
    above = (mean[wrong][:, None] < mean[~wrong]).mean()
    assert detector.cells["in_sample", "auc"].measured.mean == pytest.approx(above)
    tenth = np.argsort(mean)[:40]
    assert agreement.cells["in_sample", "0"].measured.mean == pytest.approx(100 * (~wrong[tenth]).mean())
    assert deciles.cells["annotators' labels", "0"].measured.mean == pytest.approx(35.0)


def test_a_single_model_has_no_sd_to_show(record):
    strength = {way: {**values, "sd": [None] * len(values["sd"])} for way, values in record.strength.items()}
    block = strength_table(replace(record, strength=strength), PUBLISHED).blocks[0]
    assert block.cells["5 %", "in_sample_sd"].missing == "a second model"


def test_without_gold_the_share_flagged_is_all_there_is():
    table = strength_table(study_record("hh_harmless", gold=False), PUBLISHED)
    assert set(table.blocks[1].cells) == {("in_sample", "flagged_share"), ("cross_fitted", "flagged_share")}
    assert any("no gold" in gap for gap in table.missing)
    recipes = recipe_table(study_record("hh_harmless", gold=False), PUBLISHED)
    assert {"validation pairs: gold", "validation pairs: shifted"} <= set(recipes.missing)


def test_an_empty_study_is_a_list_of_what_is_missing(record):
    empty = emptied(record)
    assert {"trained recipes", "contrastive terms"} <= set(recipe_table(empty, PUBLISHED).missing)
    assert "models trained on one decile alone" in strength_table(empty, PUBLISHED).missing
    for drawing in (strength_figure(empty, PUBLISHED), recipe_figure(empty)):
        assert "not on record" in drawing.svg()


def test_sources_without_runs_are_rendered_too(tmp_path):
    write_run(tmp_path, run("poems", "alarm", 1))
    write_reward_models(tmp_path, study_record("hh_harmless", gold=False))
    paths = render(tmp_path, "tiny")
    assert [study.source for study in read_studies(tmp_path, "tiny")] == ["hh_harmless"]
    names = {path.name for path in paths}
    assert {"strength_hh_harmless.md", "recipes_hh_harmless.csv", "strength_hh_harmless.png"} <= names
    text = (tmp_path / "tiny/tables/recipes_hh_harmless.md").read_text()
    assert "Scale `tiny`" in text and "arXiv:2401.06080" in text and "2026-01-02" in text
    assert "figures/recipes_hh_harmless.png" in paths[-1].read_text()
