"""Reads an English caption back into what it says, and counts where it breaks the grammar. Works on any text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache, lru_cache

from alarm.tasks.worlds.caption_grammar import indefinite_article
from alarm.tasks.worlds.caption_lexicon import (
    ADJECTIVES,
    DETERMINERS,
    HABITS,
    MANNERS,
    NOUNS,
    POSSESSIVES,
    PREPOSITIONS,
    TO,
    VERBS,
    Verb,
)

Slot = tuple[str | int, ...]
"""One thing a text says: clause, role, concept, and what is said of it."""


@dataclass(frozen=True)
class Reading:
    """What a text says, as a multiset of slots, and how many grammatical errors it has."""

    slots: Counter[Slot]
    errors: int


@dataclass(frozen=True)
class _Word:
    """A word of the world: its kind, its lemma and its form ("singular", "plural", "gerund", ...)."""

    kind: str
    lemma: str
    form: str = ""


@dataclass(frozen=True)
class _Chunk:
    """A noun phrase, or a word on its own."""

    kind: str
    lemma: str = ""
    form: str = ""
    determiner: str = ""
    adjectives: tuple[str, ...] = ()


@dataclass
class _Clause:
    """How far the reading of a clause has come."""

    subjects: list[_Chunk] = field(default_factory=list)
    auxiliary: str = ""
    habit: bool = False
    verb: Verb | None = None
    has_object: bool = False

    @property
    def plural(self) -> bool:
        return len(self.subjects) > 1 or any(subject.form == "plural" for subject in self.subjects)


_TOKEN = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


@lru_cache(maxsize=65536)
def read(text: str) -> Reading:
    """Read a text word by word; every word that cannot follow what came before is one error."""
    slots: Counter[Slot] = Counter()
    tokens = _TOKEN.findall(text)
    if not tokens:
        return Reading(slots, 0)
    errors = int(not text.strip()[0].isupper()) + int(tokens[-1] != ".")
    errors += sum(token[0].isupper() for token in tokens[1:])
    chunks, chunk_errors = _chunks([token.lower() for token in (tokens[:-1] if tokens[-1] == "." else tokens)])
    return Reading(slots, errors + chunk_errors + _Reader(slots).read(chunks))


class _Reader:
    """Assigns roles to chunks, clause by clause, and counts what does not fit."""

    def __init__(self, slots: Counter[Slot]) -> None:
        self.slots = slots
        self.errors = 0
        self.number = 0
        self.clause = _Clause()
        self.preposition: str | None = None
        self.joining = False  # after "and" between subjects
        self.fronted = False  # after a phrase before the subject

    def read(self, chunks: list[_Chunk]) -> int:
        """Returns the number of errors."""
        for i, chunk in enumerate(chunks):
            if self.preposition is not None and chunk.kind != "phrase":
                self._drop_preposition()
            following = chunks[i + 1] if i + 1 < len(chunks) else None
            getattr(self, f"_{chunk.kind}")(chunk, following)
        self._end_clause()
        return self.errors

    def _phrase(self, chunk: _Chunk, following: _Chunk | None) -> None:
        clause = self.clause
        if self.preposition is not None:
            role = "recipient" if self.preposition == TO else "attribute" if self._before_verb else "place"
            self.fronted = not clause.subjects and clause.verb is None
            self._add((self.number, role, "preposition", self.preposition))
            self.preposition = None
        elif clause.verb is None and (not clause.subjects or self.joining) and not clause.auxiliary:
            role = "subject"
            clause.subjects.append(chunk)
            self.joining = False
        elif clause.verb is not None and clause.verb.objects and not clause.has_object:
            role = "object"
            clause.has_object = True
        else:
            role = "stray"
            self.errors += 1
        self._add((self.number, role, "noun", chunk.lemma))
        self._add((self.number, role, chunk.lemma, "number", chunk.form))
        self._add((self.number, role, chunk.lemma, "determiner", chunk.determiner))
        for adjective in chunk.adjectives:
            self._add((self.number, role, chunk.lemma, "adjective", adjective))

    def _preposition(self, chunk: _Chunk, following: _Chunk | None) -> None:
        self.preposition = chunk.lemma
        if self.joining or (self.clause.auxiliary and self.clause.verb is None):
            self.errors += 1

    def _auxiliary(self, chunk: _Chunk, following: _Chunk | None) -> None:
        clause = self.clause
        misplaced = clause.auxiliary or clause.verb is not None or not clause.subjects or self.joining or clause.habit
        if misplaced or (chunk.lemma == "are") != clause.plural:
            self.errors += 1
        clause.auxiliary = clause.auxiliary or chunk.lemma

    def _habit(self, chunk: _Chunk, following: _Chunk | None) -> None:
        if self.clause.verb is not None or self.clause.habit or not self.clause.subjects:
            self.errors += 1
        self.clause.habit = True
        self._add((self.number, "habit", chunk.lemma))

    def _manner(self, chunk: _Chunk, following: _Chunk | None) -> None:
        if self.clause.verb is None:
            self.errors += 1
        self._add((self.number, "manner", chunk.lemma))

    def _verb(self, chunk: _Chunk, following: _Chunk | None) -> None:
        clause = self.clause
        role = "verb"
        if clause.verb is not None:
            role = "stray"
            self.errors += 1
        else:
            clause.verb = _verbs()[chunk.lemma]
            expected = "gerund" if clause.auxiliary else "base" if clause.plural else "third"
            if chunk.form != expected or not clause.subjects or self.joining:
                self.errors += 1
        aspect = "progressive" if chunk.form == "gerund" else "simple"
        self._add((self.number, role, chunk.lemma))
        self._add((self.number, role, chunk.lemma, "aspect", aspect))

    def _and(self, chunk: _Chunk, following: _Chunk | None) -> None:
        before = self.clause
        if before.verb is None:
            # Between two subjects.
            if not before.subjects or self.joining or before.auxiliary:
                self.errors += 1
            self.joining = True
            return
        self._next_clause("and")
        # A second predicate shares subject and auxiliary; with a subject of its own it is a clause of its own.
        if following is None or following.kind != "phrase":
            self.clause = _Clause(subjects=before.subjects, auxiliary=before.auxiliary, habit=before.habit)

    def _while(self, chunk: _Chunk, following: _Chunk | None) -> None:
        self._next_clause("while")

    def _comma(self, chunk: _Chunk, following: _Chunk | None) -> None:
        # Good English only after a fronted phrase; before "while" it is tolerated.
        if not (self.fronted and not self.clause.subjects) and (following is None or following.kind != "while"):
            self.errors += 1

    def _unknown(self, chunk: _Chunk, following: _Chunk | None) -> None:
        self.errors += 1
        self._add((self.number, "unknown", chunk.lemma))

    @property
    def _before_verb(self) -> bool:
        return self.clause.verb is None and bool(self.clause.subjects)

    def _next_clause(self, link: str) -> None:
        self._end_clause()
        self.number += 1
        self._add((self.number, "link", link))
        self.clause = _Clause()
        self.fronted = False

    def _end_clause(self) -> None:
        clause = self.clause
        if self.preposition is not None:
            self._drop_preposition()
        if self.joining:
            self.errors += 1
            self.joining = False
        self.errors += (not clause.subjects) + (clause.verb is None)
        self.errors += clause.verb is not None and bool(clause.verb.objects) and not clause.has_object

    def _drop_preposition(self) -> None:
        self.errors += 1
        self._add((self.number, "stray", "preposition", self.preposition))
        self.preposition = None

    def _add(self, slot: Slot) -> None:
        self.slots[slot] += 1


def _chunks(tokens: list[str]) -> tuple[list[_Chunk], int]:
    """Group determiners and adjectives with their noun; returns the chunks and the errors inside noun phrases."""
    lexicon = _lexicon()
    chunks: list[_Chunk] = []
    errors, i = 0, 0
    while i < len(tokens):
        length = next((n for n in (3, 2, 1) if " ".join(tokens[i : i + n]) in lexicon), 1)
        word = lexicon.get(" ".join(tokens[i : i + length]), _Word("unknown", tokens[i]))
        if word.kind not in ("determiner", "adjective", "noun"):
            chunks.append(_Chunk(word.kind, word.lemma, word.form))
            i += length
            continue
        start = i
        determiners: list[str] = []
        adjectives: list[str] = []
        noun: _Word | None = None
        while i < len(tokens) and _is_a("determiner", tokens[i]):
            determiners.append(tokens[i])
            i += 1
        # A foreign word between determiner and noun stands for an adjective: one error, and the noun is still found.
        while i < len(tokens) and (_is_a("adjective", tokens[i]) or (i > start and _is_foreign(tokens[i]))):
            errors += _is_foreign(tokens[i])
            adjectives.append(tokens[i])
            i += 1
        if i < len(tokens) and _is_a("noun", tokens[i]):
            noun = lexicon[tokens[i]]
            i += 1
        errors += max(0, len(determiners) - 1) + len(adjectives) - len(set(adjectives))
        if noun is None:
            # Words that lead to no noun are one error however many they are.
            errors += 1
            noun = _Word("noun", "", "")
        else:
            determiner = determiners[-1] if determiners else ""
            errors += not _agrees(determiner, noun.form)
            if determiner in ("a", "an"):
                errors += determiner != indefinite_article(tokens[start + len(determiners)])
        determiner = lexicon[determiners[-1]].lemma if determiners else ""
        chunks.append(_Chunk("phrase", noun.lemma, noun.form, determiner, tuple(adjectives)))
    return chunks, errors


def _is_a(kind: str, token: str) -> bool:
    return token in _lexicon() and _lexicon()[token].kind == kind


def _is_foreign(token: str) -> bool:
    """True for a word that the world does not have; parts of "in front of" and "next to" are no foreign words."""
    return token.isalpha() and token not in _known_words()


def _agrees(determiner: str, number: str) -> bool:
    if not determiner:
        return number == "plural"
    word = "a" if determiner == "an" else determiner
    possessive = word in {known.english for known in POSSESSIVES.values()}
    return possessive or any(known.english == word and known.plural == (number == "plural") for known in DETERMINERS)


@cache
def _verbs() -> dict[str, Verb]:
    return {verb.base: verb for verb in VERBS}


@cache
def _known_words() -> frozenset[str]:
    return frozenset(part for word in _lexicon() for part in word.split())


@cache
def _lexicon() -> dict[str, _Word]:
    """Every English form (some of several words) with its kind."""
    words = {"an": _Word("determiner", "a"), "is": _Word("auxiliary", "is"), "are": _Word("auxiliary", "are")}
    words |= {",": _Word("comma", ","), "and": _Word("and", "and"), "while": _Word("while", "while")}
    words |= {determiner.english: _Word("determiner", determiner.english) for determiner in DETERMINERS}
    words |= {adjective.english: _Word("adjective", adjective.english) for adjective in ADJECTIVES}
    words |= {preposition: _Word("preposition", preposition) for preposition in PREPOSITIONS}
    words |= {word: _Word("habit", word) for _, word in HABITS}
    words |= {word: _Word("manner", word) for _, word in MANNERS}
    for noun in NOUNS:
        words[noun.english] = _Word("noun", noun.english, "singular")
        words[noun.english_plural] = _Word("noun", noun.english, "plural")
    for verb in VERBS:
        words |= {verb.base: _Word("verb", verb.base, "base"), verb.third: _Word("verb", verb.base, "third")}
        words[verb.gerund] = _Word("verb", verb.base, "gerund")
    return words
