"""Sampling responses: batched, with a key-value cache, one token for all rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alarm.ppo import engine, processes
from alarm.ppo.batch import TokenBatch
from alarm.ppo.policy import Policy, encode_distinct, left_padded, positions
from alarm.ppo.prompts import encode_prompts, padded
from alarm.text.offsets import decode_with_offsets


@dataclass(frozen=True)
class Rollout:
    """Responses of the policy to B prompts."""

    batch: TokenBatch
    """Prompt and response tokens; response rows are cut after their end token, the widest has T tokens."""
    responses: list[str]
    """The responses' texts, without special tokens."""
    offsets: list[list[tuple[int, int]]]
    """Character span of every generated token in its response's text."""
    truncated_prompts: int
    """Prompts that were cut at their end."""

    @property
    def lengths(self) -> Tensor:
        """[B] generated tokens, the end token included."""
        return self.batch.response_mask.sum(dim=1)


@torch.no_grad()
def rollout(
    policy: Policy,
    prompts: Sequence[str],
    *,
    max_prompt_tokens: int,
    max_new_tokens: int,
    generator: torch.Generator | None,
) -> Rollout:
    """Respond to every prompt: sampled at temperature 1 from the whole distribution, or greedily without a generator.

    Dropout is off. Rows end at their end token or after `max_new_tokens`; padding and other ids that are no text are
    never drawn.

    Several processes (see `alarm.ppo.processes`) call this together. Each responds to its share of the prompts and gets
    all responses: those that one process would have drawn, save where rounding decides between two tokens.
    """
    training = policy.training
    policy.eval()
    prompt_ids, prompt_mask, truncated = encode_prompts(policy, prompts, max_tokens=max_prompt_tokens)
    mine = processes.shard(len(prompts))
    with engine.unsharded(policy):
        drawn = _draw(policy, prompt_ids, prompt_mask, mine, max_new_tokens, generator) if mine else []
    policy.train(training)
    rows = processes.gather(drawn)
    if generator is not None:
        # Every process leaves the generator where the longest response of all takes it.
        for _ in range(max(map(len, rows)) - max(map(len, drawn), default=0)):
            _uniform(generator, len(prompts))
    batch = TokenBatch(prompt_ids, prompt_mask, *padded(policy, rows))
    responses, offsets = decode_with_offsets(policy.tokenizer, batch.response_ids, batch.response_mask)
    return Rollout(batch, responses, offsets, truncated)


def _draw(
    policy: Policy,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    mine: range,
    max_new_tokens: int,
    generator: torch.Generator | None,
) -> list[list[int]]:
    """The ids of the responses to the prompts `mine` of all B, end tokens included."""
    mask = prompt_mask[mine.start : mine.stop]
    width = int(mask.sum(dim=1).max())
    begin = _encoder_decoder_steps if policy.is_encoder_decoder else _causal_steps
    steps = begin(policy, prompt_ids[mine.start : mine.stop, :width], mask[:, :width])
    next(steps)
    end = policy.tokenizer.eos_token_id
    columns: list[Tensor] = []
    masks: list[Tensor] = []
    running = torch.ones(len(mine), dtype=torch.bool, device=policy.device)
    token = None
    for _ in range(max_new_tokens):
        uniform = None if generator is None else _uniform(generator, len(prompt_ids))[mine.start : mine.stop]
        token = _choose(policy.mask_forbidden(steps.send(token)), uniform)
        token = torch.where(running, token, policy.tokenizer.pad_token_id)
        columns.append(token)
        masks.append(running)
        running = running & (token != end)
        if not running.any():
            break
    ids, lengths = torch.stack(columns, 1).tolist(), torch.stack(masks, 1).sum(dim=1).tolist()
    return [row[:length] for row, length in zip(ids, lengths, strict=True)]


def _uniform(generator: torch.Generator, rows: int) -> Tensor:
    """[B, 1] numbers from 0 to below 1, one per row of the whole batch, so that no row's depends on who draws it."""
    return torch.rand((rows, 1), generator=generator, dtype=torch.float64, device=generator.device)


def _choose(logits: Tensor, uniform: Tensor | None) -> Tensor:
    """[B] ids from logits [B, V]: the likeliest, or by inverting the distribution function at `uniform` [B, 1].

    That takes B random numbers where `torch.multinomial` draws B x V, a fifth of a small policy's sampling time.
    """
    if uniform is None:
        return logits.argmax(-1)
    cumulative = logits.softmax(-1).cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    # Strictly below the total, so that rounding never picks an id of probability 0 behind the last possible one.
    level = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, level, right=True).squeeze(1)


def _encoder_decoder_steps(policy: Policy, prompt_ids: Tensor, prompt_mask: Tensor):
    """A generator of next-token logits [B, V]; send it the tokens drawn last, None at first."""
    from transformers import DynamicCache, EncoderDecoderCache

    mask = prompt_mask.long()
    encoded = encode_distinct(policy.model, prompt_ids, prompt_mask)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    token = yield
    while True:
        if token is None:
            token = prompt_ids.new_full((len(prompt_ids),), policy.config.decoder_start_token_id)
        out = policy.model(
            encoder_outputs=encoded,
            attention_mask=mask,
            decoder_input_ids=token.unsqueeze(1),
            past_key_values=cache,
            use_cache=True,
        )
        token = yield out.logits[:, -1]


def _causal_steps(policy: Policy, prompt_ids: Tensor, prompt_mask: Tensor):
    """As `_encoder_decoder_steps`, for one stream: the prompt is left-padded and read at once."""
    from transformers import DynamicCache

    ids, mask = left_padded(prompt_ids, prompt_mask)
    position, cache = positions(mask), DynamicCache()
    token = yield
    while True:
        if token is not None:
            ids = token.unsqueeze(1)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            position = position[:, -1:] + 1
        out = policy.model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        token = yield out.logits[:, -1]
