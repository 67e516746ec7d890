"""Which methods differ, what became of the policies, and how far a learned reward can be optimised: known values."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from alarm.evaluation.statistics import bootstrap_mean, holm
from alarm.records import (
    generations_of,
    pool_path,
    read_pool,
    samples_of,
    write_best_of_k,
    write_pool,
    write_record,
)
from alarm.report.compare import comparison
from alarm.report.habits_figure import UNMARKED_COLOUR, habit_colours
from alarm.report.habits_table import habits_on_record, habits_table
from alarm.report.over_optimisation import best_of_k_curve, ppo_curve, sft_sd
from alarm.report.over_optimisation_table import BEST_OF_K, over_optimisation_table
from alarm.report.pairs_table import pairs_table
from alarm.report.ranking_table import ranking_table
from alarm.report.render import render
from alarm.report.runs import TaskRuns, read_runs
from alarm.report.spread_table import spread_table, spread_within
from tests.synthetic_runs import EFFECTS, best_of_k_record, run, write_run, write_shared
from tests.synthetic_samples import HABITS, add_samples

METHODS = (*list(EFFECTS)[:4], "holistic_low_kl", "oracle")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for method in METHODS:
        for seed in (1, 2, 3):
            write_run(folder, run("wmt", method, seed))
    write_shared(folder, "wmt")
    write_best_of_k(folder, best_of_k_record("wmt"))
    add_samples(folder)
    return folder


@pytest.fixture(scope="module")
def runs(results) -> TaskRuns:
    return read_runs(results, "tiny")[0]


@pytest.fixture
def old(tmp_path) -> TaskRuns:
    """Runs as earlier versions recorded them."""
    for method in METHODS[:4]:
        write_run(tmp_path, run("wmt", method, 1))
    write_shared(tmp_path, "wmt")
    return read_runs(tmp_path, "tiny")[0]


def test_pairs_are_differences_of_sampled_gold_corrected_over_all_pairs(runs):
    view = runs.sampled
    summary, matrix = pairs_table(runs).blocks
    aligned = {(a, b): view.aligned([a, b], "gold").scores for a, b in combinations(summary.rows, 2)}
    spread = view.seed_spread("gold")
    p = holm([bootstrap_mean(s[a] - s[b], seed=0, spread=spread).p for (a, b), s in aligned.items()])
    assert [matrix.cells[pair].estimate.p for pair in aligned] == pytest.approx(p)
    assert all(matrix.cells[a, b].measured.mean >= -1e-12 for a, b in aligned), "the better method stands first"
    counted = sum(value < 0.05 for value in p)
    assert f"{counted} of {len(p)} pairs of methods differ significantly" in pairs_table(runs).caption[0]
    assert sum(summary.cells[name, "above"].measured.mean for name in summary.rows) == counted
    assert sum(summary.cells[name, "below"].measured.mean for name in summary.rows) == counted
    assert summary.rows[0] == "alarm" and summary.cells["alarm", "above"].measured.mean == 5


def test_methods_above_and_below_the_sft_policy_are_named(runs):
    sentence = pairs_table(runs).caption[1]
    assert sentence.startswith("Significantly above the SFT policy: alarm, ") and sentence.endswith("below it: none.")


def test_the_matrix_shows_no_intervals_and_its_csv_does(runs):
    table = pairs_table(runs)
    cell = table.blocks[1].cells["alarm", "aspect_only"]
    assert "[" not in cell.markdown() and cell.markdown().startswith("**0.")
    assert f"{cell.estimate.low}" in table.csv()


def test_pairs_of_old_records_are_of_greedy_responses(old):
    assert "of greedy responses." in pairs_table(old).caption[0]


def test_the_ranking_begins_with_samples_and_counts_pairs(runs):
    table = ranking_table(runs)
    assert [block.title for block in table.blocks[:2]] == ["By gold quality, sampled", "By gold quality"]
    assert table.blocks[0].cells["sft", "elo"].note == "zero"
    assert any("of 21 by gold quality, sampled; " in sentence for sentence in table.caption)


def test_compare_shows_samples_and_greedy_responses(runs, old):
    text = comparison(runs, "alarm", "sft")
    lines = [line for line in text.splitlines() if line.startswith("gold quality")]
    sampled, greedy = ([float(part) for part in line.split()[2:4]] for line in lines[:2])
    assert sampled == pytest.approx([value - 0.1 for value in greedy], abs=2e-3)
    assert "Sampled: one response per prompt" in text and max(map(len, text.splitlines())) <= 100
    assert "No sampled responses of both are on record" in comparison(old, "alarm", "holistic_only")


def test_habits_are_counted_before_and_after(runs):
    greedy, sampled, demonstrators = habits_table(runs).blocks
    for block in (greedy, sampled):
        assert block.columns == list(HABITS)
        assert [block.cells["SFT policy", habit].measured.mean for habit in HABITS] == pytest.approx([100 / 3] * 3)
        after = [block.cells["alarm", habit].measured for habit in HABITS]
        assert [spread.mean for spread in after] == pytest.approx([100 / 3, 0, 200 / 3])
        assert [spread.count for spread in after] == [3, 3, 3] and after[0].sd == pytest.approx(0)
    assert [demonstrators.cells[name, "share"].measured.mean for name in HABITS] == [50, 25, 25]
    assert demonstrators.cells["careful", "description"].note == "answers in a careful way"


def test_habits_that_no_demonstrator_has_come_last_and_are_grey(results, tmp_path):
    for seed in (1, 2):
        write_run(tmp_path, run("wmt", "alarm", seed))
    write_shared(tmp_path, "wmt")
    add_samples(tmp_path)
    record = read_runs(tmp_path, "tiny")[0].finished["alarm"][1]
    odd = [replace(g, habit="other") for g in generations_of(record)]
    write_record(tmp_path, record, odd, samples_of(record))
    (runs,) = read_runs(tmp_path, "tiny")
    assert habits_on_record(runs) == [*HABITS, "other"]
    assert habit_colours(runs, [*HABITS, "other"])["other"] == UNMARKED_COLOUR
    cell = habits_table(runs).blocks[0].cells["alarm", "other"]
    assert cell.measured.mean == 50, "all responses of one of two seeds"


def test_spread_is_that_of_the_first_batch_and_of_the_pool(runs, results):
    methods, scores = spread_table(runs).blocks
    assert methods.cells["alarm", "reward_spread"].measured.mean == pytest.approx(0.5)
    assert methods.cells["alarm", "gold_spread"].measured.mean == pytest.approx(0.2)
    gain = runs.sampled.aligned(["alarm"], "gold").scores["alarm"].mean() - runs.sampled.sft_mean("gold")
    assert methods.cells["alarm", "gain"].measured.mean == pytest.approx(gain)
    gold = np.array(read_pool(pool_path(results, "tiny", "wmt")).scores["gold"])
    assert scores.cells["gold quality", "within"].measured.mean == pytest.approx(gold.std(axis=1, ddof=1).mean())
    assert scores.cells["gold quality", "whole"].measured.mean == pytest.approx(gold.std(ddof=1))
    assert spread_within(np.array([[0.0, 2.0], [3.0, 3.0]])) == pytest.approx(2**0.5 / 2)


def test_gold_peaks_where_it_peaks_and_the_proxy_goes_on(runs):
    curve = ppo_curve(runs, "holistic_low_kl")
    # 21 iterations of .4 nats each in ten groups, the first of three: gold rises to 4 nats and falls then.
    groups = np.array_split(0.4 * np.arange(21), 10)
    kl = np.array([group.mean() for group in groups])
    assert curve.kl[0] == pytest.approx([0, *kl]) and curve.peak == 1 + int(np.argmin(np.abs(kl - 4)))
    gold = np.array([(0.4 + 0.05 * (np.minimum(g, 4) - np.maximum(g - 4, 0))).mean() for g in groups])
    start = np.mean([r.history[0]["gold"] for seeds in runs.finished.values() for r in seeds.values()])
    assert curve.gold[1, 1:] == pytest.approx((gold - start) / sft_sd(runs, "gold"))
    assert (np.diff(curve.proxy[0]) > 0).all()
    cells = over_optimisation_table(runs).blocks[0].cells
    assert cells["holistic_low_kl", "peak_kl"].measured.mean == pytest.approx(kl[curve.peak - 1])
    assert cells["holistic_low_kl", "change"].measured.mean == pytest.approx(
        (gold[-1] - gold[curve.peak - 1]) / sft_sd(runs, "gold")
    )
    assert cells["holistic_only", "change"].measured.mean == 0, "gold still rises at the end"


def test_best_of_k_has_gold_of_the_record_and_the_proxy_of_the_pool(runs):
    curve = best_of_k_curve(runs)
    record, sd = runs.best_of_k, sft_sd(runs, "gold")
    golds = np.mean(record.selectors["holistic"]["gold"], axis=1)
    assert curve.gold == pytest.approx((golds - golds[0]) / sd) and curve.kl == pytest.approx(record.kl)
    proxy = np.array(runs.pool.scores["holistic"])
    assert curve.proxy_kl == pytest.approx(record.kl[:4]), "1, 2, 4 and 8 of 8 samples"
    assert curve.proxy[[0, -1]] == pytest.approx([0, (proxy.max(axis=1).mean() - proxy.mean()) / proxy.std(ddof=1)])
    cells = over_optimisation_table(runs).blocks[0].cells
    assert cells[BEST_OF_K, "peak_kl"].measured.mean == pytest.approx(record.kl[-1])
    assert cells[BEST_OF_K, "end_proxy"].missing == "samples for so large a k"


def test_a_pool_of_one_task_does_not_need_demonstrators(results, tmp_path):
    write_run(tmp_path, run("wmt", "alarm", 1))
    write_shared(tmp_path, "wmt")
    add_samples(tmp_path)
    write_pool(tmp_path, replace(read_pool(pool_path(tmp_path, "tiny", "wmt")), demonstrators=[]))
    (runs,) = read_runs(tmp_path, "tiny")
    assert "wmt demonstrators" in habits_table(runs).missing


def test_everything_is_written_and_stands_in_the_readme(results):
    names = {path.name for path in render(results, "tiny")}
    made = {f"{name}_wmt" for name in ("pairs", "habits", "spread", "over_optimisation")}
    assert {f"{name}.md" for name in made} | {"habits_wmt.png", "over_optimisation_wmt.png"} <= names
    text = (results / "tiny" / "README.md").read_text()
    assert "Habits of the policies in wmt" in text and "figures/over_optimisation_wmt.png" in text


def test_old_records_name_what_they_lack(old, tmp_path):
    assert habits_table(old) is None and spread_table(old) is None
    table = over_optimisation_table(old)
    assert table.blocks[0].cells["holistic_low_kl", "peak_kl"].missing == "no run of holistic_low_kl"
    assert table.blocks[0].cells["holistic_only", "peak_kl"].measured is not None
    assert "Best-of-k by the learned reward is not on record." in table.caption
    names = {path.name for path in render(tmp_path, "tiny")}
    assert "over_optimisation_wmt.png" in names and "habits_wmt.png" not in names
    text = (tmp_path / "tiny" / "README.md").read_text()
    assert "wmt: habits of responses, which generated worlds alone have" in text
