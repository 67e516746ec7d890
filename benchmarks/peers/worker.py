"""A worker as its master sees it: a process that prepares a workload and iterates when it is told to."""

from __future__ import annotations

import json
import math
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import clean_variables

ROOT = Path(__file__).resolve().parents[2]
REST = 0.05
"""Seconds between the turns of two workers, until the threads of the one no longer spin."""
PATIENCE = 1800.0
"""Seconds; an answer that takes longer is not waited for."""
TAIL = 15
"""Lines of a dead worker's stderr that are shown."""


class WorkerError(RuntimeError):
    """A worker ended, kept silent, or did other work than it was asked for."""


class Worker:
    """One process, which has the machine to itself while it is asked something. A context manager, which ends it."""

    def __init__(self, name: str, command: Sequence[str | Path], *, threads: int) -> None:
        self.name = name
        self._stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115, closed on exit
        variables = {
            "OMP_NUM_THREADS": str(threads),
            "CUDA_VISIBLE_DEVICES": "",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            cwd=ROOT,
            env=clean_variables(variables),
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            WorkerError: there is none; the message ends with what the worker said last.
        """
        try:
            self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._error(f"ended before it could {do}") from None
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise self._error(f"has not answered to {do!r} for {PATIENCE:.0f} seconds")
        line = self._process.stdout.readline()
        if not line:
            raise self._error(f"ended when it was to {do}, with status {self._process.wait()}")
        return json.loads(line)

    def iterate(self, *, tokens: int) -> dict[str, float]:
        """One iteration: its `seconds`, its `rollout_seconds`.

        Raises:
            WorkerError: there was none, it sampled another number of tokens, or its loss is not finite.
        """
        time.sleep(REST)
        found = self.ask("iterate")
        if found["tokens"] != tokens:
            raise WorkerError(f"{self.name} has sampled {found['tokens']} tokens and was to sample {tokens}")
        if not all(math.isfinite(found[key]) for key in ("seconds", "rollout_seconds", "loss")):
            raise WorkerError(f"{self.name} has a loss of {found['loss']}; the time of such an iteration says nothing")
        return found

    def _error(self, what: str) -> WorkerError:
        self._stderr.seek(0)
        last = self._stderr.read().strip().splitlines()[-TAIL:]
        return WorkerError("\n".join([f"the worker of {self.name} {what}; the end of its stderr:", *last]))
