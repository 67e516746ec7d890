"""Translations with independent mistakes: most words are right, and nearly half of the texts are altogether."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from alarm.tasks.worlds.caption_edits import map_phrases, with_adjective, with_another_noun
from alarm.tasks.worlds.caption_glossary import CONTENT_WORDS
from alarm.tasks.worlds.caption_grammar import Phrase, Predicate, Scene, english, german
from alarm.tasks.worlds.caption_lexicon import COUNTS, THE, THE_PLURAL, VERBS, A, Verb
from alarm.tasks.worlds.caption_scenes import pick

# The chance of each mistake, where it can be made.
WRONG_NOUN = 0.04
WRONG_DETERMINER = 0.03
WRONG_NUMBER = 0.02
NO_ADJECTIVE = 0.1
ADDED_ADJECTIVE = 0.025
WRONG_VERB = 0.03
NO_MANNER = 0.1
NO_PLACE = 0.07
NO_HABIT = 0.1
NO_SECOND_CLAUSE = 0.07
WRONG_ARTICLE = 0.04
WRONG_AUXILIARY = 0.05
WRONG_VERB_FORM = 0.04
LEFT_IN_GERMAN = 0.05
LOWER_CASE = 0.05
NO_FULL_STOP = 0.06

_ARTICLES = {"a": "an", "an": "a", "A": "An", "An": "A"}
_AUXILIARIES = {"is": ("are", ""), "are": ("is", "")}
_VERB_FORMS = {form: verb for verb in VERBS for form in (verb.base, verb.third, verb.gerund)}


def flawed(scene: Scene, rng: np.random.Generator) -> str:
    """An English caption in which every mistake has its own chance; none at all is the likeliest case by far."""
    words = english(_misunderstood(scene, rng))[:-1].split()
    words = [word for word in (_misspelt(word, rng) for word in words) if word]
    if rng.random() < LEFT_IN_GERMAN:
        words = _partly_german(words, german(scene), rng)
    text = " ".join(words)
    first = text[0].lower() if rng.random() < LOWER_CASE else text[0].upper()
    return first + text[1:] + ("" if rng.random() < NO_FULL_STOP else ".")


def _misunderstood(scene: Scene, rng: np.random.Generator) -> Scene:
    scene = map_phrases(scene, lambda phrase: _other_phrase(phrase, rng))
    return replace(
        scene,
        predicate=_other_predicate(scene.predicate, rng),
        habit=None if rng.random() < NO_HABIT else scene.habit,
        also=None if rng.random() < NO_SECOND_CLAUSE else scene.also,
        meanwhile=None if rng.random() < NO_SECOND_CLAUSE else scene.meanwhile,
    )


def _other_phrase(phrase: Phrase, rng: np.random.Generator) -> Phrase:
    if rng.random() < WRONG_NOUN:
        phrase = with_another_noun(phrase, rng)
    if phrase.adjectives and rng.random() < NO_ADJECTIVE:
        phrase = replace(phrase, adjectives=())
    elif not phrase.adjectives and rng.random() < ADDED_ADJECTIVE:
        phrase = with_adjective(phrase, rng)
    if rng.random() < WRONG_DETERMINER:
        same = (THE_PLURAL, *COUNTS) if phrase.determiner.plural else (A, THE)
        phrase = replace(phrase, determiner=pick(rng, [word for word in same if word != phrase.determiner]))
    if rng.random() < WRONG_NUMBER:
        phrase = replace(phrase, determiner=A if phrase.determiner.plural else pick(rng, COUNTS))
    return phrase


def _other_predicate(predicate: Predicate, rng: np.random.Generator) -> Predicate:
    verb = predicate.verb
    if rng.random() < WRONG_VERB:
        verb = pick(rng, [other for other in VERBS if other != verb and _frame(other) == _frame(verb)])
    manner = None if rng.random() < NO_MANNER else predicate.manner
    place = None if rng.random() < NO_PLACE else predicate.place
    return replace(predicate, verb=verb, manner=manner, place=place)


def _frame(verb: Verb) -> tuple[bool, str, bool]:
    return bool(verb.objects), verb.places, verb.recipient


def _misspelt(word: str, rng: np.random.Generator) -> str:
    """The word in a wrong form, now and then; "" where it is left out."""
    if word in _ARTICLES and rng.random() < WRONG_ARTICLE:
        return _ARTICLES[word]
    if word in _AUXILIARIES and rng.random() < WRONG_AUXILIARY:
        return pick(rng, _AUXILIARIES[word])
    if word in _VERB_FORMS and rng.random() < WRONG_VERB_FORM:
        verb = _VERB_FORMS[word]
        return pick(rng, [form for form in (verb.third, verb.base, verb.gerund) if form != word])
    return word


def _partly_german(words: list[str], source: str, rng: np.random.Generator) -> list[str]:
    """The words with one of them as it stands in the source."""
    originals = {CONTENT_WORDS[word]: word for word in re.findall(r"\w+", source) if word in CONTENT_WORDS}
    places = [i for i, word in enumerate(words) if word in originals]
    if not places:
        return words
    i = places[int(rng.integers(len(places)))]
    return [*words[:i], originals[words[i]], *words[i + 1 :]]
