"""Proxy and gold over the square root of KL: PPO with a low and with the default KL coefficient, and best-of-k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alarm.report.gold_over_kl import POINTS
from alarm.report.over_optimisation import (
    METHODS,
    BestOfKCurve,
    GreedyCurve,
    PPOCurve,
    best_of_k_curve,
    greedy_curve,
    ppo_curve,
)
from alarm.report.over_optimisation_table import best_of_k_sentence
from alarm.report.plotting import Drawing, pyplot, shared_legend
from alarm.report.runs import TaskRuns

PROXY = {"color": "#D55E00", "linestyle": "--", "label": "learned reward (proxy)"}
GOLD = {"color": "#0072B2", "linestyle": "-", "label": "gold, sampled"}
GREEDY = {"color": "#009E73", "linestyle": "-.", "label": "gold, greedy dev responses"}


def over_optimisation_figure(runs: TaskRuns) -> Drawing:
    """One panel per optimiser on common axes, in standard deviations of the SFT policy, the peak of gold marked."""
    figure, axes = pyplot().subplots(1, 3, figsize=(14, 4.9), layout="constrained", sharex=True, sharey=True)
    for axis, method in zip(axes, METHODS, strict=False):
        _draw_ppo(axis, f"PPO: {method}", ppo_curve(runs, method), greedy_curve(runs, method))
    chosen = best_of_k_curve(runs)
    _draw_best_of_k(axes[2], chosen)
    for axis in axes:
        if axis.lines:
            axis.axhline(0, color="black", linewidth=0.8, linestyle=":")
        else:
            axis.text(0.5, 0.5, "not on record", ha="center", va="center", transform=axis.transAxes)
        axis.set_xlabel("√KL to the SFT policy, √nats", fontsize=10)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("gain over the SFT policy,\nstandard deviations of its samples", fontsize=10)
    shared_legend(figure, axes, columns=4)
    figure.suptitle(f"Over-optimisation of the learned reward in {runs.task}", x=0.01, ha="left")
    note = (
        f"PPO: each run's iterations pooled into {POINTS} consecutive points, joined in the order of KL from the SFT "
        "policy at 0; mean and sd over seeds. Greedy gold is joined in the order of training. "
        f"{best_of_k_sentence(chosen)}"
    )
    return Drawing(figure, note)


def _draw_ppo(axis, title: str, curve: PPOCurve | None, greedy: GreedyCurve | None) -> None:
    axis.set_title(title, fontsize=11)
    if curve is None:
        return
    kl = curve.kl.mean(axis=0)
    order = np.argsort(kl, kind="stable")
    for values, style in ((curve.proxy, PROXY), (curve.gold, GOLD)):
        mean = values.mean(axis=0)
        _draw(axis, kl[order], mean[order], style)
        if len(values) > 1:
            low, high = (mean + sign * values.std(axis=0, ddof=1) for sign in (-1, 1))
            axis.fill_between(_root(kl[order]), low[order], high[order], color=style["color"], alpha=0.15, linewidth=0)
    if greedy is not None:
        # In the order of training: what falls at the end was higher before.
        _draw(axis, greedy.kl.mean(axis=0), greedy.gold.mean(axis=0), GREEDY)
    _mark(axis, f"{title} (n={len(curve.seeds)})", kl[curve.peak], curve.gold.mean(axis=0)[curve.peak])


def _draw_best_of_k(axis, curve: BestOfKCurve | None) -> None:
    title = "best-of-k by the learned reward"
    axis.set_title(title, fontsize=11)
    if curve is None:
        return
    if len(curve.proxy):
        _draw(axis, curve.proxy_kl, curve.proxy, PROXY)
    _draw(axis, curve.kl, curve.gold, GOLD)
    _mark(axis, title, curve.kl[curve.peak], curve.gold[curve.peak])


def _draw(axis, kl: NDArray, gain: NDArray, style: dict[str, str]) -> None:
    axis.plot(_root(kl), gain, marker="o", markersize=3, **style)


def _mark(axis, title: str, kl: float, gold: float) -> None:
    """A star at the peak of gold, and its numbers below the title, where no curve is."""
    peak = {"linestyle": "none", "marker": "*", "markersize": 14, "color": "#000000", "label": "peak of sampled gold"}
    axis.plot([_root(kl)], [gold], **peak)
    axis.set_title(f"{title}\npeak of gold: {gold:+.2f} at {kl:.1f} nats", fontsize=11)


def _root(kl: NDArray | float) -> NDArray:
    """An estimated KL may be a little below 0."""
    return np.sqrt(np.maximum(kl, 0.0))
