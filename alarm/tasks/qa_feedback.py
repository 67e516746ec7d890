"""QA-Feedback's file format: questions with passages, predictions with fine-grained feedback, and prompts from them.

Source: Fine-Grained RLHF (arXiv:2306.01693), github.com/allenai/FineGrainedRLHF, tasks/qa_feedback/data.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENDINGS = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
FEEDBACK_FILES = ("train_feedback", "dev_feedback")
PREDICTIONS = 4
PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""Predictions compared with each other, in the order of the `preference` list (12, 13, 14, 23, 24, 34)."""

RELEVANCE_ERRORS = ("Irrelevant", "Redundant", "Incoherent")
FACTUALITY_ERRORS = ("Wrong-Grounding", "Unverifiable")
MISSING_TYPES = ("Missing-Answer", "Missing-Major-Auxiliary", "Missing-Minor-Auxiliary")


@dataclass(frozen=True)
class Question:
    """One record of `train.json`, `dev.json` or `test.json`.

    `passages` are mappings with `wikipage` and `content`; `answer` is the gold answer.
    """

    question: str
    passages: tuple[Mapping[str, str], ...]
    answer: str

    @property
    def prompt(self) -> str:
        return policy_prompt(self.question, self.passages)


@dataclass(frozen=True)
class ErrorSpan:
    """An error at characters `start` to `end` (exclusive) of the first prediction."""

    type: str
    start: int
    end: int
    explanation: str = ""


@dataclass(frozen=True)
class MissingInfo:
    """Information the first prediction lacks: `passage` counts from 1; `sentences` are positions in that passage's
    list, where 0 is the title."""

    type: str
    passage: int
    sentences: tuple[int, ...]


@dataclass(frozen=True)
class Feedback:
    """One record of `train_feedback.json` or `dev_feedback.json`.

    Each passage is its title followed by its sentences. `preference` has one value for each of `PAIRS`: 1 the first is
    preferred, 2 the second, 0 neither.
    """

    question: str
    passages: tuple[tuple[str, ...], ...]
    gold: str
    predictions: tuple[str, str, str, str]
    errors: tuple[ErrorSpan, ...]
    missing: tuple[MissingInfo, ...]
    corrected: str
    preference: tuple[int, int, int, int, int, int]

    @property
    def prompt(self) -> str:
        pages = [{"wikipage": page[0], "content": " ".join(page[1:])} for page in self.passages]
        return policy_prompt(self.question, pages)


def policy_prompt(question: str, passages: Sequence[Mapping[str, str]]) -> str:
    """The one prompt form, for policies and reward models alike.

    The released policies read passages joined by " | ", the released reward models read them without it; here both
    read the policies' form, which is the `text` field of the published files.

    >>> policy_prompt("Who?", [{"wikipage": "A", "content": "B."}, {"wikipage": "C", "content": "D."}])
    'question: Who? context: wikipage: A text: B. | wikipage: C text: D.'
    """
    context = " | ".join(f"wikipage: {page['wikipage']} text: {page['content']}" for page in passages)
    return f"question: {question} context: {context}"


def data_folder(directory: Path) -> Path:
    """QA-Feedback's own folder of a folder with all real data."""
    nested = directory / "qa_feedback"
    return nested if nested.is_dir() else directory


def find_file(directory: Path, stem: str) -> Path | None:
    """The file of this name with one of `ENDINGS`; None where there is none."""
    return next((path for end in ENDINGS if (path := Path(directory) / f"{stem}{end}").is_file()), None)


def find_feedback(directory: Path, stem: str) -> Path:
    """As `find_file`, for a file of feedback that must be there.

    Raises:
        ValueError: it is not.
    """
    path = find_file(directory, stem)
    if path is None:
        raise ValueError(f"there is no {stem}.json in {directory}; copy QA-Feedback's data files there")
    return path


def read_questions(path: Path | str) -> list[Question]:
    """Read questions from a JSON array or JSON lines, gzip or not.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed record; the message names the file, the record and the field.
    """
    return [_question(row) for row in _rows(Path(path))]


def read_feedback(path: Path | str) -> list[Feedback]:
    """Read feedback from a JSON array or JSON lines, gzip or not. Raises as `read_questions`."""
    return [_feedback(row) for row in _rows(Path(path))]


def write_feedback(path: Path | str, records: Sequence[Feedback]) -> None:
    """Write feedback in the published layout: a JSON array."""
    rows = [_feedback_to_json(record) for record in records]
    Path(path).write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


class _Row:
    """One JSON object with typed access to its fields; errors name the file, the record and the field."""

    def __init__(self, value: Any, where: str, field: str = "") -> None:
        self.where, self.field = where, field
        if not isinstance(value, dict):
            raise self.error("", f"is {type(value).__name__} where an object was expected")
        self.value = value

    def error(self, field: str, problem: str) -> ValueError:
        name = ".".join(part for part in (self.field, field) if part)
        return ValueError(f"{self.where}: {f'field {name!r}' if name else 'the record'} {problem}; repair or remove it")

    def get(self, field: str, kind: type) -> Any:
        if field not in self.value:
            raise self.error(field, "is missing")
        value = self.value[field]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(field, f"is {type(value).__name__} where {kind.__name__} was expected")
        return value

    def items(self, field: str, kind: type) -> list[Any]:
        values = self.get(field, list)
        for value in values:
            if not isinstance(value, kind):
                raise self.error(field, f"holds {type(value).__name__} where {kind.__name__} was expected")
        return values

    def rows(self, field: str) -> list[_Row]:
        return [
            _Row(value, self.where, f"{self.field}{'.' if self.field else ''}{field}[{i}]")
            for i, value in enumerate(self.get(field, list))
        ]


def _rows(path: Path) -> Iterator[_Row]:
    """The records of a file: JSON lines if its name says .jsonl, else one JSON array."""
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as (gzipped) UTF-8 text ({error}); fetch it again") from error
    if ".jsonl" in path.suffixes:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield _Row(_decode(line, f"{path}, line {number}"), f"{path}, line {number}")
        return
    values = _decode(text, str(path))
    if not isinstance(values, list):
        raise ValueError(f"{path}: holds {type(values).__name__}, not a JSON array; name JSON lines .jsonl")
    for number, value in enumerate(values):
        yield _Row(value, f"{path}, record {number}")


def _decode(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: is not valid JSON ({error}); the file may be truncated, fetch it again") from error


def _question(row: _Row) -> Question:
    answers = row.items("answer", str)
    if not answers:
        raise row.error("answer", "is empty")
    passages = tuple(
        {"wikipage": page.get("wikipage", str), "content": page.get("content", str)} for page in row.rows("passages")
    )
    return Question(row.get("question", str), passages, answers[0])


def _feedback(row: _Row) -> Feedback:
    passages = []
    for i, page in enumerate(row.items("passages", list)):
        if not page or not all(isinstance(sentence, str) for sentence in page):
            raise row.error(f"passages[{i}]", "must be a title and sentences")
        passages.append(tuple(page))
    preference = tuple(row.items("preference", int))
    if len(preference) != len(PAIRS) or not set(preference) <= {0, 1, 2}:
        raise row.error("preference", f"is {list(preference)} where six values out of 0, 1 and 2 were expected")
    predictions = tuple(row.get(f"prediction {i}", str) for i in range(1, PREDICTIONS + 1))
    feedback = _Row(row.get("feedback", dict), row.where, "feedback")
    return Feedback(
        question=row.get("question", str),
        passages=tuple(passages),
        gold=row.get("gold", str),
        predictions=predictions,
        errors=tuple(_error_span(error, predictions[0]) for error in feedback.rows("errors")),
        missing=tuple(_missing_info(info, passages) for info in feedback.rows("missing-info")),
        corrected=feedback.get("corrected-prediction", str),
        preference=preference,
    )


def _error_span(row: _Row, prediction: str) -> ErrorSpan:
    kind, start, end = row.get("error type", str), row.get("start", int), row.get("end", int)
    if kind not in RELEVANCE_ERRORS + FACTUALITY_ERRORS:
        raise row.error("error type", f"is {kind!r}, not one of {', '.join(RELEVANCE_ERRORS + FACTUALITY_ERRORS)}")
    if not 0 <= start < end <= len(prediction):
        raise row.error("end", f"makes the span {start} to {end}, outside the {len(prediction)} characters annotated")
    return ErrorSpan(kind, start, end, row.get("explanation", str))


def _missing_info(row: _Row, passages: Sequence[Sequence[str]]) -> MissingInfo:
    kind, passage, sentences = row.get("error type", str), row.get("passage_id", int), row.items("sentence_id", int)
    if kind not in MISSING_TYPES:
        raise row.error("error type", f"is {kind!r}, not one of {', '.join(MISSING_TYPES)}")
    if not 1 <= passage <= len(passages):
        raise row.error("passage_id", f"is {passage}, but there are {len(passages)} passages")
    if not all(0 <= sentence < len(passages[passage - 1]) for sentence in sentences):
        raise row.error("sentence_id", f"is {sentences}, but passage {passage} has {len(passages[passage - 1]) - 1}")
    return MissingInfo(kind, passage, tuple(sentences))


def _feedback_to_json(record: Feedback) -> dict[str, Any]:
    return {
        "question": record.question,
        "passages": [list(page) for page in record.passages],
        "gold": record.gold,
        **{f"prediction {i}": text for i, text in enumerate(record.predictions, start=1)},
        "feedback": {
            "errors": [
                {"error type": e.type, "explanation": e.explanation, "start": e.start, "end": e.end}
                for e in record.errors
            ],
            "missing-info": [
                {"error type": m.type, "passage_id": m.passage, "sentence_id": list(m.sentences)}
                for m in record.missing
            ],
            "corrected-prediction": record.corrected,
        },
        "preference": list(record.preference),
    }
