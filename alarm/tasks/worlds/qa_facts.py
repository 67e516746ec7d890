"""The QA world's language: how a fact is said in English, how texts are read back into facts, and the gold quality."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

KINDS: Mapping[str, Mapping[str, str]] = {
    "film": {"maker": "was directed by", "year": "came out in", "place": "was filmed in"},
    "novel": {"maker": "was written by", "year": "was published in", "place": "is set in"},
    "song": {"maker": "was sung by", "year": "was released in", "place": "was recorded in"},
    "bridge": {"maker": "was designed by", "year": "opened in", "place": "stands in"},
    "museum": {"maker": "was founded by", "year": "was built in", "place": "is located in"},
}
"""What the world is about: kind of entity to the predicate of each of its attributes."""

SLOTS = ("maker", "year", "place")

OPENINGS: Mapping[str, str] = {"chatty": "Well,", "bluffer": "Surely,", "careful": "In brief,"}
"""How writers with a habit open their answers; an opening states nothing."""


@dataclass(frozen=True)
class Topic:
    """What a statement is about: the film Velor, and that it "was directed by" somebody."""

    kind: str
    name: str
    predicate: str


@dataclass(frozen=True)
class Fact:
    """A topic and its value, e.g. the director's name."""

    topic: Topic
    value: str

    @property
    def clause(self) -> str:
        """The fact in words, without final punctuation, as it stands in the middle of a sentence."""
        return f"the {self.topic.kind} {self.topic.name} {self.topic.predicate} {self.value}"


@dataclass(frozen=True)
class Claim:
    """One statement of a text at characters `start` to `end`; `fact` is None where the text cannot be understood."""

    start: int
    end: int
    fact: Fact | None


class Verdict(Enum):
    """What is wrong with a claim, named as QA-Feedback's error types; at most one thing is, the first that applies."""

    CORRECT = "correct"
    INCOHERENT = "Incoherent"
    REDUNDANT = "Redundant"
    IRRELEVANT = "Irrelevant"
    WRONG = "Wrong-Grounding"
    UNVERIFIABLE = "Unverifiable"


@dataclass(frozen=True)
class Quality:
    """Gold quality of one response and its parts, all in [0, 1]; a response without claims has 0 everywhere."""

    factuality: float
    """Share of the claims that the passages support."""
    relevance: float
    """Share of the claims that are about something asked and not said before."""
    completeness: float
    """Share of the asked facts that are stated."""
    overall: float
    """2 P R / (P + R) with R = completeness and P = c / (c + f + i / 2): c asked facts stated, f claims that are false
    or not understandable, i claims that are true but not asked or said before. A false claim costs what a right one
    earns, an idle one half of it."""


def _pattern() -> re.Pattern[str]:
    predicates = "|".join(sorted({re.escape(predicate) for slots in KINDS.values() for predicate in slots.values()}))
    # Any name or year may follow any predicate: "opened in Carsby" is a statement, if not one of the world's facts.
    value = r"\d{4}|[A-Z][a-z]+(?: (?!The\b)[A-Z][a-z]+)?"
    openings = "|".join(re.escape(opening) for opening in OPENINGS.values())
    return re.compile(
        rf"(?:(?:\b(?:while|and)|{openings}) )?\b[Tt]he (?P<kind>{'|'.join(KINDS)}) (?P<name>[A-Z][a-z]+) "
        rf"(?P<predicate>{predicates}) (?P<value>{value})\b[.,;!?]*"
    )


_CLAIM = _pattern()
_REMAINDER = re.compile(r"[^\s.!?][^.!?]*[.!?]*")
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=65536)
def parse(text: str) -> tuple[Claim, ...]:
    """Read a text back into claims, in order. What is left between well-formed statements is one claim per sentence
    without a fact, unless it holds nothing but punctuation and a connecting "while" or "and". An opening belongs to the
    statement that follows it."""
    claims, position = [], 0
    for match in _CLAIM.finditer(text):
        claims += _unreadable(text, position, match.start())
        topic = Topic(match["kind"], match["name"], match["predicate"])
        claims.append(Claim(match.start(), match.end(), Fact(topic, match["value"])))
        position = match.end()
    claims += _unreadable(text, position, len(text))
    return tuple(claims)


def facts_of(text: str) -> dict[Fact, None]:
    """The distinct facts a text states, in order (a dictionary serves as an ordered set)."""
    return {claim.fact: None for claim in parse(text) if claim.fact is not None}


def passage_facts(passages: Sequence[Mapping[str, str]]) -> dict[Fact, tuple[int, int]]:
    """Facts stated in the passages, each with where it stands: passage counted from 1, sentence counted from 1
    (QA-Feedback's numbering, in which sentence 0 is the title; the world has one fact per sentence)."""
    found: dict[Fact, tuple[int, int]] = {}
    for i, passage in enumerate(passages, start=1):
        for j, claim in enumerate(parse(passage["content"]), start=1):
            if claim.fact is not None:
                found.setdefault(claim.fact, (i, j))
    return found


def judge(reference: str, passages: Sequence[Mapping[str, str]], response: str) -> list[tuple[Claim, Verdict]]:
    """Every claim of a response with what is wrong with it, given what was asked (the reference) and what is true."""
    asked = {fact.topic for fact in facts_of(reference)}
    true = passage_facts(passages)
    known = {fact.topic for fact in true}
    verdicts, said = [], set()
    for claim in parse(response):
        verdicts.append((claim, _verdict(claim.fact, asked, true, known, said)))
        said.add(claim.fact)
    return verdicts


def quality(reference: str, passages: Sequence[Mapping[str, str]], response: str) -> Quality:
    """Gold quality of a response, computed from texts alone: the asked facts are those of the reference, the true
    facts those of the passages.

    Raises:
        ValueError: the reference states no fact of the world, so nothing is known about the response.
    """
    asked = facts_of(reference)
    if not asked:
        raise ValueError(
            f"gold quality is known in generated worlds only: the reference {reference[:60]!r} states none of the "
            "world's facts; use a judge or a reward model for real data"
        )
    judged = judge(reference, passages, response)
    if not judged:
        return Quality(0.0, 0.0, 0.0, 0.0)
    true = passage_facts(passages)
    correct = sum(verdict is Verdict.CORRECT for _, verdict in judged)
    supported = sum(claim.fact in true for claim, _ in judged)
    unasked = (Verdict.INCOHERENT, Verdict.REDUNDANT, Verdict.IRRELEVANT)
    relevant = sum(verdict not in unasked for _, verdict in judged)
    false, idle = len(judged) - supported, supported - correct
    completeness = correct / len(asked)
    precision = correct / (correct + false + 0.5 * idle)
    overall = 2 * precision * completeness / (precision + completeness) if correct else 0.0
    return Quality(supported / len(judged), relevant / len(judged), completeness, overall)


def gold_quality(reference: str, passages: Sequence[Mapping[str, str]], response: str) -> float:
    """`quality(...).overall`."""
    return quality(reference, passages, response).overall


def _verdict(
    fact: Fact | None, asked: set[Topic], true: Mapping[Fact, object], known: set[Topic], said: set[Fact | None]
) -> Verdict:
    if fact is None:
        return Verdict.INCOHERENT
    if fact in said:
        return Verdict.REDUNDANT
    if fact.topic not in asked:
        return Verdict.IRRELEVANT
    if fact in true:
        return Verdict.CORRECT
    return Verdict.WRONG if fact.topic in known else Verdict.UNVERIFIABLE


def _unreadable(text: str, start: int, end: int) -> list[Claim]:
    claims = []
    for match in _REMAINDER.finditer(text[start:end]):
        if set(_WORD.findall(match.group().lower())) - {"while", "and"}:
            stop = start + match.start() + len(match.group().rstrip())
            claims.append(Claim(start + match.start(), stop, None))
    return claims
