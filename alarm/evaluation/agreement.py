"""How far two judges agree on who wins: Cohen's kappa of their three-way verdicts, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.errors import LEVEL
from alarm.evaluation.statistics import draws

RESAMPLES = 2_000
VERDICTS = (1, 0, -1)
"""Win, tie, loss."""


@dataclass(frozen=True)
class Agreement:
    """Cohen's kappa of two judges and the share of verdicts on which they agree, each with a 95 % interval."""

    kappa: float
    """1 for full agreement, 0 for as much as their own shares of ties and decisions give by chance; NaN where both
    see nothing but ties."""
    kappa_low: float
    kappa_high: float
    share: float
    """Percent of the verdicts that are equal."""
    share_low: float
    share_high: float
    verdicts: int
    """How many both judges gave."""
    left_out: int
    """Comparisons on which one of them, or both, gave none."""
    opposed: float
    """Percent of the verdicts that contradict: one judge's win is the other's loss."""


def agreement(first: NDArray, second: NDArray, *, seed: int, resamples: int = RESAMPLES) -> Agreement:
    """Agreement of two judges over the same comparisons.

    Each comparison counts from both sides, a win of one run being a loss of the other, since which of the two is named
    first is arbitrary and would otherwise decide what counts as chance.

    The interval is a percentile bootstrap over prompts: all comparisons on one prompt are drawn together, as its
    responses stand in several of them.

    Args:
        first, second: [N, P], one row per comparison of two runs: 1 for a win of the row's first run, 0 for a tie,
            -1 for a loss, NaN where the judge gave no verdict.
        seed: of the resampling.
        resamples: number R of resamples.
    Returns:
        Kappa and its interval as NaN where there is no variation; all but the counts as NaN without a common verdict.
    Raises:
        ValueError: the shapes differ, or an entry is none of these values.
    Source: Cohen (1960); values are those of `sklearn.metrics.cohen_kappa_score` over both sides, for all resamples at
        once.
    """
    a, b = (np.asarray(table, dtype=np.float64) for table in (first, second))
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"agreement needs two tables of the same comparisons x prompts, got {a.shape} and {b.shape}")
    for table in (a, b):
        if not np.isin(table[~np.isnan(table)], VERDICTS).all():
            raise ValueError("verdicts are 1, 0 or -1, NaN for none; take the sign of differences first")
    known = ~(np.isnan(a) | np.isnan(b))
    verdicts, left_out = int(known.sum()), int((~known).sum())
    if not verdicts:
        return Agreement(*[math.nan] * 6, 0, left_out, math.nan)
    by_prompt = np.stack([[((a == x) & (b == y)).sum(axis=0) for y in VERDICTS] for x in VERDICTS])
    by_prompt = by_prompt + by_prompt[::-1, ::-1]
    confusion = by_prompt.sum(axis=-1)
    drawn = np.einsum("xyp,rp->rxy", by_prompt, draws(a.shape[1], seed, resamples), optimize=True)
    drawn = drawn[drawn.sum(axis=(1, 2)) > 0]
    opposed = 100 * (confusion[0, 2] + confusion[2, 0]) / confusion.sum()
    return Agreement(
        float(kappa(confusion)),
        *_interval(kappa(drawn)),
        float(_share(confusion)),
        *_interval(_share(drawn)),
        verdicts,
        left_out,
        float(opposed),
    )


def kappa(confusion: NDArray) -> NDArray:
    """Cohen's kappa `(observed - chance) / (1 - chance)` of confusion matrices [..., K, K], NaN without variation.

    >>> round(float(kappa(np.array([[20, 5], [10, 15]]))), 3)
    0.4
    """
    shares = confusion / confusion.sum(axis=(-2, -1), keepdims=True)
    observed = np.trace(shares, axis1=-2, axis2=-1)
    chance = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
    varied = chance < 1 - 1e-12
    return np.where(varied, (observed - chance) / np.where(varied, 1 - chance, 1.0), np.nan)


def _share(confusion: NDArray) -> NDArray:
    return 100 * np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))


def _interval(values: NDArray) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.percentile(known, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return float(low), float(high)
