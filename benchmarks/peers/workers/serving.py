"""The side of the protocol that all workers share; plain Python, since each worker runs in an environment of its own.

One line of JSON on stdin is a request, one on stdout its answer. `{"do": "prepare", ...}` comes first, then any number
of `{"do": "iterate"}`; `{"do": "memory"}` may come at any time. A worker ends when its input ends, and whatever else is
printed goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")


class Server:
    """Reads requests and writes answers. To be made when all imports are done, whose memory it notes."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._imports_bytes = memory_of_process("VmRSS")

    def wait(self) -> dict[str, Any]:
        """The next request to prepare or to iterate.

        Raises:
            SystemExit: there are no more requests.
        """
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] != "memory":
                return request
            self.answer(peak_bytes=memory_of_process("VmHWM"), imports_bytes=self._imports_bytes)
        raise SystemExit

    def answer(self, **values: Any) -> None:
        self._answers.write(json.dumps(values) + "\n")
        self._answers.flush()


def memory_of_process(name: str) -> int:
    """Bytes: `VmHWM`, the most memory that was resident so far, or `VmRSS`, what is now."""
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
