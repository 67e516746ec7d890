"""Training of the holistic and the completeness model on comparisons, through TRL's `RewardTrainer`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from alarm.reward_modeling.fitting import OnStep, fit
from alarm.scorers.networks import Batch, Encoded, collate
from alarm.scorers.reader import Reader

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from alarm.settings import RewardModelSettings


class Pair(Protocol):
    """One comparison (`alarm.reward_modeling.comparisons.Comparison`)."""

    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class PreferenceReport:
    """What training a reward model on comparisons came to; `to_dict` goes into records."""

    pairs: int
    held_out_pairs: int
    accuracy: float
    """Share of held-out pairs whose chosen response scores higher (a tie counts half); NaN without held-out pairs."""
    length_accuracy: float
    """The same for the number of words instead of the score: what "longer is better" alone achieves."""
    train_accuracy: float
    """On as many training pairs as are held out: far above `accuracy` means memorised."""
    first_loss: float
    """Mean -log sigmoid(chosen - rejected) of the first tenth of the steps; 0.693 is chance."""
    last_loss: float
    """The same of the last tenth."""
    truncated_prompts: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def preference_loss(chosen: Tensor, rejected: Tensor, margin: Tensor) -> Tensor:
    """Bradley-Terry loss with margin, `mean -log sigmoid(r_c - r_r - m)`.

    Args:
        chosen: [P] scores of the preferred responses.
        rejected: [P] scores of the others.
        margin: [P], 0 for the plain loss.
    Returns:
        scalar, in nats.
    Source: arXiv:2403.06754, section 3.1 (plain); arXiv:2401.06080, section 2.2 (margin).
    """
    return -logsigmoid(chosen - rejected - margin).mean()


def train_preference_model(
    pairs: Sequence[Pair],
    directory: str | Path,
    *,
    kind: str,
    checkpoint: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    settings: RewardModelSettings,
    held_out: Sequence[Pair] = (),
    margins: Sequence[float] | None = None,
    max_tokens: int = 1024,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> PreferenceReport:
    """Train a sequence score on `pairs` and save it to `directory`, where the scorer of that `kind` loads it.

    All pairs of one prompt stand in one batch, so that each response is read once however many pairs it is in
    (and is not over-fitted; arXiv:2203.02155, section 3.5); a batch has about `settings.batch_size` pairs.

    Args:
        pairs: comparisons to learn from, the better response first.
        kind: "holistic" or "completeness".
        checkpoint: weights to start from: the SFT policy, or a pretrained model.
        held_out: comparisons for the accuracies in the report; their prompts should not occur in `pairs`.
        margins: one per pair, 0 by default.
        max_tokens: see `Reader`.
        on_step: called with (step, steps, loss) at every step.
    Raises:
        ValueError: no pairs, a margin count that differs, or a loss that is not finite.
    """
    if not pairs:
        raise ValueError(f"the {kind} model needs comparisons to learn from, got none")
    margins = [0.0] * len(pairs) if margins is None else list(margins)
    if len(margins) != len(pairs):
        raise ValueError(f"{len(margins)} margins for {len(pairs)} pairs; pass one margin per pair")
    started = time.perf_counter()
    reader = Reader.from_checkpoint(checkpoint, tokenizer, kind, seed=settings.seed, max_tokens=max_tokens)
    groups = _groups(reader, pairs, margins)
    truncated = reader.truncated_prompts
    losses = fit(
        reader,
        groups,
        collate=lambda rows: _collate_groups(rows, tokenizer.pad_token_id),
        loss=_pair_loss,
        rows_per_step=max(1, round(settings.batch_size * len(groups) / len(pairs))),
        settings=settings,
        device=device,
        on_step=on_step,
        preferences=True,
    )
    reader.save(directory)
    tenth = max(1, len(losses) // 10)
    return PreferenceReport(
        pairs=len(pairs),
        held_out_pairs=len(held_out),
        accuracy=accuracy(reader, held_out),
        length_accuracy=length_accuracy(held_out),
        train_accuracy=accuracy(reader, pairs[: len(held_out)]),
        first_loss=sum(losses[:tenth]) / tenth,
        last_loss=sum(losses[-tenth:]) / tenth,
        truncated_prompts=truncated,
        seconds=time.perf_counter() - started,
    )


def accuracy(reader: Reader, pairs: Sequence[Pair]) -> float:
    """Share of pairs whose chosen response scores higher, a tie counting half; NaN without pairs."""
    prompts = [pair.prompt for pair in pairs] * 2
    responses = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    scores = [logits.item() for logits in reader.logits(prompts, [[response] for response in responses])]
    return _share_higher(scores[: len(pairs)], scores[len(pairs) :])


def length_accuracy(pairs: Sequence[Pair]) -> float:
    """Share of pairs whose chosen response has more words, a tie counting half; NaN without pairs."""
    return _share_higher([len(pair.chosen.split()) for pair in pairs], [len(pair.rejected.split()) for pair in pairs])


def _share_higher(first: Sequence[float], second: Sequence[float]) -> float:
    if not first:
        return math.nan
    return sum((a > b) + 0.5 * (a == b) for a, b in zip(first, second, strict=True)) / len(first)


@dataclass(frozen=True)
class _Group:
    """All comparisons of one prompt: its distinct responses, and pairs of indices into them."""

    responses: list[Encoded]
    chosen: list[int]
    rejected: list[int]
    margins: list[float]


def _groups(reader: Reader, pairs: Sequence[Pair], margins: Sequence[float]) -> list[_Group]:
    texts: dict[str, dict[str, int]] = {}
    for pair in pairs:
        responses = texts.setdefault(pair.prompt, {})
        responses.setdefault(pair.chosen, len(responses))
        responses.setdefault(pair.rejected, len(responses))
    flat = [(prompt, response) for prompt, responses in texts.items() for response in responses]
    encoded = iter(reader.encode([prompt for prompt, _ in flat], [[response] for _, response in flat]))
    groups = {prompt: _Group([next(encoded) for _ in responses], [], [], []) for prompt, responses in texts.items()}
    for pair, margin in zip(pairs, margins, strict=True):
        groups[pair.prompt].chosen.append(texts[pair.prompt][pair.chosen])
        groups[pair.prompt].rejected.append(texts[pair.prompt][pair.rejected])
        groups[pair.prompt].margins.append(margin)
    return list(groups.values())


def _collate_groups(groups: Sequence[_Group], pad_id: int) -> tuple[Batch, dict[str, Tensor]]:
    responses: list[Encoded] = []
    chosen, rejected, margins = [], [], []
    for group in groups:
        chosen += [len(responses) + i for i in group.chosen]
        rejected += [len(responses) + i for i in group.rejected]
        margins += group.margins
        responses += group.responses
    indices = {"chosen": torch.tensor(chosen), "rejected": torch.tensor(rejected)}
    return collate(responses, pad_id=pad_id), {**indices, "margin": torch.tensor(margins)}


def _pair_loss(logits: Tensor, *, chosen: Tensor, rejected: Tensor, margin: Tensor) -> Tensor:
    scores = logits.squeeze(1)
    return preference_loss(scores[chosen], scores[rejected], margin)
