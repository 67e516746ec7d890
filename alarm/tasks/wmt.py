"""Translation into English from parallel text: Multi30k, WMT news, or the generated world in the same files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from alarm.files import sha256_of
from alarm.registry import unknown_name
from alarm.tasks.base import SPLITS, Example, Task
from alarm.tasks.parallel_text import find_text, read_parallel
from alarm.tasks.worlds.habits import Habit
from alarm.text.chrf import sentence_chrf

MULTI30K_STEMS = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
WORLD_STEMS = {**MULTI30K_STEMS, "sft": "demonstrations"}
"""Of the generated world: what supervised fine-tuning reads was written by people with habits."""
_GOLD = {"world": "gold translation quality", "chrf": "sentence chrF / 100"}


class WMT(Task):
    """Translate a sentence. Splits `sft` and `train` are the training set, as in the paper.

    Training pairs whose source also stands in the dev or test file are left out (Multi30k has some), and so are later
    copies of a source inside one file, so that no prompt occurs twice.

    Args:
        directory: holds the files of train, dev and test, each with a language ending, gzipped or not; a file is
            read when its split is first asked for.
        gold: "world" parses generated captions; "chrf" compares with the reference and works for any text.
        sft_examples: how many of the training pairs `sft` has; None for all.
        prefix: put before the source in prompts, e.g. "translate German to English: " for pretrained T5 models.
        lines: line counts the files must have, by name without language, e.g. `MULTI30K_LINES`.
        stems: file names without language of the splits train, dev and test, and of sft where it is not train's own;
            `MULTI30K_STEMS` unless given.
        source: language ending of the source files.
        target: language ending of the target files.
    Raises:
        ValueError: an unknown kind of gold quality, or sft_examples below 1.
    """

    name = "wmt"
    description = "translation into English, in the parallel line files of WMT"
    aspects = ("grammar", "confidence", "readability", "length")
    properties = ("grammar", "confidence")

    def __init__(
        self,
        directory: Path | str,
        *,
        gold: str = "world",
        sft_examples: int | None = None,
        prefix: str = "",
        lines: Mapping[str, int] | None = None,
        stems: Mapping[str, str] = MULTI30K_STEMS,
        source: str = "de",
        target: str = "en",
    ) -> None:
        if gold not in _GOLD:
            raise ValueError(unknown_name("kind of gold quality", gold, _GOLD))
        if sft_examples is not None and sft_examples < 1:
            raise ValueError(f"sft_examples must be at least 1 or None for all, got {sft_examples}")
        self.directory = Path(directory)
        self.gold_kind = gold
        self.gold_name = _GOLD[gold]
        self.sft_examples = sft_examples
        self.prefix = prefix
        self.lines = dict(lines or {})
        self.stems = {"sft": stems["train"], **stems}
        self.languages = (source, target)
        self._files: dict[str, tuple[Example, ...]] = {}

    def split(self, name: str) -> Sequence[Example]:
        """One split; an example's `fields` hold its `source`, and its id is file and line, e.g. "val-17".

        Raises:
            ValueError: unknown split, or a file that is missing, damaged or does not fit the other language's.
        """
        if name not in SPLITS:
            raise ValueError(unknown_name("split", name, SPLITS))
        stem = self.stems[name]
        if stem not in self._files:
            self._files[stem] = self._read(stem)
        return self._files[stem][: self.sft_examples] if name == "sft" else self._files[stem]

    def gold(self, examples: Sequence[Example], responses: Sequence[str]) -> list[float]:
        """Gold quality in [0, 1]: see `alarm.tasks.worlds.caption_quality.Quality` for the generated world; for other
        text sentence chrF against the reference, divided by 100.

        Raises:
            ValueError: a reference that is not the generated world's while gold is "world"; or lists of different
                lengths.
        """
        if self.gold_kind == "chrf":
            return [score / 100 for score in sentence_chrf(responses, [example.reference for example in examples])]
        from alarm.tasks.worlds.caption_quality import gold_quality

        return [gold_quality(example.reference, text) for example, text in zip(examples, responses, strict=True)]

    def gold_parts(self, examples: Sequence[Example], responses: Sequence[str]) -> dict[str, list[float]]:
        """Gold adequacy and fluency in [0, 1], 1 without fault; nothing where gold is chrF, which has no parts.

        Raises as `gold`.
        """
        if self.gold_kind == "chrf":
            return {}
        from alarm.tasks.worlds.caption_quality import quality

        qualities = [quality(example.reference, text) for example, text in zip(examples, responses, strict=True)]
        return {name: [getattr(q, name) for q in qualities] for name in ("adequacy", "fluency")}

    @property
    def habits(self) -> Sequence[Habit]:
        from alarm.tasks.worlds.caption_habits import HABITS

        return HABITS if self.gold_kind == "world" else ()

    def habit(self, example: Example, response: str) -> str:
        from alarm.tasks.worlds.caption_writers import habit_of

        return habit_of(example.reference, response) if self.habits else ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the names and bytes of the files, and over what decides prompts, sft and gold."""
        digest = hashlib.sha256(f"{self.prefix}\n{self.sft_examples}\n{self.gold_kind}\n".encode())
        for stem in sorted(set(self.stems.values())):
            for language in self.languages:
                path = find_text(self.directory, f"{stem}.{language}")
                if path is not None:
                    digest.update(f"{path.name}\n{sha256_of(path)}\n".encode())
        return digest.hexdigest()

    def _read(self, stem: str) -> tuple[Example, ...]:
        held_out: set[str] = set()
        if stem in (self.stems["train"], self.stems["sft"]):
            held_out = {example.fields["source"] for name in ("dev", "test") for example in self.split(name)}
        elif stem == self.stems["dev"]:
            held_out = {example.fields["source"] for example in self.split("test")}
        source, target = self.languages
        pairs = read_parallel(self.directory, stem, source=source, target=target, lines=self.lines.get(stem))
        examples = []
        for i, (text, reference) in enumerate(pairs, start=1):
            if text not in held_out:
                held_out.add(text)
                examples.append(Example(f"{stem}-{i}", self.prefix + text, reference, {"source": text}))
        return tuple(examples)
