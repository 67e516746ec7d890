"""Scorers backed by a trained network: one score per response, or one verdict per unit of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from alarm.scorers.base import Placement, Score, Scorer, Span
from alarm.scorers.reader import BATCH_SIZE, Reader, checksum
from alarm.text.splitters import SPLITTERS


class LearnedScorer(Scorer):
    """Loads the network that was trained for this scorer from `directory`."""

    def __init__(
        self,
        directory: str | Path,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """Raises `ValueError` if `directory` holds no scorer or that of another kind."""
        self.directory, self.batch_size = Path(directory), batch_size
        self.reader = self._read(device, dtype)
        if self.reader.form.kind != self.name:
            raise ValueError(f"{directory} holds a {self.reader.form.kind} model, not a {self.name} model")

    def _read(self, device: str, dtype: torch.dtype | None) -> Reader:
        return Reader.load(self.directory, device=device, dtype=dtype)

    @cached_property
    def _checksum(self) -> str:
        return checksum(self.directory)

    @property
    def version(self) -> str:
        return self._checksum

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Score]:
        """One `Score` per pair; pairs are batched by length. Raises `ValueError` on a length mismatch."""
        if len(prompts) != len(responses):
            raise ValueError(f"{self.name}: {len(prompts)} prompts but {len(responses)} responses; pass one of each")
        units = [self._units(response) for response in responses]
        logits = self.reader.logits(prompts, [texts for _, texts in units], batch_size=self.batch_size)
        return [self.verdict(spans, part) for (spans, _), part in zip(units, logits, strict=True)]

    def facts(self) -> dict[str, Any]:
        units = {"sentence_splitter": SPLITTERS[self.reader.splitter].version()} if self.reader.form.labels else {}
        return units | {
            "version": self.version,
            "max_tokens": self.reader.max_tokens,
            "batch_size": self.batch_size,
            "dtype": str(self.reader.network.dtype).removeprefix("torch."),
            "padding_side": "right",
        }

    def count_cut(self, prompts: Sequence[str], responses: Sequence[str]) -> int:
        before = self.reader.truncated_prompts
        self.reader.encode(prompts, [self._units(response)[1] for response in responses])
        return self.reader.truncated_prompts - before

    def _units(self, response: str) -> tuple[list[tuple[int, int]], list[str]]:
        """Spans and texts of what is judged separately."""
        spans = self.reader.form.unit_spans(response)
        return spans, [response[start:end] for start, end in spans]

    def verdict(self, spans: list[tuple[int, int]], logits: torch.Tensor) -> Score:
        """The score of a response from its units' spans and logits [units, labels]."""
        raise NotImplementedError


class SequenceScorer(LearnedScorer):
    """The network's one number for the whole response, raw; an empty response is read like any other."""

    placement = Placement.LAST
    higher_is_better = True
    normalize = True
    log_odds = True

    def verdict(self, spans: list[tuple[int, int]], logits: torch.Tensor) -> Score:
        return Score(logits.item())


class HolisticScorer(SequenceScorer):
    """The holistic reward model, trained on preferences."""

    name = "holistic"
    value_name = "holistic reward"


class CompletenessScorer(SequenceScorer):
    """How much of the asked information the response holds, trained on coverage comparisons.

    As a reward the z-normalised value times 0.3, after Fine-Grained RLHF.
    """

    name = "completeness"
    value_name = "completeness reward"
    scale = 0.3


class UnitScorer(LearnedScorer):
    """Judges each unit of the response: good iff its logit for "no error" exceeds that for the error; a tie is bad.

    `value` is good units / units, and 0.5 for a response without units (an empty one), which then has no span.
    """

    placement = Placement.UNIT_END
    higher_is_better = True
    reward: float
    """Span value of a good unit; a bad one has the negative."""

    def verdict(self, spans: list[tuple[int, int]], logits: torch.Tensor) -> Score:
        if not spans:
            return Score(0.5)
        good = self.reader.form.good(logits).tolist()
        values = tuple(Span(*span, self.reward if ok else -self.reward) for span, ok in zip(spans, good, strict=True))
        return Score(sum(good) / len(good), values)


class FactualityScorer(UnitScorer):
    """Sentences that the passages support; the network reads question and passages."""

    name = "factuality"
    value_name = "factuality rate"
    reward = 0.5


class RelevanceScorer(UnitScorer):
    """Sub-sentences that answer the question without repetition; the network reads the question only."""

    name = "relevance"
    value_name = "relevance rate"
    reward = 0.3
