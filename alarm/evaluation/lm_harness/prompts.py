"""Prompts as text that lm-eval tokenises to what the policy reads."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase


def cut_prompts(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], *, max_tokens: int) -> list[str]:
    """Prompts of at most `max_tokens` tokens, cut at their end as rollouts cut them; lm-eval would cut their beginning.

    A text is cut where a token ends. Where that is within a word, its last piece may become other tokens than the
    rollout's; it is then shortened further until it fits.

    Raises:
        ValueError: not even an empty prompt fits.
    """
    return [_cut(tokenizer, prompt, max_tokens) for prompt in prompts]


def _cut(tokenizer: PreTrainedTokenizerBase, prompt: str, max_tokens: int) -> str:
    tokens = tokenizer(prompt, return_offsets_mapping=True)
    if len(tokens.input_ids) <= max_tokens:
        return prompt
    ends = sorted({end for _, end in tokens.offset_mapping[:max_tokens]}, reverse=True)
    for end in [*ends, 0]:
        if len(tokenizer(prompt[:end]).input_ids) <= max_tokens:
            return prompt[:end]
    raise ValueError(f"prompts of {max_tokens} tokens hold nothing; raise max_prompt_tokens")
