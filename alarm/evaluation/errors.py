"""From what seeds and prompts add to an estimate's error to its interval and its p value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtrit
from scipy.stats import norm

from alarm.evaluation.seeds import SeedSpread

LEVEL = 0.05
"""Significance level after Holm's correction; intervals cover 1 - LEVEL."""
LEAST_LOG_P = -60.0


@dataclass(frozen=True)
class Errors:
    """Standard errors of a mean over seeds, by their source."""

    seeds: float
    """By what a seed does to all its responses, and by what prompts do in one seed alone; 0 for a single seed."""
    seeds_df: int
    below: float
    """By prompts with the seeds as they are, towards lower values; resampling may be skewed."""
    above: float
    """The same towards higher values."""
    shared: float
    """Share of the prompts' variance that all seeds have in common, 0 to 1; `seeds` holds the rest already."""
    prompts_df: int

    def half_width(self, level: float, *, upward: bool) -> float:
        """Distance from the estimate to one end of its interval at `1 - level`.

        Both parts are Student-t intervals with their own degrees of freedom, and their squares add (Howe, 1974): unlike
        one t with Satterthwaite's degrees of freedom, it does not reject too often where two or three seeds differ.
        """
        if not self.prompts_df:
            return math.inf
        prompts = -stdtrit(self.prompts_df, level / 2) * (self.above if upward else self.below)
        if not self.seeds_df:
            return float(prompts)
        seeds = -stdtrit(self.seeds_df, level / 2) * self.seeds
        return math.hypot(seeds, math.sqrt(self.shared) * prompts)

    def p_value(self, distance: float) -> float:
        """Two-sided p of an estimate `distance` above (below, if negative) its null value: 1 minus the coverage of the
        interval that just reaches the null."""
        wanted = abs(distance)

        def gap(log_p: float) -> float:
            return self.half_width(math.exp(log_p), upward=distance < 0) - wanted

        if not wanted or gap(0.0) >= 0:
            return 1.0
        if gap(LEAST_LOG_P) <= 0:
            return math.exp(LEAST_LOG_P)
        return math.exp(brentq(gap, LEAST_LOG_P, 0.0, xtol=1e-6))


def errors_of(values: NDArray, drawn: NDArray, *, prompts: int, spread: SeedSpread | None = None) -> Errors:
    """Standard errors of the mean over seeds.

    Args:
        values: [S], the statistic of each seed.
        drawn: [R, S], the same for R resamples of the prompts, each drawn once for all seeds.
        prompts: number of prompts.
        spread: of the task's runs; the larger of this and of the spread of `values` counts. Without it, `values` alone
            tell how much seeds differ, with S - 1 degrees of freedom.
    """
    if prompts < 2:
        return Errors(0.0, 0, 0.0, 0.0, 1.0, 0)
    # A bootstrap of P items understates their variance by (P - 1) / P.
    widened = prompts / (prompts - 1)
    means = drawn.mean(axis=1)
    low, high = np.percentile(means, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    scale = math.sqrt(widened) / norm.ppf(1 - LEVEL / 2)
    center = float(values.mean())
    below, above = (scale * max(0.0, float(side)) for side in (center - low, high - center))
    seeds = len(values)
    if seeds == 1:
        return Errors(0.0, 0, below, above, 1.0, prompts - 1)
    covariance = np.cov(drawn, rowvar=False)
    common = max(0.0, float(covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1)))
    apart = widened * max(0.0, float(np.trace(covariance)) / seeds - common)
    total = float(covariance.mean())
    variance, df = float(values.var(ddof=1)), seeds - 1
    if spread is not None:
        variance, df = max(variance, apart * spread.at(prompts)), spread.df
    return Errors(
        seeds=math.sqrt(variance / seeds),
        seeds_df=df,
        below=below,
        above=above,
        shared=min(1.0, common / total) if total > 0 else 1.0,
        prompts_df=prompts - 1,
    )
