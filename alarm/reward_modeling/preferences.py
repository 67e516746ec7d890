"""Training of the holistic and the completeness model on comparisons, through TRL's `RewardTrainer`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn.functional import logsigmoid

from alarm.reward_modeling.contrastive import Contrastive, ContrastiveTerm
from alarm.reward_modeling.fitting import OnCheckpoint, OnStep, fit
from alarm.reward_modeling.pair_batches import Pair, collate_groups, group_pairs, groups_per_step
from alarm.scorers.reader import Reader

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from alarm.settings import RewardModelSettings


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
    """Mean preference loss, with margins and soft labels, of the first tenth of the steps; 0.693 is chance without."""
    last_loss: float
    """The same of the last tenth."""
    truncated_prompts: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def preference_loss(chosen: Tensor, rejected: Tensor, margin: Tensor, soft_label: Tensor) -> Tensor:
    """Bradley-Terry loss with margin and smoothed labels.

    `mean -(1 - a) log sigmoid(d) - a log sigmoid(-d)`, d = r_c - r_r - m

    Args:
        chosen: [P] scores of the preferred responses.
        rejected: [P] scores of the others.
        margin: [P], m; 0 for the plain loss.
        soft_label: [P], a in [0, 1], the share of belief in the other label; 0 for the plain loss.
    Returns:
        scalar, in nats.
    Source: arXiv:2403.06754, section 3.1 (plain); arXiv:2401.06080 (adaptive margin, label smoothing).
    """
    difference = chosen - rejected - margin
    return -((1 - soft_label) * logsigmoid(difference) + soft_label * logsigmoid(-difference)).mean()


def fit_preferences(
    reader: Reader,
    pairs: Sequence[Pair],
    *,
    settings: RewardModelSettings,
    margins: Sequence[float] | None = None,
    soft_labels: Sequence[float] | None = None,
    contrastive: Contrastive | None = None,
    checkpoints: Sequence[int] = (),
    on_checkpoint: OnCheckpoint | None = None,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> list[float]:
    """Train `reader`, a sequence score, on `pairs` in place.

    All pairs of one prompt stand in one batch, so that each response is read once however many pairs it is in
    (and is not over-fitted; arXiv:2203.02155, section 3.5); a batch has about `settings.batch_size` pairs.
    Margins, soft labels and a contrastive term leave order and composition of the batches as they are without.

    Args:
        pairs: comparisons to learn from, the better response first.
        settings: `steps`, `batch_size`, `learning_rate` and `seed` (of the order) are read.
        margins: one per pair, 0 by default.
        soft_labels: one per pair in [0, 1], 0 by default.
        contrastive: a further term on the responses' representations.
        checkpoints: numbers of optimiser steps in [0, settings.steps], 0 being before training.
        on_checkpoint: called with each of them, the network in evaluation mode; it cannot disturb the training.
        on_step: called with (step, steps, loss) at every step.
    Returns:
        The preference loss of every step, without the contrastive term.
    Raises:
        ValueError: no pairs, a count of margins or soft labels that differs, a soft label out of range, a checkpoint
            beyond the last step, or a loss that is not finite.
    """
    kind = reader.form.kind
    if reader.form.labels:
        raise ValueError(f"a {kind} model judges units; comparisons train a sequence score such as holistic")
    if not pairs:
        raise ValueError(f"the {kind} model needs comparisons to learn from, got none")
    margins = _one_per_pair("margin", margins, pairs)
    soft_labels = _one_per_pair("soft label", soft_labels, pairs)
    if not all(0 <= share <= 1 for share in soft_labels):
        raise ValueError(f"soft labels must lie in [0, 1], got {min(soft_labels)} to {max(soft_labels)}")
    groups = group_pairs(reader, pairs, margins, soft_labels)
    term = None
    if contrastive is not None:
        term = ContrastiveTerm(contrastive, size=reader.network.config.hidden_size, seed=settings.seed)
    return fit(
        reader,
        groups,
        collate=lambda rows: collate_groups(rows, pad_id=reader.tokenizer.pad_token_id),
        loss=pair_loss,
        rows_per_step=groups_per_step(groups, settings.batch_size),
        settings=settings,
        device=device,
        on_step=on_step,
        checkpoints=checkpoints,
        on_checkpoint=on_checkpoint,
        preferences=True,
        auxiliary=term,
    )


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
    soft_labels: Sequence[float] | None = None,
    contrastive: Contrastive | None = None,
    max_tokens: int = 1024,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> PreferenceReport:
    """Train a sequence score on `pairs` and save it to `directory`, where the scorer of that `kind` loads it.

    Args:
        pairs: comparisons to learn from, the better response first.
        kind: "holistic" or "completeness".
        checkpoint: weights to start from: the SFT policy, or a pretrained model.
        held_out: comparisons for the accuracies in the report; their prompts should not occur in `pairs`.
        margins: see `fit_preferences`, as are `soft_labels`, `contrastive` and `on_step`.
        max_tokens: see `Reader`.
    Raises:
        ValueError: as `fit_preferences`.
    """
    started = time.perf_counter()
    reader = Reader.from_checkpoint(
        checkpoint, tokenizer, kind, seed=settings.seed, max_tokens=max_tokens, likelihoods=settings.likelihoods
    )
    losses = fit_preferences(
        reader,
        pairs,
        settings=settings,
        margins=margins,
        soft_labels=soft_labels,
        contrastive=contrastive,
        device=device,
        on_step=on_step,
    )
    truncated = reader.truncated_prompts
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


def _one_per_pair(name: str, values: Sequence[float] | None, pairs: Sequence[Pair]) -> list[float]:
    if values is None:
        return [0.0] * len(pairs)
    if len(values) != len(pairs):
        raise ValueError(f"{len(values)} {name}s for {len(pairs)} pairs; pass one {name} per pair")
    return [float(value) for value in values]


def pair_loss(logits: Tensor, *, chosen: Tensor, rejected: Tensor, margin: Tensor, soft_label: Tensor) -> Tensor:
    """`preference_loss` of a batch: scores are logits [N, 1], pairs are rows [P] of them."""
    scores = logits.squeeze(1)
    return preference_loss(scores[chosen], scores[rejected], margin, soft_label)
