"""What a scorer is. Scorers read text, never policy token ids, so they work with any policy's tokenizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Placement(Enum):
    """Where an aspect's values sit among the response's tokens."""

    LAST = "last"
    """One value per response, on the last generated token (holistic, completeness, readability, confidence)."""
    UNIT_END = "unit_end"
    """One value per text unit, on the last token of that unit; every other token is 0 and never shaped."""
    COVERED = "covered"
    """Every token carries a value: the span's where a span overlaps the token, 0 elsewhere (grammar)."""


@dataclass(frozen=True)
class Span:
    """A value for the characters `start` (inclusive) to `end` (exclusive) of a response."""

    start: int
    end: int
    value: float


@dataclass(frozen=True)
class Score:
    """The score of one response.

    `value` is one number per response: what tables, win rates and selection compare (a rate, a grade, a probability,
    a raw reward). `spans` are where a per-token scorer puts its rewards; empty for per-response scorers.
    """

    value: float
    spans: tuple[Span, ...] = ()


class Scorer(ABC):
    """Scores a batch of (prompt, response) texts."""

    name: str
    value_name: str
    """What `Score.value` is, as tables print it, e.g. "factuality rate"."""
    placement: Placement
    higher_is_better: bool
    """Direction of `Score.value` (an error rate is False). Span values are rewards: higher is always better there."""
    normalize: bool = False
    """True if the per-response value must be z-normalised with measured constants before it serves as a reward."""
    scale: float = 1.0
    """Factor applied after normalisation (0.3 for completeness, after Fine-Grained RLHF)."""
    log_odds: bool = False
    """True if the difference of two values is the log-odds of a preference, as in a Bradley-Terry model."""

    @property
    def version(self) -> str:
        """Version of the tool or checksum of the model behind the scorer, for records."""
        return "1"

    def facts(self) -> dict[str, Any]:
        """What its numbers depend on besides the texts, for records."""
        return {"version": self.version}

    def count_cut(self, prompts: Sequence[str], responses: Sequence[str]) -> int:
        """How many of these pairs are so long that the end of the prompt is not read; nothing is scored."""
        return 0

    @abstractmethod
    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Score]:
        """One `Score` per pair, in order. Must not depend on how the pairs are batched."""
