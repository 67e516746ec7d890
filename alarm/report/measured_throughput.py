"""Throughput as measured by `pytest benchmarks -k throughput`: the tables of one stored JSON, and so of one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alarm.evaluation.win_rates import Spread
from alarm.report.captions import origin_of
from alarm.report.growth_block import READING, growth_block
from alarm.report.stored_benchmarks import StoredBenchmarks
from alarm.report.tables import Block, Cell, Table

PREFIX = "test_throughput_"
ELSE = "without a workload"
GIB = 2**30
COLUMNS = {
    "seconds": "seconds",
    "tokens": "tokens/s",
    "responses": "responses/s",
    "share": "of matrix rate, %",
    "phase": "phase, GiB",
    "estimate": "estimated, GiB",
    "device": "peak on device, GiB",
    "host": "peak on host, GiB",
}
RATES = ("tokens", "responses", "learned_tokens", "pairs", "steps", "tables", "runs")


def phases_table(stored: StoredBenchmarks) -> Table:
    """One block per workload, one row per phase, and one of how cost grows where that was measured.

    Another machine's numbers are another file's, and another table.
    """
    machine = stored.machine
    growing = [bench["extra_info"] for bench in stored.benchmarks if "sizes" in bench["extra_info"]]
    by_workload: dict[str, list[Mapping[str, Any]]] = {}
    for bench in stored.benchmarks:
        if bench["extra_info"] in growing:
            continue
        by_workload.setdefault((bench.get("params") or {}).get("workload", ELSE), []).append(bench)
    rates = ", ".join(f"{dtype} {rate / 1e9:,.0f} GFLOP/s" for dtype, rate in machine["matrix_rates"].items())
    return Table(
        name=f"throughput_phases_{stored.path.stem}",
        title=f"Measured throughput: {machine['hardware']}",
        caption=[
            "Median over n rounds after one that warms up; brackets: fastest and slowest. Networks have random "
            "weights, and no response ends before its limit: the worst case.",
            "Phase: the most memory that tensors of the phase held at once, on a GPU beyond what was there before it; "
            "estimated: what `alarm.memory` computes for it without running it. Peaks are those of the process.",
            f"Share of the rate of 4096 x 4096 matrix products in the same run ({rates}); the phase's operations are "
            "those of its matrix products and attention, padding included.",
            *([READING] if growing else []),
            *origin_of(machine["scale"], [machine], stored.day),
            *_further(machine),
        ],
        blocks=[
            *(_block(name, found) for name, found in by_workload.items()),
            *([growth_block(growing)] if growing else []),
        ],
    )


def _further(machine: Mapping[str, Any]) -> list[str]:
    """Driver and CUDA of a GPU."""
    if "driver" not in machine:
        return []
    return [f"Driver {machine['driver']}, CUDA {machine['cuda']}, {machine['device_bytes'] / GIB:.0f} GiB on the card."]


def _block(workload: str, benchmarks: Sequence[Mapping[str, Any]]) -> Block:
    rows, cells = [], {}
    for bench in benchmarks:
        row = _row(bench)
        rows.append(row)
        cells |= {(row, column): cell for column, cell in _cells(bench).items()}
    shown = [column for column in COLUMNS if any((row, column) in cells for row in rows)]
    return Block(_title(workload, benchmarks), "phase", rows, shown, cells, COLUMNS)


def _row(bench: Mapping[str, Any]) -> str:
    phase = bench["name"].split("[")[0].removeprefix(PREFIX).replace("_", " ")
    scorer = (bench.get("params") or {}).get("scorer")
    return f"{phase}: {scorer}" if scorer else phase


def _title(workload: str, benchmarks: Sequence[Mapping[str, Any]]) -> str:
    """The workload's name with its shapes."""
    shapes = next((b["extra_info"]["shapes"] for b in benchmarks if "shapes" in b["extra_info"]), {})
    described = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shapes.items())
    return f"{workload} ({described})" if described else workload


def _cells(bench: Mapping[str, Any]) -> dict[str, Cell]:
    info, stats = bench["extra_info"], bench["stats"]
    note = "<br>".join([f"[{stats['min']:.4g}, {stats['max']:.4g}]", *_notes(info)])
    cells = {"seconds": Cell(Spread(stats["median"], None, stats["rounds"]), note=note, digits=_digits(stats))}
    for what in RATES[:2]:
        if _has(info, what):
            cells[what] = _number(info[f"{what}_per_second"], 1)
    if "share_of_matrix_rate" in info:
        cells["share"] = _number(100 * info["share_of_matrix_rate"], 1)
    sizes = {
        "phase": info.get("phase_device_bytes", info.get("phase_tensor_bytes")),
        "estimate": info.get("estimated_phase_bytes"),
        "device": info.get("peak_device_bytes"),
        "host": info.get("peak_host_bytes"),
    }
    return cells | {name: _number(size / GIB, 3) for name, size in sizes.items() if size is not None}


def _notes(info: Mapping[str, Any]) -> list[str]:
    """What has no column of its own."""
    notes = [f"{info[f'{what}_per_second']:,.4g} {what.replace('_', ' ')}/s" for what in RATES[2:] if _has(info, what)]
    notes += [f"{phase} {seconds:.3g} s" for phase, seconds in info.get("phase_seconds", {}).items()]
    if "seconds_beyond_torch" in info:
        notes.append(f"`import alarm` {info['seconds_beyond_torch']:.3g} s beyond `import torch`")
    return notes


def _has(info: Mapping[str, Any], what: str) -> bool:
    return f"{what}_per_second" in info


def _digits(stats: Mapping[str, float]) -> int:
    """Milliseconds, and microseconds of what takes less than a tenth of a second."""
    return 3 if stats["median"] >= 0.1 else 6


def _number(value: float, digits: int) -> Cell:
    return Cell(Spread(value, None, 1), digits=digits, show_count=False)
