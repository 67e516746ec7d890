"""What all figures share: colours that keep their method, and how a file is made of one. Loads matplotlib on use."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alarm.report.published import PAPER_METHODS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by most colour-blind readers; the paper's methods keep theirs in every figure.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00")
OTHER_COLOURS = ("#CC79A7", "#56B4E9", "#000000", "#8C564B", "#B8A000", "#7F7F7F", "#882255")


@dataclass(frozen=True)
class Drawing:
    """A figure as drawn, and how to read it in words."""

    figure: Figure
    note: str = ""

    @property
    def title(self) -> str:
        return self.figure.get_suptitle()

    def png(self, footer: str) -> bytes:
        """The figure with `footer` below it."""
        caption = self.figure.supxlabel(footer, fontsize=7, x=0.01, ha="left")
        dpi, self.figure.dpi = self.figure.dpi, 110
        buffer = io.BytesIO()
        try:
            # `savefig` would draw twice, the first time for the layout alone.
            self.figure.canvas.print_png(buffer)
            return buffer.getvalue()
        finally:
            self.figure.dpi = dpi
            caption.set_text("")
            caption.set_in_layout(False)

    def svg(self) -> str:
        """The figure without background, its text as text."""
        from matplotlib import rc_context

        # A fixed salt: the same figure gives the same bytes.
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": "alarm"}):
            return self._saved(format="svg", transparent=True, metadata={"Date": None}).decode("utf-8")

    def close(self) -> None:
        pyplot().close(self.figure)

    def _saved(self, **options) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, **options)
        return buffer.getvalue()


def colour(method: str, methods: Iterable[str]) -> str:
    """The colour of one of a figure's methods; the paper's have their own, the others take the rest in order."""
    if method in PAPER_METHODS:
        return COLOURS[PAPER_METHODS.index(method)]
    return OTHER_COLOURS[_place(method, methods) % len(OTHER_COLOURS)]


def line_style(method: str, methods: Iterable[str]) -> str:
    """Solid, or dashed for a method that shares its colour with an earlier one."""
    return "-" if method in PAPER_METHODS or _place(method, methods) < len(OTHER_COLOURS) else "--"


def pyplot():
    """matplotlib's pyplot, drawing to files only."""
    import matplotlib

    matplotlib.use("Agg", force=True)
    import matplotlib.pyplot as plt

    return plt


def shared_legend(figure, axes, *, columns: int) -> None:
    """One legend above all panels, with every label once."""
    handles = {}
    for axis in axes.flat:
        handles |= {text: handle for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=columns, fontsize=9)


def say_absent(axis, what: str) -> None:
    """Say in an empty panel what is not there."""
    axis.text(0.5, 0.5, what, ha="center", va="center", transform=axis.transAxes)
    axis.set_xticks([])
    axis.set_yticks([])


def _place(method: str, methods: Iterable[str]) -> int:
    return [m for m in methods if m not in PAPER_METHODS].index(method)
