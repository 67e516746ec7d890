"""The phases of a run: how long each took, and what ends a run rather than the program."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class StoppedError(Exception):
    """Rewards or an update that are not finite, or that a composition refuses: the run ends, its record says where."""


@contextmanager
def stopping() -> Iterator[None]:
    """Turn what rewards and PPO refuse into the end of this run; a full disk, say, is raised as it is."""
    try:
        yield
    except ValueError as problem:
        raise StoppedError(str(problem)) from problem


class Clock:
    """Seconds spent by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - started
