"""The captions world: German image captions and their English translations, written as Multi30k publishes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from alarm.files import write_atomically
from alarm.tasks.worlds import caption_lexicon as words
from alarm.tasks.worlds.caption_grammar import Phrase, Place, Predicate, Scene, english, german
from alarm.tasks.worlds.caption_quality import Quality, gold_quality, quality

__all__ = ["SIZES", "Quality", "gold_quality", "quality", "random_scene", "write_world"]

SIZES: Mapping[str, int] = {"train": 4000, "val": 400, "test_2016_flickr": 400}
"""Sentence pairs per file."""

MAX_WORDS = 16

T = TypeVar("T")


def write_world(directory: Path | str, *, seed: int, sizes: Mapping[str, int] = SIZES) -> None:
    """Write `train`, `val` and `test_2016_flickr`, each with .de and .en, one sentence per line.

    No German sentence occurs twice, in one file or in two.

    Args:
        directory: where to write; made if absent.
        seed: decides every file, byte for byte.
        sizes: pairs per file, with the keys of `SIZES`; missing ones have the default.
    Raises:
        ValueError: an unknown file name, or a size below 1.
    """
    unknown = set(sizes) - set(SIZES)
    if unknown:
        raise ValueError(f"unknown files {sorted(unknown)} in sizes; known are {', '.join(SIZES)}")
    sizes = {**SIZES, **sizes}
    if min(sizes.values()) < 1:
        raise ValueError(f"sizes must be positive, got {sizes}")
    rng = np.random.default_rng(seed)
    seen: set[str] = set()
    for name, count in sizes.items():
        pairs: list[tuple[str, str]] = []
        while len(pairs) < count:
            scene = random_scene(rng)
            source, target = german(scene), english(scene)
            if source not in seen and max(len(source.split()), len(target.split())) <= MAX_WORDS:
                seen.add(source)
                pairs.append((source, target))
        for language, side in zip(("de", "en"), zip(*pairs, strict=True), strict=True):
            write_atomically(Path(directory) / f"{name}.{language}", "".join(f"{line}\n" for line in side))


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
    predicate = _predicate(rng, plural)
    habit = _pick(rng, words.HABITS) if rng.random() < 0.2 else None
    also = meanwhile = fronted = None
    draw = rng.random()
    if attribute is None and draw < 0.12:
        also = _predicate(rng, plural, short=True)
    elif attribute is None and draw < 0.24:
        meanwhile = _meanwhile(rng)
    if rng.random() < 0.35:
        # A fronted place would hide which predicate of two it belongs to.
        if predicate.place is not None and also is None:
            fronted = "place"
        elif habit is not None:
            fronted = "habit"
    return Scene(subjects, predicate, attribute, habit, also, meanwhile, fronted)


def _animal(rng: np.random.Generator) -> tuple[Predicate]:
    return (_going(rng, _pick(rng, words.ANIMAL_VERBS)),)


def _meanwhile(rng: np.random.Generator) -> Scene:
    if rng.random() < 0.5:
        return Scene((_phrase(rng, words.ANIMALS, adjective=0.1),), Predicate(_pick(rng, words.RESTING)))
    return Scene((_phrase(rng, words.PEOPLE, adjective=0.1),), Predicate(_pick(rng, (*words.ACTING, *words.RESTING))))


def _predicate(rng: np.random.Generator, plural: bool, *, short: bool = False) -> Predicate:
    draw = rng.random()
    if draw < 0.45:
        verb = _pick(rng, words.TRANSITIVE)
        place = None if short or rng.random() < 0.5 else _place(rng, verb)
        return Predicate(verb, object=_object(rng, verb), place=place)
    if draw < 0.55 and not short:
        verb = _pick(rng, words.GIVING)
        return Predicate(verb, object=_object(rng, verb), recipient=_phrase(rng, words.PEOPLE, adjective=0.1))
    if draw < 0.7:
        manner = _pick(rng, words.MANNERS) if rng.random() < 0.4 else None
        return Predicate(_pick(rng, words.ACTING), manner=manner, place=None if short else _place_of_rest(rng))
    return _going(rng, _pick(rng, (*words.RESTING, *words.MOVING)))


def _going(rng: np.random.Generator, verb: words.Verb) -> Predicate:
    manner = _pick(rng, words.MANNERS[:2]) if verb.places == "whither" and rng.random() < 0.25 else None
    return Predicate(verb, manner=manner, place=_place(rng, verb))


def _object(rng: np.random.Generator, verb: words.Verb) -> Phrase:
    return _phrase(rng, [noun for noun in words.NOUNS if noun.kind in verb.objects], adjective=0.25)


def _attribute(rng: np.random.Generator, subject: Phrase) -> Place:
    plural = subject.determiner.plural
    if rng.random() < 0.7:
        determiner = words.BARE if plural else words.A
        clothes = Phrase(_pick(rng, words.CLOTHES), determiner, (_pick(rng, words.COLORS),))
        return Place(words.WEARING, clothes)
    owner = "plural" if plural else subject.noun.gender
    companion = _pick(rng, words.ANIMALS)
    # A girl is neuter in German: whose dog it is would be said with "sein", which is not "her".
    determiner = words.POSSESSIVES.get(owner, words.A)
    return Place(words.WITH, Phrase(companion, determiner))


def _place(rng: np.random.Generator, verb: words.Verb) -> Place:
    if verb.places == "where":
        return _place_of_rest(rng)
    noun, _, whither = _pick(rng, [place for place in words.PLACES if place[2]])
    return Place(words.WHITHER[_pick(rng, whither)], _setting(rng, noun))


def _place_of_rest(rng: np.random.Generator) -> Place:
    noun, where, _ = _pick(rng, words.PLACES)
    return Place(words.WHERE[_pick(rng, where)], _setting(rng, noun))


def _setting(rng: np.random.Generator, noun: words.Noun) -> Phrase:
    determiner = words.A if rng.random() < 0.5 else words.THE
    adjectives = (_pick(rng, words.QUALITIES["place"]),) if rng.random() < 0.15 else ()
    return Phrase(noun, determiner, adjectives)


def _phrase(rng: np.random.Generator, nouns: Sequence[words.Noun], *, adjective: float = 0.2) -> Phrase:
    noun = _pick(rng, nouns)
    draw = rng.random()
    if draw < 0.55:
        determiner = words.A
    elif draw < 0.7:
        determiner = words.THE
    elif draw < 0.76:
        determiner = words.THE_PLURAL
    else:
        determiner = _pick(rng, words.COUNTS)
    kind = noun.kind if noun.kind in words.QUALITIES else "thing"
    adjectives = (_pick(rng, words.QUALITIES[kind]),) if rng.random() < adjective else ()
    return Phrase(noun, determiner, adjectives)


def _pick(rng: np.random.Generator, values: Sequence[T]) -> T:
    """One of `values` by Zipf's law, with probability proportional to 1 / (rank + 2)."""
    weights = 1 / (np.arange(len(values)) + 3.0)
    return values[int(rng.choice(len(values), p=weights / weights.sum()))]
