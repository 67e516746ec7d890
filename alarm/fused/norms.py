"""T5's layer norm with a gradient in few passes."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """states / sqrt(mean of their squares + epsilon) * weight, over the last dimension of [N, H]; T5's layer norm."""
    if torch.is_grad_enabled():
        return _RMSNorm.apply(states, weight, epsilon)
    # The same operations, so that a pass without gradients says exactly what one with them does.
    return _normed(states, weight, epsilon)[0]


def _normed(states: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """The norm of `states` [N, H], and the inverse [N, 1] of the root that they are divided by."""
    squares = torch.linalg.vector_norm(states, dim=-1, keepdim=True).square_()
    inverse = squares.div_(states.shape[-1]).add_(epsilon).rsqrt_()
    return (states * inverse).mul_(weight), inverse


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        normed, inverse = _normed(states, weight, epsilon)
        ctx.save_for_backward(states, inverse, weight)
        return normed

    @staticmethod
    def backward(ctx, gradient: Tensor):
        states, inverse, weight = ctx.saved_tensors
        size = states.shape[-1]
        # The gradient of a layer norm whose means are 0, from torch's one pass; what would come through the means, were
        # they not constant, is given back.
        of_states, of_weight, _ = torch.ops.aten.native_layer_norm_backward(
            gradient, states, (size,), torch.zeros_like(inverse), inverse, weight, None, (True, True, False)
        )
        through_means = torch.mv(gradient, weight).div_(size).unsqueeze(1).mul_(inverse)
        return of_states.add_(through_means), of_weight, None
