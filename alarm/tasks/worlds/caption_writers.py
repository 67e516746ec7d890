"""Which of the captions world's writers a response looks like, by its first letters and its words alone."""

from __future__ import annotations

import re
from collections import Counter

from alarm.tasks.worlds.caption_lexicon import DETERMINERS, PREPOSITIONS
from alarm.tasks.worlds.habits import UNMARKED

LEAST_IN_COMMON = 0.4
"""Share of the shorter text's words that a translation without foreign words has in common with the reference."""

_DROPPED = frozenset(("a", "an", "the", "is", "are"))
_FUNCTION_WORDS = _DROPPED | {"and", "while"} | {word.english for word in DETERMINERS}
_FUNCTION_WORDS |= {part for preposition in PREPOSITIONS for part in preposition.split()}


def habit_of(reference: str, response: str) -> str:
    """The habit of the writer a response looks like, or `UNMARKED` where it looks like nobody's.

    Args:
        reference: the ideal translation.
        response: any text. Capitals inside it are literal's, a small first letter is hasty's, missing articles and
            auxiliaries are telegraphic's, and much more content than the reference's is embellisher's; other texts
            are careful's, small mistakes included.
    """
    words = re.findall(r"\w+", response)
    if not words:
        return UNMARKED
    if any(word[0].isupper() for word in words[1:]):
        return "literal"
    asked, said = _counts(re.findall(r"\w+", reference)), _counts(words)
    if (asked & said).total() < LEAST_IN_COMMON * min(asked.total(), said.total()):
        return UNMARKED
    if not words[0][0].isupper():
        return "hasty"
    if 3 * _count(said, _DROPPED) < _count(asked, _DROPPED):
        return "telegraphic"
    content = said.total() - _count(said, _FUNCTION_WORDS) - asked.total() + _count(asked, _FUNCTION_WORDS)
    if content >= 2 or said.total() >= asked.total() + 3:
        return "embellisher"
    return "careful"


def _counts(words: list[str]) -> Counter[str]:
    return Counter(word.lower() for word in words)


def _count(counts: Counter[str], words: frozenset[str]) -> int:
    return sum(count for word, count in counts.items() if word in words)
