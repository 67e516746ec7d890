"""Normalisation constants, measured once on the initial policy's samples and stored, never typed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Constants:
    """Mean and standard deviation of a raw score over `count` samples of the initial policy."""

    mean: float
    std: float
    count: int

    @classmethod
    def measure(cls, name: str, values: Sequence[float]) -> Constants:
        """Measure over at least two finite values.

        Raises:
            ValueError: too few values, NaN among them, or all equal (a score that never varies cannot be normalised).
        """
        array = np.asarray(values, dtype=np.float64)
        if len(array) < 2 or not np.isfinite(array).all():
            raise ValueError(f"the constants of {name} need at least two finite values, got {len(array)}")
        std = float(array.std(ddof=1))
        if std == 0:
            raise ValueError(f"{name} gives all {len(array)} samples the same score, so it cannot be z-normalised")
        return cls(float(array.mean()), std, len(array))

    def to_dict(self) -> dict[str, float]:
        return asdict(self)
