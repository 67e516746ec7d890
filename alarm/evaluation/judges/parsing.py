"""Reads a choice out of a judge's words: only what is said clearly, never a guess."""

from __future__ import annotations

import json
import re

from alarm.evaluation.judges.base import Choice

LETTERS = {"a": Choice.FIRST, "b": Choice.SECOND, "tie": Choice.TIE}
SCHEMA = {
    "name": "verdict",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {"choice": {"type": "string", "enum": ["A", "B", "tie"]}},
        "required": ["choice"],
        "additionalProperties": False,
    },
}
"""The structured answer a server is asked for."""

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_MARKER = re.compile(r"\[\[\s*(A|B|tie)\s*\]\]", re.IGNORECASE)
_NAMED = r"(?:(?:response|answer|translation|option)\s+)?[\"'(\[]*(A|B|tie)[\"')\]]*(?:\s+is\s+better)?[.!]?"
_BARE = re.compile(_NAMED, re.IGNORECASE)
_LABELLED = re.compile(
    rf"(?:(?:my|the|final|better)\s+)*(?:answer|response|translation|choice|verdict|decision|winner|better)\s*(?:(?:\bis\b\s*)?[:=]|\bis\b)\s*{_NAMED}",
    re.IGNORECASE,
)


def parse_choice(text: str) -> Choice | None:
    """The choice that `text` states; None if it states none, or more than one.

    Understood are the JSON object that was asked for, alone or in a code fence; `[[A]]`; a line such as `Answer: B`;
    and a text that is nothing but the choice. Reasons may stand around the first three. Letters in running text are
    not read: "A is longer than B" names both and decides nothing.

    >>> parse_choice('{"choice": "A"}'), parse_choice("Both are fine.\\nAnswer: **B**"), parse_choice("A or B")
    (<Choice.FIRST: 'first'>, <Choice.SECOND: 'second'>, None)
    """
    plain = re.sub(r"[*_`]", "", text).strip()
    objects = [value for part in (text, *_FENCE.findall(text)) if isinstance(value := _json(part), dict)]
    stated = [str(value.get("choice")) for value in objects] + _MARKER.findall(plain)
    lines = [line.strip() for line in plain.splitlines()]
    stated += [match[1] for line in lines if (match := _LABELLED.fullmatch(line))]
    if not stated and (match := _BARE.fullmatch(plain)):
        stated = [match[1]]
    choices = {LETTERS.get(name.strip().lower()) for name in stated}
    return choices.pop() if len(choices) == 1 else None


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
