"""Which runs an experiment consists of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alarm.methods import METHODS, method_named, with_recipe
from alarm.presets import REPORTED_SEEDS, TASK_NAMES, has_preset, preset
from alarm.registry import UnknownNameError, unknown_name
from alarm.reward_modeling.recipes import RECIPES
from alarm.scorers.external import check_recipe

ABLATED_METHOD = "alarm"
"""The method whose choice of aspect is varied (Table 5)."""
PAPER_SCALE_METHODS = ("holistic_only", "aspect_only", "weighted_sum", "alarm", "alarm_as_released")
"""What scale `paper` runs by default: the rows of the paper's Tables 1 and 3, and ALaRM as released beside it."""
QUICK_TASK, QUICK_METHODS, QUICK_SEEDS = "wmt", ("holistic_only", "weighted_sum", "alarm", "oracle"), (1, 2)
"""What a first look runs: one task, four methods, two seeds."""
GRID_METHODS = ("holistic_only", "weighted_sum", "alarm", "log_sigmoid", "log_sigmoid_sum")
"""Compositions that read a holistic reward model, and so meet every recipe in the grid."""
GRID_RECIPES = ("soft_label_margin", "simcse", "meta")
"""The grid's recipes beside plain: denoised, contrastive, iterative."""


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
    own_methods: Iterable[str] = (),
    aspects: Iterable[str] = (),
    recipes: Iterable[str] = (),
    seeds: Iterable[int] = REPORTED_SEEDS,
    full: bool = False,
    grid_seeds: int = 0,
) -> list[RunSpec]:
    """All runs of a scale, or those of the given tasks, methods, aspects, recipes and seeds.

    Without `methods`, every registered method runs with the selected aspect; at scale `paper`, where a run takes hours,
    just `PAPER_SCALE_METHODS` and `own_methods`, a user's own. Where nothing is restricted, `full` adds ALaRM
    with each of the task's aspects in turn (Table 5; not at `paper`), and `GRID_METHODS` meet all of `GRID_RECIPES`
    with the first `grid_seeds` seeds. With `aspects` or `recipes`, the chosen methods run with just
    these; with `recipes` and without `methods`, all whose own recipe is plain.

    A name or seed that is given twice runs once.

    Raises:
        ValueError: a name is unknown (the message lists the known ones), there is no seed or one is negative, or a
            task has no preset at this scale.
    """
    from alarm.tasks.catalog import TASKS

    tasks, methods, aspects, recipes, seeds = (
        list(dict.fromkeys(names)) for names in (tasks, methods, aspects, recipes, seeds)
    )
    tasks = tasks or [name for name in TASK_NAMES if has_preset(scale, name)]
    for task in tasks:
        preset(scale, task)
    if not seeds:
        raise ValueError("at least one seed is needed, e.g. --seeds 1,2,3")
    if min(seeds) < 0:
        raise ValueError(f"seed {min(seeds)} is negative; seeds are whole numbers from 0, e.g. --seeds 1,2,3")
    if grid_seeds < 0:
        raise ValueError(f"grid seeds must be 0 or more, got {grid_seeds}")
    for name in methods:
        method_named(name)
    for name in recipes:
        RECIPES[name]
    usual = [*PAPER_SCALE_METHODS, *own_methods] if scale == "paper" else METHODS
    everything = [name for name in usual if not recipes or method_named(name).recipe == "plain"]
    chosen_methods = [with_recipe(name, recipe) for name in methods or everything for recipe in recipes or [None]]
    known = list(dict.fromkeys(aspect for task in tasks for aspect in TASKS[task].aspects))
    for aspect in aspects:
        if aspect not in known:
            raise UnknownNameError(unknown_name(f"aspect of {' and '.join(tasks)}", aspect, known))
    specs = []
    for task in tasks:
        of_task = TASKS[task].aspects
        chosen = [aspect for aspect in aspects if aspect in of_task]
        for method in dict.fromkeys(chosen_methods):
            given: list[str | None] = [*chosen] if aspects else [None]
            if full and not (aspects or methods or recipes or scale == "paper") and method == ABLATED_METHOD:
                given += of_task
            specs += [RunSpec(task, method, seed, aspect) for aspect in given for seed in seeds]
        if not (aspects or methods or recipes):
            specs += [RunSpec(task, method, seed) for method in grid_methods() for seed in seeds[:grid_seeds]]
    return specs


def without_recipes(specs: Iterable[RunSpec], ready_made: Mapping[str, str], *, named: bool) -> list[RunSpec]:
    """The runs that can be made where some tasks have a ready-made holistic model, which no recipe may train.

    Args:
        ready_made: these tasks' models.
        named: whether methods or recipes were asked for by name; if not, runs that cannot be made are left out.
    Raises:
        ValueError: a run that was asked for by name needs such a recipe.
    """
    kept = []
    for spec in specs:
        recipe = method_named(spec.method).recipe
        if spec.task in ready_made and recipe != "plain" and RECIPES[recipe].trained:
            if named:
                check_recipe(recipe, ready_made[spec.task])
        else:
            kept.append(spec)
    return kept


def grid_methods() -> list[str]:
    """The grid's further cells by name: compositions with a recipe that no registered method stands for already."""
    registered = {(method.compose, method.properties, method.recipe) for method in METHODS.values()}
    return [
        with_recipe(name, recipe)
        for name in GRID_METHODS
        for recipe in GRID_RECIPES
        if (METHODS[name].compose, METHODS[name].properties, recipe) not in registered
    ]
