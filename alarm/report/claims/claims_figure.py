"""The papers' claims as a forest plot: one row per claim, one panel per task, one marker per set of seeds."""

from __future__ import annotations

from collections.abc import Sequence

from alarm.report.claims.definitions import CLAIMS
from alarm.report.claims.judging import HOLDS, OPPOSITE, UNDECIDED, Finding, Outcome, TaskFindings, seeds_text
from alarm.report.plotting import Drawing, pyplot
from alarm.report.tables import number_text

VERDICT_COLOURS = {HOLDS: "#0072B2", OPPOSITE: "#D55E00", UNDECIDED: "#7F7F7F"}
MARKERS = ("o", "s", "^", "D", "v")
"""One per set of seeds."""
LINEAR = 5.0
"""Distance from 0 up to which the axis is linear; it is logarithmic beyond."""
REACH = 100.0
TICKS = (-50, -10, 0, 10, 50)
MINOR_TICKS = (-20, -5, 5, 20)
ROW_HEIGHT = 0.4
"""Inches."""


def claims_figure(tasks: Sequence[TaskFindings]) -> Drawing:
    """Effects with intervals, right of zero as claimed; colour is the verdict of all sets of seeds together."""
    places, headings = _places()
    height = len(places) + len(headings)
    size = (3.9 + 3.6 * len(tasks), ROW_HEIGHT * height + 1.5)
    figure, axes = pyplot().subplots(1, len(tasks), figsize=size, sharey=True, layout="constrained", squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        for finding in task.findings:
            _draw(axis, task, finding, places[finding.claim.id])
        _furnish(axis, task, height, places, headings)
    figure.get_layout_engine().set(w_pad=0.1)
    axis = axes[0, 0]
    axis.set_yticks(list(places.values()), [claim.statement for claim in CLAIMS], fontsize=9)
    for heading, place in headings.items():
        # In the margin, where the labels of the rows stand.
        axis.annotate(
            heading,
            (0, place),
            xytext=(-6, 0),
            xycoords=axis.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=9,
            fontweight="bold",
        )
    _legend(figure, tasks)
    figure.suptitle("What the papers claim, and what came out", x=0.01, ha="left")
    note = (
        "Right of 0: as claimed; points of gold quality or of a percentage (units: in the table), linear up to "
        f"±{LINEAR:.0f}, logarithmic beyond.\n"
        "Bars: 95 % intervals, uncorrected. Filled: significant after Holm's correction. Colour: what comes out in "
        "every set of seeds. Numbers: all seeds."
    )
    return Drawing(figure, note)


def _places() -> tuple[dict[str, float], dict[str, float]]:
    """Claim to its height, and each source to that of the heading above its claims; 0 is the topmost."""
    places, headings = {}, {}
    for claim in CLAIMS:
        if claim.source not in headings:
            headings[claim.source] = float(len(places) + len(headings))
        places[claim.id] = float(len(places) + len(headings))
    return places, headings


def _draw(axis, task: TaskFindings, finding: Finding, place: float) -> None:
    if not finding.verdict:
        words = {"fontsize": 8, "style": "italic", "color": "#7F7F7F", "backgroundcolor": "white"}
        axis.text(0, place, "not on record", ha="center", va="center", **words)
        return
    colour = VERDICT_COLOURS[finding.verdict]
    outcomes = list(zip(finding.sets, MARKERS, strict=False)) if finding.claim.seeded else [(finding.everything, "*")]
    step = 0.56 / len(outcomes)
    for number, (outcome, marker) in enumerate(outcomes):
        if outcome.effect is not None:
            _draw_effect(axis, outcome, place + (number - (len(outcomes) - 1) / 2) * step, marker, colour)
    effect = finding.everything.effect
    if effect is not None:
        e = effect.estimate
        interval = f"[{number_text(e.low, 1)}, {number_text(e.high, 1)}]"
        axis.text(
            1.02,
            place,
            f"{number_text(e.value, 1, sign='+')} {interval}".replace("-", "−"),
            transform=axis.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=colour,
        )


def _draw_effect(axis, outcome: Outcome, height: float, marker: str, colour: str) -> None:
    """A marker with its interval; arrows where these leave the axis."""
    estimate = outcome.effect.estimate
    value, low, high = (min(REACH, max(-REACH, x)) for x in (estimate.value, estimate.low, estimate.high))
    axis.plot([low, high], [height, height], color=colour, linewidth=1.4, solid_capstyle="butt")
    filled = colour if outcome.verdict != UNDECIDED else "white"
    size = 9 if marker == "*" else 5.5
    axis.plot(value, height, marker=marker, markersize=size, markerfacecolor=filled, color=colour, linestyle="none")
    for end, arrow, left in ((low, "<", estimate.low < -REACH), (high, ">", estimate.high > REACH)):
        if left:
            axis.plot(end, height, marker=arrow, markersize=4.5, color=colour, linestyle="none", clip_on=False)


def _furnish(axis, task: TaskFindings, height: int, places: dict[str, float], headings: dict[str, float]) -> None:
    axis.set_title(task.task, fontsize=10, fontweight="bold")
    axis.set_xscale("symlog", linthresh=LINEAR, linscale=1.0)
    axis.set_xlim(-REACH, REACH)
    axis.set_xticks(TICKS, [str(tick).replace("-", "−") for tick in TICKS], fontsize=8)
    axis.set_xticks(MINOR_TICKS, minor=True)
    axis.set_ylim(height - 0.4, -0.6)
    axis.axvline(0, color="black", linewidth=0.9)
    for place in headings.values():
        axis.axhspan(place - 0.5, place + 0.5, color="#7F7F7F", alpha=0.13, linewidth=0)
    for place in places.values():
        axis.axhline(place + 0.5, color="#7F7F7F", linewidth=0.4, alpha=0.3)
    axis.grid(axis="x", alpha=0.25)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("← opposite     as claimed →", fontsize=9)


def _legend(figure, tasks: Sequence[TaskFindings]) -> None:
    from matplotlib.lines import Line2D

    sets = list(dict.fromkeys(seeds_text(seeds) for task in tasks for seeds in task.sets))
    handles = [
        Line2D([], [], marker=marker, color="black", markerfacecolor="white", linestyle="none", label=label)
        for label, marker in zip(sets, MARKERS, strict=False)
    ]
    handles.append(Line2D([], [], marker="*", markersize=9, color="black", linestyle="none", label="no seeds of PPO"))
    handles += [Line2D([], [], color=colour, linewidth=4, label=word) for word, colour in VERDICT_COLOURS.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=8, frameon=False)
