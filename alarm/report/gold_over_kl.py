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

KL_AND_RATE = ("kl", "gold_win_rate")


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
    found = of_one_length([pooled(record, KL_AND_RATE, points) for record in records])
    if not found:
        return None
    kl, rate = np.stack(found, axis=1)
    size = len(kl[0])
    sd = rate.std(axis=0, ddof=1) if len(rate) > 1 else np.zeros(size)
    return KLCurve(kl.mean(axis=0), rate.mean(axis=0), sd, len(rate))


def win_rates_at_equal_kl(runs: TaskRuns, methods: Sequence[str]) -> tuple[float, dict[str, dict[int, float]]] | None:
    """The largest KL that all runs of these methods reach, and method to seed to the win rate there.

    Between a run's pooled points, the first of which is the SFT policy itself with KL 0 and 50 %, the win rate is
    interpolated linearly. None where a method has no such run.
    """
    finished = {method: sorted(runs.finished.get(method, {}).items()) for method in methods}
    curves = {m: {seed: pooled(record, KL_AND_RATE, POINTS) for seed, record in finished[m]} for m in methods}
    curves = {method: {s: c for s, c in seeds.items() if c is not None} for method, seeds in curves.items()}
    if not all(curves.values()):
        return None
    reached = max(0.0, min(float(c[0].max()) for seeds in curves.values() for c in seeds.values()))
    return reached, {m: {s: _interpolated(c, reached) for s, c in seeds.items()} for m, seeds in curves.items()}


def pooled(record: RunRecord, keys: Sequence[str], points: int) -> NDArray | None:
    """[keys, points]: columns of a run's history, means over consecutive groups of iterations; None without any."""
    rows = [[row[key] for key in keys] for row in record.history if all(row.get(key) is not None for key in keys)]
    if not rows:
        return None
    groups = np.array_split(np.array(rows, dtype=np.float64), min(points, len(rows)))
    return np.array([group.mean(axis=0) for group in groups]).T


def of_one_length(curves: Sequence[NDArray | None]) -> list[NDArray]:
    """The curves with the most points: fewer iterations than points give fewer, and such runs are left out."""
    known = [curve for curve in curves if curve is not None]
    size = max((curve.shape[1] for curve in known), default=0)
    return [curve for curve in known if curve.shape[1] == size]


def _interpolated(curve: NDArray, kl: float) -> float:
    order = np.argsort(curve[0], kind="stable")
    return float(np.interp(kl, np.append(0.0, curve[0][order]), np.append(50.0, curve[1][order])))
