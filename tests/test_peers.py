"""The peer comparison: workers and what can go wrong with them, environments, outcomes. Real peers where they are."""

from __future__ import annotations

import math
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.peers.comparisons import COMPARISONS
from benchmarks.peers.environments import PEERS, check_environments, check_options
from benchmarks.peers.install import install_command
from benchmarks.peers.outcome import outcome
from benchmarks.peers.worker import Worker, WorkerError
from benchmarks.test_peers import OURS, prepare
from benchmarks.throughput.floor import forward_flops, iteration_flops
from tests.fake_peers import SMALL, write_environment, write_worker

TOKENS = SMALL.batch * SMALL.response_tokens
ENVIRONMENTS = "ALARM_PEERS"
"""The variable that names a folder of real environments."""


@pytest.fixture(scope="module")
def ours():
    with Worker("ours", OURS, threads=1) as worker:
        worker.prepared = worker.ask("prepare", shape=asdict(SMALL))
        yield worker


def test_our_worker_speaks_the_protocol(ours):
    assert [len(prompt) for prompt in ours.prepared["prompts"]] == [SMALL.prompt_tokens] * SMALL.batch
    first, second = (ours.iterate(tokens=TOKENS) for _ in range(2))
    for found in (first, second):
        assert 0 < found["rollout_seconds"] < found["seconds"] and found["tokens"] == TOKENS
    assert first["loss"] != second["loss"], "each iteration has samples of its own"
    memory = ours.ask("memory")
    assert 50 * 2**20 < memory["imports_bytes"] <= memory["peak_bytes"]


def test_a_worker_that_dies_shows_the_end_of_its_stderr(tmp_path):
    program = """
server.answer(parameters=1)
server.wait()
print("this is not an answer")
raise MemoryError("no room for the third layer")
"""
    with Worker("a peer", write_worker(tmp_path / "dies.py", program), threads=1) as worker:
        assert worker.ask("prepare", shape=asdict(SMALL)) == {"parameters": 1}
        with pytest.raises(WorkerError, match="worker of a peer ended when it was to iterate, with status 1") as died:
            worker.iterate(tokens=TOKENS)
        assert "this is not an answer" in str(died.value)
        assert str(died.value).endswith("MemoryError: no room for the third layer")
        with pytest.raises(WorkerError, match="a peer ended"):
            worker.iterate(tokens=TOKENS)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("seconds=1.0, rollout_seconds=1.0, tokens=tokens, loss=float('nan')", "a peer has a loss of nan"),
        ("seconds=1.0, rollout_seconds=1.0, tokens=tokens - 1, loss=0.0", "has sampled 23 tokens and was to sample 24"),
    ],
)
def test_an_iteration_that_was_none_is_refused(tmp_path, answer, message):
    command = write_worker(tmp_path / "wrong.py", f"server.answer()\nserver.wait()\nserver.answer({answer})")
    with Worker("a peer", command, threads=1) as worker:
        worker.ask("prepare", shape=asdict(SMALL))
        with pytest.raises(WorkerError, match=message):
            worker.iterate(tokens=TOKENS)


def test_only_equal_networks_are_compared(tmp_path):
    answer = f"server.answer(parameters=5, prompts=[[1] * {SMALL.prompt_tokens}], positions=9, activation='relu')"
    comparison = SimpleNamespace(shape=SMALL, settings={})
    with (
        Worker("ours", write_worker(tmp_path / "ours.py", answer), threads=1) as own,
        Worker("a peer", write_worker(tmp_path / "peer.py", answer.replace("=5", "=6")), threads=1) as other,
        pytest.raises(WorkerError, match="a peer has 6 weights and ours has 5"),
    ):
        prepare(own, other, comparison)


def test_environments_say_their_versions(tmp_path):
    for name in PEERS:
        write_environment(tmp_path, name, transformers="4.38.2")
    found = check_environments(tmp_path)
    assert {name: held["trl"] for name, held in found.items()} == {"trl-1.12.0": "1.12.0", "trl-0.7.11": "0.7.11"}
    assert found["trl-0.7.11"]["transformers"] == "4.38.2"


def test_a_missing_environment_is_one_sentence(tmp_path):
    write_environment(tmp_path, "trl-1.12.0")
    with pytest.raises(ValueError, match=r"no environment of TRL 0.7.11 in .*; make .* `python -m benchmarks.peers.in"):
        check_environments(tmp_path)


@pytest.mark.parametrize(("package", "version"), [("trl", "0.8.0"), ("torch", "1.13.1")])
def test_another_version_is_one_sentence(tmp_path, package, version):
    write_environment(tmp_path, "trl-1.12.0")
    write_environment(tmp_path, "trl-0.7.11", **{package: version})
    with pytest.raises(ValueError, match=f"trl-0.7.11 has {package} {version} and is compared with .*; make the env"):
        check_environments(tmp_path)


def test_an_environment_that_cannot_answer_says_why(tmp_path):
    python = PEERS["trl-1.12.0"].python(tmp_path)
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'No package metadata was found for trl' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(ValueError, match=r"not hold what TRL 1.12.0 needs \(No package metadata was found"):
        check_environments(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peers": None}, "--peers DIR must name the folder"),
        ({"device": "cuda"}, "peers are compared on the CPU; leave out --device cuda"),
        ({"threads": 0}, "--threads must be from 1 to"),
        ({"rounds": 0}, "--rounds must be at least 1, got 0"),
    ],
)
def test_options_are_checked_first(tmp_path, changes, message):
    options = {"peers": str(tmp_path), "device": "cpu", "threads": None, "rounds": None}
    with pytest.raises(ValueError, match=message):
        check_options(SimpleNamespace(**options | changes))


def test_threads_of_the_master_are_those_of_the_workers(tmp_path):
    for name in PEERS:
        write_environment(tmp_path, name)
    before = torch.get_num_threads()
    option = SimpleNamespace(peers=str(tmp_path), device="cpu", threads=None, rounds=None)
    try:
        assert set(check_options(option)["environments"]) == set(PEERS)
        assert torch.get_num_threads() == option.threads == len(os.sched_getaffinity(0))
    finally:
        torch.set_num_threads(before)


def test_packages_are_pinned_and_torch_is_ours(tmp_path):
    for peer in PEERS.values():
        lines = peer.requirements.read_text().splitlines()
        assert all(re.fullmatch(r"[\w.\-]+==[\w.]+", line) for line in lines)
        assert f"trl=={peer.version}" in lines and not [line for line in lines if line.startswith("torch==")]
        assert f"torch=={torch.__version__.split('+')[0]}" in install_command(peer, tmp_path)
        assert peer.worker.is_file()


def test_ratios_are_of_medians_and_of_neighbouring_rounds():
    ours = [{"seconds": s, "rollout_seconds": s / 4} for s in (1.0, 2.0, 4.0)]
    peer = [{"seconds": s, "rollout_seconds": s / 2} for s in (3.0, 5.0, 6.0)]
    found = outcome(SMALL, ours, peer, matrix_rate=iteration_flops(SMALL))
    assert (found["ratio"], found["ratio_min"], found["ratio_max"]) == (2.5, 1.5, 3.0)
    assert found["floor_seconds"] == 1.0 and found["ours"]["over_floor"] == 2.0 and found["peer"]["over_floor"] == 5.0
    share = forward_flops(SMALL) / iteration_flops(SMALL)
    assert found["rollout_floor_seconds"] == share and found["ours"]["rollout_over_floor"] == 0.5 / share
    assert (found["ours"]["min"], found["ours"]["max"], found["ours"]["seconds"]) == (1.0, 4.0, [1.0, 2.0, 4.0])


def test_every_workload_for_peers_is_compared():
    rows = [(c.workload.name, c.peer, c.scale) for c in COMPARISONS]
    assert rows.count(("W1", "trl-1.12.0", "tiny")) == rows.count(("W3", "trl-1.12.0", "small")) == 2
    assert rows.count(("W2", "trl-0.7.11", "tiny")) == 2 and ("W3-t5", "trl-0.7.11", "small") in rows
    assert len(set(map(str, COMPARISONS))) == len(COMPARISONS)


@pytest.mark.skipif(ENVIRONMENTS not in os.environ, reason=f"{ENVIRONMENTS} names no folder of the peers' environments")
@pytest.mark.parametrize("comparison", COMPARISONS[:3], ids=str)
def test_real_peers_iterate(comparison):
    shape = replace(SMALL, architecture=comparison.shape.architecture)
    small = SimpleNamespace(shape=shape, settings=comparison.settings, workload=comparison.workload)
    small.peer, small.variant, small.scale = comparison.peer, comparison.variant, comparison.scale
    folder, peer = Path(os.environ[ENVIRONMENTS]), PEERS[comparison.peer]
    assert check_environments(folder)
    with (
        Worker("ours", OURS, threads=1) as own,
        Worker(peer.label, (peer.python(folder), peer.worker), threads=1) as other,
    ):
        facts = prepare(own, other, small)
        assert facts["parameters"] > 0
        losses = [other.iterate(tokens=TOKENS)["loss"] for _ in range(3)]
        assert all(map(math.isfinite, losses)) and len(set(losses)) == 3
        assert other.ask("memory")["peak_bytes"] > 2**20
