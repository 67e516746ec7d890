"""What `pytest benchmarks --quick` shows at its end: a few methods on one screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tabulate import tabulate

from alarm.report.runs import TaskRuns, read_runs

GOLD = "gold"


def first_look(results: Path, scale: str, methods: list[str]) -> str:
    """Gold quality before and after PPO of these methods, mean and sd over seeds, as plain text.

    Raises:
        RecordError: there are no records, or one of them cannot be read.
    """
    return "\n\n".join(_of_task(runs, methods) for runs in read_runs(results, scale))


def _of_task(runs: TaskRuns, methods: list[str]) -> str:
    sampled = runs.sampled or runs
    rows = [["SFT policy", _number(runs.sft_mean(GOLD)), _number(sampled.sft_mean(GOLD)), "", ""]]
    for name in methods:
        found = runs.finished.get(name, {})
        if not found:
            rows.append([name, "no finished run", "", "", ""])
            continue
        kl = [record.history[-1]["kl"] for record in found.values()]
        seconds = [sum(record.durations.values()) for record in found.values()]
        rows.append(
            [
                name,
                _spread(runs.means(name, GOLD)),
                _spread(sampled.means(name, GOLD)),
                _number(float(np.mean(kl))),
                f"{np.mean(seconds):.0f}",
            ]
        )
    header = ["method", "gold, greedy", "gold, sampled", "KL, nats", "seconds a run"]
    seeds = ", ".join(map(str, runs.seeds))
    return (
        f"A first look at {runs.task} (quick: {len(runs.seeds)} seeds, {seeds}; mean ± sd on test prompts; too few for "
        "conclusions)\n" + tabulate(rows, header, disable_numparse=True)
    )


def _spread(values: list[float]) -> str:
    sd = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{sd}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
