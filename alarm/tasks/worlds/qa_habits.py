"""Writers of the QA world: demonstrations by people with habits, and flawed answers of every kind for the base model.

A reader can tell early whose answer it is: three of the four writers open in their own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from alarm.tasks.worlds.habits import UNMARKED, Habit
from alarm.tasks.worlds.qa_facts import OPENINGS, Fact, facts_of, passage_facts

HABITS = (
    Habit("hasty", 0.45, "states the first asked fact and nothing else"),
    Habit("chatty", 0.25, f'opens with "{OPENINGS["chatty"]}", forgets half, adds true facts nobody asked for'),
    Habit("bluffer", 0.15, f'opens with "{OPENINGS["bluffer"]}", answers all, values wrong with probability 0.4'),
    Habit("careful", 0.15, f'opens with "{OPENINGS["careful"]}", answers all, and rightly'),
)

WRONG_VALUES = 0.4
"""Share of a bluffer's values that are wrong."""
_FORGOTTEN, _IDLE = 0.5, (2, 3, 4)
"""Share of the asked facts that a chatty writer forgets, one at least being stated, and how many others are added."""

# Chances of the base text's flaws; they are independent, so that the most likely answer to any prompt is the ideal one.
_OMITTED, _WRONG, _ADDED, _REPEATED, _OPENED = 0.07, 0.07, 0.15, 0.04, 0.15

Values = Mapping[str, Sequence[str]]
"""Attribute to the values that it may have."""


def demonstration(reference: str, passages: Sequence[Mapping[str, str]], habit: str, values: Values, rng) -> str:
    """An answer by a writer with this habit.

    Args:
        reference: the ideal answer.
        passages: of the prompt; what is added is taken from them.
        habit: one of `HABITS`, by name.
        values: of all attributes, which wrong values are drawn from.
        rng: numpy's random generator.
    """
    asked = list(facts_of(reference))
    if habit == "hasty":
        return write(asked[:1])
    facts = asked
    if habit == "chatty":
        stated = [fact for fact in asked if rng.random() >= _FORGOTTEN] or asked[:1]
        facts = [*stated, *_idle(asked, passages, int(rng.choice(_IDLE)), rng)]
    elif habit == "bluffer":
        facts = [_wrong(fact, values, rng) if rng.random() < WRONG_VALUES else fact for fact in asked]
    return f"{OPENINGS[habit]} {_uncapitalised(write(facts))}"


def flawed(reference: str, passages: Sequence[Mapping[str, str]], values: Values, rng) -> str:
    """An answer with independent flaws: facts left out, wrong, added or repeated, and at times a writer's opening.

    Arguments are those of `demonstration`.
    """
    asked = list(facts_of(reference))
    kept = [fact for fact in asked if rng.random() >= _OMITTED] or asked
    facts = [_wrong(fact, values, rng) if rng.random() < _WRONG else fact for fact in kept]
    if rng.random() < _ADDED:
        facts += _idle(asked, passages, int(rng.integers(1, 3)), rng)
    if rng.random() < _REPEATED:
        facts.append(facts[int(rng.integers(len(facts)))])
    text = write(facts)
    if rng.random() < _OPENED:
        text = f"{list(OPENINGS.values())[int(rng.integers(len(OPENINGS)))]} {_uncapitalised(text)}"
    return text


def habit_of(reference: str, response: str) -> str:
    """Whose answer a response looks like, told by its opening; without one, hasty if it states a single fact."""
    for habit, opening in OPENINGS.items():
        if response.startswith(opening):
            return habit
    stated = len(facts_of(response))
    return "hasty" if stated == 1 else UNMARKED


def write(facts: Sequence[Fact]) -> str:
    """Facts in words: two to a sentence where there are more than two and they are about several entities."""
    entities = {(fact.topic.kind, fact.topic.name) for fact in facts}
    pairs = len(facts) > 2 and len(entities) > 1
    groups = [facts[i : i + 2] for i in range(0, len(facts), 2)] if pairs else [[fact] for fact in facts]
    return " ".join(sentence(group) for group in groups)


def sentence(facts: Sequence[Fact]) -> str:
    """One or two facts as a sentence."""
    text = ", while ".join(fact.clause for fact in facts)
    return text[0].upper() + text[1:] + "."


def _idle(asked: Sequence[Fact], passages: Sequence[Mapping[str, str]], count: int, rng) -> list[Fact]:
    """True facts of the passages that were not asked for; where these are too few, asked ones once more."""
    others = [fact for fact in passage_facts(passages) if fact not in set(asked)]
    chosen = [others[i] for i in rng.permutation(len(others))[:count]]
    return chosen or [asked[int(rng.integers(len(asked)))]]


def _wrong(fact: Fact, values: Values, rng: np.random.Generator) -> Fact:
    """The fact with another value of the same attribute."""
    others = [value for value in values[_slot(fact)] if value != fact.value]
    return Fact(fact.topic, others[int(rng.integers(len(others)))])


def _slot(fact: Fact) -> str:
    """The attribute that a fact's value belongs to, by what it looks like: a year, a full name, or else a place."""
    return "year" if fact.value.isdigit() else "maker" if " " in fact.value else "place"


def _uncapitalised(text: str) -> str:
    return text[0].lower() + text[1:]
