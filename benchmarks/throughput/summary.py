"""What was measured, as a few columns for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

GIB = 2**30


def summary(measured: Iterable[Any], matrix_rates: Mapping[str, float]) -> list[str]:
    """One line per benchmark: seconds (median), work per second, share of the matrix rate, peaks of memory.

    Args:
        measured: pytest-benchmark's results, with what `Meter` found in `extra_info`.
        matrix_rates: by dtype, in operations per second.
    """
    from tabulate import tabulate

    rows = [
        [
            bench.name.removeprefix("test_throughput_"),
            f"{bench.stats.median:.4g}",
            ", ".join(f"{rate:,.4g} {what}/s" for what, rate in _rates(bench.extra_info)),
            _percent(bench.extra_info.get("share_of_matrix_rate")),
            _gib(bench.extra_info.get("peak_device_bytes")),
            _gib(bench.extra_info.get("peak_host_bytes")),
        ]
        for bench in measured
    ]
    headers = ["", "seconds", "work", "of matrix rate", "device GiB", "host GiB"]
    lines = tabulate(rows, headers=headers, disable_numparse=True).splitlines()
    rates = ", ".join(f"{dtype} {rate / 1e9:,.0f} GFLOP/s" for dtype, rate in matrix_rates.items())
    return [*lines, f"matrix rate: {rates}"] if rates else lines


def _rates(info: Mapping[str, Any]) -> list[tuple[str, float]]:
    names = {what: f"{what}_per_second" for what in info.get("work_per_round", {})}
    # A test that failed after its rounds has no rates.
    return [(what, info[name]) for what, name in names.items() if name in info]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2g} %"


def _gib(size: int | None) -> str:
    return "" if size is None else f"{size / GIB:.2f}"
