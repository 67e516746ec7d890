"""Comparisons on disk: JSON lines with a prompt, the chosen response and the rejected one, as TRL and the hub use them.

What is true of each comparison goes to a file of its own, line by line beside the comparisons, for measuring annotators
and denoising; nothing that trains may read it.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alarm.files import write_atomically


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


def read_comparisons(path: Path | str) -> list[Comparison]:
    """The comparisons of a JSON lines file, plain or gzipped; keys other than the three are ignored.

    Raises:
        ValueError: no such file, or a line that is no comparison; the message names file, line and field.
    """
    return [Comparison(*(_field(row, key, str, where) for key in _COMPARISON)) for row, where in _rows(Path(path))]


def write_comparisons(path: Path | str, comparisons: Sequence[Comparison]) -> None:
    """Write comparisons as JSON lines, gzipped if the name ends in .gz; the file is complete or not there."""
    _write(Path(path), comparisons)


def read_true_qualities(path: Path | str) -> list[TrueQuality]:
    """What `write_true_qualities` wrote.

    Raises:
        ValueError: as `read_comparisons`.
    """
    return [
        TrueQuality(*(float(_field(row, key, (int, float), where)) for key in _QUALITY))
        for row, where in _rows(Path(path))
    ]


def write_true_qualities(path: Path | str, qualities: Sequence[TrueQuality]) -> None:
    """Write gold qualities as JSON lines, one per comparison and in their order."""
    _write(Path(path), qualities)


_COMPARISON = ("prompt", "chosen", "rejected")
_QUALITY = ("chosen", "rejected")


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}; comparisons are JSON lines with {', '.join(_COMPARISON)}")
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); it may be damaged, write or fetch it again") from error
    # Not splitlines(): JSON strings may hold U+2028 and its kin unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}: not JSON ({error.msg}); every line must be one JSON object") from error
        if not isinstance(row, dict):
            raise ValueError(f"{where}: a {type(row).__name__} where one JSON object was expected")
        yield row, where


def _field(row: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    if key not in row:
        raise ValueError(f"{where}: field {key!r} is missing; found {', '.join(map(repr, row)) or 'none'}")
    value = row[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        expected = "text" if kind is str else "a number"
        raise ValueError(f"{where}: field {key!r} must be {expected}, got {value!r:.60}")
    return value


def _write(path: Path, rows: Sequence[Comparison] | Sequence[TrueQuality]) -> None:
    content = "".join(f"{json.dumps(asdict(row), ensure_ascii=False)}\n" for row in rows).encode("utf-8")
    # No time stamp: equal comparisons are equal bytes.
    write_atomically(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
