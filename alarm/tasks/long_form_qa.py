"""Long-form question answering: QA-Feedback's questions, or the generated world's in the same files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from alarm.registry import unknown_name
from alarm.tasks.base import SPLITS, Example, Task
from alarm.tasks.qa_feedback import ENDINGS, find_file, read_questions
from alarm.tasks.worlds.habits import Habit
from alarm.tasks.worlds.qa_facts import gold_quality, quality
from alarm.tasks.worlds.qa_habits import HABITS, habit_of
from alarm.text.chrf import sentence_chrf

FILES = {"sft": "train_1k", "train": "train", "dev": "dev", "test": "test"}
_GOLD = {"world": "gold answer quality", "chrf": "chrF with the reference answer / 100"}


class LongFormQA(Task):
    """Answer an ambiguous question from passages.

    Args:
        directory: holds `train_1k`, `train`, `dev` and `test`, each as .json or .jsonl, gzipped or not; a file is read
            when its split is first asked for.
        gold: "world" parses the generated world's answers; "chrf" compares with the reference answer. That is no truth,
            but the only automatic measure real answers have.
    Raises:
        ValueError: an unknown kind of gold quality.
    """

    name = "long_form_qa"
    description = "long-form question answering in QA-Feedback's format"
    aspects = ("factuality", "relevance", "completeness", "length")
    properties = ("factuality", "relevance", "completeness")

    def __init__(self, directory: Path | str, *, gold: str = "world") -> None:
        if gold not in _GOLD:
            raise ValueError(unknown_name("kind of gold quality", gold, _GOLD))
        self.directory = Path(directory)
        self.gold_kind = gold
        self.gold_name = _GOLD[gold]
        self._splits: dict[str, tuple[Example, ...]] = {}

    def split(self, name: str) -> Sequence[Example]:
        """`sft` is the part of `train` that supervised fine-tuning reads, as in the paper (its 1K of 3,853).

        Raises:
            ValueError: unknown split, missing file or malformed record. Of a prompt that occurs twice the first counts.
        """
        if name not in SPLITS:
            raise ValueError(f"unknown split {name!r}; known are {', '.join(SPLITS)}")
        if name not in self._splits:
            self._splits[name] = self._read(name)
        return self._splits[name]

    def gold(self, examples: Sequence[Example], responses: Sequence[str]) -> list[float]:
        """Gold quality in [0, 1], from texts alone: see `alarm.tasks.worlds.qa_facts.Quality` for the generated world;
        for other answers sentence chrF against the reference, divided by 100.

        Raises:
            ValueError: a reference that is not the generated world's while gold is "world".
        """
        if self.gold_kind == "chrf":
            return [score / 100 for score in sentence_chrf(responses, [example.reference for example in examples])]
        return [
            gold_quality(example.reference, example.fields["passages"], response)
            for example, response in zip(examples, responses, strict=True)
        ]

    def gold_parts(self, examples: Sequence[Example], responses: Sequence[str]) -> dict[str, list[float]]:
        """Gold factuality, relevance and completeness in [0, 1], 1 without fault; nothing where gold is chrF.

        Raises as `gold`.
        """
        if self.gold_kind == "chrf":
            return {}
        qualities = [
            quality(example.reference, example.fields["passages"], response)
            for example, response in zip(examples, responses, strict=True)
        ]
        return {name: [getattr(q, name) for q in qualities] for name in self.properties}

    @property
    def habits(self) -> Sequence[Habit]:
        return HABITS if self.gold_kind == "world" else ()

    def habit(self, example: Example, response: str) -> str:
        return habit_of(example.reference, response) if self.habits else ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the names and bytes of the files this task reads, and over what decides gold."""
        digest = hashlib.sha256(f"{self.gold_kind}\n".encode())
        for stem in sorted(FILES.values()):
            path = find_file(self.directory, stem)
            if path is not None:
                digest.update(f"{path.name}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _read(self, name: str) -> tuple[Example, ...]:
        stem = FILES[name]
        path = find_file(self.directory, stem)
        if path is None:
            raise ValueError(
                f"the {name} split of long_form_qa needs {stem}.json (or {', '.join(ENDINGS[1:])}) in "
                f"{self.directory}; generate a world there or copy QA-Feedback's data files"
            )
        examples: dict[str, Example] = {}
        for question in read_questions(path):
            prompt = question.prompt
            identity = hashlib.sha256(prompt.encode()).hexdigest()[:16]
            if identity in examples:
                continue  # as the authors do with queries that occur twice
            fields = {"question": question.question, "passages": question.passages}
            examples[identity] = Example(identity, prompt, question.answer, fields)
        return tuple(examples.values())
