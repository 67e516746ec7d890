"""How much runs that differ in their seed alone differ in a score, pooled over a task's runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SeedSpread:
    """Variance between the means of seeds, as a multiple of what their prompts' own noise explains."""

    factor: float
    """1 where seeds differ no more than by chance."""
    prompts: float
    """Prompts per seed of the tables that `factor` was measured on."""
    df: int
    """Degrees of freedom: seeds beyond the first, summed over tables."""

    def at(self, prompts: int) -> float:
        """The multiple for means over another number of prompts, 1 at least.

        What a seed does to all its responses stays, while the noise of the prompts averages out.
        """
        return 1.0 + max(0.0, self.factor - 1.0) * prompts / self.prompts


def seed_spread(tables: Sequence[NDArray]) -> SeedSpread | None:
    """Pool the spread between seeds over runs: the mean of `MS_seeds / MS_residual` of each run's table.

    Three seeds tell little about how much seeds differ (two degrees of freedom); all runs of a task together tell more,
    as long as their seeds vary about alike: a single run that is far less stable than the others is found significant
    in up to 15 % of comparisons without a difference.
    Each ratio is the F statistic of seeds in a two-way layout of seeds and prompts, so runs whose scores scatter more
    do not count more.

    Args:
        tables: scores [S, P] per run; S and P may differ between runs.
    Returns:
        None where no table has two seeds, two prompts and some residual.
    """
    ratios, weights, prompts = [], [], []
    for table in tables:
        values = np.asarray(table, dtype=np.float64)
        if values.ndim != 2 or min(values.shape) < 2:
            continue
        seeds, columns = values.shape
        means = values.mean(axis=1, keepdims=True)
        residual = values - means - values.mean(axis=0) + values.mean()
        noise = (residual**2).sum() / ((seeds - 1) * (columns - 1))
        if noise > 0:
            ratios.append(columns * means.var(ddof=1) / noise)
            weights.append(seeds - 1)
            prompts.append(columns)
    if not ratios:
        return None
    return SeedSpread(
        float(np.average(ratios, weights=weights)), float(np.average(prompts, weights=weights)), int(sum(weights))
    )
