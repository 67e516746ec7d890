"""The peer comparison as a few columns for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MIB = 2**20


def summary(measured: Iterable[Any], matrix_rates: Mapping[str, float]) -> list[str]:
    """One line per comparison.

    Args:
        measured: pytest-benchmark's results, with the outcome in `extra_info`.
        matrix_rates: by dtype, in operations per second.
    """
    from tabulate import tabulate

    rows = [_row(bench.extra_info) for bench in measured if "ratio" in bench.extra_info]
    headers = [
        *("workload", "peer", "ours, s", "peer, s", "peer / ours", "ours / floor", "rollout / floor"),
        "peak MiB, ours / peer",
    ]
    lines = tabulate(rows, headers=headers, disable_numparse=True).splitlines()
    rates = ", ".join(f"{dtype} {rate / 1e9:,.0f} GFLOP/s" for dtype, rate in matrix_rates.items())
    return [*lines, f"matrix rate: {rates}"] if rates else lines


def _row(info: Mapping[str, Any]) -> list[str]:
    ours, peer = info["ours"], info["peer"]
    return [
        info["workload"],
        f"{info['peer_label']}, {info['variant']}",
        f"{ours['median']:.3g}",
        f"{peer['median']:.3g}",
        f"{info['ratio']:.2f} [{info['ratio_min']:.2f}, {info['ratio_max']:.2f}]",
        f"{ours['over_floor']:.2f}",
        f"{ours['rollout_over_floor']:.2f}",
        f"{ours['peak_bytes'] / MIB:.0f} / {peer['peak_bytes'] / MIB:.0f}",
    ]
