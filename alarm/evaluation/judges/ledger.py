"""What an invocation has spent, in a file that all its processes share."""

from __future__ import annotations

import threading
from pathlib import Path

from alarm.evaluation.judges.cache import open_database

FILE = "spending.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS spending (
    id INTEGER PRIMARY KEY, invocation TEXT NOT NULL, usd REAL NOT NULL, factor REAL NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS spending_of ON spending (invocation);
"""


class Ledger:
    """Amounts set aside and spent, by invocation.

    Args:
        folder: where the file lies; made if need be.
    Raises:
        ValueError: the folder cannot be written, or the file is not such a ledger.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._connection = open_database(Path(folder).expanduser().absolute() / FILE, _TABLES)
        # An invocation does not outlive the machine: nothing here needs to survive a power cut, as answers do.
        self._connection.execute("PRAGMA synchronous = OFF")

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
            except BaseException:  # Ctrl-C too: no transaction may stay open for the other processes
                self._connection.execute("ROLLBACK")
                raise
        return row

    def settle(self, reservation: int, usd: float, *, factor: float = 1.0) -> None:
        """Replace what was set aside by what was spent, `factor` times what had been expected."""
        update = "UPDATE spending SET usd = ?, factor = ? WHERE id = ?"
        with self._lock:
            self._connection.execute(update, (usd, max(1.0, factor), reservation))

    def add(self, invocation: str, usd: float) -> None:
        """Note an amount that nothing was set aside for."""
        insert = "INSERT INTO spending (invocation, usd) VALUES (?, ?)"
        with self._lock:
            self._connection.execute(insert, (invocation, usd))

    def spent(self, invocation: str) -> float:
        """USD spent or set aside by an invocation, in all its processes."""
        select = "SELECT coalesce(sum(usd), 0) FROM spending WHERE invocation = ?"
        with self._lock:
            return self._connection.execute(select, (invocation,)).fetchone()[0]
