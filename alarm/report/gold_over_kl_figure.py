"""Gold win rate over the SFT policy as a function of KL: PPO with raw and transformed rewards, and best-of-k."""

from __future__ import annotations

import numpy as np

from alarm.evaluation.statistics import bootstrap_mean
from alarm.records import BestOfKRecord
from alarm.report.best_of_k_blocks import values_at
from alarm.report.comparisons import BOOTSTRAP_SEED
from alarm.report.gold_over_kl import PAIRS, POINTS, kl_curve
from alarm.report.plotting import Drawing, pyplot, say_absent
from alarm.report.runs import TaskRuns

RAW_COLOUR, TRANSFORMED_COLOUR = "#0072B2", "#D55E00"
BACKGROUND = {"weighted_sum": "#009E73", "alarm": "#999999"}
"""Methods beside the sums, drawn lightly."""
SELECTORS = {
    "raw_sum": (RAW_COLOUR, "-"),
    "log_sigmoid_sum": (TRANSFORMED_COLOUR, "-"),
    "holistic": ("#CC79A7", "-"),
    "gold": ("#999999", ":"),
}


def gold_over_kl_figure(runs: TaskRuns) -> Drawing:
    """Three panels: the holistic reward alone, the sums over all properties, and best-of-k from SFT samples."""
    figure, axes = pyplot().subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    for axis, (raw, transformed), extra in zip(axes[:2], PAIRS, ({}, BACKGROUND), strict=True):
        for method, colour in {**extra, raw: RAW_COLOUR, transformed: TRANSFORMED_COLOUR}.items():
            _draw_curve(axis, runs, method, colour, light=method in extra)
        axis.set_title(f"PPO: {raw} and {transformed}", fontsize=10)
        axis.set_xlabel("KL to the SFT policy, nats per response", fontsize=9)
    if runs.best_of_k:
        _draw_best_of_k(axes[2], runs.best_of_k)
    axes[2].set_title("best-of-k from SFT samples", fontsize=10)
    axes[2].set_xlabel("KL to the SFT policy, log k − (k−1)/k nats", fontsize=9)
    axes[0].set_ylabel("gold win rate over the SFT policy, %")
    for axis in axes:
        if axis.lines:
            axis.axhline(50, color="black", linewidth=0.8, linestyle=":")
            axis.legend(fontsize=8)
        else:
            say_absent(axis, "not on record")
        axis.grid(alpha=0.25)
    figure.suptitle(f"Raw against log-sigmoid-centred rewards in {runs.task}", x=0.01, ha="left")
    note = (
        f"PPO: each run's iterations pooled into {POINTS} consecutive points (training order, from the SFT policy at "
        "KL 0 and 50 %); means and sd over seeds. Best-of-k: mean over prompts with a 95 % bootstrap band."
    )
    return Drawing(figure, note)


def _draw_curve(axis, runs: TaskRuns, method: str, colour: str, *, light: bool) -> None:
    curve = kl_curve(list(runs.finished.get(method, {}).values()))
    if curve is None:
        return
    style = {"color": colour, "alpha": 0.55 if light else 1.0, "linewidth": 1.2 if light else 1.8}
    axis.plot(
        np.append(0.0, curve.kl),
        np.append(50.0, curve.win_rate),
        marker="o",
        markersize=2.5 if light else 4,
        label=f"{method} (n={curve.seeds})",
        **style,
    )
    if not light:
        axis.errorbar(curve.kl, curve.win_rate, curve.sd, color=colour, linestyle="none", alpha=0.4, capsize=2)


def _draw_best_of_k(axis, record: BestOfKRecord) -> None:
    known = [name for name in record.selectors if name in SELECTORS]
    for selector in sorted(record.selectors, key=lambda name: known.index(name) if name in known else len(known)):
        colour, style = SELECTORS.get(selector, ("#000000", "--"))
        points = [
            (kl, bootstrap_mean(values[None], seed=BOOTSTRAP_SEED))
            for k, kl in zip(record.ks, record.kl, strict=True)
            if (values := values_at(record, selector, "win_rate", k)) is not None
        ]
        if points:
            kl = [point for point, _ in points]
            axis.plot(kl, [e.value for _, e in points], color=colour, linestyle=style, marker="o", ms=3, label=selector)
            axis.fill_between(
                kl, [e.low for _, e in points], [e.high for _, e in points], color=colour, alpha=0.12, linewidth=0
            )
