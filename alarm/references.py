"""Reference levels r_ref(x): what a response's reward must exceed to count as good (arXiv:2402.00742).

Rewards that are compared with a level must be on the scale of log-odds, since p(good) = sigma(r - r_ref):

- A Bradley-Terry reward is on it as it comes: a difference of two rewards is the log-odds that annotators prefer one.
- A rate or a rule-based score is not. Its reward is the score divided by its standard deviation over SFT samples, with
  the sign turned where lower is better: one standard deviation better than the level is good with probability sigma(1).

A bounded score that most SFT samples have at its best, such as a rate of 1, has its best as the upper-quantile level:
p(good) is then 1/2 at most, and the property can only be lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alarm.registry import Registry
from alarm.settings import ReferenceSettings

Strategy = Callable[[NDArray[np.float64], NDArray[np.float64] | None, ReferenceSettings], NDArray[np.float64]]
"""From rewards of k SFT samples [P, k] and of the canned response [P] (None unless asked for) to levels [P]."""

REFERENCE_STRATEGIES: Registry[Strategy] = Registry("reference strategy")


def levels_of(rewards: ArrayLike, settings: ReferenceSettings, *, canned: ArrayLike | None = None) -> NDArray:
    """The reference levels of P prompts by the strategy of the settings.

    Args:
        rewards: [P, k], one property's rewards of k SFT samples per prompt.
        settings: names the strategy and its parameters.
        canned: [P], the same property's rewards of the canned response; read by strategy `canned` alone.
    Returns:
        [P] float64, in the units of the rewards.
    Raises:
        ValueError: the settings are not valid (see `check`), k is 0, a reward is NaN or infinite, or strategy `canned`
            gets no rewards of the canned response.
    """
    check(settings)
    rewards = np.asarray(rewards, dtype=np.float64)
    if rewards.ndim != 2 or not rewards.shape[1] or not np.isfinite(rewards).all():
        raise ValueError(f"reference levels need finite rewards [prompts, samples], got shape {rewards.shape}")
    if canned is not None:
        canned = np.asarray(canned, dtype=np.float64)
    if settings.strategy == "canned" and (canned is None or canned.shape != rewards.shape[:1]):
        raise ValueError("reference strategy 'canned' needs the reward of the canned response for every prompt")
    return REFERENCE_STRATEGIES[settings.strategy](rewards, canned, settings)


def check(settings: ReferenceSettings) -> None:
    """Say what is wrong with the settings before anything is computed.

    Raises:
        ValueError: an unknown strategy, a quantile outside [0, 1], strategy `canned` without a canned response, or a
            constant that is NaN or infinite.
    """
    REFERENCE_STRATEGIES[settings.strategy]
    if not 0 <= settings.quantile <= 1:
        raise ValueError(f"the reference quantile must be between 0 and 1, got {settings.quantile}")
    if settings.strategy == "canned" and not settings.canned_response:
        raise ValueError("reference strategy 'canned' needs a canned_response in the reference settings")
    if not math.isfinite(settings.constant):
        raise ValueError(f"the constant reference level must be finite, got {settings.constant}")


def _quantile(rewards: NDArray, canned: NDArray | None, settings: ReferenceSettings) -> NDArray:
    """An upper quantile of the SFT samples, linear between order statistics: good is better than typical."""
    return np.quantile(rewards, settings.quantile, axis=1, method="linear")


def _mean(rewards: NDArray, canned: NDArray | None, settings: ReferenceSettings) -> NDArray:
    """The mean of the SFT samples: good is better than average."""
    return rewards.mean(axis=1)


def _canned(rewards: NDArray, canned: NDArray, settings: ReferenceSettings) -> NDArray:
    """The reward of a fixed response to the same prompt: good is better than, say, a refusal."""
    return canned


def _constant(rewards: NDArray, canned: NDArray | None, settings: ReferenceSettings) -> NDArray:
    """One level for every prompt and property."""
    return np.full(len(rewards), settings.constant)


REFERENCE_STRATEGIES.add("quantile", _quantile)
REFERENCE_STRATEGIES.add("mean", _mean)
REFERENCE_STRATEGIES.add("canned", _canned)
REFERENCE_STRATEGIES.add("constant", _constant)
