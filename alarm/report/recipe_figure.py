"""Figure 8 of arXiv:2401.06080: accuracy on each validation set during training, and accuracy at other noise."""

from __future__ import annotations

import numpy as np

from alarm.records import RewardModelRecord
from alarm.report.plotting import Drawing, pyplot, say_absent
from alarm.report.recipe_table import sweep_accuracies, swept_set
from alarm.report.studies import PLAIN, Variant, variant_name, variants

COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C564B", "#7F7F7F")
COLUMNS = 3


def recipe_figure(record: RewardModelRecord) -> Drawing:
    """One panel per validation set, mean over seeds with a band of one sd; the last panel is the sweep, if any."""
    shown = sorted(variants(record), key=lambda variant: variant[0] != PLAIN)
    colours = {variant: COLOURS[i % len(COLOURS)] for i, variant in enumerate(shown)}
    panels = len(record.validation_sets) + bool(record.sweep)
    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    size = (max(11.0, 4.3 * columns + 2.0), 3.6 * rows + 1.0)
    figure, axes = pyplot().subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat[panels:]:
        axis.set_axis_off()
    for axis, (name, entry) in zip(axes.flat, record.validation_sets.items(), strict=False):
        for variant in shown:
            steps, mean, sd = _curve(record, variant, name)
            if len(steps):
                width = 2.2 if variant[0] == PLAIN else 1.4
                style = "--" if variant[1] == "difference" else "-"
                label = variant_name(variant)
                axis.plot(steps, mean, color=colours[variant], linewidth=width, linestyle=style, label=label)
                axis.fill_between(steps, mean - sd, mean + sd, color=colours[variant], alpha=0.1, linewidth=0)
        axis.set_title(f"{entry['label']}\n({entry['pairs']} pairs)", fontsize=10)
        axis.set_xlabel("optimiser steps", fontsize=9)
    if record.sweep:
        _sweep_panel(axes.flat[panels - 1], record, colours)
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy, %")
    for axis in axes.flat[:panels]:
        if not axis.lines:
            say_absent(axis, "not on record")
        axis.grid(alpha=0.25)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    figure.suptitle(f"Reward-model recipes in {record.source}", x=0.01, ha="left")
    return Drawing(figure)


def _sweep_panel(axis, record: RewardModelRecord, colours: dict[Variant, str]) -> None:
    swept = sweep_accuracies(record)
    recipes = dict.fromkeys(recipe for by_recipe in swept.values() for recipe in by_recipe)
    for recipe in recipes:
        points = [
            (share, float(np.mean(list(values.values()))))
            for share, by_recipe in swept.items()
            if (values := by_recipe.get(recipe))
        ]
        axis.plot(*zip(*points, strict=True), color=colours.get((recipe, None), "#000000"), marker="o", markersize=4)
    label = record.validation_sets[swept_set(record)]["label"]
    axis.set_title(f"at other noise, end of training,\non {label}", fontsize=10)
    axis.set_xlabel("wrong labels in training, %", fontsize=9)


def _curve(record: RewardModelRecord, variant: Variant, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps [E], mean and sample sd over seeds [E] in percent; empty without a curve."""
    rows = [row for row in record.curves if (row["recipe"], row.get("target")) == variant and name in row["accuracy"]]
    # Models of another schedule cannot be averaged with the first.
    rows = [row for row in rows if list(row["steps"]) == list(rows[0]["steps"])]
    if not rows:
        return np.array([]), np.array([]), np.array([])
    values = 100 * np.array([row["accuracy"][name] for row in rows], dtype=np.float64)
    sd = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
    return np.array(rows[0]["steps"]), values.mean(axis=0), sd
