"""Command line: `python -m alarm list`, `python -m alarm tables`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status. A problem the user can mend is one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m alarm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="tasks, methods, recipes, scorers and scales, one line each")
    listing.add_argument("--method-file", action="append", default=[], help="also list the methods of this file")
    tables = commands.add_parser("tables", help="rebuild tables and figures from records, without training")
    tables.add_argument("--scale", default="tiny", help="whose records to render (default: tiny)")
    tables.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: ./results)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            print(list_everything(options.method_file))
        else:
            render_tables(options.results, options.scale)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def list_everything(method_files: list[str]) -> str:
    """Everything with a canonical name, with one line each."""
    import baselines  # noqa: F401  registers the baselines
    from alarm.experiment.sources import SOURCES
    from alarm.methods import METHODS, load_method_file
    from alarm.reward_modeling.recipes import RECIPES
    from alarm.scorers.catalog import SCORERS, describe_scorer
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
        "scales": SCALES,
    }
    width = max(len(name) for section in sections.values() for name in section)
    return "\n\n".join(
        f"{title}\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in section.items())
        for title, section in sections.items()
    )


def render_tables(results: Path, scale: str) -> None:
    """Rebuild a scale's tables and figures and say where they are."""
    from alarm.registry import UnknownNameError, unknown_name
    from alarm.report.render import render
    from alarm.settings import SCALES

    if scale not in SCALES:
        raise UnknownNameError(unknown_name("scale", scale, SCALES))
    for path in render(results, scale):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
