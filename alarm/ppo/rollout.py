"""Sampling responses: batched, with a key-value cache, one token for all rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alarm.fused import WHOLE
from alarm.ppo import engine, processes
from alarm.ppo.batch import TokenBatch
from alarm.ppo.policy import Policy, TokenOutputs, spread
from alarm.ppo.prompts import encode_prompts, padded
from alarm.text.offsets import decode_with_offsets

SHRINK = 0.75
"""Rows that have ended are left out of the batch once at most this share is still running."""
PENDING = 2**21
"""Logits that are held until log-probabilities and entropies are taken of them together; 8 MiB."""


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
    predictions: TokenOutputs | None = None
    """What the policy said of the tokens when it drew them; None if it was not kept."""

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
    keep_predictions: bool = False,
) -> Rollout:
    """Respond to every prompt: sampled at temperature 1 from the whole distribution, or greedily without a generator.

    Dropout is off. Rows end at their end token or after `max_new_tokens`; padding and other ids that are no text are
    never drawn. With `keep_predictions` the policy's log-probabilities, values and entropies are kept for PPO, which
    would otherwise compute them again; not those of a policy in half precision, where the two differ too much.

    Several processes (see `alarm.ppo.processes`) call this together. Each responds to its share of the prompts and gets
    all responses: those that one process would have drawn, save where rounding decides between two tokens.
    """
    keep_predictions = keep_predictions and policy.model.dtype in WHOLE
    training = policy.training
    policy.eval()
    prompt_ids, prompt_mask, truncated = encode_prompts(policy, prompts, max_tokens=max_prompt_tokens)
    mine = processes.shard(len(prompts))
    with engine.unsharded(policy):
        responding = _Responding(policy, prompt_ids, prompt_mask, mine, max_new_tokens, keep_predictions)
        drawn = responding.draw(generator) if mine else []
    policy.train(training)
    rows = processes.gather(drawn)
    if generator is not None:
        # Every process leaves the generator where the longest response of all takes it.
        for _ in range(max(len(ids) for ids, *_ in rows) - max((len(ids) for ids, *_ in drawn), default=0)):
            _uniform(generator, len(prompts))
    response_ids, response_mask = padded(policy, [ids for ids, *_ in rows])
    batch = TokenBatch(prompt_ids, prompt_mask, response_ids, response_mask)
    predictions = None
    if keep_predictions:
        kept = (torch.cat(part).to(policy.device) for part in zip(*(parts for _, *parts in rows), strict=True))
        predictions = TokenOutputs(*(spread(part, response_mask) for part in kept))
    responses, offsets = decode_with_offsets(policy.tokenizer, batch.response_ids, batch.response_mask)
    return Rollout(batch, responses, offsets, truncated, predictions)


class _Responding:
    """Responses to the prompts `mine` of all B."""

    def __init__(
        self,
        policy: Policy,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        mine: range,
        max_new_tokens: int,
        keep_predictions: bool,
    ) -> None:
        self.policy, self.mine, self.total = policy, mine, len(prompt_ids)
        self.ids, self.mask = prompt_ids[mine.start : mine.stop], prompt_mask[mine.start : mine.stop]
        self.max_new_tokens = max_new_tokens
        shape, device = (len(mine), max_new_tokens), policy.device
        self.response_ids = torch.zeros(shape, dtype=torch.long, device=device)
        self.kept = [torch.zeros(shape, device=device) for _ in TokenOutputs._fields] if keep_predictions else []
        self.pending: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []

    def draw(self, generator: torch.Generator | None) -> list[tuple]:
        """Of each prompt the ids of its response, end token included, and what is kept of its tokens."""
        policy, end = self.policy, self.policy.tokenizer.eos_token_id
        width = int(self.mask.sum(dim=1).max())
        sampler = policy.trunk.sampler(
            self.ids[:, :width], self.mask[:, :width], self.max_new_tokens, policy.logit_bias
        )
        active = torch.arange(len(self.mine), device=policy.device)  # the sampler's rows
        running = torch.ones_like(active, dtype=torch.bool)  # of those
        token = None
        for place in range(self.max_new_tokens):
            uniform = None
            if generator is not None:
                uniform = _uniform(generator, self.total)[self.mine.start : self.mine.stop]
                uniform = uniform if len(active) == len(uniform) else uniform[active]
            logits, states = sampler.step(token)
            token = _choose(logits, uniform)
            self.response_ids[active, place] = token
            if self.kept:
                self._keep(active, torch.full_like(active, place), token, logits, states)
            running = running & (token != end)
            left = int(running.sum())
            if not left:
                break
            if left <= SHRINK * len(active):
                rows = running.nonzero().squeeze(1)
                sampler.keep(rows)
                active, token, running = active[rows], token[rows], running[rows]
        self._predict()
        drawn = self.response_ids[:, : place + 1].cpu()
        # What a row draws behind its end, until it leaves the batch, is not its response.
        ends = torch.nn.functional.pad(drawn == end, (0, 1), value=True)
        lengths = (ends.long().argmax(dim=1) + 1).clamp(max=drawn.shape[1]).tolist()
        kept = [part.cpu() for part in self.kept]
        return [(drawn[i, :n].tolist(), *(part[i, :n] for part in kept)) for i, n in enumerate(lengths)]

    def _keep(self, *step: Tensor) -> None:
        """Note a step's rows, places, tokens, logits and states; what they say of the tokens is computed for many."""
        self.pending.append(step)
        if sum(logits.numel() for *_, logits, _ in self.pending) >= PENDING:
            self._predict()

    def _predict(self) -> None:
        if self.pending:
            rows, places, tokens, logits, states = (torch.cat(parts) for parts in zip(*self.pending, strict=True))
            chosen, entropies = self.policy.of_tokens(logits, tokens, with_entropy=True)
            for kept, part in zip(self.kept, (chosen, self.policy.values(states), entropies), strict=True):
                kept[rows, places] = part
            self.pending.clear()


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
