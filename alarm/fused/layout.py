"""Where the real tokens of padded rows are: what acts on single tokens is computed for those alone."""

from __future__ import annotations

import torch
from torch import Tensor


class Packing:
    """Between padded rows [B, T, C] and their N real tokens [N, C], row after row."""

    def __init__(self, mask: Tensor) -> None:
        """`mask`: boolean, [B, T], True at real tokens."""
        self.mask = mask
        self.full = bool(mask.all())
        self.index = None if self.full else mask.flatten().nonzero().squeeze(1)
        """[N] places among the B x T."""

    def pack(self, padded: Tensor) -> Tensor:
        """[N, C] from [B, T, C]."""
        return padded.flatten(0, 1) if self.full else _Gather.apply(padded.flatten(0, 1), self.index)

    def unpack(self, packed: Tensor) -> Tensor:
        """[B, T, C] from [N, C], zero where padding is."""
        rows, width = self.mask.shape
        spread = packed if self.full else _Scatter.apply(packed, self.index, rows * width)
        return spread.view(rows, width, -1)


class _Gather(torch.autograd.Function):
    """Rows `index` of [N, C], each at most once, so that the gradient is put back instead of added up."""

    @staticmethod
    def forward(ctx, values: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.rows = len(values)
        return values.index_select(0, index)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (index,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.rows, gradient.shape[1]).index_copy_(0, index, gradient), None


class _Scatter(torch.autograd.Function):
    """The reverse of `_Gather`."""

    @staticmethod
    def forward(ctx, values: Tensor, index: Tensor, rows: int) -> Tensor:
        ctx.save_for_backward(index)
        return values.new_zeros(rows, values.shape[1]).index_copy_(0, index, values)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (index,) = ctx.saved_tensors
        return gradient.index_select(0, index), None, None


def distinct_rows(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Each distinct row of right-padded `ids` [B, S] once with its mask, and [B] which of them every row is.

    Where all differ they are left as they are, and the third result is None.
    """
    distinct, place = ids.masked_fill(~mask, -1).unique(dim=0, return_inverse=True)
    if len(distinct) == len(ids):
        return ids, mask, None
    # What stands in padding is never looked at, and 0 is an id of every vocabulary.
    return distinct.clamp(min=0), distinct >= 0, place


def take(values: Tensor, index: Tensor) -> Tensor:
    """Rows `index` [M], each at most once, of `values` [N, C]."""
    return _Gather.apply(values, index)


def heads_of(states: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """`parts` tensors [B, heads, T, D] from [B, T, parts x heads x D]."""
    rows, width, _ = states.shape
    return tuple(part.transpose(1, 2) for part in states.view(rows, width, parts, heads, -1).unbind(2))


def merged(states: Tensor) -> Tensor:
    """[B, T, heads x D] from [B, heads, T, D]."""
    return states.transpose(1, 2).flatten(2)


def rows_of(memory: Tensor, rows: Tensor, heads: int) -> Tensor:
    """The rows `rows` of keys or values [B x heads, ...]."""
    return memory.unflatten(0, (-1, heads)).index_select(0, rows).flatten(0, 1)
