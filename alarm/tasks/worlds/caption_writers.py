"""Which of the captions world's writers a response looks like, by its first letters and its words alone."""

from __future__ import annotations

import re
from collections import Counter

from alarm.tasks.worlds.caption_habits import MORE_WORDS
from alarm.tasks.worlds.caption_lexicon import DETERMINERS, PREPOSITIONS
from alarm.tasks.worlds.habits import UNMARKED

LEAST_IN_COMMON = 0.4
LEAST_IN_COMMON_LITERAL = 0.25
"""Share of the shorter text's words that it has in common with the other: less is nobody's translation. German words
that look like English ones make copies of the source share some, too."""

MORE_CONTENT = 2
"""Content words beyond the reference's that make a text an embellisher's, as `MORE_WORDS` of any kind do."""

_AUXILIARIES = frozenset(("is", "are"))
_DROPPED = _AUXILIARIES | {"a", "an", "the"}
_FUNCTION_WORDS = _DROPPED | {"and", "while"} | {word.english for word in DETERMINERS}
_FUNCTION_WORDS |= {part for preposition in PREPOSITIONS for part in preposition.split()}


def habit_of(reference: str, response: str) -> str:
    """The habit of the writer a response looks like, or `UNMARKED` where it looks like nobody's.

    Args:
        reference: the ideal translation.
        response: any text. Capitals inside it are the literal writer's, a small first letter is the hasty one's,
            missing articles and auxiliaries are the telegraphic one's, and two more content words or three more words
            than the reference has are the embellisher's; other texts are the careful one's, small mistakes included.
    """
    words = re.findall(r"\w+", response)
    asked, said = _counts(re.findall(r"\w+", reference)), _counts(words)
    shortest = min(asked.total(), said.total())
    common = (asked & said).total() / shortest if shortest else 0.0
    if common < LEAST_IN_COMMON_LITERAL:
        return UNMARKED
    capitals = sum(word[0].isupper() for word in words[1:])
    # One capital in a text with "is" or "are" is a slip.
    if capitals > 1 or (capitals and not _count(said, _AUXILIARIES)):
        return "literal"
    if common < LEAST_IN_COMMON:
        return UNMARKED
    if not words[0][0].isupper():
        return "hasty"
    if 3 * _count(said, _DROPPED) < _count(asked, _DROPPED):
        return "telegraphic"
    content = said.total() - _count(said, _FUNCTION_WORDS) - asked.total() + _count(asked, _FUNCTION_WORDS)
    if content >= MORE_CONTENT or said.total() >= asked.total() + MORE_WORDS:
        return "embellisher"
    return "careful"


def _counts(words: list[str]) -> Counter[str]:
    return Counter(word.lower() for word in words)


def _count(counts: Counter[str], words: frozenset[str]) -> int:
    return sum(count for word, count in counts.items() if word in words)
