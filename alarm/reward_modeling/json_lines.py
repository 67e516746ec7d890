"""JSON lines, plain or gzipped, whose faults are named by file, line and field."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def json_lines(path: Path | str, holding: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every line's object, with "file, line n" for messages about it; blank lines are left out.

    Args:
        path: gzipped if it ends in .gz.
        holding: what the file should hold, for the message where there is none.
    Raises:
        ValueError: the file is missing or damaged, or a line is no JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; it should be JSON lines with {holding}")
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


def field(row: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """`row[key]`, which must be of that kind; truth values are no numbers.

    Raises:
        ValueError: the field is missing or of another kind.
    """
    if key not in row:
        raise ValueError(f"{where}: field {key!r} is missing; found {', '.join(map(repr, row)) or 'none'}")
    value = row[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{where}: field {key!r} must be {_KINDS.get(kind, 'a number')}, got {value!r:.60}")
    return value


_KINDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    list: "a list",
    dict: "an object",
    (str, list): "text or a list",
}
