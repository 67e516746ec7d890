"""Raw against log-sigmoid-centred rewards: KL curves, best-of-k, responses good in all properties, who improves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alarm.records import Generation, generations_of, read_record, record_path, write_best_of_k, write_record
from alarm.report.all_good_table import all_good_table
from alarm.report.best_of_k_blocks import DIFFERENCE, best_of_k_block, values_at
from alarm.report.gold_over_kl import kl_curve, win_rates_at_equal_kl
from alarm.report.gold_over_kl_figure import gold_over_kl_figure
from alarm.report.gold_over_kl_table import gold_over_kl_table
from alarm.report.improvements import improvements, improvements_table, properties
from alarm.report.improvements_figure import improvements_figure
from alarm.report.runs import ALL_GOOD, TaskRuns, read_runs
from tests.synthetic_runs import ENVIRONMENT, GOLD_PARTS, best_of_k_record, extended, run, write_everything, write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> TaskRuns:
    results = tmp_path_factory.mktemp("results")
    write_everything(results, tasks=("long_form_qa",))
    return read_runs(results, "tiny")[0]


def with_history(seed: int, kl: list[float], rates: list[float], method: str = "alarm"):
    rows = [{"iteration": i, "kl": k, "gold_win_rate": w} for i, (k, w) in enumerate(zip(kl, rates, strict=True))]
    return run("wmt", method, seed, history=rows)


def test_a_curve_pools_neighbouring_iterations_and_seeds():
    first = with_history(1, [0.0, 0.2, 1.0, 1.2], [50, 60, 70, 80])
    second = with_history(2, [0.0, 0.4, 1.0, 1.4], [50, 50, 60, 60])
    curve = kl_curve([first, second], points=2)
    assert curve.kl == pytest.approx([0.15, 1.15]) and curve.seeds == 2
    assert curve.win_rate == pytest.approx([52.5, 67.5])
    assert curve.sd == pytest.approx([np.std([55, 50], ddof=1), np.std([75, 60], ddof=1)])
    assert kl_curve([first], points=2).sd == pytest.approx([0, 0])
    assert kl_curve([run("wmt", "alarm", 1)]) is None, "older records have no win rates"


def test_equal_kl_is_where_all_runs_have_been():
    runs = TaskRuns(
        "wmt",
        "tiny",
        "cpu",
        [
            with_history(1, [0.5, 1.0], [60, 70], "raw_sum"),
            with_history(1, [0.25, 2.0], [65, 90], "log_sigmoid_sum"),
            with_history(2, [1.0, 0.5], [70, 55], "log_sigmoid_sum"),
        ],
    )
    reached, rates = win_rates_at_equal_kl(runs, ("raw_sum", "log_sigmoid_sum"))
    assert reached == 1.0
    assert rates["raw_sum"] == {1: 70.0}
    assert rates["log_sigmoid_sum"] == {1: pytest.approx(65 + 25 * 0.75 / 1.75), 2: 70.0}
    assert win_rates_at_equal_kl(runs, ("raw_sum", "log_sigmoid")) is None


def test_below_its_first_point_a_run_comes_from_the_sft_policy():
    runs = TaskRuns("wmt", "tiny", "cpu", [with_history(1, [2.0], [90], "a"), with_history(1, [1.0], [60], "b")])
    assert win_rates_at_equal_kl(runs, ("a", "b")) == (1.0, {"a": {1: 70.0}, "b": {1: 60.0}})


def test_best_of_k_cells_are_means_over_prompts():
    record = best_of_k_record("wmt")
    block = best_of_k_block(record, "win_rate", "", [1, 16])
    raw, transformed = (np.array(record.selectors[s]["win_rate"][4]) for s in ("raw_sum", "log_sigmoid_sum"))
    cell = block.cells["raw_sum", "16"]
    assert cell.measured.mean == pytest.approx(raw.mean()) and cell.measured.count == 40
    assert cell.estimate.low < raw.mean() < cell.estimate.high and np.isnan(cell.estimate.p)
    assert block.cells[DIFFERENCE, "16"].measured.mean == pytest.approx((transformed - raw).mean())
    assert block.cells[DIFFERENCE, "16"].estimate.p < 0.05 <= block.cells[DIFFERENCE, "1"].estimate.p


def test_best_of_k_names_an_absent_quantity():
    record = best_of_k_record("poems")
    block = best_of_k_block(record, "all_good", "", [4])
    assert block.cells["raw_sum", "4"].missing == "all good" and DIFFERENCE not in block.rows
    assert values_at(record, "unknown", "gold", 4) is None and values_at(record, "gold", "gold", 3) is None


def test_a_response_is_all_good_only_without_any_fault(tmp_path):
    path = write_run(tmp_path, extended(run("wmt", "alarm", 1)), parts=GOLD_PARTS["wmt"])
    scores = [(1.0, 1.0), (1.0, 0.99), (1 - 1e-12, 1.0), (float("nan"), 1.0)]
    edited = [
        Generation(g.id, g.response, g.length, {**g.scores, "gold_adequacy": a, "gold_fluency": f})
        for g, (a, f) in zip(generations_of(read_record(path)), scores, strict=False)
    ]
    write_record(tmp_path, read_record(path), edited)
    (found,) = read_runs(tmp_path, "tiny")
    assert found.means("alarm", ALL_GOOD) == [pytest.approx(200 / 3)]
    assert found.aligned(["alarm"], ALL_GOOD).undefined == 1


def test_the_all_good_table_counts_and_pairs_with_sft(runs):
    greedy, change, pool = all_good_table(runs).blocks
    cell = greedy.cells["alarm", ALL_GOOD]
    shares = []
    for record in runs.finished["alarm"].values():
        parts = [[v for n, v in g.scores.items() if n.startswith("gold_")] for g in generations_of(record)]
        shares.append(100 * np.mean([all(v == 1 for v in values) for values in parts]))
    assert cell.measured.mean == pytest.approx(np.mean(shares))
    sft = greedy.cells["SFT policy", ALL_GOOD].measured.mean
    assert cell.estimate.value == pytest.approx(np.mean(shares) - sft)
    difference = np.mean(runs.means("log_sigmoid_sum", ALL_GOOD)) - np.mean(runs.means("raw_sum", ALL_GOOD))
    assert change.cells["log_sigmoid_sum minus raw_sum", ALL_GOOD].measured.mean == pytest.approx(difference)
    assert pool.columns == ["1", "4", "16", "64"]
    expected = 100 * np.mean(runs.best_of_k.selectors["raw_sum"]["all_good"][2])
    assert pool.cells["raw_sum", "4"].measured.mean == pytest.approx(expected)


def test_improvements_are_positive_where_better(tmp_path):
    write_everything(tmp_path, tasks=("wmt",), seeds=(1,))
    (runs,) = read_runs(tmp_path, "tiny")
    change = improvements(runs, "raw_sum", "grammar")
    record = read_record(record_path(tmp_path, "tiny", "wmt", "raw_sum", 1))
    after = {g.id: g.scores["grammar"] for g in generations_of(record)}
    before = runs.sft_scores("grammar")
    assert change.gains[0] == pytest.approx([before[i] - after[i] for i in change.ids]), (
        "an error rate: lower is better"
    )
    median = np.median(list(before.values()))
    assert change.below.tolist() == [before[i] > median for i in change.ids]


def test_the_improvements_table_pairs_transformed_with_raw(runs):
    table = improvements_table(runs)
    assert properties(runs) == [
        *("holistic", "factuality", "relevance", "completeness", "gold"),
        *("gold_factuality", "gold_relevance", "gold_completeness"),
    ]
    block = table.blocks[0]
    raw, transformed = (improvements(runs, m, "holistic") for m in ("raw_sum", "log_sigmoid_sum"))
    cell = block.cells["log_sigmoid_sum", "lower"]
    assert cell.measured.mean == pytest.approx(transformed.gains[:, transformed.below].mean())
    effect = (transformed.gains - raw.gains)[:, raw.below].mean()
    assert cell.estimate.value == pytest.approx(effect) and cell.effect_name == "against raw_sum"
    assert block.cells["raw_sum", "gained"].measured.mean == pytest.approx(100 * (raw.gains > 0).mean())


def test_the_baseline_alone_shows_no_improvements(runs):
    baseline = replace(runs, records=[r for r in runs.records if r.method in ("holistic_only", "alarm")])
    assert improvements(baseline, "holistic_only", "gold") is not None and improvements_table(baseline) is None


def test_absent_parts_are_named_and_nothing_crashes(runs):
    bare = replace(runs, records=[run("poems", "alarm", 1)], best_of_k=None, sft=None)
    assert all_good_table(bare) is None and improvements_table(bare) is None and gold_over_kl_table(bare) is None
    only_pool = gold_over_kl_table(replace(bare, best_of_k=best_of_k_record("poems")))
    assert only_pool.blocks[0].cells["raw_sum", "end_kl"].missing == "no run of raw_sum"
    without = replace(runs, best_of_k=None)
    assert "long_form_qa best-of-k" in all_good_table(without).missing
    assert "long_form_qa best-of-k" in gold_over_kl_table(without).missing
    for draw in (gold_over_kl_figure, improvements_figure):
        assert draw(without).png("no origin")[:4] == b"\x89PNG"


def test_best_of_k_stands_beside_runs_of_its_own_hardware_only(tmp_path):
    gpu = {**ENVIRONMENT, "device": "cuda:0", "hardware": "GPU: Test Accelerator"}
    write_run(tmp_path, run("wmt", "alarm", 1))
    write_run(tmp_path, run("wmt", "alarm", 2, environment=gpu))
    write_best_of_k(tmp_path, best_of_k_record("wmt"))
    assert {r.hardware_kind: r.best_of_k is not None for r in read_runs(tmp_path, "tiny")} == {
        "cpu": True,
        "gpu": False,
    }
