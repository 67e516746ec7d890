"""Answers of language models, kept by what they depend on: a killed or repeated run asks no question twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alarm.store import canonical_json

FILE = "answers.sqlite"
SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, asked TEXT DEFAULT CURRENT_TIMESTAMP);
"""


@dataclass(frozen=True)
class Answer:
    """What a server replied to one question."""

    text: str
    finish_reason: str
    refusal: str
    """Why the model refused, in its words; empty if it did not say so."""
    model: str
    """As the server names it."""
    input_tokens: int | None
    """As the server counts; None where it does not say."""
    output_tokens: int | None


def question_key(request: Mapping[str, Any], endpoint: str) -> str:
    """A sha256 of everything an answer depends on: the whole request (model, messages, parameters, schema) and who is
    asked. Where a value changes, the question is another."""
    return hashlib.sha256(canonical_json([SCHEMA, endpoint, request]).encode("utf-8")).hexdigest()


class AnswerCache:
    """Answers in one SQLite file, shared by any number of threads and processes; each is durable once `put` returns.

    Args:
        folder: where the file lies; made if need be.
    Raises:
        ValueError: the folder cannot be written, or the file is not such a cache.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder).expanduser().absolute() / FILE
        self._lock = threading.Lock()
        self._connection = open_database(self.path, _TABLES)

    def get(self, key: str) -> Answer | None:
        with self._lock:
            row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return Answer(**json.loads(row[0])) if row else None

    def put(self, key: str, answer: Answer) -> Answer:
        """Keep an answer and return it; where another process was first, its answer is kept and returned."""
        text = json.dumps(asdict(answer), ensure_ascii=False)
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO answers (key, answer) VALUES (?, ?)", (key, text))
        return self.get(key)

    def __len__(self) -> int:
        with self._lock:
            return self._connection.execute("SELECT count(*) FROM answers").fetchone()[0]

    def close(self) -> None:
        self._connection.close()


def open_database(path: Path, tables: str) -> sqlite3.Connection:
    """A connection for all threads of a process, which must take turns; what is written is kept at once.

    Raises:
        ValueError: the folder cannot be written, or the file is something else or of another version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The time limit covers other processes' writes.
        connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version in (0, SCHEMA):
            connection.executescript(tables)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
    except (OSError, sqlite3.Error) as error:
        raise ValueError(
            f"{path} cannot be used ({error}); move it away, or name another folder with --cache"
        ) from error
    if version not in (0, SCHEMA):
        raise ValueError(f"{path} has schema {version}, this version reads {SCHEMA}; name another folder with --cache")
    return connection
