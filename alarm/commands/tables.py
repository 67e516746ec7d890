"""`python -m alarm tables`: tables and figures from records, without training."""

from __future__ import annotations

import argparse

from alarm.commands.options import add_place, check_scale

HELP = "rebuild tables and figures from records, without training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_place(parser)


def run(options: argparse.Namespace) -> None:
    from alarm.report.render import render

    for path in render(options.results, check_scale(options.scale)):
        print(path)
