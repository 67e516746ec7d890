"""Prompts and responses as token ids: what a policy reads and what PPO learns from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TokenBatch:
    """B prompts with one response each.

    Prompts and responses start at column 0 and are right-padded, whatever layout a model needs inside. Responses
    include the end token where one was generated, and no decoder start token.

    prompt_ids: [B, S], long. prompt_mask: [B, S], boolean, True at real tokens.
    response_ids: [B, T], long. response_mask: [B, T], boolean, True at real tokens.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    response_ids: Tensor
    response_mask: Tensor

    def __post_init__(self) -> None:
        for part in ("prompt", "response"):
            ids, mask = getattr(self, f"{part}_ids"), getattr(self, f"{part}_mask")
            if ids.ndim != 2 or ids.shape != mask.shape:
                raise ValueError(
                    f"{part}_ids {tuple(ids.shape)} and {part}_mask {tuple(mask.shape)} must be matrices of one shape"
                )
        if len(self.prompt_ids) != len(self.response_ids):
            raise ValueError(f"{len(self.prompt_ids)} prompts but {len(self.response_ids)} responses; give one each")

    def __len__(self) -> int:
        return len(self.prompt_ids)

    def rows(self, index: Tensor) -> TokenBatch:
        """The rows `index` [N] in that order, trimmed to their longest prompt and their longest response.

        A width is never below 1, so that rows without any real token still make a batch.
        """
        prompt_mask, response_mask = self.prompt_mask[index], self.response_mask[index]
        prompt_width, response_width = _width(prompt_mask), _width(response_mask)
        return TokenBatch(
            prompt_ids=self.prompt_ids[index, :prompt_width],
            prompt_mask=prompt_mask[:, :prompt_width],
            response_ids=self.response_ids[index, :response_width],
            response_mask=response_mask[:, :response_width],
        )


def _width(mask: Tensor) -> int:
    """Columns of right-padded `mask` [N, T] that hold a real token, at least 1."""
    return max(1, int(mask.sum(dim=1).max())) if len(mask) else 1
