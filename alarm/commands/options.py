"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_place(parser: argparse.ArgumentParser) -> None:
    """Which records a command reads."""
    parser.add_argument("--scale", default="tiny", help="whose records to read (default: tiny)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: ./results)")


def check_scale(scale: str) -> str:
    """Return a known scale, else raise `UnknownNameError` listing them."""
    from alarm.registry import UnknownNameError, unknown_name
    from alarm.settings import SCALES

    if scale not in SCALES:
        raise UnknownNameError(unknown_name("scale", scale, SCALES))
    return scale
