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


def log_sigmoid_centered(reward: Tensor, reference: Tensor) -> Tensor:
    """The log-probability of being good, i.e. better than a reference: `u = log sigma(r - r_ref)`.

    Below the reference u is nearly r - r_ref, above it saturates at 0: poor responses are worth mending, good ones
    hardly worth pushing. Computed without overflow: at r - r_ref = -1e4 it is -1e4, at +1e4 it is 0.

    Args:
        reward: r, in log-odds (a raw Bradley-Terry reward, or another score brought to that scale), any shape.
        reference: r_ref, in the same units, of a shape that broadcasts with `reward`'s by torch's rules.
    Returns:
        u, never above 0, in nats, of the broadcast shape.
    Raises:
        ValueError: a reward or a reference is NaN or infinite.

    >>> log_sigmoid_centered(torch.tensor([2.0]), torch.tensor([2.0]))
    tensor([-0.6931])

    Source: arXiv:2402.00742 (the log-sigmoid-centred, LSC, transformation).
    """
    for name, values in (("rewards", reward), ("references", reference)):
        if not torch.isfinite(values).all():
            bad = int((~torch.isfinite(values)).sum())
            raise ValueError(f"log_sigmoid_centered: {bad} of {values.numel()} {name} are NaN or infinite")
    return torch.nn.functional.logsigmoid(reward - reference)
