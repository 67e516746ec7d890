"""Figures 3 and 4 of arXiv:2403.06754: proactive selection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alarm.records import SelectionRecord
from alarm.report.plotting import Drawing, pyplot
from alarm.report.published import PAPER_TASKS, Published
from alarm.report.selection_tables import HOLISTIC, selection_win_rates

MEASURED, PAPER = "#0072B2", "#BBBBBB"


def selection_figure(record: SelectionRecord, published: Published) -> Drawing:
    """Two groups of bars per aspect: inconsistency, and win rate of greedy over sampling; the paper's beside ours."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    aspects = list(record.inconsistency)
    ours = [record.inconsistency[a]["rate"] for a in aspects]
    theirs = [published.inconsistency(record.task, a) for a in aspects]
    _bars(axes[0], aspects, ours, [n.mean if n else np.nan for n in theirs])
    axes[0].set_ylabel("inconsistency with the holistic reward, %")
    axes[0].set_title(f"selected: {record.selected}", fontsize=10)
    counts = selection_win_rates(record)
    names = [name for name in [*aspects, HOLISTIC] if name in counts]
    decided = [counts[name]["wins"] + counts[name]["losses"] for name in names]
    ours = [100 * counts[n]["wins"] / d if d else np.nan for n, d in zip(names, decided, strict=True)]
    theirs = [published.greedy_win_rate(record.task, name) for name in names]
    _bars(axes[1], names, ours, [n.mean if n else np.nan for n in theirs])
    axes[1].axhline(50, color="black", linewidth=0.8, linestyle=":")
    axes[1].set_ylabel("win rate of greedy over sampling, %")
    axes[1].set_title(f"{record.pairs} {record.split} prompts", fontsize=10)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", fontsize=9, ncols=2)
    number = PAPER_TASKS[record.task].figure_number if record.task in PAPER_TASKS else None
    title = f"Proactive selection in {record.task}" + (f" (the paper's Figure {number})" if number else "")
    figure.suptitle(title, x=0.01, ha="left")
    return Drawing(figure)


def _bars(axis, names: Sequence[str], ours: Sequence[float], theirs: Sequence[float]) -> None:
    positions = np.arange(len(names))
    both = np.isfinite(theirs).any()
    width = 0.38 if both else 0.6
    bars = axis.bar(positions - (width / 2 if both else 0), ours, width, color=MEASURED, label="measured")
    axis.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    if both:
        bars = axis.bar(positions + width / 2, theirs, width, color=PAPER, label="paper (other models and data)")
        axis.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    axis.set_xticks(positions, names)
    axis.margins(y=0.12)
    axis.spines[["top", "right"]].set_visible(False)
