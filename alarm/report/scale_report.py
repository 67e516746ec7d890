"""The report of a scale before it is written: its runs, studies, tables and figures, each made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alarm.records import RewardModelRecord
from alarm.report.plotting import Drawing
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Table


@dataclass(frozen=True)
class Image:
    """A figure as files hold it."""

    name: str
    """The file's stem."""
    title: str
    notes: tuple[str, ...]
    """How to read it, then its origin: one sentence each."""
    png: bytes
    svg: str
    """Without background and notes; empty unless asked for."""


@dataclass(frozen=True)
class Picture:
    """A figure that can be drawn."""

    name: str
    """The file's stem."""
    draw: Callable[[], Drawing]
    origin: Sequence[str]
    """Where its numbers come from, one sentence each."""

    def image(self, *, vector: bool) -> Image:
        """Draw it as PNG and, if `vector`, as SVG too."""
        drawing = self.draw()
        try:
            notes = tuple(filter(None, (drawing.note, *self.origin)))
            png = drawing.png("\n".join(notes).replace("`", ""))
            return Image(self.name, drawing.title, notes, png, drawing.svg() if vector else "")
        finally:
            drawing.close()


@dataclass
class ScaleReport:
    """Everything that the README and the page of a scale show."""

    scale: str
    groups: list[TaskRuns]
    """One entry per task and kind of hardware."""
    studies: list[RewardModelRecord]
    tables: list[Table]
    """In reading order."""
    pictures: list[Picture]
    absent: list[str]
    """What could be shown and is not on record."""

    @property
    def attention(self) -> list[str]:
        """Failed runs, and what differs between runs that ought to be alike."""
        failed = [f"failed run: {r.task} {r.run_name} seed {r.seed}: {r.error}" for g in self.groups for r in g.failed]
        return failed + [sentence for runs in self.groups for sentence in mixtures(runs)]
