"""What a judge is: it is shown two responses to one prompt, in both orders, and says which is better."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alarm.tasks.base import Example


class Verdict(StrEnum):
    """What both orders together say of the pair's first response."""

    WIN = "win"
    LOSE = "lose"
    TIE = "tie"
    INVALID = "invalid"
    """At least one order has no choice: neither a win nor a loss, and no tie either."""


class Choice(StrEnum):
    """What was chosen in one order: a place, no difference, or why there is no choice."""

    FIRST = "first"
    """The response shown first, whichever of the two that is."""
    SECOND = "second"
    TIE = "tie"
    EQUAL = "equal"
    """Both responses are the same text, so nobody was asked."""
    REFUSAL = "refusal"
    UNPARSABLE = "unparsable"
    MISSING = "missing"
    """No answer came, or none was asked for yet; asking again may bring one."""


PLACES = (Choice.FIRST, Choice.SECOND)
DECISIONS = (*PLACES, Choice.TIE)
"""What a judge can choose, as opposed to why there is no choice."""


@dataclass(frozen=True)
class Pair:
    """Two responses to one prompt; `example` holds the prompt, its reference and what else a judge may be shown."""

    example: Example
    first: str
    second: str

    @property
    def id(self) -> str:
        return self.example.id

    @property
    def is_equal(self) -> bool:
        """Whether both responses are the same text, up to space around it; such a pair is a tie."""
        return self.first.strip() == self.second.strip()


@dataclass(frozen=True)
class Judgement:
    """A verdict on a pair's first response, with what was chosen when it stood first and when it stood second."""

    verdict: Verdict
    choices: tuple[Choice, Choice]
    reasons: tuple[str, str] = ("", "")
    """Per order, what came instead of a choice, in words; empty where there is one."""


class Judge(ABC):
    """Compares responses in pairs."""

    name: str
    """As records and tables name it."""

    @abstractmethod
    def judge(self, pairs: Sequence[Pair]) -> list[Judgement]:
        """One judgement per pair, in order. Must not depend on which other pairs are asked about."""


def verdict_of(choices: tuple[Choice, Choice]) -> Verdict:
    """The verdict on the response that stood first in the first order and second in the second.

    The same response chosen in both orders wins; any other two choices are a tie, as a judge that follows the place
    rather than the text has not told the two apart.

    Source: arXiv:2403.06754, section 4.1. The released code counts an order without an answer as a tie; here it is
        invalid.

    >>> verdict_of((Choice.FIRST, Choice.SECOND)), verdict_of((Choice.FIRST, Choice.FIRST))
    (<Verdict.WIN: 'win'>, <Verdict.TIE: 'tie'>)
    """
    if choices == (Choice.EQUAL, Choice.EQUAL):
        return Verdict.TIE
    if not all(choice in DECISIONS for choice in choices):
        return Verdict.INVALID
    if choices == (Choice.FIRST, Choice.SECOND):
        return Verdict.WIN
    return Verdict.LOSE if choices == (Choice.SECOND, Choice.FIRST) else Verdict.TIE


def equal_judgement() -> Judgement:
    """Of a pair of equal responses."""
    return Judgement(Verdict.TIE, (Choice.EQUAL, Choice.EQUAL))


def first_choice_share(choices: Iterable[Choice | str]) -> float | None:
    """Position bias: which share of the chosen places is the first; 0.5 for a judge that reads the texts alone.

    Ties and orders without a choice are left out; None where no place was chosen. Over both orders of every pair a
    judge without bias chooses each place equally often, whichever responses are better.

    >>> first_choice_share(["first", "first", "second", "tie", "first"])
    0.75
    """
    counts = Counter(map(str, choices))
    placed = counts[Choice.FIRST] + counts[Choice.SECOND]
    return counts[Choice.FIRST] / placed if placed else None


def count_verdicts(judgements: Iterable[Judgement]) -> dict[str, int]:
    """How many judgements have each verdict, none left out."""
    counts = Counter(judgement.verdict for judgement in judgements)
    return {verdict.value: counts[verdict] for verdict in Verdict}
