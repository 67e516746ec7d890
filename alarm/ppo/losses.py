"""PPO's clipped losses per token, and what is measured beside them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PolicyLosses(NamedTuple):
    """Per-token results [B, T]; `clipped` is True where clipping makes the loss larger and its gradient 0."""

    losses: Tensor
    ratios: Tensor
    clipped: Tensor


def policy_losses(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, *, clip_range: float) -> PolicyLosses:
    """max(-A r, -A clip(r, 1 - c, 1 + c)) with r = exp(new - old), per token.

    Args:
        log_probs: of the policy being updated, [B, T]. old_log_probs: of the policy that sampled, [B, T].
        advantages: [B, T].
        clip_range: c.
    Source: arXiv:1707.06347, equation 7.
    """
    ratios = torch.exp(log_probs - old_log_probs)
    unclipped = -advantages * ratios
    clipped = -advantages * ratios.clamp(1.0 - clip_range, 1.0 + clip_range)
    return PolicyLosses(torch.maximum(unclipped, clipped), ratios, clipped > unclipped)


def value_losses(values: Tensor, old_values: Tensor, returns: Tensor, *, clip_range: float) -> Tensor:
    """0.5 max((v - R)^2, (clip(v, v_old - c, v_old + c) - R)^2) per token [B, T].

    Args:
        values: of the network being updated, [B, T]. old_values: before the update, [B, T]. returns: R, [B, T].
        clip_range: c, in units of the value.
    Source: the released code of arXiv:2403.06754 (TRL), after OpenAI's baselines.
    """
    near = torch.clamp(values, old_values - clip_range, old_values + clip_range)
    return 0.5 * torch.maximum((values - returns).square(), (near - returns).square())


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of `values` [B, T] where `mask` [B, T] is True; what stands elsewhere, NaN included, has no effect."""
    return torch.where(mask, values, 0.0).sum()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` [B, T] where `mask` [B, T] is True; 0 without any such token."""
    return masked_sum(values, mask) / mask.sum().clamp(min=1)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 - var(returns - values) / var(returns) over active tokens; all arguments [B, T].

    1 is a perfect critic, 0 one no better than a constant. 0 where the returns do not vary.
    """
    if int(mask.sum()) < 2:
        return 0.0
    targets = returns[mask]
    variance = targets.var()
    return float(1.0 - (targets - values[mask]).var() / variance) if variance > 0 else 0.0
