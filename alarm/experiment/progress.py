"""Progress that other processes can read: each working process keeps one small JSON file up to date."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Progress:
    """What this process is doing now. Writing is best effort: progress must never stop a run."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / f"{os.getpid()}.json" if folder else None
        self._label = ""
        self._first: tuple[int, float] | None = None
        """The first step reported of this work, and when: what went before it, such as loading, tells nothing."""

    def start(self, label: str) -> None:
        """Begin a piece of work, named as a person would name it."""
        self._label, self._first = label, None
        self._write({})

    @contextmanager
    def nested(self) -> Iterator[None]:
        """What is begun inside ends with it; the work around it goes on under its own name."""
        kept = self._label, self._first
        try:
            yield
        finally:
            self._label, self._first = kept

    def step(self, step: int, total: int, **numbers: float) -> None:
        """Report step `step` of `total` with the numbers worth watching; time left is extrapolated from the second."""
        now = time.time()
        first, since = self._first = self._first or (step, now)
        left = {"seconds_left": (now - since) / (step - first) * (total - step)} if step > first else {}
        self._write({"step": step, "total": total, **left, **numbers})

    def finish(self) -> None:
        """Forget this process's entry."""
        if self._path:
            self._path.unlink(missing_ok=True)

    def _write(self, state: dict) -> None:
        if not self._path:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(".tmp")
            draft.write_text(json.dumps({"label": self._label, **state}))
            draft.replace(self._path)
        except OSError:
            # A full or read-only disk is reported by the store, with a remedy; progress itself is dispensable.
            self._path = None


class PrintedProgress(Progress):
    """Progress as lines on standard error, for a command that does one thing: its steps every few seconds."""

    SECONDS = 5.0

    def __init__(self) -> None:
        super().__init__(None)
        self._printed = 0.0

    def _write(self, state: dict) -> None:
        now = time.time()
        if "step" in state and state["step"] < state["total"] and now - self._printed < self.SECONDS:
            return
        self._printed = now
        print(phrase({"label": self._label, **state}), file=sys.stderr, flush=True)


def describe(folder: Path) -> list[str]:
    """One phrase per working process, from the files in `folder`."""
    phrases = []
    for path in sorted(folder.glob("*.json")):
        try:
            state = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # replaced or removed while we looked
        phrases.append(phrase(state))
    return phrases


def phrase(state: dict) -> str:
    """E.g. `wmt alarm seed 2: step 12/40, reward 1.31, KL 0.42, 14 s left`."""
    text = state.get("label", "")
    if "step" not in state:
        return text
    known = ("label", "step", "total", "seconds_left")
    numbers = [f"{name} {value:.3g}" for name, value in state.items() if name not in known and value is not None]
    left = [f"{state['seconds_left']:.0f} s left"] if "seconds_left" in state else []
    return f"{text}: " + ", ".join([f"step {state['step']}/{state['total']}", *numbers, *left])
