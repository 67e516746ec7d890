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
CREATE TABLE IF NOT EXISTS spending (
    id INTEGER PRIMARY KEY, invocation TEXT NOT NULL, usd REAL NOT NULL, factor REAL NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS spending_of ON spending (invocation);
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
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit: what is written is kept, whatever happens next. The time limit covers other processes' writes.
            self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA):
                raise ValueError(f"{self.path} has schema {version}, this version reads {SCHEMA}; name another --cache")
            self._connection.executescript(_TABLES)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA}")
        except (OSError, sqlite3.Error) as error:
            raise ValueError(
                f"the answers in {self.path} cannot be used ({error}); move the file away, or name another folder "
                "with --cache"
            ) from error

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

    # What an invocation has spent; `alarm.evaluation.judges.cost.Budget` says what this is for.

    def reserve(self, invocation: str, usd: float, *, cap: float) -> int | None:
        """Set `usd` aside unless all that the invocation spent or set aside would exceed `cap`; returns its number.

        `usd` is raised by the largest factor by which the invocation's earlier amounts turned out too low.
        """
        select = "SELECT coalesce(sum(usd), 0), coalesce(max(factor), 1) FROM spending WHERE invocation = ?"
        insert = "INSERT INTO spending (invocation, usd) VALUES (?, ?)"
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                spent, factor = self._connection.execute(select, (invocation,)).fetchone()
                within = spent + factor * usd <= cap
                row = self._connection.execute(insert, (invocation, factor * usd)).lastrowid if within else None
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
        return row

    def settle(self, reservation: int, usd: float, *, factor: float = 1.0) -> None:
        """Replace what was set aside by what was spent, `factor` times what had been expected."""
        with self._lock:
            self._connection.execute(
                "UPDATE spending SET usd = ?, factor = ? WHERE id = ?", (usd, max(1.0, factor), reservation)
            )

    def spent(self, invocation: str) -> float:
        """USD spent or set aside by an invocation, in all its processes."""
        select = "SELECT coalesce(sum(usd), 0) FROM spending WHERE invocation = ?"
        with self._lock:
            return self._connection.execute(select, (invocation,)).fetchone()[0]

    def close(self) -> None:
        self._connection.close()
