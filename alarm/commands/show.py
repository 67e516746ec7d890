"""`python -m alarm show`: the resolved configuration of an experiment, what it needs, and what is missing here."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from alarm.commands.options import check_scale

HELP = "an experiment's configuration with sources, its downloads and memory, and what is missing on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from alarm.experiment.choices import add_choices

    parser.add_argument("--scale", default="tiny", help="tiny (default), small or paper")
    parser.add_argument("--task", action="append", default=[], help="task; may be repeated (default: all)")
    parser.add_argument("--data", type=Path, default=None, help="folder with real data")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--store", type=Path, default=None, help="trained artifacts (default: the user's cache folder)")
    add_choices(parser.add_argument)
    parser.add_argument("--check", action="store_true", help="only say what is missing; fail if anything is")


def run(options: argparse.Namespace) -> None:
    from alarm.experiment.choices import chosen, with_choices
    from alarm.experiment.requirements import missing, too_large
    from alarm.presets import TASK_NAMES, has_preset, preset
    from alarm.store import default_root

    check_scale(options.scale)
    store = options.store or default_root()
    tasks = options.task or [name for name in TASK_NAMES if has_preset(options.scale, name)]
    problems = []
    for task in tasks:
        settings = with_choices(preset(options.scale, task), chosen(options))
        if not options.check:
            print(describe(settings, options.data, store))
            if settings.data.corpus == "world":
                print(describe_writers(settings, store))
        lacking = list(missing(settings, data=options.data, device=options.device, store=store))
        with suppress(ValueError):  # a model that is not to be had stands among the missing
            lacking += [line for line in (too_large(settings, options.device),) if line]
        problems += lacking
        print(_section(f"Missing for {task}", [[line] for line in lacking] or [["nothing"]]))
    if options.check and problems:
        raise ValueError(f"{len(problems)} things are missing; a run would not work on this machine")


def describe(settings, data: Path | None, store: Path) -> str:
    """Configuration, downloads and memory as text."""
    from alarm.experiment.downloads import downloads
    from alarm.paper_presets import flattened, source

    rows = []
    for name, value in flattened(settings):
        origin = source(settings.task, name) if settings.scale == "paper" else "[ours]"
        rows.append([name, "–" if value is None or value == "" else value, origin])
    parts = [_section(f"{settings.task} at scale {settings.scale}", rows)]
    fetched = []
    for download in downloads(settings, data=data, store=store):
        found = download.look_up()
        size = f"{found.gigabytes:.2f} GB" if found else "size unknown, nobody can be asked"
        revision = found.commit[:10] if found else download.revision or "newest"
        fetched.append([download.purpose, download.name, revision, "at hand" if download.at_hand else size])
    parts.append(_section("Downloads", fetched or [["nothing"]]))
    parts.append(_section("Memory on one device, computed", _memory_rows(settings)))
    return "\n\n".join(parts) + "\n"


def describe_writers(settings, store: Path) -> str:
    """Whose demonstrations the policy of a generated world imitates, as text."""
    from alarm.experiment.demonstrators import demonstrators
    from alarm.experiment.lab import lab_class
    from alarm.store import Store

    writers = demonstrators(lab_class(settings.task)(settings, Store(store)))
    header = ["writer", "share", "words", *writers[0].values, ""]
    rows = [
        [w.name, f"{w.share:.2f}", f"{w.words:.1f}", *(f"{value:.2f}" for value in w.values.values()), w.description]
        for w in writers
    ]
    return _section("Writers that the policy imitates (means over their demonstrations)", [header, *rows]) + "\n"


def _memory_rows(settings) -> list[list[object]]:
    from alarm.experiment import requirements

    try:
        needs = requirements.memory(settings)
        first = requirements.initial_memory(settings)
    except ValueError as problem:
        return [[f"unknown: {problem}"]]
    if not needs:
        return [["small models, trained here"]]
    shown = {**({"supervised fine-tuning": first} if first else {}), **needs}
    rows = [
        [name, part, f"{size / requirements.GIB:.2f} GiB"]
        for name, need in shown.items()
        for part, size in [*need.resident.items(), *((f"peak of {phase}", b) for phase, b in need.phases.items())]
    ]
    note = "everything resident and the largest peak, and a tenth more for the allocator"
    totals = {"reward models and PPO, all": requirements.total_memory(needs)}
    if first:
        totals["supervised fine-tuning, all"] = first.total
    return rows + [[name, note, f"{size / requirements.GIB:.2f} GiB"] for name, size in totals.items()]


def _section(title: str, rows: list[list[object]]) -> str:
    from tabulate import tabulate

    return f"{title}\n" + tabulate(rows, tablefmt="plain", disable_numparse=True)
