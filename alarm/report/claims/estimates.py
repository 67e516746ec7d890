"""Intervals where nothing but one number per seed is on record, and for the area under a ROC curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.errors import LEVEL
from alarm.evaluation.statistics import Estimate
from alarm.report.claims.evidence import NotOnRecord

BLOCKS = 50


def seeds_estimate(differences: Sequence[float], runs: Iterable[Sequence[float]]) -> Estimate:
    """Mean difference of two methods over seeds, with Student's t interval.

    As in `errors_of`, the larger counts of two variances: that of these differences, and twice the variance within
    runs, pooled over runs, whose degrees of freedom are used.

    Args:
        differences: [S], paired by seed.
        runs: the same number per seed of each run that tells how much seeds differ, the compared ones among them.
    Raises:
        NotOnRecord: a single seed, or seeds that do not differ at all.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        raise NotOnRecord("a second common seed, for an interval")
    tables = [table for run in runs if len(table := np.asarray(run, dtype=np.float64)) > 1]
    df = sum(len(table) - 1 for table in tables)
    within = sum(float(((table - table.mean()) ** 2).sum()) for table in tables) / max(df, 1)
    variance = max(float(values.var(ddof=1)), 2 * within)
    return student(float(values.mean()), math.sqrt(variance / len(values)), df or len(values) - 1)


def contrast_estimate(table: NDArray, weights: Sequence[float]) -> Estimate:
    """A contrast of trainings that share their seeds: `sum_r weights[r] mean_s table[r, s]`.

    What a seed does to all trainings drops out; what is left over in the two-way layout of trainings and seeds is the
    error, with (R - 1)(S - 1) degrees of freedom.

    Args:
        table: [R, S], R trainings with S seeds each.
        weights: [R], summing to 0.
    Raises:
        NotOnRecord: as `seeds_estimate`.
    """
    trainings, seeds = table.shape
    if seeds < 2:
        raise NotOnRecord("a second common seed, for an interval")
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    df = (trainings - 1) * (seeds - 1)
    variance = float((residual**2).sum()) / df * float(np.square(weights).sum()) / seeds
    return student(float(table.mean(axis=1) @ np.asarray(weights)), math.sqrt(variance), df)


def auc_estimate(strength: Sequence[float], wrong: Sequence[bool | None]) -> Estimate:
    """Area under the ROC curve of low strength as a detector of wrong labels, in points (hundredths) above chance.

    The interval is that of a jackknife that leaves out one of `BLOCKS` runs of consecutive pairs: pairs of one prompt
    stand together and are not independent.

    Raises:
        NotOnRecord: fewer pairs than blocks, or labels that are all wrong or all right.
    """
    decided = [(value, label) for value, label in zip(strength, wrong, strict=True) if label is not None]
    values, labels = np.array([value for value, _ in decided]), np.array([label for _, label in decided], dtype=bool)
    if len(values) < BLOCKS:
        raise NotOnRecord(f"{BLOCKS} pairs with a strength, for an interval")
    area = _auc(values, labels)
    areas = [_auc(np.delete(values, b), np.delete(labels, b)) for b in np.array_split(np.arange(len(values)), BLOCKS)]
    if not np.isfinite([area, *areas]).all():
        raise NotOnRecord("both wrong and right labels")
    error = math.sqrt((BLOCKS - 1) * float(np.var(areas)))
    return student(100 * (area - 0.5), 100 * error, BLOCKS - 1)


def student(value: float, error: float, df: int) -> Estimate:
    """Student's interval and two-sided p value of 0.

    Raises:
        NotOnRecord: a standard error of 0, up to rounding.
    """
    from scipy.stats import t

    if error <= 1e-12 * max(1.0, abs(value)):
        raise NotOnRecord("seeds that differ, for an interval")
    reach = float(t.ppf(1 - LEVEL / 2, df)) * error
    return Estimate(value, value - reach, value + reach, float(2 * t.sf(abs(value) / error, df)))


def _auc(strength: NDArray, wrong: NDArray) -> float:
    """Share of pairs of a wrong and a right label in which the wrong one has less strength, a tie counting half."""
    from scipy.stats import rankdata

    count = int(wrong.sum())
    others = len(wrong) - count
    if not count or not others:
        return math.nan
    above = float(rankdata(-strength)[wrong].sum()) - count * (count + 1) / 2
    return above / (count * others)
