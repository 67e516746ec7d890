"""The captions world's grammar: one meaning, said in German and in English.

German has four genders and numbers, three cases, weak, mixed and strong adjective endings, the finite verb in second
place (also after a fronted phrase) and at the end of clauses with "während", and separable verbs. English has a and an,
progressive and simple present, and -s. The two differ in word order, so translating is more than replacing words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from alarm.tasks.worlds.caption_lexicon import TO, Adjective, Determiner, Noun, Preposition, Verb

_ARTICLES = {  # gender or plural: nominative, accusative, dative
    "m": ("er", "en", "em"),
    "f": ("ie", "ie", "er"),
    "n": ("as", "as", "em"),
    "p": ("ie", "ie", "en"),
}
_EIN = {"m": ("", "en", "em"), "f": ("e", "e", "er"), "n": ("", "", "em")}
_VIELE = ("e", "e", "en")
_WEAK = {"m": ("e", "en", "en"), "f": ("e", "e", "en"), "n": ("e", "e", "en"), "p": ("en", "en", "en")}
_MIXED = {"m": ("er", "en", "en"), "f": ("e", "e", "en"), "n": ("es", "es", "en")}
_STRONG_PLURAL = ("e", "e", "en")
_CASES = ("nom", "acc", "dat")

_CONTRACTIONS = {"in dem": "im", "an dem": "am", "in das": "ins"}
_CONSONANT_SOUNDS = ("uniform",)
"""English words that are written with a vowel and take "a"."""


@dataclass(frozen=True)
class Phrase:
    """A noun with determiner and adjectives."""

    noun: Noun
    determiner: Determiner
    adjectives: tuple[Adjective, ...] = ()


@dataclass(frozen=True)
class Place:
    """A prepositional phrase."""

    preposition: Preposition
    phrase: Phrase


@dataclass(frozen=True)
class Predicate:
    """What somebody does: `recipient` is who gets the object of giving."""

    verb: Verb
    object: Phrase | None = None
    recipient: Phrase | None = None
    manner: tuple[str, str] | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Scene:
    """The meaning of one caption.

    `subjects` are one or two phrases, the first with an `attribute`; a `habit` (German, English) makes the English
    simple present; `also` is a second predicate of the same subject, `meanwhile` another scene at the same time.
    `fronted` ("place" or "habit") is first in German only.
    """

    subjects: tuple[Phrase, ...]
    predicate: Predicate
    attribute: Place | None = None
    habit: tuple[str, str] | None = None
    also: Predicate | None = None
    meanwhile: Scene | None = None
    fronted: str | None = None

    @property
    def plural(self) -> bool:
        return len(self.subjects) > 1 or self.subjects[0].determiner.plural


def indefinite_article(word: str) -> str:
    """ "a" or "an" before a word of the world."""
    return "an" if word[0] in "aeiou" and not word.startswith(_CONSONANT_SOUNDS) else "a"


def german(scene: Scene) -> str:
    """The scene as a German sentence."""
    parts = [scene.habit[0]] if scene.habit and scene.fronted != "habit" else []
    verb, predicate = _german_verb(scene.predicate.verb, scene.plural), scene.predicate
    subject = _german_subject(scene)
    if scene.fronted is None:
        start = [subject, verb]
    else:
        first = _german_place(predicate.place) if scene.fronted == "place" else scene.habit[0]
        start = [first, verb, subject]
    if scene.fronted == "place":
        predicate = replace(predicate, place=None)
    words = [*start, *parts, *_german_rest(predicate), predicate.verb.particle]
    if scene.also is not None:
        also = scene.also
        words += ["und", _german_verb(also.verb, scene.plural), *_german_rest(also), also.verb.particle]
    text = " ".join(word for word in words if word)
    if scene.meanwhile is not None:
        other = scene.meanwhile
        last = other.predicate.verb.particle + _german_verb(other.predicate.verb, other.plural)
        text += ", " + " ".join(["während", _german_subject(other), *_german_rest(other.predicate), last])
    return text[0].upper() + text[1:] + "."


def english(scene: Scene) -> str:
    """The scene as an English sentence."""
    subject = " and ".join(english_phrase(phrase) for phrase in scene.subjects)
    if scene.attribute is not None:
        subject += f" {_english_place(scene.attribute)}"
    words = [subject]
    if scene.habit is None:
        words += ["are" if scene.plural else "is", *_english_predicate(scene.predicate, scene.predicate.verb.gerund)]
    else:
        words += [scene.habit[1], *_english_predicate(scene.predicate, _finite(scene.predicate.verb, scene.plural))]
    if scene.also is not None:
        verb = scene.also.verb
        form = verb.gerund if scene.habit is None else _finite(verb, scene.plural)
        words += ["and", *_english_predicate(scene.also, form)]
    text = " ".join(words)
    if scene.meanwhile is not None:
        meanwhile = english(scene.meanwhile)
        text += f" while {meanwhile[0].lower()}{meanwhile[1:-1]}"
    return text[0].upper() + text[1:] + "."


def german_phrase(phrase: Phrase, case: str) -> str:
    """A noun phrase in the nominative, accusative or dative ("nom", "acc", "dat")."""
    determiner, noun, i = phrase.determiner, phrase.noun, _CASES.index(case)
    gender = "p" if determiner.plural else noun.gender
    if determiner.declension == "der":
        article, endings = "d" + _ARTICLES[gender][i], _WEAK[gender]
    elif determiner.declension == "ein":
        article, endings = determiner.german + _EIN[gender][i], _MIXED[gender]
    else:
        ending = _VIELE[i] if determiner.declension == "viele" else ""
        article, endings = determiner.german + ending, _STRONG_PLURAL
    adjectives = [_with_ending(adjective, endings[i]) for adjective in phrase.adjectives]
    return " ".join(word for word in (article, *adjectives, _german_noun(noun, determiner.plural, case)) if word)


def english_phrase(phrase: Phrase) -> str:
    """A noun phrase; English nouns have no cases."""
    noun = phrase.noun.english_plural if phrase.determiner.plural else phrase.noun.english
    words = [*(adjective.english for adjective in phrase.adjectives), noun]
    article = phrase.determiner.english
    return " ".join([*([indefinite_article(words[0]) if article == "a" else article] if article else []), *words])


def _german_noun(noun: Noun, plural: bool, case: str) -> str:
    if not plural:
        return noun.oblique if noun.oblique and case != "nom" else noun.german
    # The dative plural adds -n, unless the plural ends in -n or -s.
    return noun.german_plural + ("n" if case == "dat" and noun.german_plural[-1] not in "ns" else "")


def _with_ending(adjective: Adjective, ending: str) -> str:
    if adjective.fixed:
        return adjective.stem
    return adjective.stem + (ending[1:] if adjective.stem.endswith("e") else ending)


def _german_verb(verb: Verb, plural: bool) -> str:
    return verb.plural if plural else verb.singular


def _german_place(place: Place) -> str:
    text = f"{place.preposition.german} {german_phrase(place.phrase, place.preposition.case)}"
    first, second, *rest = text.split(" ")
    return " ".join([_CONTRACTIONS.get(f"{first} {second}", f"{first} {second}"), *rest])


def _german_subject(scene: Scene) -> str:
    text = " und ".join(german_phrase(phrase, "nom") for phrase in scene.subjects)
    return text if scene.attribute is None else f"{text} {_german_place(scene.attribute)}"


def _german_rest(predicate: Predicate) -> list[str]:
    words = []
    if predicate.recipient is not None:
        words.append(german_phrase(predicate.recipient, "dat"))
    if predicate.manner is not None:
        words.append(predicate.manner[0])
    if predicate.object is not None:
        words.append(german_phrase(predicate.object, "acc"))
    if predicate.place is not None:
        words.append(_german_place(predicate.place))
    return words


def _english_place(place: Place) -> str:
    return f"{place.preposition.english} {english_phrase(place.phrase)}"


def _english_predicate(predicate: Predicate, verb_form: str) -> list[str]:
    words = [verb_form]
    if predicate.object is not None:
        words.append(english_phrase(predicate.object))
    if predicate.recipient is not None:
        words.append(f"{TO} {english_phrase(predicate.recipient)}")
    if predicate.manner is not None:
        words.append(predicate.manner[1])
    if predicate.place is not None:
        words.append(_english_place(predicate.place))
    return words


def _finite(verb: Verb, plural: bool) -> str:
    return verb.base if plural else verb.third
