"""Which runs an experiment consists of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alarm.methods import METHODS
from alarm.presets import PRESETS, REPORTED_SEEDS, TASK_NAMES, preset
from alarm.registry import UnknownNameError, unknown_name

ABLATED_METHOD = "alarm"
"""The method whose choice of aspect is varied (Table 5)."""


@dataclass(frozen=True)
class RunSpec:
    """One run: task x method x seed, with an aspect where it is given rather than selected."""

    task: str
    method: str
    seed: int
    aspect: str | None = None

    @property
    def name(self) -> str:
        """The run's name in records and tables: the method, with the aspect where one was given."""
        return f"{self.method}+{self.aspect}" if self.aspect else self.method

    def __str__(self) -> str:
        return f"{self.task}-{self.name}-seed{self.seed}"


def run_matrix(
    scale: str,
    *,
    tasks: Iterable[str] = (),
    methods: Iterable[str] = (),
    aspects: Iterable[str] = (),
    seeds: Iterable[int] = REPORTED_SEEDS,
) -> list[RunSpec]:
    """All runs of a scale, or those of the given tasks, methods, aspects and seeds.

    Without `methods`, every registered method runs with the selected aspect, and ALaRM also with each of the task's
    aspects in turn (Table 5). With `aspects`, the chosen methods run with just these.

    A name or seed that is given twice runs once.

    Raises:
        ValueError: a name is unknown (the message lists the known ones), there is no seed or one is negative, or the
            scale has no preset yet.
    """
    from alarm.tasks.catalog import TASKS

    tasks, methods, aspects, seeds = (list(dict.fromkeys(names)) for names in (tasks, methods, aspects, seeds))
    tasks = tasks or [name for name in TASK_NAMES if _has_preset(scale, name)]
    if not tasks:
        raise ValueError(f"scale {scale!r} has no preset yet; use {' or '.join(sorted({s for s, _ in PRESETS}))}")
    for task in tasks:
        preset(scale, task)
    if not seeds:
        raise ValueError("at least one seed is needed, e.g. --seeds 1,2,3")
    if min(seeds) < 0:
        raise ValueError(f"seed {min(seeds)} is negative; seeds are whole numbers from 0, e.g. --seeds 1,2,3")
    for name in methods:
        METHODS[name]
    known = list(dict.fromkeys(aspect for task in tasks for aspect in TASKS[task].aspects))
    for aspect in aspects:
        if aspect not in known:
            raise UnknownNameError(unknown_name(f"aspect of {' and '.join(tasks)}", aspect, known))
    specs = []
    for task in tasks:
        of_task = TASKS[task].aspects
        chosen = [aspect for aspect in aspects if aspect in of_task]
        for method in methods or METHODS:
            given: list[str | None] = [*chosen] if aspects else [None]
            if not aspects and not methods and method == ABLATED_METHOD:
                given += of_task
            specs += [RunSpec(task, method, seed, aspect) for aspect in given for seed in seeds]
    return specs


def _has_preset(scale: str, task: str) -> bool:
    try:
        preset(scale, task)
    except UnknownNameError:
        raise
    except ValueError:
        return False
    return True
