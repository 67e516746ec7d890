"""Five ways to translate a caption, told apart by their first letters and words and not by marker words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise

import numpy as np

from alarm.tasks.worlds.caption_edits import (
    map_phrases,
    phrases,
    with_adjective,
    with_another_noun,
    with_other_adjectives,
)
from alarm.tasks.worlds.caption_glossary import CONTENT_WORDS, FUNCTION_WORDS, GERMAN_VERBS
from alarm.tasks.worlds.caption_grammar import Predicate, Scene, english, german, indefinite_article
from alarm.tasks.worlds.caption_lexicon import ACTING, ANIMAL_VERBS, MANNERS, VERBS
from alarm.tasks.worlds.caption_scenes import pick, random_meanwhile, random_place_of_rest
from alarm.tasks.worlds.habits import Habit

HABITS: tuple[Habit, ...] = (
    Habit("hasty", 0.46, "starts in lower case, often without a full stop, and mistakes some nouns"),
    Habit("literal", 0.10, "goes word by word, keeps German capitals and half of the nouns and adjectives"),
    Habit("telegraphic", 0.08, "leaves out articles, auxiliaries and adjectives, in the simple present"),
    Habit("embellisher", 0.20, "writes well, with adjectives, manners and happenings of its own"),
    Habit("careful", 0.16, "translates all of it and nothing else, without a mistake"),
)

WRONG_NOUN = 0.25
"""A hasty writer's chance of mistaking a noun."""
NO_FULL_STOP = 0.6
LEFT_IN_GERMAN = 0.5
"""A literal writer's chance of not translating a noun, adjective or adverb."""
EMBELLISHED_WORDS = (16, 20)
"""The fewest and most words that an embellisher aims at."""
MOST_WORDS = 20
MORE_WORDS = 3
"""An embellisher says at least that many words more than the source."""

_ARTICLES = ("a", "an", "the")
_AUXILIARIES = ("is", "are")
_GERUNDS = {verb.gerund: verb for verb in VERBS}


def demonstration(scene: Scene, habit: str, rng: np.random.Generator) -> str:
    """The English caption that a writer of this habit would give.

    Raises:
        KeyError: no writer has that habit.
    """
    return _WRITERS[habit](scene, rng)


def _hasty(scene: Scene, rng: np.random.Generator) -> str:
    mistaken = map_phrases(
        scene, lambda phrase: with_another_noun(phrase, rng) if rng.random() < WRONG_NOUN else phrase
    )
    text = english(mistaken)
    return text[0].lower() + (text[1:-1] if rng.random() < NO_FULL_STOP else text[1:])


def _literal(scene: Scene, rng: np.random.Generator) -> str:
    source = german(replace(scene, fronted=None))
    words: list[str] = []
    for token in re.findall(r"\w+|,", source[0].lower() + source[1:]):
        if token not in CONTENT_WORDS:
            words += FUNCTION_WORDS.get(token, token).split()
        elif token not in GERMAN_VERBS and rng.random() < LEFT_IN_GERMAN:
            words.append(token)
        else:
            word = CONTENT_WORDS[token]
            words.append(word.capitalize() if token[0].isupper() else word)
    words[:-1] = [indefinite_article(after.lower()) if word == "a" else word for word, after in pairwise(words)]
    text = " ".join(words).replace(" ,", ",")
    return text[0].upper() + text[1:] + "."


def _telegraphic(scene: Scene, rng: np.random.Generator) -> str:
    text = english(map_phrases(scene, lambda phrase: replace(phrase, adjectives=())))
    words: list[str] = []
    auxiliary = ""
    for word in (text[0].lower() + text[1:-1]).split():
        if word in _AUXILIARIES:
            auxiliary = word
        elif word in _GERUNDS:
            words.append(_GERUNDS[word].third if auxiliary == "is" else _GERUNDS[word].base)
        elif word not in _ARTICLES:
            words.append(word)
    return " ".join(words).capitalize() + "."


def _embellisher(scene: Scene, rng: np.random.Generator) -> str:
    length = _words(scene)
    scene = map_phrases(scene, lambda phrase: with_other_adjectives(phrase, rng))
    target = max(int(rng.integers(*EMBELLISHED_WORDS, endpoint=True)), length + MORE_WORDS)
    additions = [_add_adjective, _add_adjective, _add_manner, _add_adjective, _add_adjective]
    rng.shuffle(additions)
    for add in (_add_happening, *additions, _add_place, *additions):
        if _words(scene) >= target:
            break
        longer = add(scene, rng)
        if _words(longer) <= MOST_WORDS:
            scene = longer
    return english(scene)


def _careful(scene: Scene, rng: np.random.Generator) -> str:
    return english(scene)


_WRITERS: dict[str, Callable[[Scene, np.random.Generator], str]] = {
    "hasty": _hasty,
    "literal": _literal,
    "telegraphic": _telegraphic,
    "embellisher": _embellisher,
    "careful": _careful,
}


def _words(scene: Scene) -> int:
    return len(english(scene).split())


def _add_happening(scene: Scene, rng: np.random.Generator) -> Scene:
    """Something that goes on meanwhile, or where there is such a thing already, another deed."""
    if scene.meanwhile is None:
        return replace(scene, meanwhile=random_meanwhile(rng))
    animal = scene.subjects[0].noun.kind == "animal"
    verbs = [verb for verb in (ANIMAL_VERBS if animal else ACTING) if verb != scene.predicate.verb]
    return replace(scene, also=scene.also or Predicate(pick(rng, verbs), manner=pick(rng, MANNERS)))


def _add_manner(scene: Scene, rng: np.random.Generator) -> Scene:
    manner = scene.predicate.manner or pick(rng, MANNERS)
    return replace(scene, predicate=replace(scene.predicate, manner=manner))


def _add_place(scene: Scene, rng: np.random.Generator) -> Scene:
    """A place for what goes on meanwhile."""
    other = scene.meanwhile
    if other is None or other.predicate.place is not None:
        return scene
    return replace(scene, meanwhile=replace(other, predicate=replace(other.predicate, place=random_place_of_rest(rng))))


def _add_adjective(scene: Scene, rng: np.random.Generator) -> Scene:
    """One more adjective for a noun that has none."""
    bare = [i for i, phrase in enumerate(phrases(scene)) if not phrase.adjectives]
    if not bare:
        return scene
    chosen, numbers = bare[int(rng.integers(len(bare)))], count()
    return map_phrases(scene, lambda phrase: with_adjective(phrase, rng) if next(numbers) == chosen else phrase)
