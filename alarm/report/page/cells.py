"""A table's cell as the page shows it: its lines as text, and where its colour or its bar stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alarm.evaluation.statistics import LEVEL, OPPOSITE, SAME, UNDECIDED
from alarm.report.tables import Block, Cell, number_text, plus_minus

EVEN = 50.0
"""The win rate of equals, in percent."""
FULL_HEAT = 30.0
"""Distance from it, in points, from which on colours grow no stronger."""
VERDICTS = {SAME: ("same", "✓"), OPPOSITE: ("opposite", "✗"), UNDECIDED: ("undecided", "≈")}
"""Verdict to its style and its mark."""


@dataclass(frozen=True)
class Bar:
    """An interval on its column's common scale, in percent of the width; zero is at 50."""

    left: float
    width: float
    at: float


@dataclass(frozen=True)
class CellView:
    """What of a cell is there, as text; empty where it is absent."""

    mean: str = ""
    sd: str = ""
    count: str = ""
    interval: str = ""
    effect_name: str = ""
    effect: str = ""
    significant: bool = False
    """Of the effect where there is one, else of the measured value."""
    p: str = ""
    note: str = ""
    published: str = ""
    verdict: str = ""
    style: str = ""
    mark: str = ""
    missing: str = ""
    heat: int | None = None
    """-100 to 100: how far a win rate is from even, and to which side."""
    bar: Bar | None = None

    @property
    def empty(self) -> bool:
        return not (self.mean or self.interval or self.note or self.published or self.missing)


def cell_view(cell: Cell | None, *, heat: bool = False, reach: float = 0.0) -> CellView:
    """A cell's texts; with `heat`, the colour of a win rate; with `reach`, a bar on a scale from -reach to reach."""
    if cell is None:
        return CellView()
    estimate, measured = cell.estimate, cell.measured
    style, mark = VERDICTS.get(cell.verdict, ("", ""))
    bounds = (estimate.low, estimate.high) if estimate else ()
    return CellView(
        mean=number(measured.mean, cell.digits) if measured else "",
        sd=number(measured.sd, cell.digits) if measured and measured.sd is not None else "",
        count=f"n={measured.count}" if measured and cell.show_count else "",
        interval="[" + ", ".join(number(bound, cell.digits) for bound in bounds) + "]" if bounds else "",
        effect_name=cell.effect_name or "",
        effect=number(estimate.value, cell.digits, sign="+") if estimate and cell.effect_name else "",
        significant=estimate is not None and estimate.p < LEVEL,
        p=_p_text(estimate.p) if estimate else "",
        note=cell.note or "",
        published=_minus(plus_minus(cell.published.mean, cell.published.sd, cell.digits)) if cell.published else "",
        verdict=cell.verdict or "",
        style=style,
        mark=mark,
        missing=cell.missing or "",
        heat=_heat(measured.mean) if heat and measured else None,
        bar=_bar(cell, reach) if reach and estimate and measured else None,
    )


def number(value: float, digits: int, sign: str = "-") -> str:
    """As tables print it, with a minus as wide as a plus."""
    return _minus(number_text(value, digits, sign))


def block_views(
    block: Block, *, heat: bool = False, bars: Mapping[str, float] | None = None
) -> dict[str, dict[str, CellView]]:
    """Row to column to cell; `bars` names columns with bars, and how far these reach."""
    return {
        row: {
            column: cell_view(block.cells.get((row, column)), heat=heat, reach=(bars or {}).get(column, 0.0))
            for column in block.columns
        }
        for row in block.rows
    }


def reach_of(block: Block, column: str) -> float:
    """The largest distance from zero that any interval of a column has."""
    estimates = [cell.estimate for (_, name), cell in block.cells.items() if name == column and cell.estimate]
    return max((max(abs(estimate.low), abs(estimate.high)) for estimate in estimates), default=0.0)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _heat(rate: float) -> int:
    return round(100 * max(-1.0, min(1.0, (rate - EVEN) / FULL_HEAT)))


def _bar(cell: Cell, reach: float) -> Bar:
    left, right, at = (50 + 50 * value / reach for value in (cell.estimate.low, cell.estimate.high, cell.measured.mean))
    return Bar(round(left, 1), round(right - left, 1), round(at, 1))


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
