"""MetaRM's rounds as a figure: the adapting reward model beside the frozen control."""

from __future__ import annotations

from alarm.evaluation.win_rates import spread
from alarm.report.meta_rounds import METHODS, rounds_of, sft_golds, sft_rates
from alarm.report.plotting import COLOURS, Drawing, pyplot, say_absent, shared_legend
from alarm.report.runs import TaskRuns
from alarm.report.win_tables import GOLD

STYLES = ((-0.04, COLOURS[3]), (0.04, COLOURS[0]))
"""Shift along the axis and colour of each of `METHODS`."""


def meta_rounds_figure(runs: TaskRuns) -> Drawing:
    """Gold quality, win rate over SFT, accuracy and spread per round, mean ± sd over seeds."""
    before = sft_golds(runs)
    figure, axes = pyplot().subplots(1, 4, figsize=(15, 3.9), layout="constrained")
    panels = (
        (f"{runs.label(GOLD)}, greedy on dev", lambda end: end.golds.mean(axis=1) if end.golds.size else []),
        ("win rate by gold over the SFT policy, %", lambda end: sft_rates(end, before)),
        (
            "reward model's accuracy on the\ncurrent policy's samples, %",
            lambda end: [100 * share for share in end.accuracy.values()],
        ),
        ("spread of its scores on them,\nraw reward", lambda end: end.spread.values()),
    )
    for axis, (label, values_of) in zip(axes, panels, strict=True):
        for method, (offset, colour) in zip(METHODS, STYLES, strict=True):
            found = {number: list(values_of(end)) for number, end in rounds_of(runs, method).items()}
            found = {number: spread(values) for number, values in found.items() if values}
            if found:
                axis.errorbar(
                    [number + offset for number in found],
                    [s.mean for s in found.values()],
                    [s.sd or 0.0 for s in found.values()],
                    color=colour,
                    marker="o",
                    capsize=3,
                    label=f"{method} (n={max(s.count for s in found.values())})",
                )
        if axis.lines:
            axis.xaxis.get_major_locator().set_params(integer=True)
        else:
            say_absent(axis, "not on record")
        axis.set_title(label, fontsize=10)
        axis.set_xlabel("round", fontsize=9)
        axis.grid(alpha=0.25)
    if before is not None:
        axes[0].axhline(before.mean(), color="black", linewidth=0.8, linestyle=":", label="SFT policy")
    for axis in axes[1:3]:
        if axis.lines:
            axis.axhline(50, color="black", linewidth=0.8, linestyle=":")
    shared_legend(figure, axes, columns=3)
    figure.suptitle(f"MetaRM: rounds of iterative RLHF in {runs.task}", x=0.01, ha="left")
    return Drawing(figure)
