"""Normalisation constants: measured once on the initial policy's samples and stored, or those of the paper by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from alarm.paper_presets import PAPER_CONSTANTS
from alarm.settings import Preset


@dataclass(frozen=True)
class Constants:
    """Mean and standard deviation of a raw score over `count` samples of the initial policy; 0 where nobody has said
    how many there were."""

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


def paper_constants(preset: Preset) -> dict[str, Constants]:
    """The constants that the authors' code normalises by; none where the settings ask for measured ones.

    Raises:
        ValueError: the settings name other constants than these, or another holistic model than the one they belong to.
    """
    if preset.reward.constants == "measured":
        return {}
    if preset.reward.constants != "paper":
        raise ValueError(f"constants must be 'measured' or 'paper', got {preset.reward.constants!r}")
    if "ultrarm" not in str(preset.reward_models.holistic_model).lower():
        raise ValueError(
            f"the paper's constants belong to UltraRM-13B, and the holistic model is "
            f"{preset.reward_models.holistic_model or 'trained here'}; leave constants at 'measured'"
        )
    # Completeness has them for Fine-Grained RLHF's own model only.
    trained_here = {"completeness"} if preset.reward_models.aspect_models is None else set()
    own = PAPER_CONSTANTS[preset.task]
    return {name: Constants(mean, std, 0) for name, (mean, std) in own.items() if name not in trained_here}
