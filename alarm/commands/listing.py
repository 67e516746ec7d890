"""`python -m alarm list`: everything that has a name."""

from __future__ import annotations

import argparse

HELP = "tasks, methods, recipes, scorers and scales, one line each"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method-file", action="append", default=[], help="also list the methods of this file")


def run(options: argparse.Namespace) -> None:
    print(list_everything(options.method_file))


def list_everything(method_files: list[str]) -> str:
    """Everything with a canonical name, with one line each."""
    import baselines  # noqa: F401  registers the baselines
    from alarm.experiment.sources import SOURCES
    from alarm.methods import METHODS, load_method_file
    from alarm.reward_modeling.recipes import RECIPES
    from alarm.scorers.catalog import SCORERS, describe_scorer
    from alarm.scorers.external import KINDS
    from alarm.settings import SCALES
    from alarm.tasks.catalog import TASKS

    for path in method_files:
        load_method_file(path)
    sections = {
        "tasks": {name: task.description for name, task in TASKS.items()},
        "methods": {name: method.description for name, method in METHODS.items()},
        "recipes": {name: recipe.description for name, recipe in RECIPES.items()},
        "sources of comparisons besides tasks": {
            name: f"{', '.join(entry.files)} in the folder named by --data" for name, entry in SOURCES.items()
        },
        "scorers": {scorer.name: describe_scorer(scorer) for scorer in SCORERS},
        "ready-made holistic models, as --holistic-model NAME:CHECKPOINT": {
            name: kind.description for name, kind in KINDS.items()
        },
        "scales": SCALES,
    }
    width = max(len(name) for section in sections.values() for name in section)
    return "\n\n".join(
        f"{title}\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in section.items())
        for title, section in sections.items()
    )
