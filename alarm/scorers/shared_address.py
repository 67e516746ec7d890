"""One server for all processes of a machine: its address in a file, which is read and changed under a lock."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock

from alarm.files import write_atomically
from alarm.store import default_root

WAIT = 120
"""Seconds to wait for another process that is starting the server."""


class SharedAddress:
    """The address of this machine's server of one name, in the user's cache folder, which other users cannot write.

    Machines may have that folder in common, so that the file carries the machine's name. Where the folder cannot be
    written nothing is shared.
    """

    def __init__(self, name: str) -> None:
        self.path = default_root() / "servers" / f"{name}-{socket.gethostname()}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """One process of this machine at a time; without its turn one goes on that waited `WAIT` seconds in vain."""
        lock = FileLock(f"{self.path}.lock")
        with suppress(OSError):  # among them the lock's own Timeout
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=WAIT)
        try:
            yield
        finally:
            lock.release()

    def read(self) -> str | None:
        """The address that a process has left here; the server may have ended since."""
        try:
            return self.path.read_text(encoding="utf-8") or None
        except OSError:
            return None

    def write(self, address: str) -> None:
        with suppress(ValueError):  # nothing is shared then
            write_atomically(self.path, address)

    def remove(self, address: str) -> None:
        """Forget the address, unless another one has taken its place."""
        if self.read() == address:
            with suppress(OSError):
                self.path.unlink()
