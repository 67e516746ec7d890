"""Comparisons as batches: all pairs of one prompt together, so that each response is read once however many pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from alarm.scorers.networks import Batch, Encoded, collate

if TYPE_CHECKING:
    from alarm.scorers.reader import Reader


class Pair(Protocol):
    """One comparison (`alarm.reward_modeling.comparisons.Comparison`)."""

    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class PairGroup:
    """All comparisons of one prompt: its distinct responses, and pairs of indices into them."""

    responses: list[Encoded]
    chosen: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    soft_labels: list[float] = field(default_factory=list)


def group_pairs(
    reader: Reader, pairs: Sequence[Pair], margins: Sequence[float], soft_labels: Sequence[float]
) -> list[PairGroup]:
    """One group per prompt, in the order in which prompts first occur; margins and soft labels are one per pair."""
    texts: dict[str, dict[str, int]] = {}
    for pair in pairs:
        responses = texts.setdefault(pair.prompt, {})
        responses.setdefault(pair.chosen, len(responses))
        responses.setdefault(pair.rejected, len(responses))
    flat = [(prompt, response) for prompt, responses in texts.items() for response in responses]
    encoded = iter(reader.encode([prompt for prompt, _ in flat], [[response] for _, response in flat]))
    groups = {prompt: PairGroup([next(encoded) for _ in responses]) for prompt, responses in texts.items()}
    for pair, margin, soft_label in zip(pairs, margins, soft_labels, strict=True):
        group = groups[pair.prompt]
        group.chosen.append(texts[pair.prompt][pair.chosen])
        group.rejected.append(texts[pair.prompt][pair.rejected])
        group.margins.append(margin)
        group.soft_labels.append(soft_label)
    return list(groups.values())


def groups_per_step(groups: Sequence[PairGroup], batch_size: int) -> int:
    """How many groups have about `batch_size` pairs together; at least 1."""
    return max(1, round(batch_size * len(groups) / sum(len(group.chosen) for group in groups)))


def collate_groups(groups: Sequence[PairGroup], *, pad_id: int) -> tuple[Batch, dict[str, Tensor]]:
    """The responses of some groups as one batch with one mark each, and the pairs among them.

    Returns:
        The batch of N responses, and `chosen` and `rejected`, [P] rows of that batch, with `margin` and `soft_label`,
        [P] fp32.
    """
    responses: list[Encoded] = []
    chosen, rejected, margins, soft_labels = [], [], [], []
    for group in groups:
        chosen += [len(responses) + i for i in group.chosen]
        rejected += [len(responses) + i for i in group.rejected]
        margins += group.margins
        soft_labels += group.soft_labels
        responses += group.responses
    return collate(responses, pad_id=pad_id), {
        "chosen": torch.tensor(chosen),
        "rejected": torch.tensor(rejected),
        "margin": torch.tensor(margins, dtype=torch.float32),
        "soft_label": torch.tensor(soft_labels, dtype=torch.float32),
    }
