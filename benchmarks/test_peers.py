"""Our PPO beside other libraries': `pytest benchmarks -k peers --peers DIR`, every library in its own process.

One process works at a time, and rounds take turns: the peer's, ours, the peer's, ours. All have the same prompts,
network sizes, numbers of tokens, epochs and threads, in fp32; ours has per-token rewards from two scorers, a peer one
number per response. Times are the workers' own, without what passes between processes.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.peers.comparisons import COMPARISONS, Comparison
from benchmarks.peers.environments import PEERS
from benchmarks.peers.outcome import outcome
from benchmarks.peers.worker import Worker, WorkerError
from benchmarks.throughput import machine

WARM_UP_ROUNDS = 2
OURS = (sys.executable, "-m", "benchmarks.peers.workers.ours")


class Clock:
    """Seconds that our worker has worked, by its own account: what pytest-benchmark reads as the time."""

    seconds = 0.0

    @classmethod
    def read(cls) -> float:
        return cls.seconds


@pytest.fixture(scope="session")
def matrix_rate(pytestconfig: pytest.Config) -> float:
    """Of fp32, with as many threads as the workers have."""
    rates = pytestconfig.throughput.matrix_rates
    rates |= machine.matrix_rates("cpu", ["float32"], size=machine.MATRIX_SIZE)
    return rates["float32"]


@pytest.mark.benchmark(timer=Clock.read)
@pytest.mark.parametrize("comparison", COMPARISONS, ids=str)
def test_peers(benchmark, comparison: Comparison, matrix_rate: float, pytestconfig: pytest.Config):
    """One workload by us and by one peer."""
    option, shape, peer = pytestconfig.option, comparison.shape, PEERS[comparison.peer]
    tokens = shape.batch * shape.response_tokens
    command = (peer.python(Path(option.peers)), peer.worker)
    ours, theirs = [], []
    with (
        Worker("ours", OURS, threads=option.threads) as own,
        Worker(f"{peer.label} ({comparison.variant})", command, threads=option.threads) as other,
    ):
        facts = prepare(own, other, comparison)

        def ours_turn() -> None:
            ours.append(own.iterate(tokens=tokens))
            Clock.seconds += ours[-1]["seconds"]

        benchmark.pedantic(
            ours_turn,
            setup=lambda: theirs.append(other.iterate(tokens=tokens)),
            rounds=option.rounds or comparison.workload.rounds,
            warmup_rounds=WARM_UP_ROUNDS,
        )
        memory = {"ours": own.ask("memory"), "peer": other.ask("memory")}
    first = 0 if benchmark.disabled else WARM_UP_ROUNDS
    found = outcome(shape, ours[first:], theirs[first:], matrix_rate=matrix_rate)
    benchmark.extra_info |= found | {side: found[side] | memory[side] for side in memory} | facts


def prepare(own: Worker, other: Worker, comparison: Comparison) -> dict[str, object]:
    """Give both the workload, the peer our prompts; returns what the record says beside times.

    Raises:
        WorkerError: a prompt or a network has another size than it should.
    """
    shape = comparison.shape
    made = own.ask("prepare", shape=asdict(shape))
    if {len(prompt) for prompt in made["prompts"]} != {shape.prompt_tokens}:
        raise WorkerError(f"the prompts of {comparison.workload.name} have not {shape.prompt_tokens} tokens each")
    settings = {"mini_batch": shape.mini_batch, **comparison.settings}
    theirs = other.ask(
        "prepare", shape=asdict(shape), settings=settings, prompts=made["prompts"], positions=made["positions"]
    )
    if theirs["parameters"] != made["parameters"]:
        raise WorkerError(
            f"the policy of {other.name} has {theirs['parameters']} weights and ours has {made['parameters']}; only "
            "equal networks are compared"
        )
    return {
        "workload": comparison.workload.name,
        "scale": comparison.scale,
        "peer_name": comparison.peer,
        "peer_label": PEERS[comparison.peer].label,
        "variant": comparison.variant,
        "shape": asdict(shape),
        "peer_settings": settings,
        "parameters": made["parameters"],
        "activation": made["activation"],
    }
