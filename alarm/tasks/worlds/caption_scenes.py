"""Draws meanings for captions: who does what where, and what happens meanwhile."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np

from alarm.tasks.worlds import caption_lexicon as words
from alarm.tasks.worlds.caption_grammar import Phrase, Place, Predicate, Scene

T = TypeVar("T")


def random_scene(rng: np.random.Generator) -> Scene:
    """Draw a meaning; the words at the end of every list of the lexicon are rare, as in real text."""
    if rng.random() < 0.22:
        return Scene((_phrase(rng, words.ANIMALS),), *_animal(rng))
    subject = _phrase(rng, words.PEOPLE, adjective=0.3)
    subjects = (subject,)
    attribute = None
    draw = rng.random()
    if draw < 0.12:
        others = [noun for noun in words.PEOPLE if noun != subject.noun]
        subjects = (subject, _phrase(rng, others, adjective=0.15))
    elif draw < 0.37:
        attribute = _attribute(rng, subject)
    plural = len(subjects) > 1 or subject.determiner.plural
    predicate = random_predicate(rng, plural)
    habit = pick(rng, words.HABITS) if rng.random() < 0.2 else None
    also = meanwhile = fronted = None
    draw = rng.random()
    if attribute is None and draw < 0.12:
        also = random_predicate(rng, plural, short=True)
    elif attribute is None and draw < 0.24:
        meanwhile = random_meanwhile(rng)
    if rng.random() < 0.35:
        # A fronted place would hide which predicate of two it belongs to.
        if predicate.place is not None and also is None:
            fronted = "place"
        elif habit is not None:
            fronted = "habit"
    return Scene(subjects, predicate, attribute, habit, also, meanwhile, fronted)


def _animal(rng: np.random.Generator) -> tuple[Predicate]:
    return (_going(rng, pick(rng, words.ANIMAL_VERBS)),)


def random_meanwhile(rng: np.random.Generator) -> Scene:
    """A short scene that goes on at the same time as another."""
    if rng.random() < 0.5:
        return Scene((_phrase(rng, words.ANIMALS, adjective=0.1),), Predicate(pick(rng, words.RESTING)))
    return Scene((_phrase(rng, words.PEOPLE, adjective=0.1),), Predicate(pick(rng, (*words.ACTING, *words.RESTING))))


def random_predicate(rng: np.random.Generator, plural: bool, *, short: bool = False) -> Predicate:
    """What a person does; a `short` one has no place and no recipient."""
    draw = rng.random()
    if draw < 0.45:
        verb = pick(rng, words.TRANSITIVE)
        place = None if short or rng.random() < 0.5 else _place(rng, verb)
        return Predicate(verb, object=_object(rng, verb), place=place)
    if draw < 0.55 and not short:
        verb = pick(rng, words.GIVING)
        return Predicate(verb, object=_object(rng, verb), recipient=_phrase(rng, words.PEOPLE, adjective=0.1))
    if draw < 0.7:
        manner = pick(rng, words.MANNERS) if rng.random() < 0.4 else None
        return Predicate(pick(rng, words.ACTING), manner=manner, place=None if short else random_place_of_rest(rng))
    return _going(rng, pick(rng, (*words.RESTING, *words.MOVING)))


def _going(rng: np.random.Generator, verb: words.Verb) -> Predicate:
    manner = pick(rng, words.MANNERS[:2]) if verb.places == "whither" and rng.random() < 0.25 else None
    return Predicate(verb, manner=manner, place=_place(rng, verb))


def _object(rng: np.random.Generator, verb: words.Verb) -> Phrase:
    return _phrase(rng, [noun for noun in words.NOUNS if noun.kind in verb.objects], adjective=0.25)


def _attribute(rng: np.random.Generator, subject: Phrase) -> Place:
    plural = subject.determiner.plural
    if rng.random() < 0.7:
        determiner = words.BARE if plural else words.A
        clothes = Phrase(pick(rng, words.CLOTHES), determiner, (pick(rng, words.COLORS),))
        return Place(words.WEARING, clothes)
    owner = "plural" if plural else subject.noun.gender
    companion = pick(rng, words.ANIMALS)
    # A girl is neuter in German: whose dog it is would be said with "sein", which is not "her".
    determiner = words.POSSESSIVES.get(owner, words.A)
    return Place(words.WITH, Phrase(companion, determiner))


def _place(rng: np.random.Generator, verb: words.Verb) -> Place:
    if verb.places == "where":
        return random_place_of_rest(rng)
    noun, _, whither = pick(rng, [place for place in words.PLACES if place[2]])
    return Place(words.WHITHER[pick(rng, whither)], _setting(rng, noun))


def random_place_of_rest(rng: np.random.Generator) -> Place:
    """Where something happens."""
    noun, where, _ = pick(rng, words.PLACES)
    return Place(words.WHERE[pick(rng, where)], _setting(rng, noun))


def _setting(rng: np.random.Generator, noun: words.Noun) -> Phrase:
    determiner = words.A if rng.random() < 0.5 else words.THE
    adjectives = (pick(rng, words.QUALITIES["place"]),) if rng.random() < 0.15 else ()
    return Phrase(noun, determiner, adjectives)


def _phrase(rng: np.random.Generator, nouns: Sequence[words.Noun], *, adjective: float = 0.2) -> Phrase:
    noun = pick(rng, nouns)
    draw = rng.random()
    if draw < 0.55:
        determiner = words.A
    elif draw < 0.7:
        determiner = words.THE
    elif draw < 0.76:
        determiner = words.THE_PLURAL
    else:
        determiner = pick(rng, words.COUNTS)
    kind = noun.kind if noun.kind in words.QUALITIES else "thing"
    adjectives = (pick(rng, words.QUALITIES[kind]),) if rng.random() < adjective else ()
    return Phrase(noun, determiner, adjectives)


def pick(rng: np.random.Generator, values: Sequence[T]) -> T:
    """One of `values` by Zipf's law, with probability proportional to 1 / (rank + 2)."""
    return values[bisect_right(_cumulative(len(values)), rng.random())]


@cache
def _cumulative(count: int) -> list[float]:
    """What `Generator.choice` would compute anew for every draw."""
    weights = 1 / (np.arange(count) + 3.0)
    sums = np.cumsum(weights / weights.sum())
    return (sums / sums[-1]).tolist()
