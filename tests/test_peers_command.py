"""`pytest benchmarks -k peers` as users run it, with peers that only say that they have iterated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alarm.__main__ import main
from benchmarks.peers.environments import PEERS
from tests.fake_peers import write_environment
from tests.test_throughput_command import run_pytest

pytestmark = pytest.mark.slow
OPTIONS = ("-k", "peers", "-p", "tests.fake_peers", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("peers")
    for name in PEERS:
        write_environment(made, name)
    return made


@pytest.fixture(scope="module")
def results(folder) -> Path:
    """A results folder with one stored comparison, whose peer says that each iteration took it 9 seconds."""
    path = folder / "results" / "throughput" / "cpu-peers.json"
    path.parent.mkdir(parents=True)
    done = run_pytest(*OPTIONS, "--peers", str(folder), "--benchmark-json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "small       TRL 1.12.0, fake" in done.stdout and "1 passed" in done.stdout
    return path.parents[1]


def test_rounds_of_both_sides_are_stored(results):
    stored = json.loads((results / "throughput" / "cpu-peers.json").read_text())
    [bench] = stored["benchmarks"]
    info = bench["extra_info"]
    assert info["peer"]["seconds"] == [9.0] * 3 and info["peer"]["rollout_median"] == 3.0
    assert bench["stats"]["data"] == pytest.approx(info["ours"]["seconds"]), "the benchmark's rounds are our worker's"
    assert info["ratio"] == pytest.approx(9.0 / bench["stats"]["median"])
    assert info["floor_seconds"] == info["flops"] / stored["machine_info"]["matrix_rates"]["float32"]
    assert min(info[side]["peak_bytes"] for side in ("ours", "peer")) > 0
    assert info["shape"]["prompt_tokens"] == 16 and info["peer_settings"]["activation"] == "gelu_new"
    machine = stored["machine_info"]
    assert machine["environments"]["trl-0.7.11"]["trl"] == "0.7.11" and machine["hardware"].endswith("1 thread")


def test_the_stored_file_becomes_a_table(results, capsys):
    assert main(["throughput", "--results", str(results)]) == 0
    text = (results / "throughput" / "cpu-peers.md").read_text()
    assert "TRL 1.12.0, fake" in text and "9.000, n=3<br>[9.000, 9.000]" in text


def test_only_the_comparison_is_collected(folder):
    found = run_pytest("-k", "peers", "--peers", str(folder), "--collect-only").stdout
    assert found.count("test_peers[") == 7
    assert "test_throughput" not in found and "test_run" not in found


def test_a_peer_that_dies_fails_its_row_with_what_it_said(tmp_path):
    write_environment(tmp_path, "trl-0.7.11")
    write_environment(tmp_path, "trl-1.12.0", "raise ImportError('no module of that name')")
    done = run_pytest(*OPTIONS, "--peers", str(tmp_path))
    assert done.returncode == 1
    assert "the worker of TRL 1.12.0 (fake) ended when it was to prepare, with status 1" in done.stdout
    assert "ImportError: no module of that name" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-k", "peers", "--peers", "nowhere"), "there is no environment of TRL 1.12.0 in nowhere/trl-1.12.0; make"),
        (("-k", "peers or throughput"), "throughput and peers are measured one at a time"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(options, message):
    refused = run_pytest(*options)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in refused.stderr
