"""Files of pytest-benchmark below `results/throughput`, as they are read. One file is of one machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alarm.records import RecordError

FOLDER = "throughput"
PEERS = "test_peers"
"""How names of the peer comparison's benchmarks begin."""


@dataclass(frozen=True)
class StoredBenchmarks:
    """One file."""

    path: Path
    machine: Mapping[str, Any]
    benchmarks: Sequence[Mapping[str, Any]]
    day: str
    of_peers: bool
    """Whether it compares libraries, or else phases of ours."""


def read_benchmarks(path: Path) -> StoredBenchmarks:
    """Read one file.

    Raises:
        RecordError: it cannot be read, or is not of these benchmarks.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        machine, benchmarks = stored["machine_info"], stored["benchmarks"]
        day = stored["datetime"][:10]
        of_peers = bool(benchmarks) and all(bench["name"].startswith(PEERS) for bench in benchmarks)
        wanted = ("hardware", "environments" if of_peers else "scale", "matrix_rates")
        missing = [name for name in wanted if name not in machine]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path} is no file of pytest-benchmark's ({error}); write it with --benchmark-json"
        ) from error
    if missing:
        raise RecordError(
            f"{path} does not say its {' and '.join(missing)}; write it by `pytest benchmarks -k "
            f"{'peers --peers DIR' if of_peers else 'throughput'} --benchmark-json FILE`"
        )
    return StoredBenchmarks(path, machine, benchmarks, day, of_peers)


def stored_files(results: Path) -> list[Path]:
    """The files of a results folder, by name."""
    return sorted((results / FOLDER).glob("*.json"))
