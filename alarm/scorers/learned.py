"""Scorers backed by a trained network: one score per response, or one verdict per unit of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch

from alarm.scorers.base import Placement, Score, Scorer, Span
from alarm.scorers.reader import Reader, checksum


class LearnedScorer(Scorer):
    """Loads the network that was trained for this scorer from `directory`."""

    def __init__(
        self,
        directory: str | Path,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        batch_size: int = 64,
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
        spans = [self.reader.form.unit_spans(response) for response in responses]
        units = [[text[start:end] for start, end in bounds] for text, bounds in zip(responses, spans, strict=True)]
        logits = self.reader.logits(prompts, units, batch_size=self.batch_size)
        return [self.verdict(*pair) for pair in zip(spans, logits, strict=True)]

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
