"""Changes to the meaning of a caption: its noun phrases one by one, other nouns, further adjectives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from alarm.tasks.worlds.caption_grammar import Phrase, Place, Predicate, Scene
from alarm.tasks.worlds.caption_lexicon import NOUNS, QUALITIES, Noun
from alarm.tasks.worlds.caption_scenes import pick

Change = Callable[[Phrase], Phrase]


def phrases(scene: Scene) -> list[Phrase]:
    """All noun phrases of a scene, in the order in which `map_phrases` meets them."""
    found: list[Phrase] = []

    def note(phrase: Phrase) -> Phrase:
        found.append(phrase)
        return phrase

    map_phrases(scene, note)
    return found


def map_phrases(scene: Scene, change: Change) -> Scene:
    """The scene with every noun phrase replaced by what `change` makes of it."""
    return replace(
        scene,
        subjects=tuple(change(phrase) for phrase in scene.subjects),
        attribute=_in_place(scene.attribute, change),
        predicate=_in_predicate(scene.predicate, change),
        also=None if scene.also is None else _in_predicate(scene.also, change),
        meanwhile=None if scene.meanwhile is None else map_phrases(scene.meanwhile, change),
    )


def with_another_noun(phrase: Phrase, rng: np.random.Generator) -> Phrase:
    """The phrase about something else of the same kind."""
    return replace(phrase, noun=pick(rng, _OTHERS[phrase.noun]))


def with_adjective(phrase: Phrase, rng: np.random.Generator) -> Phrase:
    """The phrase with an adjective that fits its noun, before those it has."""
    kind = phrase.noun.kind if phrase.noun.kind in QUALITIES else "thing"
    new = [adjective for adjective in QUALITIES[kind] if adjective not in phrase.adjectives]
    return replace(phrase, adjectives=(pick(rng, new), *phrase.adjectives))


def with_other_adjectives(phrase: Phrase, rng: np.random.Generator) -> Phrase:
    """The phrase with another adjective in place of those it has, if it has any."""
    return replace(phrase, adjectives=with_adjective(phrase, rng).adjectives[:1]) if phrase.adjectives else phrase


_OTHERS: dict[Noun, list[Noun]] = {
    noun: [other for other in NOUNS if other.kind == noun.kind and other != noun] for noun in NOUNS
}


def _in_place(place: Place | None, change: Change) -> Place | None:
    return None if place is None else replace(place, phrase=change(place.phrase))


def _in_predicate(predicate: Predicate, change: Change) -> Predicate:
    return replace(
        predicate,
        object=None if predicate.object is None else change(predicate.object),
        recipient=None if predicate.recipient is None else change(predicate.recipient),
        place=_in_place(predicate.place, change),
    )
