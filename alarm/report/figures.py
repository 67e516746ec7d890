"""PNG figures: proactive selection (Figures 3 and 4 of arXiv:2403.06754) and training curves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alarm.files import write_atomically
from alarm.records import RunRecord, SelectionRecord
from alarm.report.published import PAPER_METHODS, PAPER_TASKS, Published
from alarm.report.runs import TaskRuns
from alarm.report.selection_tables import HOLISTIC, selection_win_rates

# Okabe and Ito's colours, told apart by most colour-blind readers; the paper's methods keep theirs in every figure.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MEASURED, PAPER = "#0072B2", "#BBBBBB"
PANELS = (
    ("reward", "optimised reward per response\n(scale differs between methods)"),
    ("holistic", "holistic reward (z)"),
    ("gold", "{gold}, samples on train"),
    ("dev_gold", "{gold}, greedy on dev"),
    ("kl", "KL to the SFT policy, nats per response"),
    ("entropy", "entropy, nats per token"),
    ("length", "response length, tokens"),
    ("explained_variance", "explained variance of the values"),
)


def selection_figure(record: SelectionRecord, published: Published, path: Path, footer: str) -> Path:
    """Two groups of bars per aspect: inconsistency, and win rate of greedy over sampling; the paper's beside ours."""
    plt = _pyplot()
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
    return _save(figure, path, footer)


def curves_figure(runs: TaskRuns, path: Path, footer: str) -> Path:
    """Training curves of every method: mean over seeds with a band of one standard deviation."""
    plt = _pyplot()
    figure, axes = plt.subplots(2, 4, figsize=(16, 7), layout="constrained")
    shown = {method: list(runs.finished[method].values()) for method in runs.methods if method in runs.finished}
    for axis, (key, label) in zip(axes.flat, PANELS, strict=True):
        for position, (method, records) in enumerate(shown.items()):
            steps, mean, sd = curve(records, key)
            if len(steps):
                colour = _colour(method, position)
                marker = "o" if len(steps) < 12 else None
                axis.plot(steps, mean, color=colour, label=f"{method} (n={len(records)})", marker=marker, markersize=3)
                axis.fill_between(steps, mean - sd, mean + sd, color=colour, alpha=0.15, linewidth=0)
        if not axis.lines:
            axis.text(0.5, 0.5, f"no {key} on record", ha="center", va="center", transform=axis.transAxes)
        axis.set_title(label.format(gold=runs.label("gold")), fontsize=10)
        axis.set_xlabel("PPO iteration", fontsize=9)
        axis.grid(alpha=0.25)
        axis.xaxis.get_major_locator().set_params(integer=True)
    handles = {}
    for axis in axes.flat:
        handles |= {text: handle for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=5, fontsize=9)
    figure.suptitle(f"Training curves in {runs.task}", x=0.01, ha="left")
    return _save(figure, path, footer)


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


def _colour(method: str, position: int) -> str:
    if method in PAPER_METHODS:
        return COLOURS[PAPER_METHODS.index(method)]
    return COLOURS[len(PAPER_METHODS) + (position - len(PAPER_METHODS)) % (len(COLOURS) - len(PAPER_METHODS))]


def _pyplot():
    import matplotlib

    matplotlib.use("Agg", force=True)
    import matplotlib.pyplot as plt

    return plt


def _save(figure, path: Path, footer: str) -> Path:
    figure.supxlabel(footer, fontsize=7, x=0.01, ha="left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    _pyplot().close(figure)
    return write_atomically(path, buffer.getvalue())
