"""Prompts as the policy reads them: as they stand, or as a user's turn of a chat model; the prompt's end is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from alarm.ppo.policy import Policy


def encode_prompts(policy: Policy, prompts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor, int]:
    """Prompt ids [B, S] and boolean mask, right-padded, and how many prompts were cut at their end.

    A prompt that the tokenizer closes with an end token keeps it when cut. A prompt without any token becomes the end
    token, since a causal model needs one to begin with. A causal policy whose tokenizer has a chat template reads each
    prompt as the user's turn of a conversation; the template around it is never cut.

    Raises:
        ValueError: no prompts, or a chat template that alone has as many tokens as are allowed.
    """
    if not prompts:
        raise ValueError("there are no prompts; give at least one")
    if not policy.is_encoder_decoder and policy.tokenizer.chat_template:
        rows, truncated = _turns(policy, prompts, max_tokens)
        return *padded(policy, rows), truncated
    end = policy.tokenizer.eos_token_id
    rows = [row or [end] for row in policy.tokenizer(list(prompts)).input_ids]
    truncated = sum(len(row) > max_tokens for row in rows)
    rows = [
        row if len(row) <= max_tokens else [*row[: max_tokens - 1], end] if row[-1] == end else row[:max_tokens]
        for row in rows
    ]
    return *padded(policy, rows), truncated


def padded(policy: Policy, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids [N, T], padded on the right, and boolean mask of rows of different lengths."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[policy.tokenizer.pad_token_id] * (width - len(row))] for row in rows])
    mask = torch.arange(width) < torch.tensor([len(row) for row in rows]).unsqueeze(1)
    return ids.to(policy.device), mask.to(policy.device)


def _turns(policy: Policy, prompts: Sequence[str], max_tokens: int) -> tuple[list[list[int]], int]:
    """Each prompt in the chat template, up to where the answer begins, and how many prompts were cut to fit."""
    template = len(_turn(policy, ""))
    if template >= max_tokens:
        raise ValueError(
            f"the policy's chat template alone has {template} tokens and prompts may have {max_tokens}; raise "
            "max_prompt_tokens"
        )
    rows, cut = [], 0
    for prompt in prompts:
        row = _turn(policy, prompt)
        if len(row) > max_tokens:
            cut += 1
            row = _shortened(policy, prompt, max_tokens, max_tokens - template)
        rows.append(row)
    return rows, cut


def _turn(policy: Policy, prompt: str) -> list[int]:
    text = policy.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
    )
    # The template writes the special tokens itself.
    return policy.tokenizer(text, add_special_tokens=False).input_ids


def _shortened(policy: Policy, prompt: str, max_tokens: int, tokens: int) -> list[int]:
    """The turn of the prompt's first `tokens` tokens, or of fewer where the template splits or joins some otherwise."""
    offsets = policy.tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    for kept in range(min(tokens, len(offsets)), 0, -1):
        row = _turn(policy, prompt[: offsets[kept - 1][1]])
        if len(row) <= max_tokens:
            return row
    return _turn(policy, "")
