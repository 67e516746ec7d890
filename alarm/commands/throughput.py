"""`python -m alarm throughput`: what `pytest benchmarks -k throughput` and `-k peers` have stored, as tables."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "tables of stored throughput benchmarks, beside their files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", type=Path, help="files of --benchmark-json (default: all of the results)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: ./results)")


def run(options: argparse.Namespace) -> None:
    from alarm.report.benchmark_tables import render_benchmarks
    from alarm.report.stored_benchmarks import stored_files

    files = options.files or stored_files(options.results)
    if not files:
        raise ValueError(
            f"{options.results / 'throughput'} holds no throughput benchmarks; measure some with `pytest benchmarks -k "
            f"throughput --benchmark-json {options.results / 'throughput' / 'cpu.json'}`"
        )
    for file in files:
        for path in render_benchmarks(file):
            print(path)
