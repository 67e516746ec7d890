"""How cost grows: a rollout and an update of PPO at sizes that each double one quantity of a small workload."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.throughput.floor import Shape, forward_flops
from benchmarks.throughput.subject import Subject
from benchmarks.throughput.workloads import W2, Workload

DOUBLINGS = 3
BASE = replace(
    W2,
    name="growth",
    policy=replace(W2.policy, hidden_size=64, feedforward_size=256, layers=1),
    ppo=replace(W2.ppo, batch_size=32, mini_batch_size=32, epochs=2),
)
"""W2 made so small that three doublings of anything in it are a matter of seconds."""


@dataclass(frozen=True)
class Growth:
    """One quantity, and the workloads that differ in it alone."""

    name: str
    workloads: dict[int, Workload]
    """By size; each is twice the one before."""

    def arithmetic_exponent(self) -> float:
        """Of the matrix products of a rollout, and of an update, which is a fixed number of the same passes."""
        return exponent(list(self.workloads), [forward_flops(Shape.of(w)) for w in self.workloads.values()])


def growths() -> list[Growth]:
    """Batch, length, and both sides of the model; what else there is stays as in `BASE`."""
    policy, ppo = BASE.policy, BASE.ppo
    return [
        _growth("batch", ppo.batch_size, lambda n: {"ppo": replace(ppo, batch_size=n, mini_batch_size=n)}),
        _growth("response length", ppo.max_new_tokens, lambda n: {"ppo": replace(ppo, max_new_tokens=n)}),
        _growth(
            "hidden size",
            policy.hidden_size,
            lambda n: {"policy": replace(policy, hidden_size=n, feedforward_size=4 * n)},
        ),
        _growth("layers", policy.layers, lambda n: {"policy": replace(policy, layers=n)}),
    ]


def _growth(name: str, smallest: int, changes: Callable[[int], dict[str, Any]]) -> Growth:
    sizes = [smallest * 2**k for k in range(DOUBLINGS + 1)]
    return Growth(name, {size: replace(BASE, **changes(size)) for size in sizes})


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The k of `cost = c * size**k`, by least squares on logarithms.

    >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


class Ladder:
    """Rollouts and updates at every size in turn, so that a machine that slows down does so for all sizes alike."""

    def __init__(self, growth: Growth, device: str) -> None:
        self._growth = growth
        self._subjects = {size: Subject(workload, device, {}) for size, workload in growth.workloads.items()}
        self._rewards = {size: s.compose(*s.batch).per_token for size, s in self._subjects.items()}
        self._seconds: dict[str, dict[int, list[float]]] = {"rollout": {}, "update": {}}

    def climb(self) -> None:
        """One round over all sizes."""
        for size, subject in self._subjects.items():
            drawn, _ = subject.batch
            self._time("rollout", size, subject.roll)
            self._time("update", size, lambda s=subject, d=drawn, n=size: s.update(d, self._rewards[n]))

    def close(self) -> None:
        for subject in self._subjects.values():
            subject.close()

    def found(self) -> dict[str, Any]:
        """What is stored: sizes, seconds of every round but the first, and exponents of their medians."""
        kept = {phase: [s[1:] for s in by_size.values()] for phase, by_size in self._seconds.items()}
        return {
            "quantity": self._growth.name,
            "sizes": list(self._growth.workloads),
            "shapes": next(iter(self._growth.workloads.values())).shapes(),
            "seconds": kept,
            "exponents": fitted(list(self._growth.workloads), kept),
            "arithmetic_exponent": self._growth.arithmetic_exponent(),
        }

    def _time(self, phase: str, size: int, run: Callable[[], object]) -> None:
        started = time.perf_counter()
        run()
        self._seconds[phase].setdefault(size, []).append(time.perf_counter() - started)


def fitted(sizes: Sequence[int], seconds: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, float]:
    """By phase, the exponent of the median seconds of each size."""
    return {phase: exponent(sizes, [statistics.median(s) for s in by_size]) for phase, by_size in seconds.items()}
