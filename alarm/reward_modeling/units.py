"""Training of the factuality and the relevance classifier on labelled units (sentences, sub-sentences)."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from alarm.reward_modeling.fitting import OnStep, fit
from alarm.scorers.forms import Form
from alarm.scorers.networks import Batch, Encoded, collate
from alarm.scorers.reader import Reader
from alarm.tasks.qa_labels import GOOD

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from alarm.settings import RewardModelSettings


@dataclass(frozen=True)
class LabelledUnits:
    """A response with one label per unit (`Form.unit_spans` of its kind), such as ("O", "F-ERR", "Ignore")."""

    prompt: str
    response: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class UnitReport:
    """What training a unit classifier came to; `to_dict` goes into records."""

    units: int
    held_out_units: int
    accuracy: float
    """Share of held-out units judged right as good or bad; units labelled "Ignore" do not count."""
    majority_accuracy: float
    """The same for always giving the more frequent verdict."""
    error_recall: float
    """Share of held-out bad units that are found."""
    error_precision: float
    """Share of units judged bad that are bad."""
    first_loss: float
    """Mean cross-entropy of the first tenth of the steps."""
    last_loss: float
    """The same of the last tenth."""
    truncated_prompts: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def train_unit_model(
    examples: Sequence[LabelledUnits],
    directory: str | Path,
    *,
    kind: str,
    checkpoint: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    settings: RewardModelSettings,
    held_out: Sequence[LabelledUnits] = (),
    max_tokens: int = 1024,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> UnitReport:
    """Train a unit classifier and save it to `directory`, where the scorer of that `kind` loads it.

    Only the logits at the units' marks enter the loss. A step has half of `settings.batch_size` responses: each has
    a prompt of its own, while that many pairs share fewer.

    Args:
        examples: labelled responses; those without units are skipped.
        kind: "factuality" or "relevance".
        checkpoint: weights to start from: the SFT policy, or a pretrained model.
        held_out: labelled responses for the accuracies in the report.
        max_tokens: see `Reader`.
        on_step: called with (step, steps, loss) at every step.
    Raises:
        ValueError: no units, an unknown label, a label count that differs from the unit count, or a loss not finite.
    """
    started = time.perf_counter()
    rows = [row for row in examples if row.labels]
    if not rows:
        raise ValueError(f"the {kind} model needs labelled units to learn from, got none")
    reader = Reader.from_checkpoint(
        checkpoint,
        tokenizer,
        kind,
        seed=settings.seed,
        max_tokens=max_tokens,
        splitter=settings.sentence_splitter,
        likelihoods=settings.likelihoods,
    )
    form = reader.form
    encoded = reader.encode([row.prompt for row in rows], [_unit_texts(form, row) for row in rows])
    truncated = reader.truncated_prompts
    losses = fit(
        reader,
        [(item, [form.labels.index(label) for label in row.labels]) for item, row in zip(encoded, rows, strict=True)],
        collate=lambda batch: _collate_units(batch, tokenizer.pad_token_id),
        loss=lambda logits, labels: cross_entropy(logits, labels),
        rows_per_step=max(1, settings.batch_size // 2),
        settings=settings,
        device=device,
        on_step=on_step,
    )
    reader.save(directory)
    tenth = max(1, len(losses) // 10)
    return UnitReport(
        units=sum(len(row.labels) for row in rows),
        **evaluate_units(reader, held_out),
        first_loss=sum(losses[:tenth]) / tenth,
        last_loss=sum(losses[-tenth:]) / tenth,
        truncated_prompts=truncated,
        seconds=time.perf_counter() - started,
    )


def evaluate_units(reader: Reader, examples: Sequence[LabelledUnits]) -> dict[str, float]:
    """Verdicts of `reader` against labels: the held-out fields of `UnitReport`, NaN where there is nothing to count."""
    form = reader.form
    rows = [row for row in examples if row.labels]
    logits = reader.logits([row.prompt for row in rows], [_unit_texts(form, row) for row in rows])
    counts: Counter[tuple[bool, bool]] = Counter()  # (is good, judged good)
    for row, verdicts in zip(rows, logits, strict=True):
        for label, verdict in zip(row.labels, form.good(verdicts).tolist(), strict=True):
            if label in (GOOD, form.error):
                counts[label == GOOD, verdict] += 1
    bad = counts[False, False] + counts[False, True]
    good = counts[True, True] + counts[True, False]
    return {
        "held_out_units": good + bad,
        "accuracy": _ratio(counts[True, True] + counts[False, False], good + bad),
        "majority_accuracy": _ratio(max(good, bad), good + bad),
        "error_recall": _ratio(counts[False, False], bad),
        "error_precision": _ratio(counts[False, False], counts[False, False] + counts[True, False]),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _unit_texts(form: Form, row: LabelledUnits) -> list[str]:
    spans = form.unit_spans(row.response)
    if len(spans) != len(row.labels):
        raise ValueError(
            f"{form.kind}: {len(row.labels)} labels for the {len(spans)} units of the response {row.response!r}; "
            "label the units that Form.unit_spans gives"
        )
    unknown = sorted(set(row.labels) - set(form.labels))
    if unknown:
        raise ValueError(f"unknown {form.kind} label {unknown[0]!r}; known: {', '.join(form.labels)}")
    return [row.response[start:end] for start, end in spans]


def _collate_units(rows: Sequence[tuple[Encoded, list[int]]], pad_id: int) -> tuple[Batch, dict[str, Tensor]]:
    batch = collate([item for item, _ in rows], pad_id=pad_id)
    return batch, {"labels": torch.tensor([label for _, labels in rows for label in labels])}
