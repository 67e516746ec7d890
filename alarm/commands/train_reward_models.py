"""`python -m alarm train-reward-models`: the reward models of a task that are trained here, without any PPO."""

from __future__ import annotations

import argparse
from pathlib import Path

from alarm.commands.options import add_place, check_scale

HELP = "train a task's reward models and say how well they judge, without any PPO"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from alarm.experiment.choices import add_choices

    add_place(parser)
    parser.add_argument("--task", action="append", default=[], help="task; may be repeated (default: all)")
    parser.add_argument("--data", type=Path, default=None, help="folder with real data")
    parser.add_argument("--store", type=Path, default=None, help="trained artifacts (default: the user's cache folder)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    add_choices(parser.add_argument)


def run(options: argparse.Namespace) -> None:
    from tabulate import tabulate

    from alarm.experiment.choices import chosen
    from alarm.experiment.session import Session
    from alarm.files import read_json

    session = Session(
        scale=check_scale(options.scale),
        results=options.results,
        tasks=tuple(options.task),
        data=options.data,
        store=options.store,
        device=options.device,
        **chosen(options),
    )
    for task in session.tasks:
        lab = session.lab(task)
        reports = {}
        for kind in lab.trained:
            folder = lab.reward_model(kind)
            reports[kind] = {"folder": str(folder)} | read_json(folder / "report.json")
        if not reports:
            print(f"{task}: every reward model is ready-made or a tool; nothing to train")
            continue
        names = list(dict.fromkeys(name for report in reports.values() for name in report))
        rows = [[name, *(report.get(name, "") for report in reports.values())] for name in names]
        print(f"{task}\n" + tabulate(rows, ["", *reports], floatfmt=".3f") + "\n")
    session.close()
