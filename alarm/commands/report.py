"""`python -m alarm report`: the page of a scale, its tables and figures, and the overview of all scales."""

from __future__ import annotations

import argparse

from alarm.commands.options import add_place, check_scale

HELP = "rebuild tables, figures, the HTML page and the overview from records, without training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_place(parser)


def run(options: argparse.Namespace) -> None:
    from alarm.report.render import render_report

    for path in render_report(options.results, check_scale(options.scale)):
        print(path)
