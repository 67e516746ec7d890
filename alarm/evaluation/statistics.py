"""Uncertainty of comparisons: a paired bootstrap over prompts with seeds as clusters, Holm's correction, verdicts.

All methods of a task answer the same prompts with the same seeds, so a comparison is a table of seeds x prompts. A
resample draws prompts (shared by all seeds) and seeds, each with replacement. A draw of seeds keeps each seed's whole
row, so that what a seed does to all its responses counts once, not once per prompt. Of S seeds, S - 1 are drawn: with
so few clusters, drawing S would understate their variance by the factor (S - 1) / S (Rao and Wu, 1988). With a single
seed only prompts are drawn: the interval then says nothing about other seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.05
"""Significance level after Holm's correction."""

SAME, OPPOSITE, UNDECIDED = "same direction", "opposite", "not distinguishable"

Statistic = Callable[[NDArray, NDArray], NDArray]
"""From how often each seed [R, S] and each prompt [R, P] was drawn to the statistic [R]."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval and the two-sided p value of its null hypothesis."""

    value: float
    low: float
    high: float
    p: float


def bootstrap_win_rate(opponents: Sequence[NDArray[np.int8]], *, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Win rate over one or several opponents, in percent; the null hypothesis is 50.

    Per seed and opponent the rate is `100 wins / (wins + losses)` (50 if undecided); the statistic is its mean over
    seeds and opponents, which is what tables print.

    Args:
        opponents: one array [S, P] of outcomes (1 win, 0 tie, -1 loss) per opponent.
        seed: of the resampling.
        resamples: number R of resamples.
    Raises:
        ValueError: no opponent, or the arrays are empty or differ in shape.
    """
    arrays = _tables(opponents)
    wins = [(a > 0).astype(np.float64) for a in arrays]
    losses = [(a < 0).astype(np.float64) for a in arrays]

    def statistic(seeds: NDArray, prompts: NDArray) -> NDArray:
        rates = [_rate(prompts @ w.T, prompts @ lost.T) for w, lost in zip(wins, losses, strict=True)]
        return _mean_over_seeds(np.mean(rates, axis=0), seeds)

    return _bootstrap(statistic, arrays[0].shape, null=50.0, seed=seed, resamples=resamples)


def bootstrap_mean(differences: NDArray, *, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Mean of paired differences; the null hypothesis is 0.

    Args:
        differences: [S, P], method minus baseline on the same prompts.
        seed: of the resampling.
        resamples: number R of resamples.
    Raises:
        ValueError: the array is empty, not two-dimensional or holds NaN.
    """
    (table,) = _tables([differences])

    def statistic(seeds: NDArray, prompts: NDArray) -> NDArray:
        return _mean_over_seeds(prompts @ table.T / table.shape[1], seeds)

    return _bootstrap(statistic, table.shape, null=0.0, seed=seed, resamples=resamples)


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


def _mean_over_seeds(values: NDArray, seeds: NDArray) -> NDArray:
    """Mean of [R, S] weighted by how often each seed was drawn."""
    return (values * seeds).sum(axis=1) / seeds.sum(axis=1)


@lru_cache(maxsize=4)
def _draws(seeds: int, prompts: int, seed: int, resamples: int) -> tuple[NDArray, NDArray]:
    """How often each seed [R, S] and each prompt [R, P] is drawn; kept, since comparisons share them."""
    generator = np.random.default_rng(seed)
    return _counts(generator, max(1, seeds - 1), seeds, resamples), _counts(generator, prompts, prompts, resamples)


def _counts(generator: np.random.Generator, draws: int, size: int, resamples: int) -> NDArray[np.float64]:
    """[R, size]: of `draws` draws with replacement, how many fell on each of `size` items."""
    items = generator.integers(size, size=(resamples, draws)) + size * np.arange(resamples)[:, None]
    return np.bincount(items.ravel(), minlength=resamples * size).reshape(resamples, size).astype(np.float64)


def _bootstrap(statistic: Statistic, shape: tuple[int, int], *, null: float, seed: int, resamples: int) -> Estimate:
    seeds, prompts = shape
    drawn_seeds, drawn_prompts = _draws(seeds, prompts, seed, resamples)
    drawn = statistic(drawn_seeds, drawn_prompts)
    value = float(statistic(np.ones((1, seeds)), np.ones((1, prompts)))[0])
    low, high = np.percentile(drawn, [2.5, 97.5])
    # Counting the data themselves as one resample keeps p above 0.
    beyond = min(int((drawn <= null).sum()), int((drawn >= null).sum()))
    return Estimate(value, float(low), float(high), min(1.0, 2.0 * (beyond + 1) / (resamples + 1)))
