"""Stored benchmarks as tables: beside their files, and in the report of the scale they belong to."""

from __future__ import annotations

from pathlib import Path

from alarm.files import write_atomically
from alarm.report.measured_throughput import phases_table
from alarm.report.peers_table import peers_table
from alarm.report.stored_benchmarks import read_benchmarks, stored_files
from alarm.report.tables import Table


def benchmark_table(path: Path, *, scale: str | None = None) -> Table | None:
    """A file's table: of all of it, or of what belongs to one scale, None if nothing does.

    Raises:
        RecordError: as `read_benchmarks`.
    """
    stored = read_benchmarks(path)
    if stored.of_peers:
        return peers_table(stored, scale=scale)
    return phases_table(stored) if scale in (None, stored.machine["scale"]) else None


def tables_of_scale(results: Path, scale: str) -> list[Table]:
    """The tables of all files that have something of a scale.

    Raises:
        RecordError: as `read_benchmarks`.
    """
    tables = [benchmark_table(path, scale=scale) for path in stored_files(results)]
    return [table for table in tables if table is not None]


def render_benchmarks(path: Path) -> list[Path]:
    """Write a file's table beside it, as Markdown and as CSV; returns both files.

    Raises:
        RecordError: as `read_benchmarks`.
    """
    table = benchmark_table(path)
    return [
        write_atomically(path.with_suffix(".md"), table.markdown()),
        write_atomically(path.with_suffix(".csv"), table.csv()),
    ]
