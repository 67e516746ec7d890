"""Comparisons on disk: JSON lines with a prompt, the chosen response and the rejected one, as TRL and the hub use them.

What is true of each comparison goes to a file of its own, line by line beside the comparisons, for measuring annotators
and denoising; nothing that trains may read it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from alarm.files import write_atomically
from alarm.reward_modeling.json_lines import field, json_lines


@dataclass(frozen=True)
class Comparison:
    """One judgement: of two responses to `prompt`, `chosen` was preferred to `rejected`."""

    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class TrueQuality:
    """Gold qualities behind one comparison."""

    chosen: float
    rejected: float

    @property
    def flipped(self) -> bool:
        """True if the annotator preferred the worse response; equal qualities are nobody's mistake."""
        return self.chosen < self.rejected

    @property
    def agrees(self) -> int:
        """1 if gold prefers the chosen response too, -1 if the rejected one, 0 if it finds them equal."""
        return (self.chosen > self.rejected) - (self.chosen < self.rejected)


def read_comparisons(path: Path | str) -> list[Comparison]:
    """The comparisons of a JSON lines file, plain or gzipped; keys other than the three are ignored.

    Raises:
        ValueError: no such file, or a line that is no comparison; the message names file, line and field.
    """
    return [
        Comparison(*(field(row, key, str, where) for key in _COMPARISON))
        for row, where in json_lines(path, "prompt, chosen, rejected")
    ]


def write_comparisons(path: Path | str, comparisons: Sequence[Comparison]) -> None:
    """Write comparisons as JSON lines, gzipped if the name ends in .gz; the file is complete or not there."""
    _write(Path(path), comparisons)


def read_true_qualities(path: Path | str) -> list[TrueQuality]:
    """What `write_true_qualities` wrote.

    Raises:
        ValueError: as `read_comparisons`.
    """
    return [
        TrueQuality(*(float(field(row, key, (int, float), where)) for key in _QUALITY))
        for row, where in json_lines(path, "chosen and rejected qualities")
    ]


def write_true_qualities(path: Path | str, qualities: Sequence[TrueQuality]) -> None:
    """Write gold qualities as JSON lines, one per comparison and in their order."""
    _write(Path(path), qualities)


_COMPARISON = ("prompt", "chosen", "rejected")
_QUALITY = ("chosen", "rejected")


def _write(path: Path, rows: Sequence[Comparison] | Sequence[TrueQuality]) -> None:
    content = "".join(f"{json.dumps(asdict(row), ensure_ascii=False)}\n" for row in rows).encode("utf-8")
    # No time stamp: equal comparisons are equal bytes.
    write_atomically(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
