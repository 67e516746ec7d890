"""The captions world's dictionary: German words, in every form, with one English word or phrase each."""

from __future__ import annotations

from alarm.tasks.worlds.caption_lexicon import (
    ADJECTIVES,
    COUNTS,
    HABITS,
    MANNERS,
    NOUNS,
    POSSESSIVES,
    VERBS,
    WHERE,
    WHITHER,
    WITH,
)

_ENDINGS = ("", "e", "en", "em", "er", "es")


def _content_words() -> dict[str, str]:
    found: dict[str, str] = {}
    for noun in NOUNS:
        # Where singular and plural look alike, the singular stands here.
        found.setdefault(noun.german, noun.english)
        for plural in (noun.german_plural, noun.german_plural + "n"):
            found.setdefault(plural, noun.english_plural)
        if noun.oblique:
            found.setdefault(noun.oblique, noun.english)
    for adjective in ADJECTIVES:
        stem = adjective.stem.removesuffix("e")
        found |= {stem + ending: adjective.english for ending in _ENDINGS}
        found[adjective.stem] = adjective.english
    return found | dict(HABITS) | dict(MANNERS)


def _verbs() -> dict[str, str]:
    found: dict[str, str] = {}
    for verb in VERBS:
        for particle in ("", verb.particle):
            found |= {particle + verb.singular: verb.third, particle + verb.plural: verb.base}
    return found


def _function_words() -> dict[str, str]:
    found = {"und": "and", "während": "while", "hoch": "up", "im": "in the", "am": "at the", "ins": "into the"}
    found |= {"d" + ending: "the" for ending in ("er", "ie", "as", "en", "em")}
    stems = {"ein": "a", "mehrer": "several", "viel": "many", "sein": POSSESSIVES["m"].english}
    stems["ihr"] = POSSESSIVES["f"].english
    found |= {stem + ending: word for stem, word in stems.items() for ending in _ENDINGS}
    found |= {determiner.german: determiner.english for determiner in COUNTS if determiner.declension == "none"}
    prepositions = {preposition.german: preposition.english for preposition in (*WHITHER.values(), WITH)}
    return found | prepositions | {preposition.german: preposition.english for preposition in WHERE.values()}


GERMAN_VERBS = _verbs()
"""Verbs, in English in the simple present."""

CONTENT_WORDS = _content_words() | GERMAN_VERBS
"""Nouns, adjectives, verbs and adverbs."""

FUNCTION_WORDS = _function_words()
"""Determiners, prepositions and conjunctions."""
