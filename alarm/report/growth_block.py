"""How cost grows: seconds at sizes that each double one quantity, beside the growth of the arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from alarm.evaluation.win_rates import Spread
from alarm.report.tables import Block, Cell

FITTED, ARITHMETIC = "fitted", "arithmetic"
LABELS = {FITTED: "exponent of the seconds", ARITHMETIC: "exponent of the arithmetic"}
READING = (
    "How cost grows: each size is twice the one before, everything else stays, and a round visits every size; seconds "
    "at the sizes of a row's name, in its order. The exponent k is that of `seconds = c * size^k`, by least squares on "
    "logarithms; beside it the same of the least matrix products of that work. Work that does not grow, such as the "
    "start of every operation, draws it below the arithmetic's."
)


def growth_block(found: Sequence[Mapping[str, Any]]) -> Block:
    """One row per quantity and phase.

    Args:
        found: per quantity what its benchmark stored: `quantity`, `sizes`, `shapes` of the smallest, `seconds` (by
            phase, per size, per round), `exponents` (by phase), `arithmetic_exponent`.
    """
    cells: dict[tuple[str, str], Cell] = {}
    for info in found:
        for phase, by_size in info["seconds"].items():
            row = f"{phase}: {info['quantity']} {', '.join(map(str, info['sizes']))}"
            cells |= {(row, f"x{2**k}"): _seconds(rounds) for k, rounds in enumerate(by_size)}
            cells[row, FITTED] = _exponent(info["exponents"][phase])
            cells[row, ARITHMETIC] = _exponent(info["arithmetic_exponent"])
    most = max(len(info["sizes"]) for info in found)
    steps = [f"x{2**k}" for k in range(most)]
    described = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found[0]["shapes"].items())
    return Block(
        f"How cost grows (smallest: {described})",
        "what is doubled",
        list(dict.fromkeys(row for row, _ in cells)),
        [*steps, FITTED, ARITHMETIC],
        cells,
        {step: f"{step.replace('x', '×')}, seconds" for step in steps} | LABELS,
    )


def _seconds(rounds: Sequence[float]) -> Cell:
    note = f"[{min(rounds):.4f}, {max(rounds):.4f}]"
    return Cell(Spread(statistics.median(rounds), None, len(rounds)), note=note, digits=4)


def _exponent(value: float) -> Cell:
    return Cell(Spread(value, None, 1), digits=2, show_count=False)
