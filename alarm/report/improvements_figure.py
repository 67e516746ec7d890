"""Distribution over prompts of the change in each property: one panel per property, one step curve per method."""

from __future__ import annotations

import numpy as np

from alarm.report.improvements import METHODS, Improvements, improvements, shown_scores
from alarm.report.plotting import Drawing, pyplot, shared_legend
from alarm.report.runs import TaskRuns

STYLES = {
    "holistic_only": ("#0072B2", "--"),
    "log_sigmoid": ("#D55E00", "--"),
    "raw_sum": ("#0072B2", "-"),
    "log_sigmoid_sum": ("#D55E00", "-"),
}
COLUMNS = 4
SHOWN = 0.99
"""Of the changes by size, so that single prompts do not decide the axis."""


def improvements_figure(runs: TaskRuns) -> Drawing:
    """Cumulative share of prompts (and seeds) by change over the SFT policy; what lies left of 0 got worse."""
    scores = shown_scores(runs)
    rows = -(-len(scores) // COLUMNS)
    figure, axes = pyplot().subplots(rows, COLUMNS, figsize=(16, 3.5 * rows + 0.8), layout="constrained", squeeze=False)
    for axis, score in zip(axes.flat, scores, strict=False):
        changes = {m: change for m in METHODS if (change := improvements(runs, m, score)) is not None}
        for method, change in changes.items():
            colour, style = STYLES[method]
            label = f"{method} (n={len(change.seeds)})"
            axis.ecdf(change.gains.ravel(), color=colour, linestyle=style, linewidth=1.4, label=label)
        reach = np.quantile(np.abs(np.concatenate([change.gains.ravel() for change in changes.values()])), SHOWN)
        if reach > 0:
            axis.set_xlim(-1.05 * reach, 1.05 * reach)
        axis.axvline(0, color="black", linewidth=0.8, linestyle=":")
        axis.set_title(_titled(runs.label(score), changes), fontsize=10)
        axis.set_xlabel("change over the SFT policy (right is better)", fontsize=9)
        axis.grid(alpha=0.25)
    for axis in axes.flat[len(scores) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("cumulative share of prompts", fontsize=9)
    shared_legend(figure, axes, columns=4)
    figure.suptitle(f"Who improves in {runs.task}: test prompts, greedy", x=0.01, ha="left")
    note = f"Axes reach to the {SHOWN:.0%} quantile of the size of change; all seeds pooled."
    return Drawing(figure, note)


def _titled(label: str, changes: dict[str, Improvements]) -> str:
    """The score's label, and the shares of prompts that lost and gained under each sum where it is on record."""
    shares = []
    for method in METHODS[2:]:
        if method in changes:
            lost, gained = (100 * float(np.mean(sign * changes[method].gains > 0)) for sign in (-1, 1))
            shares.append(f"{method}: {lost:.0f} % lost, {gained:.0f} % gained")
    return "\n".join([label, *shares])
