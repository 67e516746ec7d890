"""Which runs an experiment consists of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alarm.methods import METHODS
from alarm.presets import REPORTED_SEEDS, TASK_NAMES, preset
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
    seeds: Sequence[int] = REPORTED_SEEDS,
) -> list[RunSpec]:
    """All runs of a scale, or those of the given tasks, methods, aspects and seeds.

    Without `methods`, every registered method runs with the selected aspect, and ALaRM also with each of the task's
    aspects in turn (Table 5). With `aspects`, the chosen methods run with just these.

    Raises:
        ValueError: a name is unknown (the message lists the known ones), or there is no seed.
    """
    from alarm.tasks.catalog import TASKS

    tasks = list(tasks) or [name for name in TASK_NAMES if _has_preset(scale, name)]
    if not seeds:
        raise ValueError("at least one seed is needed, e.g. --seeds 1,2,3")
    for name in methods:
        METHODS[name]
    specs = []
    for task in tasks:
        preset(scale, task)
        known = TASKS[task].aspects
        for aspect in aspects:
            if not any(aspect in TASKS[other].aspects for other in tasks):
                raise UnknownNameError(unknown_name(f"aspect of task {task}", aspect, known))
        chosen = [aspect for aspect in aspects if aspect in known]
        for method in methods or METHODS:
            given: list[str | None] = [*chosen] if aspects else [None]
            if not aspects and not methods and method == ABLATED_METHOD:
                given += known
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
