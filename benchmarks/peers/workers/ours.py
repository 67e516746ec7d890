"""A worker that runs our PPO with per-token rewards from two scorers; a module of this checkout, in our environment."""

from __future__ import annotations

import time

from benchmarks.peers.comparisons import workload_of
from benchmarks.peers.workers.serving import Server
from benchmarks.throughput.floor import Shape
from benchmarks.throughput.subject import Subject


def run(server: Server) -> None:
    subject = Subject(workload_of(Shape(**server.wait()["shape"])), "cpu", {})
    policy = subject.trainer.policy
    server.answer(
        parameters=policy.model.num_parameters(),
        prompts=policy.tokenizer(subject.prompts).input_ids,
        positions=getattr(policy.config, "n_positions", None),
        activation=getattr(policy.config, "activation_function", None),
    )
    while server.wait():
        ends: dict[str, float] = {}
        started = time.perf_counter()
        report = subject.iterate(lambda phase, ends=ends: ends.update({phase: time.perf_counter()}))
        seconds = time.perf_counter() - started
        server.answer(
            seconds=seconds,
            rollout_seconds=ends["rollout"] - started,
            tokens=report["sampled_tokens"],
            loss=report["policy_loss"] + report["value_loss"],
        )


if __name__ == "__main__":
    run(Server())
