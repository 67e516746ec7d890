"""A table as data: cells with spread, interval, published value and verdict, written as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from alarm.evaluation.effects import minimum_detectable_difference
from alarm.evaluation.statistics import LEVEL, Estimate
from alarm.evaluation.win_rates import Spread
from alarm.report.published import Number


@dataclass(frozen=True)
class Cell:
    """One measured number with what belongs to it; every part may be absent."""

    measured: Spread | None = None
    estimate: Estimate | None = None
    """Interval and p value; `p` here is corrected for the table's comparisons."""
    effect_name: str | None = None
    """What `estimate` is of, where it is not of `measured` itself, e.g. "against holistic_only"."""
    published: Number | None = None
    published_effect: Number | None = None
    """What the verdict compares `estimate` with, where that is not `published`."""
    verdict: str | None = None
    missing: str | None = None
    """What is not there, in words."""
    note: str | None = None
    digits: int = 2
    show_count: bool = True
    show_interval: bool = True
    """Whether Markdown has the interval; CSV always has it."""
    sign_p: float | None = None
    """Of the sign test over prompts, not corrected; only in CSV."""

    def markdown(self) -> str:
        """The cell's lines, joined by `<br>`; bold where the difference is significant."""
        lines = []
        significant = self.estimate is not None and self.estimate.p < LEVEL
        if self.measured is not None:
            text = plus_minus(self.measured.mean, self.measured.sd, self.digits)
            text = f"**{text}**" if significant and not self.effect_name else text
            lines.append(f"{text}, n={self.measured.count}" if self.show_count else text)
        if self.estimate is not None and self.show_interval:
            text = f"[{number_text(self.estimate.low, self.digits)}, {number_text(self.estimate.high, self.digits)}]"
            if self.effect_name:
                value = f"{number_text(self.estimate.value, self.digits, sign='+')}"
                text = f"{self.effect_name} {f'**{value}**' if significant else value} {text}"
            lines.append(text)
        if self.note:
            lines.append(self.note)
        if self.published is not None:
            paper = f"paper {plus_minus(self.published.mean, self.published.sd, self.digits)}"
            lines.append(f"{paper}: {self.verdict}" if self.verdict else paper)
        if self.missing:
            lines.append(f"missing: {self.missing}")
        return "<br>".join(lines) or "–"


EMPTY = Cell()
"""A cell in which nothing is expected, such as a method against itself."""


@dataclass
class Block:
    """One grid of cells; a missing entry of `cells` is printed as a dash."""

    title: str
    corner: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: dict[tuple[str, str], Cell]
    column_labels: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        from tabulate import tabulate

        body = [
            [row, *(self.cells.get((row, column), EMPTY).markdown() for column in self.columns)] for row in self.rows
        ]
        headers = [self.corner, *(self.column_labels.get(column, column) for column in self.columns)]
        grid = tabulate(body, headers, tablefmt="github", disable_numparse=True)
        return f"**{self.title}**\n\n{grid}" if self.title else grid


@dataclass
class Table:
    """One of the paper's tables, or one of ours: blocks under one caption."""

    name: str
    """The file's stem."""
    title: str
    caption: list[str]
    """How to read it, then scale, hardware, date and versions: one sentence each."""
    blocks: list[Block]
    missing: list[str] = field(default_factory=list)
    """What is expected and absent."""
    summary: list[str] = field(default_factory=list)
    """What the table says as a whole, one sentence each."""

    def markdown(self, level: int = 1) -> str:
        parts = [f"{'#' * level} {self.title}", *(block.markdown() for block in self.blocks)]
        if self.summary:
            parts.append(" ".join(self.summary))
        if self.missing:
            parts.append("Missing: " + "; ".join(self.missing) + ".")
        parts.append("\n".join(f"- {sentence}" for sentence in self.caption))
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """One line per cell, every number at full precision."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(CSV_HEADER)
        for block in self.blocks:
            for row in block.rows:
                for column in block.columns:
                    cell = block.cells.get((row, column))
                    if cell is not None:
                        writer.writerow([self.name, block.title, row, column, *_csv_values(cell)])
        return stream.getvalue()


CSV_HEADER = (
    "table",
    "block",
    "row",
    "column",
    "mean",
    "sd",
    "n",
    "effect_of",
    "effect",
    "low",
    "high",
    "p_holm",
    "effect_size",
    "detectable",
    "sign_p",
    "published_mean",
    "published_sd",
    "verdict",
    "note",
    "missing",
)


def _csv_values(cell: Cell) -> list[object]:
    m, e, p = cell.measured, cell.estimate, cell.published
    return [
        *((m.mean, m.sd, m.count) if m else (None,) * 3),
        cell.effect_name,
        *((e.value, e.low, e.high, e.p, e.effect_size) if e else (None,) * 5),
        minimum_detectable_difference(e) if e and e.errors else None,
        cell.sign_p,
        *((p.mean, p.sd) if p else (None,) * 2),
        cell.verdict,
        cell.note,
        cell.missing,
    ]


def plus_minus(mean: float, sd: float | None, digits: int) -> str:
    """`mean ± sd` with that many decimals, or the mean alone."""
    return number_text(mean, digits) + (f" ± {number_text(sd, digits)}" if sd is not None else "")


def number_text(value: float, digits: int, sign: str = "-") -> str:
    """A number with that many decimals; `sign="+"` shows a plus too."""
    text = f"{value:{sign}.{digits}f}"
    # A loss that rounds to nothing is not a negative nothing.
    return text.lstrip("+-") if float(text) == 0 else text
