"""Gold win rate over the SFT policy as a function of KL (arXiv:2402.00742): raw against transformed rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alarm.records import RunRecord
from alarm.report.runs import TaskRuns

PAIRS = (("holistic_only", "log_sigmoid"), ("raw_sum", "log_sigmoid_sum"))
"""Raw and transformed methods of the same properties."""
POINTS = 10
"""Of a curve: a run's iterations are cut into so many consecutive groups of nearly equal size."""


@dataclass(frozen=True)
class KLCurve:
    """One method's points, in the order of training."""

    kl: NDArray
    """[points], nats per response: mean over a group's iterations and over seeds."""
    win_rate: NDArray
    """[points], percent by gold over SFT samples of the same prompts, a tie counting half; pooled likewise."""
    sd: NDArray
    """[points], sample sd over seeds of the pooled win rate; 0 with one seed."""
    seeds: int


def kl_curve(records: Sequence[RunRecord], points: int = POINTS) -> KLCurve | None:
    """The pooled curve over the runs that recorded win rates; None without any."""
    pooled = [p for p in (_pooled(record, points) for record in records) if p is not None]
    # Fewer iterations than points give fewer points; runs of another length are left out.
    size = max((p.shape[1] for p in pooled), default=0)
    pooled = [p for p in pooled if p.shape[1] == size]
    if not pooled:
        return None
    kl, rate = np.stack(pooled, axis=1)
    sd = rate.std(axis=0, ddof=1) if len(rate) > 1 else np.zeros(size)
    return KLCurve(kl.mean(axis=0), rate.mean(axis=0), sd, len(rate))


def win_rates_at_equal_kl(runs: TaskRuns, methods: Sequence[str]) -> tuple[float, dict[str, dict[int, float]]] | None:
    """The largest KL that all runs of these methods reach, and method to seed to the win rate there.

    Between a run's pooled points, the first of which is the SFT policy itself with KL 0 and 50 %, the win rate is
    interpolated linearly. None where a method has no such run.
    """
    curves = {
        method: {seed: _pooled(record, POINTS) for seed, record in sorted(runs.finished.get(method, {}).items())}
        for method in methods
    }
    curves = {method: {s: c for s, c in seeds.items() if c is not None} for method, seeds in curves.items()}
    if not all(curves.values()):
        return None
    reached = max(0.0, min(float(c[0].max()) for seeds in curves.values() for c in seeds.values()))
    return reached, {m: {s: _interpolated(c, reached) for s, c in seeds.items()} for m, seeds in curves.items()}


def _pooled(record: RunRecord, points: int) -> NDArray | None:
    """[2, points]: KL and win rate of one run, means over consecutive groups of iterations."""
    rows = [
        (row["kl"], row["gold_win_rate"])
        for row in record.history
        if row.get("kl") is not None and row.get("gold_win_rate") is not None
    ]
    if not rows:
        return None
    groups = np.array_split(np.array(rows, dtype=np.float64), min(points, len(rows)))
    return np.array([group.mean(axis=0) for group in groups]).T


def _interpolated(curve: NDArray, kl: float) -> float:
    order = np.argsort(curve[0], kind="stable")
    return float(np.interp(kl, np.append(0.0, curve[0][order]), np.append(50.0, curve[1][order])))
