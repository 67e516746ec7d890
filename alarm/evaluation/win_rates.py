"""Win rates between methods: on how many prompts one method's response scores higher than another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WinRate:
    """Counts of prompts won, lost and tied, and the share of decided prompts that are won."""

    wins: int
    losses: int
    ties: int

    @property
    def rate(self) -> float:
        """`100 wins / (wins + losses)` in percent; ties are left out, 50 where nothing is decided."""
        decided = self.wins + self.losses
        return 100.0 * self.wins / decided if decided else 50.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "rate": self.rate}


def outcomes(a: Sequence[float], b: Sequence[float], *, higher_is_better: bool = True) -> NDArray[np.int8]:
    """Who wins each prompt: 1 for a, -1 for b, 0 for equal scores.

    Args:
        a, b: scores of both methods' responses to the same prompts, any one shape.
        higher_is_better: False for scores such as an error rate.
    Returns:
        int8 of that shape.
    Raises:
        ValueError: the shapes differ, or a score is NaN (it can be neither a win nor a loss, and is no tie).
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a win rate compares scores of the same prompts, got shapes {first.shape} and {second.shape}")
    undefined = np.isnan(first) | np.isnan(second)
    if undefined.any():
        raise ValueError(
            f"{int(undefined.sum())} of {undefined.size} pairs have a NaN score; mend the scorer or leave these out"
        )
    sign = (first > second).astype(np.int8) - (first < second).astype(np.int8)
    return sign if higher_is_better else -sign


def win_rate(a: Sequence[float], b: Sequence[float], *, higher_is_better: bool = True) -> WinRate:
    """Win rate of a over b: `100 wins / (wins + losses)`, ties left out.

    Args:
        a, b: scores of both methods' responses to the same prompts, [N].
        higher_is_better: False for scores such as an error rate.
    Raises:
        ValueError: lengths differ, or a score is NaN.
    Source: arXiv:2403.06754, section 4.1. The released code counts more grammar errors as a win; here the direction is
        always the score's own.

    >>> win_rate([0.1, 0.5, 0.5], [0.3, 0.2, 0.5], higher_is_better=False)
    WinRate(wins=1, losses=1, ties=1)
    """
    sign = outcomes(a, b, higher_is_better=higher_is_better)
    return WinRate(wins=int((sign > 0).sum()), losses=int((sign < 0).sum()), ties=int((sign == 0).sum()))


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n - 1) over seeds; `sd` is None for a single seed."""

    mean: float
    sd: float | None
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and spread of one number per seed.

    Raises:
        ValueError: no value.
    """
    if not len(values):
        raise ValueError("a mean over seeds needs at least one seed")
    array = np.asarray(values, dtype=np.float64)
    return Spread(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None, len(array))
