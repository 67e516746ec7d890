"""Uncertainty of comparisons: a paired bootstrap over prompts with seeds as clusters, Holm's correction, verdicts.

All methods of a task answer the same prompts with the same seeds, so a comparison is a table of seeds x prompts. A
resample draws prompts with replacement, once for all seeds. Two or three seeds are too few to be resampled: an interval
from such draws is too narrow where seeds differ and too wide where they do not. What a seed does to all its responses
enters instead as the spread between the seeds' values with the degrees of freedom behind it (`errors.py`), and that
spread is pooled over the task's runs where these are given (`seeds.py`). With a single seed the interval says nothing
about other seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.effects import cohen_dz, cohen_h
from alarm.evaluation.errors import LEVEL, Errors, errors_of
from alarm.evaluation.seeds import SeedSpread

RESAMPLES = 10_000

SAME, OPPOSITE, UNDECIDED = "same direction", "opposite", "not distinguishable"

Statistic = Callable[[NDArray], NDArray]
"""From how often each prompt was drawn [R, P] to the statistic of each seed [R, S]."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval and the two-sided p value of its null hypothesis."""

    value: float
    low: float
    high: float
    p: float
    errors: Errors | None = None
    """What the interval is made of."""
    effect_size: float | None = None
    """Cohen's h of a win rate, Cohen's d_z of a mean of paired differences."""


def bootstrap_win_rate(
    opponents: Sequence[NDArray[np.int8]],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    spread: SeedSpread | None = None,
) -> Estimate:
    """Win rate over one or several opponents, in percent; the null hypothesis is 50.

    Per seed and opponent the rate is `100 wins / (wins + losses)` (50 if undecided); the statistic is its mean over
    seeds and opponents, which is what tables print.

    Args:
        opponents: one array [S, P] of outcomes (1 win, 0 tie, -1 loss) per opponent.
        seed: of the resampling.
        resamples: number R of resamples.
        spread: between the seeds of the task's runs, in the score that decides; None to judge by these seeds alone.
    Raises:
        ValueError: no opponent, or the arrays are empty or differ in shape.
    """
    arrays = _tables(opponents)
    wins = [(a > 0).astype(np.float64) for a in arrays]
    losses = [(a < 0).astype(np.float64) for a in arrays]

    def statistic(prompts: NDArray) -> NDArray:
        return np.mean([_rate(prompts @ w.T, prompts @ lost.T) for w, lost in zip(wins, losses, strict=True)], axis=0)

    estimate = _bootstrap(statistic, np.mean(arrays, axis=0), null=50.0, seed=seed, resamples=resamples, spread=spread)
    low, high = max(0.0, estimate.low), min(100.0, estimate.high)
    return replace(estimate, low=low, high=high, effect_size=cohen_h(min(100.0, estimate.value)))


def bootstrap_mean(
    differences: NDArray, *, seed: int, resamples: int = RESAMPLES, spread: SeedSpread | None = None
) -> Estimate:
    """Mean of paired differences; the null hypothesis is 0.

    Args:
        differences: [S, P], method minus baseline on the same prompts.
        seed: of the resampling.
        resamples: number R of resamples.
        spread: between the seeds of the task's runs in this score; None to judge by these seeds alone.
    Raises:
        ValueError: the array is empty, not two-dimensional or holds NaN.
    """
    (table,) = _tables([differences])

    def statistic(prompts: NDArray) -> NDArray:
        return prompts @ table.T / table.shape[1]

    estimate = _bootstrap(statistic, table, null=0.0, seed=seed, resamples=resamples, spread=spread)
    return replace(estimate, effect_size=cohen_dz(table))


def estimate_of(
    values: NDArray, drawn: NDArray, *, null: float, prompts: int, spread: SeedSpread | None = None
) -> Estimate:
    """The mean over seeds of any statistic, with its interval and the p value of `null`.

    Args:
        values: [S], the statistic of each seed.
        drawn: [R, S], the same for resampled prompts (`draws`), each resample the same for all seeds.
        null: value without effect.
        prompts: number of prompts.
        spread: between the seeds of the task's runs; None to judge by these seeds alone.
    """
    errors = errors_of(values, drawn, prompts=prompts, spread=spread)
    value = float(values.mean())
    low, high = (value + sign * errors.half_width(LEVEL, upward=sign > 0) for sign in (-1, 1))
    return Estimate(value, low, high, errors.p_value(value - null), errors)


@lru_cache(maxsize=4)
def draws(prompts: int, seed: int, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """[R, P], how often each prompt is drawn in each resample; kept, since comparisons share them."""
    items = np.random.default_rng(seed).integers(prompts, size=(resamples, prompts))
    flat = (items + prompts * np.arange(resamples)[:, None]).ravel()
    return np.bincount(flat, minlength=resamples * prompts).reshape(resamples, prompts).astype(np.float64)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the smallest of m values times m, the next times m - 1, ..., made monotone.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    adjusted = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    corrected = np.empty_like(adjusted)
    corrected[order] = adjusted
    return corrected.tolist()


def verdict(
    measured: float, p: float, published: float, *, published_sd: float = 0.0, null: float = 50.0, level: float = LEVEL
) -> str:
    """Whether a measured comparison goes the published way.

    Args:
        measured, published: the two values of a comparison without effect at `null`.
        p: of the measured value, corrected for the table's comparisons.
        published_sd: over the published seeds, 0 where none was printed.
    Returns:
        `same direction` or `opposite` where both differ from `null`: the measured value with `p < level`, the published
        one by more than its standard deviation. Otherwise `not distinguishable`.
    """
    if not p < level or measured == null or abs(published - null) <= published_sd:
        return UNDECIDED
    return SAME if (measured > null) == (published > null) else OPPOSITE


def _tables(arrays: Sequence[NDArray]) -> list[NDArray[np.float64]]:
    tables = [np.asarray(array, dtype=np.float64) for array in arrays]
    if not tables or tables[0].ndim != 2 or not tables[0].size or len({t.shape for t in tables}) > 1:
        raise ValueError(f"a bootstrap needs tables of seeds x prompts of one shape, got {[t.shape for t in tables]}")
    if any(np.isnan(table).any() for table in tables):
        raise ValueError("a bootstrap needs complete tables; leave out prompts with NaN scores in every seed first")
    return tables


def _rate(wins: NDArray, losses: NDArray) -> NDArray:
    decided = wins + losses
    return np.where(decided > 0, 100.0 * wins / np.maximum(decided, 1.0), 50.0)


def _bootstrap(
    statistic: Statistic, table: NDArray, *, null: float, seed: int, resamples: int, spread: SeedSpread | None
) -> Estimate:
    """`table` [S, P] is what the comparison says of each prompt, 0 where it says nothing."""
    prompts = table.shape[1]
    values = statistic(np.ones((1, prompts)))[0]
    drawn = statistic(draws(prompts, seed, resamples))
    found = estimate_of(values, drawn, null=null, prompts=prompts, spread=spread)
    # No test of paired differences can be surer than if each prompt's sign were a coin: it matters where few decide.
    surest = 2.0 ** (1 - np.count_nonzero(table.mean(axis=0)))
    return replace(found, p=min(1.0, max(surest, found.p)))
