"""T5's layer norm with a gradient in few passes."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """states / sqrt(mean of their squares + epsilon) * weight, over the last dimension of [N, H]; T5's layer norm."""
    if torch.is_grad_enabled():
        return _RMSNorm.apply(states, weight, epsilon)
    # The same operations, so that a pass without gradients says exactly what one with them does.
    return _normed(states, epsilon)[0] * weight


def _normed(states: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """`states` [N, H] divided by the root of their mean square, and that root's inverse [N, 1]."""
    squares = torch.linalg.vector_norm(states, dim=-1, keepdim=True).square_()
    inverse = squares.div_(states.shape[-1]).add_(epsilon).rsqrt_()
    return states * inverse, inverse


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        normed, inverse = _normed(states, epsilon)
        ctx.save_for_backward(normed, inverse, weight)
        return normed * weight

    @staticmethod
    def backward(ctx, gradient: Tensor):
        normed, inverse, weight = ctx.saved_tensors
        products = gradient * normed
        of_weight = products.sum(0) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, of_weight, None
        along = (products @ weight).div_(-normed.shape[-1]).unsqueeze(1)
        of_states = torch.addcmul(gradient * weight, normed, along).mul_(inverse)
        return of_states, of_weight, None
