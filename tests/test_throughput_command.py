"""`pytest benchmarks -k throughput` as users run it: what it collects, refuses, measures and stores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow
ITERATION = "test_throughput_iteration[paper-long_form_qa-cpu]"


def run_pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest over the benchmarks in a new process, as from a shell: not as a worker of the session that tests it."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "benchmarks", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=variables, timeout=600)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """The JSON of all phases of scale `paper`, cut down."""
    path = tmp_path_factory.mktemp("throughput") / "throughput.json"
    options = ("--scale", "paper", "-p", "tests.shrunk_throughput", "--benchmark-json", str(path))
    done = run_pytest("-k", "throughput", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of matrix rate" in done.stdout
    return path


@pytest.fixture(scope="module")
def measured(stored) -> dict:
    return {bench["name"]: bench for bench in json.loads(stored.read_text())["benchmarks"]}


def test_only_throughput_is_collected_when_asked_for_and_else_never():
    asked = run_pytest("-k", "throughput", "--collect-only")
    assert "test_throughput_import" in asked.stdout and "test_run" not in asked.stdout
    plain = run_pytest("--collect-only", "-n", "0")
    assert "test_run" in plain.stdout and "test_throughput" not in plain.stdout and "test_peers" not in plain.stdout


def test_every_phase_of_both_workloads_is_stored(measured):
    phases = {name.split("[")[0].removeprefix("test_throughput_") for name in measured}
    assert phases == {
        "rollout",
        "scoring",
        "composition",
        "update",
        "iteration",
        "reward_model_step",
        "strength_ensemble",
        "meta_step",
    }
    scored = {name.split("-cpu-")[1].rstrip("]") for name in measured if "scoring" in name}
    assert scored == {"holistic", "factuality", "relevance", "completeness", "grammar"}
    assert sum("iteration" in name for name in measured) == 2


def test_rates_follow_from_the_median_and_the_work(stored, measured):
    rates = json.loads(stored.read_text())["machine_info"]["matrix_rates"]
    assert set(rates) == {"float32", "bfloat16"}
    info, stats = measured[ITERATION]["extra_info"], measured[ITERATION]["stats"]
    assert info["work_per_round"] == {"tokens": 4 * 12, "responses": 4}
    assert info["tokens_per_second"] == pytest.approx(4 * 12 / stats["median"])
    assert info["share_of_matrix_rate"] == pytest.approx(info["flops"] / stats["median"] / rates["bfloat16"])
    assert set(info["phase_seconds"]) == {"rollout", "scoring", "composition", "update"}
    parts = [measured[ITERATION.replace("iteration", phase)]["extra_info"]["flops"] for phase in ("rollout", "update")]
    assert info["flops"] > sum(parts), "scoring multiplies matrices too"


def test_memory_stands_beside_its_estimate(measured):
    for phase in ("rollout", "update"):
        info = measured[ITERATION.replace("iteration", phase)]["extra_info"]
        assert info["peak_host_bytes"] > info["phase_tensor_bytes"] > 0
        assert info["estimated_phase_bytes"] == pytest.approx(info["phase_tensor_bytes"], rel=0.3)


def test_the_file_says_where_and_by_what_it_was_measured(stored):
    found = json.loads(stored.read_text())["machine_info"]
    assert found["hardware"].startswith("CPU: ") and found["threads"] == 1 and found["scale"] == "paper"
    assert {"torch", "transformers", "peft"} <= set(found["versions"])


def test_another_machines_numbers_are_refused(stored, tmp_path):
    other = json.loads(stored.read_text())
    other["machine_info"]["hardware"] = "GPU: Test Accelerator"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other))
    refused = run_pytest("-k", "throughput", "--benchmark-compare", str(path))
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--benchmark-compare: the stored benchmark was measured on GPU: Test Accelerator" in refused.stderr


def test_the_same_machines_numbers_are_compared(stored):
    options = ("--scale", "paper", "-p", "tests.shrunk_throughput", "--benchmark-compare", str(stored))
    done = run_pytest("-k", "throughput and composition", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(NOW)" in done.stdout and "machine_info is different" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-n", "2"), "throughput is measured in one process"),
        (("--scale", "huge"), "unknown scale 'huge'"),
        (("--device", "quantum"), "unknown device 'quantum'"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(options, message):
    refused = run_pytest("-k", "throughput", *options)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR and message in refused.stderr
