"""The synchronous grammar: German morphology and word order against hand-checked forms, English articles and verbs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.tasks.worlds import caption_lexicon as words
from alarm.tasks.worlds.caption_grammar import (
    Phrase,
    Place,
    Predicate,
    Scene,
    english,
    english_phrase,
    german,
    german_phrase,
    indefinite_article,
)
from alarm.tasks.worlds.captions import random_scene

NOUNS = {noun.german: noun for noun in words.NOUNS}
VERBS = {verb.base: verb for verb in words.VERBS}
ADJECTIVES = {adjective.english: adjective for adjective in words.ADJECTIVES}
COUNTS = {count.english: count for count in words.COUNTS}


def phrase(noun: str, determiner: words.Determiner = words.A, *adjectives: str) -> Phrase:
    return Phrase(NOUNS[noun], determiner, tuple(ADJECTIVES[adjective] for adjective in adjectives))


scenes = st.integers(0, 2**32 - 1).map(lambda seed: random_scene(np.random.default_rng(seed)))


@pytest.mark.parametrize(
    ("noun", "determiner", "adjective", "forms"),
    [
        ("Mann", words.A, "old", ("ein alter Mann", "einen alten Mann", "einem alten Mann")),
        ("Frau", words.A, "old", ("eine alte Frau", "eine alte Frau", "einer alten Frau")),
        ("Pferd", words.A, "old", ("ein altes Pferd", "ein altes Pferd", "einem alten Pferd")),
        ("Mann", words.THE, "old", ("der alte Mann", "den alten Mann", "dem alten Mann")),
        ("Frau", words.THE, "old", ("die alte Frau", "die alte Frau", "der alten Frau")),
        ("Pferd", words.THE, "old", ("das alte Pferd", "das alte Pferd", "dem alten Pferd")),
        ("Pferd", words.THE_PLURAL, "old", ("die alten Pferde", "die alten Pferde", "den alten Pferden")),
        ("Mann", COUNTS["two"], "old", ("zwei alte Männer", "zwei alte Männer", "zwei alten Männern")),
        ("Frau", COUNTS["several"], "old", ("mehrere alte Frauen", "mehrere alte Frauen", "mehreren alten Frauen")),
        ("Schal", COUNTS["many"], "pink", ("viele rosa Schals", "viele rosa Schals", "vielen rosa Schals")),
        ("Hut", words.BARE, "red", ("rote Hüte", "rote Hüte", "roten Hüten")),
        # Weak nouns take -n or -en in all cases but the nominative singular.
        ("Junge", words.THE, "tired", ("der müde Junge", "den müden Jungen", "dem müden Jungen")),
        ("Elefant", words.A, "wet", ("ein nasser Elefant", "einen nassen Elefanten", "einem nassen Elefanten")),
        ("Hund", words.POSSESSIVES["m"], "big", ("sein großer Hund", "seinen großen Hund", "seinem großen Hund")),
        ("Katze", words.POSSESSIVES["f"], "big", ("ihre große Katze", "ihre große Katze", "ihrer großen Katze")),
    ],
)
def test_german_declension(
    noun: str, determiner: words.Determiner, adjective: str, forms: tuple[str, str, str]
) -> None:
    found = phrase(noun, determiner, adjective)
    assert tuple(german_phrase(found, case) for case in ("nom", "acc", "dat")) == forms


@pytest.mark.parametrize(
    ("word", "article"),
    [("apple", "an"), ("uniform", "a"), ("umbrella", "an"), ("ugly", "an"), ("map", "a"), ("old", "an")],
)
def test_indefinite_article_follows_the_sound(word: str, article: str) -> None:
    assert indefinite_article(word) == article


def test_the_article_agrees_with_the_next_word_not_with_the_noun() -> None:
    assert english_phrase(phrase("Apfel")) == "an apple"
    assert english_phrase(phrase("Apfel", words.A, "red")) == "a red apple"
    assert english_phrase(phrase("Mann", words.A, "old")) == "an old man"


IN, INTO = words.WHERE["in"], words.WHITHER["in"]


@pytest.mark.parametrize(
    ("scene", "source", "target"),
    [
        (  # the finite verb stays second after a fronted phrase
            Scene(
                (phrase("Junge"),),
                Predicate(VERBS["play"], phrase("Gitarre", words.A, "red"), place=Place(IN, phrase("Park"))),
                fronted="place",
            ),
            "In einem Park spielt ein Junge eine rote Gitarre.",
            "A boy is playing a red guitar in a park.",
        ),
        (  # two singular subjects make a plural; a habit is the simple present and stands elsewhere in each language
            Scene(
                (phrase("Mann"), phrase("Frau", words.THE)),
                Predicate(VERBS["read"], phrase("Zeitung")),
                habit=words.HABITS[0],
                fronted="habit",
            ),
            "Oft lesen ein Mann und die Frau eine Zeitung.",
            "A man and the woman often read a newspaper.",
        ),
        (
            Scene((phrase("Mann"),), Predicate(VERBS["carry"], phrase("Kiste", COUNTS["two"])), habit=words.HABITS[2]),
            "Ein Mann trägt manchmal zwei Kisten.",
            "A man sometimes carries two boxes.",
        ),
        (  # one German preposition, two cases, two English prepositions; in dem = im, in das = ins
            Scene((phrase("Hund", words.THE),), Predicate(VERBS["lie"], place=Place(IN, phrase("Garten", words.THE)))),
            "Der Hund liegt im Garten.",
            "The dog is lying in the garden.",
        ),
        (
            Scene((phrase("Hund", words.THE),), Predicate(VERBS["run"], place=Place(INTO, phrase("Haus", words.THE)))),
            "Der Hund läuft ins Haus.",
            "The dog is running into the house.",
        ),
        (  # the recipient is a dative before the object, and a phrase with "to" after it
            Scene((phrase("Ärztin"),), Predicate(VERBS["give"], phrase("Ball"), phrase("Student"))),
            "Eine Ärztin gibt einem Studenten einen Ball.",
            "A doctor is giving a ball to a student.",
        ),
        (  # separable verbs, and a verb-final clause with "während", where the particle joins the verb again
            Scene(
                (phrase("Frau"),),
                Predicate(VERBS["call"], phrase("Junge")),
                meanwhile=Scene((phrase("Mann"),), Predicate(VERBS["lift"], phrase("Korb"))),
            ),
            "Eine Frau ruft einen Jungen an, während ein Mann einen Korb hochhebt.",
            "A woman is calling a boy while a man is lifting a basket.",
        ),
        (  # the verb agrees with the subject, not with the nearest noun
            Scene(
                (phrase("Mann", COUNTS["three"]),),
                Predicate(VERBS["sit"], place=Place(words.WHERE["an"], phrase("See", words.THE))),
                attribute=Place(words.WITH, phrase("Hund", words.POSSESSIVES["plural"])),
                also=Predicate(VERBS["laugh"], manner=words.MANNERS[3]),
            ),
            "Drei Männer mit ihrem Hund sitzen am See und lachen laut.",
            "Three men with their dog are sitting at the lake and laughing loudly.",
        ),
    ],
)
def test_word_order_and_agreement(scene: Scene, source: str, target: str) -> None:
    assert german(scene) == source
    assert english(scene) == target


@given(scenes)
def test_sentences_are_well_formed(scene: Scene) -> None:
    for text in (german(scene), english(scene)):
        assert text[0].isupper() and text.endswith(".") and "  " not in text and " ," not in text
    assert sum(f" {word} " in f" {english(scene)} " for word in ("is", "are")) <= 2


@given(scenes)
def test_the_german_verb_is_second(scene: Scene) -> None:
    verb = scene.predicate.verb
    finite = verb.plural if scene.plural else verb.singular
    rest = german(scene)[0].lower() + german(scene)[1:]
    first, found, _ = rest.partition(f" {finite}")
    assert found
    if scene.fronted == "habit":
        assert first == scene.habit[0]
    elif scene.fronted == "place":
        # Only the place stands before the verb, the subject right after it.
        assert first.split()[0] in {"im", "am", "ins", scene.predicate.place.preposition.german}
        assert rest.index(german_phrase(scene.subjects[0], "nom")) > len(first)
    else:
        assert rest.startswith(german_phrase(scene.subjects[0], "nom"))


def test_every_english_form_has_one_meaning() -> None:
    forms = [form for verb in words.VERBS for form in (verb.base, verb.third, verb.gerund)]
    forms += [form for noun in words.NOUNS for form in (noun.english, noun.english_plural)]
    forms += [adjective.english for adjective in words.ADJECTIVES]
    forms += [word for _, word in (*words.HABITS, *words.MANNERS)]
    assert len(forms) == len(set(forms))
