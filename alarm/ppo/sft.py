"""Supervised fine-tuning of the initial policy on reference responses."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from alarm.ppo.batch import TokenBatch
from alarm.ppo.networks import set_dropout
from alarm.ppo.policy import Policy
from alarm.ppo.prompts import encode_prompts
from alarm.ppo.sft_checkpoint import SFTCheckpoint
from alarm.settings import SFTSettings

MAX_GRAD_NORM = 1.0

BUCKET_BATCHES = 20
"""Batches are cut from shuffled stretches of this many batches, sorted by length within: little padding, fair order."""


def train_sft(
    policy: Policy,
    prompts: Sequence[str],
    responses: Sequence[str],
    settings: SFTSettings,
    *,
    max_prompt_tokens: int,
    max_new_tokens: int,
    on_step: Callable[[int, int, float], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 0,
) -> list[float]:
    """Maximise the mean log-probability per token of the responses, end token included.

    AdamW with linear warm-up and cosine or linear decay, on every weight of the model that is trainable. A batch's loss
    is divided by the tokens that a batch has on average: batches hold rows of about one length, and divided by their
    own tokens short responses would count more. A batch is read in `accumulation_steps` parts, whose gradients add up.
    Warns if prompts or responses had to be cut. torch's own random state is left as it was.

    With a folder `checkpoint` the training's state is kept there after every `checkpoint_every` steps, and an
    interrupted training, called again in the same way, goes on from it and ends with the same weights.

    Returns:
        The loss of every step, in nats per token of its batch.
    Raises:
        ValueError: no examples, or a loss that is not finite.
    """
    from transformers import get_scheduler

    if not prompts or len(prompts) != len(responses):
        raise ValueError(
            f"supervised fine-tuning needs prompts with responses, got {len(prompts)} and {len(responses)}"
        )
    prompt_ids, prompt_mask, cut_prompts = encode_prompts(policy, prompts, max_tokens=max_prompt_tokens)
    response_ids, response_mask, cut_responses = encode_responses(policy, responses, max_tokens=max_new_tokens)
    if cut_prompts or cut_responses:
        warnings.warn(
            f"supervised fine-tuning cuts {cut_prompts} of {len(prompts)} prompts to {max_prompt_tokens} tokens and "
            f"{cut_responses} responses to {max_new_tokens}",
            stacklevel=2,
        )
    data = TokenBatch(prompt_ids, prompt_mask, response_ids, response_mask)
    parameters = [parameter for parameter in policy.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    warmup = int(settings.warmup_share * settings.steps)
    schedule = get_scheduler(settings.schedule, optimizer, warmup, settings.steps)
    mean_tokens = data.response_mask.sum().item() / len(prompts)
    generator = torch.Generator().manual_seed(settings.seed)
    set_dropout(policy.model, settings.dropout, adapters=False)
    policy.train()
    with torch.random.fork_rng(devices=[policy.device] if policy.device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        identity = {} if checkpoint is None else _identity(settings, data, policy.model)
        kept = SFTCheckpoint(checkpoint, checkpoint_every, identity, policy.model, optimizer, schedule)
        kept.restore()
        losses = kept.losses
        # Batches already learned from are drawn and passed over: drawing them costs nothing.
        remaining = islice(_batches(data, settings, generator), len(losses), None)
        for step, rows in enumerate(remaining, start=len(losses) + 1):
            optimizer.zero_grad(set_to_none=True)
            tokens = data.response_mask[rows].sum().item()
            losses.append(0.0)
            for part in rows.chunk(settings.accumulation_steps):
                total = -policy.text_log_probs(data.rows(part)).sum()
                (total / (len(rows) * mean_tokens)).backward()
                losses[-1] += total.item() / tokens
            if not math.isfinite(losses[-1]):
                raise ValueError(f"the SFT loss is {losses[-1]} at step {step}; lower the learning rate")
            torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
            optimizer.step()
            schedule.step()
            kept.keep(settings.steps)
            if on_step is not None:
                on_step(step, settings.steps, losses[-1])
    set_dropout(policy.model, 0.0, adapters=False)
    policy.eval()
    return losses


def encode_responses(policy: Policy, responses: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor, int]:
    """Response ids [N, T] with their end token and boolean mask, and how many were cut, end token and all."""
    end, pad = policy.tokenizer.eos_token_id, policy.tokenizer.pad_token_id
    rows = policy.tokenizer(list(responses), add_special_tokens=False).input_ids
    cut = sum(len(row) >= max_tokens for row in rows)
    rows = [[*row, end][:max_tokens] for row in rows]
    width = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    mask = torch.arange(width) < torch.tensor([len(row) for row in rows]).unsqueeze(1)
    return ids.to(policy.device), mask.to(policy.device), cut


def _identity(settings: SFTSettings, data: TokenBatch, model: nn.Module) -> dict[str, object]:
    """What decides the numbers of a training: its settings, its tokens, and the weights that it starts from."""
    start = [tensor for _, tensor in sorted(model.state_dict().items())]
    return {**asdict(settings), "data": _digest([data.prompt_ids, data.response_ids]), "start": _digest(start)}


def _digest(tensors: Iterable[Tensor]) -> str:
    """sha256 of shapes and values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _batches(data: TokenBatch, settings: SFTSettings, generator: torch.Generator):
    """Row indices of `settings.steps` batches, reshuffled every pass over the data."""
    lengths = (data.prompt_mask.sum(1) + data.response_mask.sum(1)).cpu()
    size = min(settings.batch_size, len(lengths))
    done = 0
    while True:
        order = torch.randperm(len(lengths), generator=generator)
        batches = []
        for stretch in order.split(size * BUCKET_BATCHES):
            by_length = stretch[lengths[stretch].argsort(stable=True)]
            batches += [rows for rows in by_length.split(size) if len(rows) == size]
        for i in torch.randperm(len(batches), generator=generator).tolist():
            if done == settings.steps:
                return
            done += 1
            yield batches[i].to(data.prompt_ids.device)
