"""T5's attention: batched products by head, with a gradient that copies little.

torch's own gives a bias no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from alarm.fused.layout import merged


def attend(own: Tensor, others: Tensor | None, bias: Tensor | None, heads: int) -> Tensor:
    """softmax(Q K' + bias) V by head, [B, T, heads x D].

    Args:
        own: [B, T, 3 x heads x D], queries, keys and values of the same tokens; with `others` queries alone.
        others: [B, S, 2 x heads x D], keys and values to attend to; None: one's own (S = T).
        bias: broadcasts to [B, heads, T, S].
    """
    return _Attention.apply(own, others, bias, heads)


def by_head(states: Tensor, parts: int, heads: int) -> Tensor:
    """[parts, B x heads, T, D] from [B, T, parts x heads x D], in one copy."""
    rows, width, _ = states.shape
    apart = states.view(rows, width, parts, heads, -1).permute(2, 0, 3, 1, 4)
    return apart.reshape(parts, rows * heads, width, -1)


def _side_by_side(parts: Tensor, heads: int) -> Tensor:
    """The reverse of `by_head`."""
    return parts.unflatten(1, (-1, heads)).permute(1, 3, 0, 2, 4).flatten(2)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, own: Tensor, others: Tensor | None, bias: Tensor | None, heads: int) -> Tensor:
        if others is None:
            of_own, of_others = by_head(own, 3, heads), None
            query, key, value = of_own
        else:
            of_own, of_others = by_head(own, 1, heads), by_head(others, 2, heads)
            (query,), (key, value) = of_own, of_others
        scores = torch.bmm(query, key.transpose(1, 2))
        if bias is not None:
            scores.unflatten(0, (-1, heads)).add_(bias)
        weights = scores.softmax(-1)
        ctx.save_for_backward(of_own, of_others, weights)
        ctx.heads, ctx.bias_shape = heads, None if bias is None else bias.shape
        return merged(torch.bmm(weights, value).unflatten(0, (-1, heads)))

    @staticmethod
    def backward(ctx, gradient: Tensor):
        of_own, of_others, weights = ctx.saved_tensors
        to_own, to_others = torch.empty_like(of_own), None
        if of_others is None:
            query, key, value = of_own
            to_query, to_key, to_value = to_own
        else:
            to_others = torch.empty_like(of_others)
            (query,), (key, value) = of_own, of_others
            (to_query,), (to_key, to_value) = to_own, to_others
        (mixed,) = by_head(gradient, 1, ctx.heads)
        torch.bmm(weights.transpose(1, 2), mixed, out=to_value)
        to_weights = torch.bmm(mixed, value.transpose(1, 2))
        to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
        torch.bmm(to_scores, key, out=to_query)
        torch.bmm(to_scores.transpose(1, 2), query, out=to_key)
        to_bias = None
        if ctx.needs_input_grad[2]:
            to_bias = to_scores.unflatten(0, (-1, ctx.heads)).sum_to_size(ctx.bias_shape)
        if to_others is not None:
            to_others = _side_by_side(to_others, ctx.heads)
        return _side_by_side(to_own, ctx.heads), to_others, to_bias, None
