"""Stored throughput benchmarks as tables: numbers are those of the file, and one machine is one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alarm.__main__ import main
from alarm.records import RecordError
from alarm.report.benchmark_tables import benchmark_table
from tests.synthetic_runs import ENVIRONMENT

GIB = 2**30
STATS = {"median": 2.0, "min": 1.5, "max": 2.5, "rounds": 3}
CARD = {"driver": "1.2.3", "cuda": "12.8", "device_bytes": 141 * GIB, "hardware": "GPU: Test Accelerator"}


def benchmark(name: str, params: dict[str, str] | None, **info: Any) -> dict[str, Any]:
    return {"name": name, "params": params, "extra_info": info, "stats": STATS}


def write(path: Path, *benchmarks: dict[str, Any], **machine: Any) -> Path:
    """A file as pytest-benchmark writes it, with the fields that are read."""
    facts = {**ENVIRONMENT, "scale": "paper", "matrix_rates": {"bfloat16": 6e14}, **machine}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"machine_info": facts, "benchmarks": benchmarks, "datetime": "2026-11-21T10:00:00+00:00"})
    )
    return path


ROLLOUT = benchmark(
    "test_throughput_rollout[paper-wmt-cuda]",
    {"workload": "paper-wmt"},
    shapes={"batch": 32, "prompt_tokens": 128},
    tokens_per_second=2048.0,
    share_of_matrix_rate=0.125,
    peak_device_bytes=30 * GIB,
    phase_device_bytes=3 * GIB,
    estimated_phase_bytes=2 * GIB,
    phase_tensor_bytes=1,
)
SCORING = benchmark("test_throughput_scoring[paper-wmt-cuda-grammar]", {"workload": "paper-wmt", "scorer": "grammar"})
UPDATE = benchmark("test_throughput_update[W1-cuda]", {"workload": "W1"}, learned_tokens_per_second=100.0)
IMPORT = benchmark("test_throughput_import", None, seconds_beyond_torch=0.15)


def test_cells_are_the_numbers_of_the_file(tmp_path):
    table = benchmark_table(write(tmp_path / "gpu.json", ROLLOUT, SCORING, UPDATE, IMPORT, **CARD))
    first, second, third = table.blocks
    assert first.title == "paper-wmt (batch 32, prompt tokens 128)"
    assert first.rows == ["rollout", "scoring: grammar"] and second.rows == ["update"] and third.rows == ["import"]
    seconds = first.cells["rollout", "seconds"]
    assert (seconds.measured.mean, seconds.measured.count, seconds.note) == (2.0, 3, "[1.5, 2.5]")
    values = {column: first.cells["rollout", column].measured.mean for column in first.columns if column != "seconds"}
    assert values == {"tokens": 2048.0, "share": 12.5, "phase": 3.0, "estimate": 2.0, "device": 30.0}
    assert second.cells["update", "seconds"].note == "[1.5, 2.5]<br>100 learned tokens/s"
    assert "`import alarm` 0.15 s beyond `import torch`" in third.cells["import", "seconds"].note


def test_a_table_says_its_machine(tmp_path):
    text = benchmark_table(write(tmp_path / "gpu.json", ROLLOUT, **CARD)).markdown()
    assert "GPU: Test Accelerator" in text and "bfloat16 600,000 GFLOP/s" in text
    assert "Driver 1.2.3, CUDA 12.8, 141 GiB on the card." in text and "2026-11-21" in text
    assert "Driver" not in benchmark_table(write(tmp_path / "cpu.json", ROLLOUT)).markdown()


def test_every_stored_file_is_a_table_of_its_own(tmp_path, capsys):
    folder = tmp_path / "throughput"
    write(folder / "cpu.json", UPDATE)
    write(folder / "gpu.json", ROLLOUT, **CARD)
    assert main(["throughput", "--results", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert (
        "Test Accelerator" in (folder / "gpu.md").read_text()
        and "Test Accelerator" not in (folder / "cpu.md").read_text()
    )
    assert "throughput_phases_cpu,W1,update,seconds,2.0" in (folder / "cpu.csv").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no file of pytest-benchmark's"),
        ("[]", "is no file of pytest-benchmark's"),
        (
            '{"machine_info": {"hardware": "x"}, "benchmarks": [], "datetime": ""}',
            "does not say its scale and matrix_rates",
        ),
    ],
)
def test_another_kind_of_file_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=f"other.json {message}"):
        benchmark_table(path)


def test_without_any_file_the_command_says_how_to_measure(tmp_path, capsys):
    assert main(["throughput", "--results", str(tmp_path)]) == 2
    assert "pytest benchmarks -k throughput --benchmark-json" in capsys.readouterr().err
