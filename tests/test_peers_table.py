"""Stored peer comparisons in tables, in the report of their scale and in the overview."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from alarm.records import RecordError
from alarm.report.benchmark_tables import benchmark_table
from alarm.report.overview import overview
from alarm.report.render import assemble, render_report
from benchmarks.peers.outcome import outcome
from tests.fake_peers import SMALL
from tests.synthetic_runs import run, write_run
from tests.test_measured_throughput import CARD, ROLLOUT, benchmark, write

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20
ENVIRONMENTS = {"trl-1.12.0": {"python": "3.11.7", "trl": "1.12.0", "torch": "2.13.0"}}
RATE = {"float32": 1e9}


def comparison(workload: str, scale: str, variant: str, peer_seconds: float = 6.0) -> dict:
    ours = [{"seconds": s, "rollout_seconds": s / 4} for s in (1.0, 2.0, 4.0)]
    peer = [{"seconds": peer_seconds, "rollout_seconds": 1.5} for _ in range(3)]
    found = outcome(SMALL, ours, peer, matrix_rate=1e9)
    found["ours"] |= {"peak_bytes": 600 * MIB, "imports_bytes": 400 * MIB}
    found["peer"] |= {"peak_bytes": 900 * MIB, "imports_bytes": 500 * MIB}
    facts = {"workload": workload, "scale": scale, "peer_label": "TRL 1.12.0", "variant": variant}
    name = f"test_peers[{workload}-{variant}]"
    return benchmark(name, {"comparison": name}, **facts, **found, shape=asdict(SMALL))


ROWS = (
    comparison("W1", "tiny", "gelu_new"),
    comparison("W1", "tiny", "fused", peer_seconds=4.0),
    comparison("W3", "small", "fused"),
)


def stored(path: Path, *benchmarks: dict) -> Path:
    return write(path, *(benchmarks or ROWS), environments=ENVIRONMENTS, matrix_rates=RATE)


def test_cells_are_the_numbers_of_the_file(tmp_path):
    table = benchmark_table(stored(tmp_path / "cpu-peers.json"))
    first, second = table.blocks
    assert first.title.startswith("W1 (architecture causal, hidden 16") and second.title.startswith("W3 (")
    assert first.rows == ["TRL 1.12.0, gelu_new", "TRL 1.12.0, fused"]
    row = {column: first.cells[first.rows[0], column] for column in first.columns}
    assert (row["ours"].measured.mean, row["ours"].measured.count, row["ours"].note) == (2.0, 3, "[1.000, 4.000]")
    assert (row["peer"].measured.mean, row["ratio"].measured.mean, row["ratio"].note) == (6.0, 3.0, "[1.50, 6.00]")
    assert (row["memory"].measured.mean, row["peer_memory"].measured.mean) == (600.0, 900.0)
    assert row["over_floor"].measured.mean == pytest.approx(2.0 / ROWS[0]["extra_info"]["floor_seconds"])
    assert first.cells[first.rows[1], "ratio"].measured.mean == 2.0


def test_a_table_says_its_machine_and_all_versions(tmp_path):
    text = benchmark_table(stored(tmp_path / "cpu-peers.json")).markdown()
    assert "PPO beside other libraries: CPU: Test Processor, 1 thread" in text and "float32 1 GFLOP/s" in text
    assert "trl-1.12.0: python 3.11.7, trl 1.12.0, torch 2.13.0." in text and "2026-11-21" in text


def test_a_scale_has_the_workloads_that_belong_to_it(tmp_path):
    path = stored(tmp_path / "cpu-peers.json")
    small = benchmark_table(path, scale="small")
    assert [block.title.split()[0] for block in small.blocks] == ["W3"] and "Scale `small`" in small.markdown()
    assert benchmark_table(path, scale="paper") is None


def test_a_comparison_without_an_outcome_is_named_missing(tmp_path):
    path = stored(tmp_path / "cpu-peers.json", ROWS[0], benchmark("test_peers[W2]", None, scale="tiny"))
    assert "Missing: test_peers[W2]: its outcome." in benchmark_table(path).markdown()


def test_a_file_that_does_not_say_the_environments_is_refused(tmp_path):
    path = write(tmp_path / "cpu-peers.json", *ROWS)
    with pytest.raises(RecordError, match="does not say its environments; write it by `pytest benchmarks -k peers"):
        benchmark_table(path)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Results with runs at `tiny`, a peer comparison, and phases on a CPU and, at `paper`, on a GPU."""
    folder = tmp_path_factory.mktemp("results")
    shutil.copytree(ROOT / "results" / "published", folder / "published")
    write_run(folder, run("wmt", "alarm", 1))
    stored(folder / "throughput" / "cpu-peers.json")
    write(folder / "throughput" / "cpu.json", ROLLOUT, scale="tiny")
    write(folder / "throughput" / "gpu.json", ROLLOUT, scale="paper", **CARD)
    render_report(folder, "tiny")
    return folder


@pytest.mark.parametrize("name", ["README.md", "report.html"])
def test_the_report_of_a_scale_shows_what_was_measured_at_it(results, name):
    text = (results / "tiny" / name).read_text().replace("<wbr>", "")
    assert "PPO beside other libraries" in text and "TRL 1.12.0, gelu_new" in text
    assert "Measured throughput: CPU" in text
    assert "W3 (" not in text and "Test Accelerator" not in text
    assert "speed on a machine of its own" not in text


def test_the_overview_shows_all_of_it_by_machine(results):
    text = overview(results).split("## Throughput")[1]
    assert "W1 (" in text and "W3 (" in text, "the peer table is whole here"
    for stem in ("cpu", "gpu", "cpu-peers"):
        assert f"(throughput/{stem}.md)" in text and (results / "throughput" / f"{stem}.md").is_file()
    gpu = text.split("<summary>Measured throughput: GPU")[1]
    assert "Test Processor" not in gpu, "CPU and GPU figures have tables of their own"


def test_without_stored_files_the_scale_names_what_is_absent(tmp_path):
    shutil.copytree(ROOT / "results" / "published", tmp_path / "published")
    write_run(tmp_path, run("wmt", "alarm", 1))
    assert [line for line in assemble(tmp_path, "tiny").absent if line.startswith("speed on a machine of its own")]
    assert "## Throughput" not in overview(tmp_path)
