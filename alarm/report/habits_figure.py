"""Share of each habit among test responses, one bar per method: greedy and sampled responses side by side."""

from __future__ import annotations

import numpy as np

from alarm.report.habits_table import WAYS, habit_shares, habits_on_record, view_of
from alarm.report.mean_tables import SFT_ROW
from alarm.report.plotting import Drawing, pyplot, say_absent
from alarm.report.runs import TaskRuns
from alarm.report.verdicts import SFT

PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2", "#8C564B")
UNMARKED_COLOUR = "#BDBDBD"
"""Of responses that no writer of the world would have written, which come after the demonstrators' habits."""
NUMBER_COLOUR = "#111111"
"""Not black, which a dark page turns light, while the bars keep their colours."""
WIDE_ENOUGH = 7.0
"""Percent of a bar that holds a number."""


def habits_figure(runs: TaskRuns) -> Drawing:
    """Stacked horizontal bars, the SFT policy first, means over seeds."""
    habits = habits_on_record(runs)
    rows = [name for name in (SFT, *runs.methods) if name == SFT or name in runs.finished]
    size = (13, 1.6 + 0.36 * len(rows))
    figure, axes = pyplot().subplots(1, 2, figsize=size, layout="constrained", sharey=True)
    colours = habit_colours(runs, habits)
    for axis, (way, title) in zip(axes, WAYS.items(), strict=True):
        view = view_of(runs, way)
        axis.set_title(title, fontsize=11)
        if view is None:
            say_absent(axis, "not on record")
            continue
        _draw(axis, view, rows, habits, colours)
    axes[0].set_yticks(range(len(rows)), [SFT_ROW if row == SFT else row for row in rows], fontsize=10)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=min(6, len(habits)), fontsize=10)
    figure.suptitle(f"Habits of test responses in {runs.task}", x=0.01, ha="left")
    return Drawing(figure, "Means over seeds. The SFT policy is what every method starts from.")


def habit_colours(runs: TaskRuns, habits: list[str]) -> dict[str, str]:
    """The demonstrators' habits keep their colour, whatever is seen; what no writer would write is grey."""
    known = [str(writer["name"]) for writer in runs.pool.demonstrators] if runs.pool else habits
    colours = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(known)}
    return {habit: colours.get(habit, UNMARKED_COLOUR) for habit in habits}


def _draw(axis, view: TaskRuns, rows: list[str], habits: list[str], colours: dict[str, str]) -> None:
    shares = [habit_shares(view, row, habits) for row in rows]
    means = np.array([found.mean(axis=0) if len(found) else np.zeros(len(habits)) for found in shares])
    left = np.zeros(len(rows))
    for habit, widths in zip(habits, means.T, strict=True):
        colour = colours[habit]
        axis.barh(range(len(rows)), widths, left=left, color=colour, label=habit, height=0.8, edgecolor="white")
        for place, (width, start) in enumerate(zip(widths, left, strict=True)):
            if width >= WIDE_ENOUGH:
                axis.text(
                    start + width / 2, place, f"{width:.0f}", ha="center", va="center", fontsize=9, color=NUMBER_COLOUR
                )
        left += widths
    for place, found in enumerate(shares):
        if not len(found):
            axis.text(1, place, "not on record", va="center", fontsize=9)
    axis.set_xlim(0, 100)
    axis.set_xlabel("% of test responses", fontsize=10)
    axis.tick_params(axis="y", length=0)
