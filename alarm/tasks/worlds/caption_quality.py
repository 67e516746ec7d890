"""Gold quality of a translation in the captions world: how much of the reference it says, and how well."""

from __future__ import annotations

from dataclasses import dataclass

from alarm.tasks.worlds.caption_reading import read


@dataclass(frozen=True)
class Quality:
    """Gold quality of one response and its parts, all in [0, 1]; an empty response has 0 everywhere."""

    adequacy: float
    """F1 of the slots of response and reference as multisets: nouns, verbs and adverbs in their role and clause;
    number, determiner and adjectives of a noun; aspect of a verb; prepositions. Omissions, additions, repetitions,
    wrong words and exchanged roles all cost; words alone, in the wrong place, earn nothing."""
    fluency: float
    """1 / (1 + e) with e grammatical errors: articles, agreement, verb forms, missing or misplaced parts, unknown
    words, capital and full stop."""
    overall: float
    """adequacy (1 + fluency) / 2: an ungrammatical translation is worth at least half of what it says, a fluent one
    that says something else nothing."""


def quality(reference: str, response: str) -> Quality:
    """Gold quality of a response, computed from the two texts alone.

    Raises:
        ValueError: the reference is no caption of the world, so nothing is known about the response.
    """
    asked = read(reference)
    if asked.errors or not asked.slots:
        raise ValueError(
            f"gold quality is known in generated worlds only: the reference {reference[:60]!r} is no caption of the "
            'world; use gold="chrf" for real text'
        )
    said = read(response)
    if not said.slots:
        return Quality(0.0, 0.0, 0.0)
    adequacy = 2 * (asked.slots & said.slots).total() / (asked.slots.total() + said.slots.total())
    fluency = 1 / (1 + said.errors)
    return Quality(adequacy, fluency, adequacy * (1 + fluency) / 2)


def gold_quality(reference: str, response: str) -> float:
    """`quality(...).overall`."""
    return quality(reference, response).overall
