"""Our PPO beside other libraries', as measured by `pytest benchmarks -k peers` on one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alarm.evaluation.win_rates import Spread
from alarm.report.captions import origin_of, versions_of
from alarm.report.stored_benchmarks import StoredBenchmarks
from alarm.report.tables import Block, Cell, Table

MIB = 2**20
COLUMNS = {
    "ours": "ours, s",
    "peer": "peer, s",
    "ratio": "peer / ours",
    "over_floor": "ours, × floor",
    "peer_over_floor": "peer, × floor",
    "rollout": "rollout, × its floor",
    "peer_rollout": "peer's rollout, × its floor",
    "memory": "peak of ours, MiB",
    "peer_memory": "peak of peer, MiB",
}


def peers_table(stored: StoredBenchmarks, *, scale: str | None = None) -> Table | None:
    """One block per workload, one row per library and setting; of one scale's workloads if a scale is given.

    Returns:
        The table, None if no workload is of that scale.
    """
    found = [bench for bench in stored.benchmarks if scale in (None, bench["extra_info"].get("scale"))]
    whole = [bench["extra_info"] for bench in found if "ratio" in bench["extra_info"]]
    if not found:
        return None
    machine = stored.machine
    by_workload: dict[str, list[Mapping[str, Any]]] = {}
    for info in whole:
        by_workload.setdefault(info["workload"], []).append(info)
    rates = ", ".join(f"{dtype} {rate / 1e9:,.0f} GFLOP/s" for dtype, rate in machine["matrix_rates"].items())
    return Table(
        name=f"throughput_peers_{stored.path.stem}",
        title=f"PPO beside other libraries: {machine['hardware']}",
        caption=[
            "Seconds of one iteration of PPO (sampling, scoring, update): median over n rounds after rounds that warm "
            "up; brackets: fastest and slowest. Processes take turns, one round each; the ratio is that of the "
            "medians, its brackets the smallest and largest of neighbouring rounds.",
            "Same networks with random weights, prompts, lengths, epochs, mini-batches and threads, in fp32, and no "
            "response ends early. Ours scores every response with two reward models of the policy's shape and has a "
            "reward per token; TRL 1.12.0 has one such reward model and a value model of its own, TRL 0.7.11 is given "
            "its scores.",
            f"Floor: matrix products of the same work with one shared trunk (sampling once, the reference once, three "
            f"passes an epoch, no scoring) at the rate of 4096 x 4096 products in the same run ({rates}). The "
            "rollout's floor is one forward pass.",
            "Peaks are of resident memory over a process's life, libraries included; brackets: what the imports alone "
            "hold.",
            *_origin(stored, scale),
            *(f"{name}: {_listed(held)}." for name, held in machine["environments"].items()),
        ],
        blocks=[_block(name, infos) for name, infos in by_workload.items()],
        missing=[f"{bench['name']}: its outcome" for bench in found if "ratio" not in bench["extra_info"]],
    )


def _origin(stored: StoredBenchmarks, scale: str | None) -> list[str]:
    """Workloads of several scales stand in one file; the file itself is of none."""
    if scale is not None:
        return origin_of(scale, [stored.machine], stored.day)
    return [f"{stored.machine['hardware']}; {stored.day}.", f"{versions_of([stored.machine])}."]


def _block(workload: str, infos: Sequence[Mapping[str, Any]]) -> Block:
    cells = {}
    for info in infos:
        cells |= {(_row(info), column): cell for column, cell in _cells(info).items()}
    described = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in infos[0]["shape"].items())
    rows = [_row(info) for info in infos]
    return Block(f"{workload} ({described})", "peer", rows, list(COLUMNS), cells, COLUMNS)


def _row(info: Mapping[str, Any]) -> str:
    return f"{info['peer_label']}, {info['variant'].replace('generation_batch_', 'generation batch ')}"


def _cells(info: Mapping[str, Any]) -> dict[str, Cell]:
    ours, peer = info["ours"], info["peer"]
    return {
        "ours": _seconds(ours),
        "peer": _seconds(peer),
        "ratio": _number(info["ratio"], 2, f"[{info['ratio_min']:.2f}, {info['ratio_max']:.2f}]"),
        "over_floor": _number(ours["over_floor"], 2, f"floor {info['floor_seconds']:.3g} s"),
        "peer_over_floor": _number(peer["over_floor"], 2),
        "rollout": _number(ours["rollout_over_floor"], 2, f"{ours['rollout_median']:.3g} s"),
        "peer_rollout": _number(peer["rollout_over_floor"], 2, f"{peer['rollout_median']:.3g} s"),
        "memory": _number(ours["peak_bytes"] / MIB, 0, f"[{ours['imports_bytes'] / MIB:.0f}]"),
        "peer_memory": _number(peer["peak_bytes"] / MIB, 0, f"[{peer['imports_bytes'] / MIB:.0f}]"),
    }


def _seconds(side: Mapping[str, Any]) -> Cell:
    note = f"[{side['min']:.3f}, {side['max']:.3f}]"
    return Cell(Spread(side["median"], None, len(side["seconds"])), note=note, digits=3)


def _number(value: float, digits: int, note: str | None = None) -> Cell:
    return Cell(Spread(value, None, 1), note=note, digits=digits, show_count=False)


def _listed(held: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in held.items())
