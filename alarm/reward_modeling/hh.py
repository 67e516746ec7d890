"""HH-RLHF: dialogues with a chosen and a rejected last turn, as published and with annotated preference strength.

Dialogues alternate "\\n\\nHuman:" and "\\n\\nAssistant:" turns; the comparison is between the last assistant turns. The
prompt is the dialogue before it without the first "Human:" mark, which the holistic model's text form puts back.

Sources: arXiv:2204.05862, github.com/anthropics/hh-rlhf; arXiv:2401.06080, hub data set fnlp/hh-rlhf-strength-cleaned.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.json_lines import field, json_lines

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
NO_ASSISTANT = "no assistant turn"
DIFFERENT_DIALOGUES = "different dialogues before the last turn"
EMPTY_RESPONSE = "an empty response"
EQUAL_RESPONSES = "equal responses"


@dataclass(frozen=True)
class HHComparisons:
    """The usable comparisons of a file, and what was left out."""

    pairs: list[Comparison]
    rows: list[int]
    """The row of each pair in the file, from 0; blank lines are no rows."""
    skipped: Mapping[str, list[int]]
    """Reason to the rows it left out; a row counts for its first reason, in the order of the constants above."""

    @property
    def facts(self) -> dict[str, Any]:
        """Counts for records: rows, pairs, and rows skipped per reason."""
        counts = {f"skipped: {reason}": len(rows) for reason, rows in self.skipped.items()}
        return {"rows": len(self.rows) + sum(counts.values()), "pairs": len(self.pairs), **counts}


@dataclass(frozen=True)
class AnnotatedComparisons(HHComparisons):
    """Comparisons with the preference strength that the authors' ensemble of ten reward models measured."""

    mean: list[float]
    """[P], mean over models of r(chosen) - r(rejected): the strength."""
    sd: list[float]
    """[P], standard deviation over models of the same difference."""
    gpt4: list[int]
    """[P], whom GPT-4 prefers: 1 the chosen response, -1 the rejected one, 0 not annotated."""


def read_hh(path: Path | str) -> HHComparisons:
    """Read a file of `chosen` and `rejected` dialogues, JSON lines or gzipped JSON lines.

    Rows that hold no comparison are skipped and listed by reason.

    Raises:
        ValueError: the file is missing or damaged, a line is malformed (the message names file, line and field), or
            no row is usable.
    """
    found = _Collector()
    for row, where in json_lines(path, "chosen and rejected dialogues"):
        found.add(*(_split_text(field(row, side, str, where)) for side in ("chosen", "rejected")))
    found.check(path)
    return HHComparisons(found.pairs, found.rows, found.skipped)


def read_annotated_hh(path: Path | str) -> AnnotatedComparisons:
    """Read HH-RLHF with annotated preference strength, as `read_hh`.

    Columns, in any case and with spaces, hyphens or underscores: `chosen` and `rejected`, lists of turns without
    speakers whose last is the response (or one text, as in HH-RLHF); `mean preference difference` and
    `std preference difference`, or `chosen score list` and `rejected score list`, from which both are computed (sample
    standard deviation); `GPT4 label`, in the validation set only: 1 chosen, 0 rejected, -1 none. Others are ignored.

    Raises:
        ValueError: as `read_hh`, or a strength, score list or label that is missing or out of place.
    """
    found, annotations = _Collector(), []
    for original, where in json_lines(path, "dialogues with preference strength"):
        row = {_column(name): value for name, value in original.items()}
        sides = []
        for side in ("chosen", "rejected"):
            text_or_turns = field(row, side, (str, list), where)
            sides.append(
                _split_text(text_or_turns) if isinstance(text_or_turns, str) else _split_turns(text_or_turns, where)
            )
        annotation = (*_strength(row, where), _gpt4(row, where))
        if found.add(*sides):
            annotations.append(annotation)
    found.check(path)
    mean, sd, gpt4 = (list(column) for column in zip(*annotations, strict=True))
    return AnnotatedComparisons(found.pairs, found.rows, found.skipped, mean, sd, gpt4)


def opening(prompt: str) -> str:
    """The first human turn of a dialogue; rows cut from one dialogue share it, however far they go."""
    return prompt.split(ASSISTANT, maxsplit=1)[0]


def recent_turns(prompt: str, words: int) -> str:
    """The dialogue's last turns, as many as have at most `words` words in all, from a human turn on.

    The last human turn always stays, whole.

    >>> recent_turns("Hi.\\n\\nAssistant: Hello.\\n\\nHuman: Is it late?", words=4)
    'Is it late?'
    """
    *earlier, kept = prompt.split(HUMAN)  # the first human turn carries no mark
    while earlier and len((longer := earlier.pop() + HUMAN + kept).split()) <= words:
        kept = longer
    return kept.strip()


class _Collector:
    """Keeps usable comparisons, and the reasons and rows of the others."""

    def __init__(self) -> None:
        self.pairs: list[Comparison] = []
        self.rows: list[int] = []
        self.skipped: dict[str, list[int]] = {}
        self._row = -1

    def add(self, chosen: tuple[str, str] | None, rejected: tuple[str, str] | None) -> bool:
        """Take the next row's (prompt, response) of both sides; returns whether it is usable."""
        self._row += 1
        reason = _unusable(chosen, rejected)
        if reason is not None:
            self.skipped.setdefault(reason, []).append(self._row)
            return False
        self.pairs.append(Comparison(chosen[0], chosen[1], rejected[1]))
        self.rows.append(self._row)
        return True

    def check(self, path: Path | str) -> None:
        if not self.pairs:
            reasons = ", ".join(f"{len(rows)} with {reason}" for reason, rows in self.skipped.items()) or "no rows"
            raise ValueError(f"{path} holds no usable comparison ({reasons}); is it in HH-RLHF's format?")


def _unusable(chosen: tuple[str, str] | None, rejected: tuple[str, str] | None) -> str | None:
    if chosen is None or rejected is None:
        return NO_ASSISTANT
    if chosen[0] != rejected[0]:
        return DIFFERENT_DIALOGUES
    if not chosen[1] or not rejected[1]:
        return EMPTY_RESPONSE
    return EQUAL_RESPONSES if chosen[1] == rejected[1] else None


def _split_text(dialogue: str) -> tuple[str, str] | None:
    """Prompt and response of a dialogue as one text; None if the assistant never speaks."""
    before, mark, response = dialogue.rpartition(ASSISTANT)
    return (_prompt(before), response.strip()) if mark else None


def _split_turns(turns: Sequence[Any], where: str) -> tuple[str, str] | None:
    """The same of a list of turns; the last is the assistant's, and the speakers alternate."""
    if not all(isinstance(turn, str) for turn in turns):
        raise ValueError(f"{where}: a dialogue must be a list of texts, got {turns!r:.60}")
    if not turns:
        return None
    speakers = (HUMAN, ASSISTANT)
    first = len(turns) % 2  # 1 if the history was cut and begins with the assistant
    before = "".join(f"{speakers[(first + i) % 2]} {turn}" for i, turn in enumerate(turns[:-1]))
    return _prompt(before), turns[-1].strip()


def _prompt(dialogue: str) -> str:
    # Line ends stay: a dialogue that was cut begins with an assistant's mark.
    return dialogue.removeprefix(HUMAN).strip(" ")


def _column(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _strength(row: dict[str, Any], where: str) -> tuple[float, float]:
    if "mean preference difference" in row or "chosen score list" not in row:
        return tuple(
            float(field(row, f"{statistic} preference difference", (int, float), where))
            for statistic in ("mean", "std")
        )
    chosen, rejected = (_scores(row, f"{side} score list", where) for side in ("chosen", "rejected"))
    if len(chosen) != len(rejected) or len(chosen) < 2:
        raise ValueError(
            f"{where}: {len(chosen)} chosen and {len(rejected)} rejected scores; strength needs one of each from at "
            "least two models"
        )
    differences = [a - b for a, b in zip(chosen, rejected, strict=True)]
    return statistics.fmean(differences), statistics.stdev(differences)


def _scores(row: dict[str, Any], name: str, where: str) -> list[float]:
    scores = field(row, name, list, where)
    if not all(isinstance(score, (int, float)) and not isinstance(score, bool) for score in scores):
        raise ValueError(f"{where}: field {name!r} must be a list of numbers, got {scores!r:.60}")
    return [float(score) for score in scores]


def _gpt4(row: dict[str, Any], where: str) -> int:
    if "gpt4 label" not in row:
        return 0
    label = field(row, "gpt4 label", (int, float), where)
    if label not in (-1, 0, 1):
        raise ValueError(f"{where}: field 'gpt4 label' must be 1, 0 or -1, got {label}")
    return {1: 1, 0: -1, -1: 0}[int(label)]
