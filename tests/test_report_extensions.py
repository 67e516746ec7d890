"""The tables beyond the first paper's: combinations with recipes, stability, rounds; from records old and new."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alarm.evaluation.win_rates import win_rate
from alarm.report.curves_figure import curve_groups
from alarm.report.grid_table import grid_cells
from alarm.report.meta_rounds_table import meta_rounds_table
from alarm.report.published import PAPER_METHODS
from alarm.report.render import render
from alarm.report.runs import TaskRuns, read_runs
from alarm.report.stability_table import final_kl, negative_kl_share, stability_table, worst_drop
from alarm.report.tables import Cell
from tests.synthetic_runs import COMBINATIONS, EXTENDED, extended, run, write_everything, write_run


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    write_everything(results, tasks=("wmt",))
    paths = render(results, "tiny")
    (runs,) = read_runs(results, "tiny")
    return results, paths, runs


def cells(results: Path, name: str) -> dict[tuple[str, str, str], dict[str, str]]:
    text = (results / "tiny" / "tables" / f"{name}.csv").read_text()
    return {(r["block"], r["row"], r["column"]): r for r in csv.DictReader(io.StringIO(text))}


def cells_of(results: Path, make) -> dict[tuple[str, str], Cell]:
    """The cells of a table's first block, without writing it."""
    (runs,) = read_runs(results, "tiny")
    return make(runs).blocks[0].cells


def number(cell: dict[str, str], column: str = "mean") -> float:
    return float(cell[column])


def test_combinations_stand_in_gold_stability_and_grid_only(rendered):
    results, _, runs = rendered
    assert runs.combinations == sorted(COMBINATIONS)
    for name in ("table3_wmt_win_rates", "table4_wmt_means"):
        rows = {row for _, row, _ in cells(results, name)}
        assert not rows & set(COMBINATIONS) and set(EXTENDED) <= rows
    for name in ("gold_quality_wmt", "stability_wmt"):
        assert set(COMBINATIONS) <= {row for _, row, _ in cells(results, name)}


def test_win_rates_are_against_the_papers_methods_only(rendered):
    results, _, _ = rendered
    columns = {column for _, _, column in cells(results, "table3_wmt_win_rates")}
    assert columns == {*PAPER_METHODS, "average"}


def test_a_combination_is_not_expected_to_have_all_seeds(rendered):
    _, _, runs = rendered
    assert runs.missing_seeds("alarm@soft_label_margin") == [] and runs.seeds == [1, 2, 3]


def test_the_grid_places_each_run_by_composition_and_recipe(rendered):
    _, _, runs = rendered
    assert grid_cells(runs) == {
        **{(m, "plain"): m for m in (*PAPER_METHODS, "log_sigmoid", "log_sigmoid_sum")},
        ("holistic_only", "soft_label_margin"): "denoised_rm",
        ("holistic_only", "meta"): "meta_rm",
        ("alarm", "soft_label_margin"): "alarm@soft_label_margin",
        ("weighted_sum", "simcse"): "weighted_sum@simcse",
        ("log_sigmoid", "meta"): "log_sigmoid@meta",
    }


def test_a_grid_cell_is_compared_with_its_rows_plain_cell(rendered):
    results, _, runs = rendered
    table = cells(results, "grid_wmt")
    cell = table["", "alarm", "soft_label_margin"]
    (combined,), (plain, *_) = runs.means("alarm@soft_label_margin", "gold"), runs.means("alarm", "gold")
    assert number(cell) == pytest.approx(combined) and cell["n"] == "1"
    assert number(cell, "effect") == pytest.approx(combined - plain), "on the common seed only"
    assert table["", "holistic_only", "meta"]["note"] == "meta_rm"
    assert table["", "alarm", "simcse"]["missing"] == "no run of alarm@simcse"
    assert table["", "aspect_only", "meta"]["missing"] == "", "reads no reward model, so nothing is missing"


def test_without_compositions_on_record_a_method_keeps_a_row_of_its_own():
    records = [run("wmt", "holistic_only", 1), run("wmt", "denoised_rm", 1), run("wmt", "alarm@flip", 1)]
    found = grid_cells(TaskRuns("wmt", "tiny", "cpu", records))
    assert found["denoised_rm", "soft_label_margin"] == "denoised_rm" and found["alarm", "flip"] == "alarm@flip"


def test_final_kl_and_negative_steps_are_what_the_history_says():
    record = extended(run("wmt", "alarm", 1))
    kl = [row["kl"] for row in record.history]
    assert final_kl(record) == pytest.approx(np.mean(kl[-2:]), abs=1e-12), "a tenth of 21 iterations"
    assert negative_kl_share(record) == pytest.approx(100 / 21)
    assert final_kl(replace(record, history=[])) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0], (0.0, 0, 0)),
        ([3.0, 1.0, 2.5, 0.5], (2.5, 0, 3)),
        ([1.0, 0.5, 4.0, 3.75, 5.0], (0.5, 0, 1)),
        ([2.0], (0.0, 0, 0)),
    ],
)
def test_the_worst_drop_is_the_largest_fall_to_a_later_value(values, expected):
    assert worst_drop(values) == expected
    brute = max((a - b for i, a in enumerate(values) for b in values[i:]), default=0.0)
    assert worst_drop(values)[0] == max(0.0, brute)


def test_the_drop_starts_at_the_sft_policy(tmp_path):
    record = extended(run("wmt", "alarm", 1))
    history = [{**row, "dev_gold": 0.4 if row.get("dev_gold") is not None else None} for row in record.history]
    metrics = {**record.metrics, "dev": {"sft_golds": [0.5, 0.7]}}
    write_run(tmp_path, replace(record, history=history, metrics=metrics))
    cell = cells_of(tmp_path, stability_table)["alarm", "worst_drop"]
    assert cell.measured.mean == pytest.approx(0.2) and "(SFT) to 0.400" in cell.note


def test_the_proxy_gold_gap_is_in_standard_deviations_of_the_sft_policy(rendered):
    results, _, runs = rendered
    cell = cells(results, "stability_wmt")["", "alarm", "proxy_gold_gap"]
    gains = []
    for score in ("holistic", "gold"):
        before = runs.sft_scores(score)
        gains.append(
            (np.mean(runs.means("alarm", score)) - np.mean(list(before.values()))) / np.std([*before.values()])
        )
    assert number(cell) == pytest.approx(gains[0] - gains[1])
    assert number(cell, "low") < number(cell) < number(cell, "high")


def test_stopped_runs_are_counted(tmp_path):
    for seed, error in ((1, None), (2, "iteration 3: reward is not finite")):
        write_run(tmp_path, run("wmt", "alarm", seed, error=error))
    table = cells_of(tmp_path, stability_table)
    assert table["alarm", "stopped"].measured.mean == 1 and table["alarm", "stopped"].note == "of 2"
    assert table["holistic_only", "stopped"].missing == "no run of holistic_only"


def test_rounds_compare_the_adapting_model_with_the_frozen_one(rendered):
    results, _, runs = rendered
    table = cells(results, "meta_rounds_wmt")
    ends = {
        method: [next(row for row in r.history if row.get("round") == 4) for r in runs.finished[method].values()]
        for method in ("meta_rm", "holistic_only")
    }
    rates = [
        win_rate(a["dev_golds"], b["dev_golds"]).rate
        for a, b in zip(ends["meta_rm"], ends["holistic_only"], strict=True)
    ]
    assert number(table["Win rate by gold over holistic_only, %", "meta_rm", "4"]) == pytest.approx(np.mean(rates))
    before = runs.finished["meta_rm"][1].metrics["dev"]["sft_golds"]
    rates = [win_rate(row["dev_golds"], before).rate for row in ends["meta_rm"]]
    assert number(table["Win rate by gold over the SFT policy, %", "meta_rm", "4"]) == pytest.approx(np.mean(rates))
    gold = table["gold quality, greedy on dev", "meta_rm", "4"]
    means = {method: np.mean([row["dev_golds"] for row in rows]) for method, rows in ends.items()}
    assert number(gold) == pytest.approx(means["meta_rm"])
    assert number(gold, "effect") == pytest.approx(means["meta_rm"] - means["holistic_only"])
    accuracy = table["Accuracy of the reward model on samples of the current policy, %", "meta_rm", "4"]
    assert number(accuracy) == pytest.approx(68.0)
    assert accuracy["note"] == "306 pairs; against holistic_only +12.00"


def test_rounds_name_what_is_absent(tmp_path):
    for seed in (1, 2):
        record = extended(run("wmt", "meta_rm", seed))
        history = [{key: value for key, value in row.items() if key != "current_accuracy"} for row in record.history]
        write_run(tmp_path, replace(record, history=history, metrics={}))
    (runs,) = read_runs(tmp_path, "tiny")
    table = meta_rounds_table(runs)
    _, over_sft, over_frozen, accuracy, _ = (block.cells["meta_rm", "1"] for block in table.blocks)
    assert "SFT policy" in over_sft.missing and over_frozen.missing == "a common seed"
    assert "accuracy" in accuracy.missing
    text = table.markdown()
    assert "wmt holistic_only seed 1" in text and "SFT golds on dev" in text


def test_many_methods_are_split_over_two_figures(rendered):
    _, paths, runs = rendered
    groups = curve_groups(runs)
    assert groups == {"": list(PAPER_METHODS), "_others": ["holistic_only", *sorted(EXTENDED)]}
    assert {"curves_wmt.png", "curves_wmt_others.png"} <= {path.name for path in paths}
    few = TaskRuns("wmt", "tiny", "cpu", [r for r in runs.records if r.method in PAPER_METHODS])
    assert curve_groups(few) == {"": list(PAPER_METHODS)}


def test_records_of_older_code_still_render(tmp_path):
    for method in PAPER_METHODS:
        write_run(tmp_path, run("wmt", method, 1))
    names = {path.name for path in render(tmp_path, "tiny")}
    assert {"grid_wmt.md", "stability_wmt.md"} <= names and "meta_rounds_wmt.md" not in names
    readme = (tmp_path / "tiny" / "README.md").read_text()
    assert "wmt: rounds of iterative RLHF" in readme and "wmt: gold quality by property" in readme
