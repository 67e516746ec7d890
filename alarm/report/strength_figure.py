"""Figures 2 to 4 of arXiv:2401.06080 beside the published curves, and the ROC curve of strength as a detector."""

from __future__ import annotations

import numpy as np

from alarm.records import RewardModelRecord
from alarm.report.plotting import Drawing, pyplot, say_absent
from alarm.report.published_study import PublishedStudy
from alarm.report.strength_table import GROUPS
from alarm.report.studies import WAYS, strengths
from alarm.reward_modeling.detection import PERCENTILES, agreement_by_decile, detector, percentiles

WAY_COLOURS = {"in_sample": "#0072B2", "cross_fitted": "#D55E00"}
SET_COLOURS = {"noisy": "#0072B2", "gold": "#009E73", "agreeing": "#E69F00", "shifted": "#CC79A7"}
PAPER = {"color": "#888888", "linestyle": "--", "marker": "x", "markersize": 4, "linewidth": 1.0}


def strength_figure(record: RewardModelRecord, published: PublishedStudy) -> Drawing:
    """Four panels: strength by percentile, ROC, agreement with gold by decile, accuracy from one decile alone."""
    figure, axes = pyplot().subplots(1, 4, figsize=(17, 4.4), layout="constrained")
    found = {way: strengths(record, way) for way in WAYS}
    found = {way: values for way, values in found.items() if values}
    _percentile_panel(axes[0], found, published)
    _roc_panel(axes[1], found, record)
    _agreement_panel(axes[2], found, record, published)
    _decile_panel(axes[3], record, published)
    for axis in axes:
        if axis.lines:
            axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
            axis.grid(alpha=0.25)
        else:
            say_absent(axis, "not on record")
    figure.suptitle(f"Strength of preferences in {record.source}", x=0.01, ha="left")
    return Drawing(figure, "Dashed: arXiv:2401.06080 (HH-RLHF, Llama-2-7B), read off its figures.")


def _percentile_panel(axis, found, published: PublishedStudy) -> None:
    for way, values in found.items():
        rows = percentiles(values["mean"], values["sd"])
        at, mean, sd = (np.array([row[key] for row in rows], dtype=float) for key in ("percentile", "mean", "sd"))
        axis.plot(at, mean, color=WAY_COLOURS[way], marker="o", markersize=3, label=WAYS[way])
        if np.isfinite(sd).any():
            axis.fill_between(at, mean - sd, mean + sd, color=WAY_COLOURS[way], alpha=0.12, linewidth=0)
    theirs = [(point, number.mean) for point in PERCENTILES if (number := published.strength(point))]
    if found and theirs:
        axis.plot(*zip(*theirs, strict=True), label="paper", **PAPER)
    if found:
        axis.axhline(0, color="black", linewidth=0.8, linestyle=":", label="_")
    axis.set_title("strength, mean with sd between models\n(reward units differ between experiments)", fontsize=10)
    axis.set_xlabel("percentile of strength", fontsize=9)


def _roc_panel(axis, found, record: RewardModelRecord) -> None:
    axis.set_title("low strength as a detector of wrong labels\n(dot: strength below 0)", fontsize=10)
    axis.set_xlabel("right labels flagged, %", fontsize=9)
    axis.set_ylabel("wrong labels flagged, %", fontsize=9)
    if record.wrong is None:
        return
    for way, values in found.items():
        result = detector(values["mean"], record.wrong)
        if not result["fpr"]:
            continue
        label = f"{WAYS[way]}, area {result['auc']:.3f}"
        axis.plot(100 * np.array(result["fpr"]), 100 * np.array(result["tpr"]), color=WAY_COLOURS[way], label=label)
        flagged_right = result["flagged_share"] - result["recall"] * result["wrong_share"]
        point = (100 * flagged_right / (1 - result["wrong_share"]), 100 * result["recall"])
        axis.plot(*point, color=WAY_COLOURS[way], marker="o", label="_")
    if axis.lines:
        axis.plot([0, 100], [0, 100], color="black", linewidth=0.8, linestyle=":", label="at random")


def _agreement_panel(axis, found, record: RewardModelRecord, published: PublishedStudy) -> None:
    axis.set_title("labels that gold agrees with, %", fontsize=10)
    axis.set_xlabel("decile of strength", fontsize=9)
    if record.wrong is None:
        return
    for way, values in found.items():
        if len(values["mean"]) >= GROUPS:
            shares = 100 * np.array(agreement_by_decile(values["mean"], record.wrong, GROUPS))
            axis.plot(range(1, GROUPS + 1), shares, color=WAY_COLOURS[way], marker="o", markersize=4, label=WAYS[way])
    theirs = [(group + 1, number.mean) for group in range(GROUPS) if (number := published.agreement(group, GROUPS))]
    if axis.lines and theirs:
        style = {**PAPER, "linestyle": "none", "markersize": 6}
        axis.plot(*zip(*theirs, strict=True), label="paper's weakest and\nstrongest group, by GPT-4", **style)


def _decile_panel(axis, record: RewardModelRecord, published: PublishedStudy) -> None:
    for name, entry in record.validation_sets.items():
        rows = [(row["decile"] + 1, row["accuracy"].get(name)) for row in record.deciles]
        means = {d: [100 * a for at, a in rows if at == d and a is not None] for d in sorted({at for at, _ in rows})}
        points = [(decile, np.mean(values)) for decile, values in means.items() if values]
        if points:
            colour = SET_COLOURS.get(name, "#000000")
            axis.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, label=entry["label"])
    theirs = [(d + 1, number.mean) for d in range(GROUPS) if (number := published.decile_accuracy(d, "noisy"))]
    if axis.lines and theirs:
        axis.plot(*zip(*theirs, strict=True), label="paper, its own labels", **PAPER)
    axis.set_title("accuracy of a model trained on\none decile alone, %", fontsize=10)
    axis.set_xlabel("decile of strength", fontsize=9)
