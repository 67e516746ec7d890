"""Training curves: mean over seeds with a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alarm.records import RunRecord
from alarm.report.plotting import Drawing, colour, line_style, pyplot, say_absent, shared_legend
from alarm.report.published import PAPER_METHODS
from alarm.report.runs import TaskRuns

PANELS = (
    ("reward", "optimised reward per response\n(scale differs between methods)"),
    ("holistic", "holistic reward (z)"),
    ("holistic_sd", "reward-model score spread\n(sd of the z reward over a batch)"),
    ("gold", "{gold}, samples on train"),
    ("dev_gold", "{gold}, greedy on dev"),
    ("kl", "KL to the SFT policy, nats per response"),
    ("entropy", "entropy, nats per token"),
    ("length", "response length, tokens"),
)
MOST_LINES = 8
"""More methods than that go to a second figure, in which the first of the paper's methods stands for comparison."""


def curve_groups(runs: TaskRuns) -> dict[str, list[str]]:
    """Suffix of a figure's name to the methods in it: all of them, or the paper's and the others apart."""
    shown = [method for method in runs.methods if method in runs.finished]
    if len(shown) <= MOST_LINES:
        return {"": shown}
    others = [method for method in shown if method not in PAPER_METHODS]
    return {"": [method for method in shown if method in PAPER_METHODS], "_others": [PAPER_METHODS[0], *others]}


def curves_figure(runs: TaskRuns, methods: Sequence[str]) -> Drawing:
    """Training curves of some methods; a quantity that no record has is named as absent."""
    figure, axes = pyplot().subplots(2, 4, figsize=(16, 7.4), layout="constrained")
    shown = {method: list(runs.finished[method].values()) for method in methods if method in runs.finished}
    for axis, (key, label) in zip(axes.flat, PANELS, strict=True):
        for method, records in shown.items():
            steps, mean, sd = curve(records, key)
            if len(steps):
                style = {"color": colour(method, shown), "linestyle": line_style(method, shown)}
                marker = "o" if len(steps) < 12 else None
                axis.plot(steps, mean, label=f"{method} (n={len(records)})", marker=marker, markersize=3, **style)
                axis.fill_between(steps, mean - sd, mean + sd, color=style["color"], alpha=0.12, linewidth=0)
        if axis.lines:
            axis.xaxis.get_major_locator().set_params(integer=True)
        else:
            say_absent(axis, f"no {key} on record")
        axis.set_title(label.format(gold=runs.label("gold")), fontsize=10)
        axis.set_xlabel("PPO iteration", fontsize=9)
        axis.grid(alpha=0.25)
    shared_legend(figure, axes, columns=5)
    beside = set(shown) - set(PAPER_METHODS) and set(shown) != set(runs.methods) & set(runs.finished)
    figure.suptitle(f"Training curves{' of further methods' if beside else ''} in {runs.task}", x=0.01, ha="left")
    return Drawing(figure)


def curve(records: Sequence[RunRecord], key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Iterations, mean and sample sd over seeds of one history column, each [I]; sd is 0 with one seed.

    An iteration without a value (None) in any seed is left out; one with values in some seeds averages these.
    """
    values: dict[int, list[float]] = {}
    for record in records:
        for row in record.history:
            if row.get(key) is not None:
                values.setdefault(int(row["iteration"]), []).append(float(row[key]))
    steps = sorted(values)
    mean = np.array([np.mean(values[s]) for s in steps])
    sd = np.array([np.std(values[s], ddof=1) if len(values[s]) > 1 else 0.0 for s in steps])
    return np.array(steps), mean, sd
