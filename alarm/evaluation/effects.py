"""How large a difference is, whether its sign is one, and how small a difference the sample at hand could show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from alarm.evaluation.errors import LEVEL

if TYPE_CHECKING:
    from alarm.evaluation.statistics import Estimate

POWER = 0.8


@dataclass(frozen=True)
class SignTest:
    """Prompts decided for and against, and the exact two-sided p value of a fair coin."""

    wins: int
    losses: int
    ties: int
    p: float


def sign_test(outcomes: NDArray) -> SignTest:
    """Exact sign test over prompts; a prompt goes to the side that won it in more seeds.

    Counting every seed of a prompt apart would count one prompt several times. The test asks about these trained
    policies on further prompts, not about further seeds: where seeds differ it finds far too much, and the bootstrap
    with seeds as clusters is the one to trust.

    Args:
        outcomes: [S, P], 1 where the method wins, -1 where it loses, 0 for a tie; any numbers of that sign will do.
    Returns:
        Counts of prompts; `p` is 1 where none is decided.
    Raises:
        ValueError: the array is not two-dimensional, is empty or holds NaN.

    >>> sign_test(np.array([[1, 1, 1, -1, 0], [1, 0, 1, 1, 0]]))
    SignTest(wins=3, losses=0, ties=2, p=0.25)
    """
    votes = np.sign(_table(outcomes)).sum(axis=0)
    wins, losses = int((votes > 0).sum()), int((votes < 0).sum())
    p = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return SignTest(wins, losses, votes.size - wins - losses, p)


def cohen_dz(differences: NDArray) -> float:
    """Cohen's d_z of paired differences averaged over seeds: their mean over prompts by their standard deviation.

    Args:
        differences: [S, P], method minus baseline on the same prompts.
    Returns:
        In standard deviations (P - 1); 0 where all differences are 0, infinite where they all are the same otherwise,
        NaN for a single prompt.
    Raises:
        ValueError: as `sign_test`.
    Source: Cohen, Statistical Power Analysis (1988), section 2.3.5.

    >>> round(cohen_dz(np.array([[1.0, 2.0, 3.0]])), 3)
    2.0
    """
    means = _table(differences).mean(axis=0)
    if means.size < 2:
        return math.nan
    mean, sd = float(means.mean()), float(means.std(ddof=1))
    if sd <= 1e-12 * abs(mean):
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / sd


def cohen_h(rate: float, null: float = 50.0) -> float:
    """Cohen's h of a win rate in percent: `2 asin(sqrt(rate)) - 2 asin(sqrt(null))`; 0.2 is small, 0.8 large.

    Raises:
        ValueError: a rate outside 0 to 100.

    >>> round(cohen_h(69.15), 2)
    0.39
    """
    if not (0 <= rate <= 100 and 0 <= null <= 100):
        raise ValueError(f"an effect size of win rates needs percents from 0 to 100, got {rate} and {null}")
    return 2 * math.asin(math.sqrt(rate / 100)) - 2 * math.asin(math.sqrt(null / 100))


def minimum_detectable_difference(estimate: Estimate, *, power: float = POWER, level: float = LEVEL) -> float:
    """The true difference that a sample with this estimate's errors finds with the stated power.

    The half-width of the interval at `1 - level`, so that a difference is significant, plus that which a difference
    stays above with probability `power`.

    Args:
        estimate: of a bootstrap; only its errors count, not its value.
        power: 0.5 to 1.
        level: of the two-sided test, before any correction for further comparisons.
    Returns:
        In the units of the estimate (percentage points for a win rate); infinite for a single prompt.
    Raises:
        ValueError: the estimate carries no errors, or the power is out of range.
    """
    if estimate.errors is None or not 0.5 <= power < 1:
        raise ValueError(f"a detectable difference needs a bootstrap's estimate and a power of 0.5 to 1, got {power}")
    errors = estimate.errors
    sides = [
        errors.half_width(level, upward=upward) + errors.half_width(2 * (1 - power), upward=upward)
        for upward in (False, True)
    ]
    return float(np.mean(sides))


def _table(values: NDArray) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size or np.isnan(table).any():
        raise ValueError(f"an effect is of a complete table of seeds x prompts, got shape {table.shape}")
    return table
