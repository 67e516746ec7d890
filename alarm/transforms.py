"""Element-wise transformations of reward values."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def z_normalize(x: Tensor, *, mean: float, std: float) -> Tensor:
    """Centre and scale: `(x - mean) / std`, with constants measured once over SFT samples.

    Args:
        x: raw rewards, any shape, finite.
        mean: mean of the raw rewards over SFT samples.
        std: their standard deviation, positive.
    Returns:
        Same shape, in standard deviations of the SFT policy's rewards.
    Raises:
        ValueError: `std` is not a positive finite number, or `mean` or `x` is not finite.
    Source: arXiv:2403.06754, section 3.2 (holistic reward "z-normalized").
    """
    if not (math.isfinite(std) and std > 0):
        raise ValueError(
            f"z_normalize needs a positive, finite std, got {std}: the reward model gives every sample the same score"
        )
    if not math.isfinite(mean):
        raise ValueError(f"z_normalize needs a finite mean, got {mean}")
    if not torch.isfinite(x).all():
        raise ValueError(f"z_normalize: {int((~torch.isfinite(x)).sum())} of {x.numel()} rewards are NaN or infinite")
    return (x - mean) / std


def sigmoid_shape(x: Tensor) -> Tensor:
    """The positive transformation of an aspect reward: `1 / (1 + exp(-x))`, so every unit earns more than 0.

    >>> sigmoid_shape(torch.tensor([0.0]))
    tensor([0.5000])

    Source: arXiv:2403.06754, section 3.2; applied to each aspect value before its weight.
    """
    return torch.sigmoid(x)
