"""Tables of sampled test responses beside greedy ones: the same numbers from other files, and what old records lack."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from alarm.evaluation.statistics import bootstrap_mean, holm
from alarm.evaluation.win_rates import win_rate
from alarm.records import generations_of, read_record, record_path, samples_of, sft_samples_path, write_record
from alarm.report.comparisons import paired_gains
from alarm.report.gold_table import areas, gold_table, start_of_training
from alarm.report.mean_tables import means_table
from alarm.report.published import Published
from alarm.report.render import render
from alarm.report.runs import TaskRuns, read_runs
from alarm.report.win_tables import win_rate_table
from tests.synthetic_runs import EFFECTS, run, write_run, write_shared
from tests.synthetic_samples import LOWER, add_samples

METHODS = (*list(EFFECTS)[:4], "holistic_low_kl", "oracle")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for method in METHODS:
        for seed in (1, 2, 3):
            write_run(folder, run("wmt", method, seed))
    write_shared(folder, "wmt")
    add_samples(folder)
    return folder


@pytest.fixture(scope="module")
def runs(results) -> TaskRuns:
    return read_runs(results, "tiny")[0]


def golds(results: Path, name: str) -> np.ndarray:
    """[S, P]"""
    records = [read_record(record_path(results, "tiny", "wmt", name, seed)) for seed in (1, 2, 3)]
    return np.array([[g.scores["gold"] for g in sorted(samples_of(r), key=lambda g: g.id)] for r in records])


def test_samples_are_read_in_place_of_greedy_responses(runs):
    assert runs.sampled.are_samples and not runs.are_samples
    greedy, samples = runs.means("alarm", "gold"), runs.sampled.means("alarm", "gold")
    assert samples == pytest.approx([value - LOWER for value in greedy])
    assert runs.sampled.sft_mean("gold") == pytest.approx(runs.sft_mean("gold") - LOWER)
    assert runs.sampled.judges == [] and runs.pool.samples == 8


def test_gold_gains_of_samples_stand_beside_those_of_greedy_responses(results, runs):
    cells = gold_table(runs).blocks[0].cells
    cell = cells["alarm", "sampled_gain"]
    gain = paired_gains(runs.sampled, "alarm", "gold")
    assert cell.measured.mean == pytest.approx(golds(results, "alarm").mean() - runs.sampled.sft_mean("gold"))
    estimates = [
        bootstrap_mean(paired_gains(runs.sampled, m, "gold").gains, seed=0, spread=runs.sampled.seed_spread("gold")).p
        for m in METHODS
    ]
    assert gain.seeds == (1, 2, 3)
    assert cell.estimate.p == pytest.approx(dict(zip(METHODS, holm(estimates), strict=True))["alarm"])
    assert cells["alarm", "gain"].measured.mean == pytest.approx(cell.measured.mean), "samples are lower in both"


def test_the_area_is_the_mean_of_training_and_starts_at_the_sft_policy(runs):
    # Gold rises by .02 x .8 per iteration from .4 + .01 x seed.
    assert areas(runs, "alarm") == pytest.approx([0.4 + 0.016 * 10 + 0.01 * seed for seed in (1, 2, 3)])
    rows = [
        [r.history[0]["gold"] for m in METHODS for s, r in runs.finished[m].items() if s == seed] for seed in (1, 2, 3)
    ]
    assert start_of_training(runs, "gold") == pytest.approx(np.mean(rows))
    cell = gold_table(runs).blocks[0].cells["alarm", "area_gain"]
    assert cell.measured.mean == pytest.approx(0.42 + 0.16 - np.mean(rows)) and cell.measured.count == 3


def test_win_rates_and_means_of_samples_stand_beside_the_papers(results, runs):
    published = Published.read(results)
    block = win_rate_table(runs, published).blocks[-1]
    assert block.title == "By gold quality, sampled"
    cell = block.cells["alarm", "holistic_only"]
    ours, theirs = golds(results, "alarm"), golds(results, "holistic_only")
    assert cell.measured.mean == pytest.approx(
        np.mean([win_rate(a, b).rate for a, b in zip(ours, theirs, strict=True)])
    )
    assert cell.published is None
    means = means_table(runs, published).blocks[0]
    assert means.cells["alarm", "gold_sampled"].measured.mean == pytest.approx(ours.mean())
    assert means.column_labels["gold_sampled"] == "gold quality, sampled"


def test_the_headline_shows_both_gains_and_both_win_rates(results):
    render(results, "tiny")
    text = (results / "tiny" / "tables" / "headline_wmt.csv").read_text()
    columns = {row["column"] for row in csv.DictReader(io.StringIO(text))}
    assert {"sampled_gain", "gain", "By gold quality", "By gold quality, sampled"} <= columns


def test_a_run_without_samples_is_named(tmp_path):
    for method in METHODS:
        write_run(tmp_path, run("wmt", method, 1))
    write_shared(tmp_path, "wmt")
    add_samples(tmp_path)
    record = read_record(record_path(tmp_path, "tiny", "wmt", "alarm", 1))
    write_record(tmp_path, record, generations_of(record))
    (runs,) = read_runs(tmp_path, "tiny")
    cells = gold_table(runs).blocks[0].cells
    assert cells["alarm", "sampled_gain"].missing == "no samples of alarm"
    assert cells["alarm", "gain"].measured is not None


def test_old_records_say_that_there_are_no_samples(tmp_path):
    for method in METHODS[:4]:
        write_run(tmp_path, run("wmt", method, 1))
    write_shared(tmp_path, "wmt")
    (runs,) = read_runs(tmp_path, "tiny")
    assert runs.sampled is None and not sft_samples_path(tmp_path, "tiny", "wmt").is_file()
    table = gold_table(runs)
    assert table.blocks[0].columns == ["before", "after", "gain", "area", "area_gain"]
    assert "No sampled test responses are on record" in table.markdown()
    assert {path.name for path in render(tmp_path, "tiny")} >= {"gold_quality_wmt.md", "headline_wmt.md"}
