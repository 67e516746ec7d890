"""Divergence of the policy from its reference, and the adaptive coefficient of its penalty."""

from __future__ import annotations

import torch
from torch import Tensor


def log_ratio(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """k1: log pi - log pi_ref per token [B, T], in nats; signed, unbiased for KL(pi, pi_ref) under samples of pi.

    Source: the penalty of arXiv:1909.08593; the estimators' names are J. Schulman's, "Approximating KL divergence".
    """
    return log_probs - reference_log_probs


def response_kl(log_ratios: Tensor, mask: Tensor) -> float:
    """Mean over the rows of the summed log-ratio [B, T] where `mask` [B, T] is True, in nats; 0 without rows.

    A row without active tokens counts as a response of divergence 0.
    """
    if len(mask) == 0:
        return 0.0
    return float(torch.where(mask, log_ratios, 0.0).sum(dim=1).mean())


class AdaptiveKLController:
    """The penalty's coefficient: it grows while the measured divergence is above its target and shrinks below it.

    coefficient <- coefficient * (1 + clip(kl / target - 1, -0.2, 0.2) * responses / horizon)

    Source: arXiv:1909.08593, section 2.2, in the form of the released code (TRL's AdaptiveKLController).
    """

    def __init__(self, coefficient: float, *, target: float, horizon: int) -> None:
        """`target` in nats per response, `horizon` in responses.

        Raises:
            ValueError: a negative coefficient, or a target or horizon that is not positive.
        """
        if not coefficient >= 0:
            raise ValueError(f"initial_kl_coef must be at least 0, got {coefficient}")
        if not (target > 0 and horizon > 0):
            raise ValueError(f"target_kl and kl_horizon must be positive, got {target} and {horizon}")
        self.coefficient = coefficient
        self.target = target
        self.horizon = horizon

    def update(self, kl: float, responses: int) -> None:
        """Adapt to the divergence `kl` (nats per response) measured on a batch of `responses`."""
        error = min(max(kl / self.target - 1.0, -0.2), 0.2)
        self.coefficient *= 1.0 + error * responses / self.horizon
