"""Parallel text as translation benchmarks publish it: one file per language, line by line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path

MULTI30K_LINES: Mapping[str, int] = {"train": 29_000, "val": 1_014, "test_2016_flickr": 1_000}
"""Published line counts of Multi30k task 1, by file name without language (github.com/multi30k/dataset)."""


def find_text(directory: Path | str, name: str) -> Path | None:
    """The file `name` or `name`.gz in a folder, plain text first; None where neither is."""
    return next((path for end in ("", ".gz") if (path := Path(directory) / f"{name}{end}").is_file()), None)


def read_lines(path: Path | str) -> list[str]:
    """The lines of a UTF-8 text file, plain or gzipped, without surrounding white space.

    Raises:
        ValueError: the file is missing, cut off, no gzip or not UTF-8; the message names it.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); it is missing, cut off or damaged: fetch it again"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 at byte {error.start}; convert it or fetch it again") from error
    # Not splitlines(): corpora hold U+2028 and form feeds inside lines, and one extra break would shift all pairs.
    lines = text.split("\n")
    return [line.strip() for line in (lines[:-1] if lines[-1] == "" else lines)]


def read_parallel(
    directory: Path | str, stem: str, *, source: str = "de", target: str = "en", lines: int | None = None
) -> list[tuple[str, str]]:
    """The sentence pairs of `stem`.`source` and `stem`.`target`, each plain or .gz.

    Args:
        directory: the folder with both files.
        stem: file name without language, e.g. "train".
        source: language ending of the source file.
        target: language ending of the target file.
        lines: the count that both files must have; None accepts any, as long as the two agree.
    Raises:
        ValueError: a file is missing, damaged, empty or too short or long, or a line has no text; the message names
            the file, what was expected and the remedy.
    """
    sides, counts = [], []
    for language in (source, target):
        name = f"{stem}.{language}"
        path = find_text(directory, name)
        if path is None:
            expected = f" with {lines:,} lines" if lines else ""
            raise ValueError(f"there is no {name} or {name}.gz in {directory}; put the parallel text{expected} there")
        side = read_lines(path)
        if lines is not None and len(side) != lines:
            raise ValueError(f"{path} has {len(side):,} lines, expected {lines:,}; it is not complete: fetch it again")
        if not side:
            raise ValueError(f"{path} is empty; fetch it again")
        sides.append(side)
        counts.append((path, len(side)))
    (source_path, source_count), (target_path, target_count) = counts
    if source_count != target_count:
        known = f" (Multi30k has {MULTI30K_LINES[stem]:,})" if stem in MULTI30K_LINES else ""
        raise ValueError(
            f"{source_path} has {source_count:,} lines but {target_path.name} has {target_count:,}{known}; they must "
            "fit line by line, so the shorter is probably cut off: fetch both again"
        )
    for (path, _), side in zip(counts, sides, strict=True):
        if "" in side:
            raise ValueError(f"{path}, line {side.index('') + 1}: no text; remove the pair from both files")
    return list(zip(*sides, strict=True))
