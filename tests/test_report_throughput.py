"""Throughput from records: rates are work over seconds, medians over runs, and nothing is guessed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alarm.records import RunRecord, read_records, records_folder
from alarm.report.render import assemble
from alarm.report.runs import TaskRuns
from alarm.report.throughput_table import ALL, rates, seconds, throughput_table
from tests.synthetic_runs import ENVIRONMENT, run, write_many, write_run

DURATIONS = {"rollout": 4.0, "scoring": 2.0, "update": 10.0, "evaluation": 1.5}


def timed(method: str, seed: int, *, factor: float = 1.0, **changes) -> RunRecord:
    """Two iterations of 8 responses with 10 and 15 tokens on average, seen in 2 passes and in 1."""
    history = [{"iteration": 0, "length": 10.0, "epochs": 2}, {"iteration": 1, "length": 15.0, "epochs": 1}]
    return run(
        "wmt",
        method,
        seed,
        settings={"ppo": {"batch_size": 8}},
        durations={phase: factor * value for phase, value in DURATIONS.items()},
        **{"history": history, **changes},
    )


def table(*records: RunRecord):
    return throughput_table(TaskRuns("wmt", "tiny", "cpu", list(records)))


def test_rates_are_work_over_the_seconds_of_their_phase():
    assert rates(timed("alarm", 1)) == pytest.approx(
        {
            "rollout_rate": 8 * 25 / 4,
            "scoring_rate": 16 / 2,
            "update_rate": 8 * (2 * 10 + 15) / 10,
            "whole_rate": 8 * 25 / 16,
        }
    )
    assert seconds(timed("alarm", 1)) == {**DURATIONS, "all": 17.5}


def test_what_is_not_on_record_is_not_guessed():
    record = timed("alarm", 1)
    assert rates(replace(record, settings={})) == {} and rates(replace(record, history=[])) == {}
    short = [{"iteration": 0, "length": 10.0}]
    assert set(rates(replace(record, history=short))) == {"rollout_rate", "scoring_rate", "whole_rate"}
    assert set(rates(replace(record, durations={"rollout": 4.0, "scoring": 0.0}))) == {"rollout_rate"}
    assert table(replace(record, durations={"total": 60.0})) is None


def test_cells_are_medians_over_finished_runs_with_their_range():
    failed = timed("alarm", 4, factor=100.0, error="iteration 1: reward is not finite")
    made = table(*(timed("alarm", s, factor=s) for s in (1, 2, 3)), timed("weighted_sum", 1, factor=8.0), failed)
    work, spent = made.blocks
    assert list(work.rows) == [ALL, "weighted_sum", "alarm"]
    cell = spent.cells["alarm", "rollout"]
    assert (cell.measured.mean, cell.measured.count, cell.note) == (8.0, 3, "[4.0, 12.0]")
    assert spent.cells[ALL, "rollout"].measured.mean == pytest.approx(10.0), "between the middle two of four"
    assert work.cells["weighted_sum", "rollout_rate"].measured.mean == pytest.approx(50 / 8)
    assert work.cells["weighted_sum", "rollout_rate"].note is None, "a single run has no range"
    assert "rounds" not in spent.columns, "a phase that no run has is no column"


def test_cpu_and_gpu_runs_have_tables_of_their_own(tmp_path):
    gpu = {**ENVIRONMENT, "device": "cuda:0", "hardware": "GPU: Test Accelerator"}
    write_run(tmp_path, timed("alarm", 1))
    write_run(tmp_path, timed("alarm", 2, factor=0.1, environment=gpu))
    tables = {made.name: made for made in assemble(tmp_path, "tiny").tables}
    found = {name: tables[name].blocks[1].cells[ALL, "update"].measured for name in tables if "throughput" in name}
    assert {name: (cell.mean, cell.count) for name, cell in found.items()} == {
        "throughput_wmt": (10.0, 1),
        "throughput_wmt_gpu": (1.0, 1),
    }


def test_made_up_runs_are_as_many_as_asked_for_and_all_different(tmp_path):
    written = write_many(tmp_path, runs=60)
    records = read_records(records_folder(tmp_path, "tiny"))
    assert len({(r.task, r.run_name, r.seed) for r in records}) == written >= 60
    assert {r.seed for r in records} == {1, 2} and {r.task for r in records} == {"long_form_qa", "wmt"}
