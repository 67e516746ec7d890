"""Throughput: seconds of a run by phase, and what was sampled, scored and learned from per second."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from alarm.evaluation.win_rates import Spread
from alarm.records import RunRecord
from alarm.report.captions import origin
from alarm.report.runs import TaskRuns
from alarm.report.tables import Block, Cell, Table

ALL = "all runs"
PHASES = {
    "rollout": "rollout, s",
    "scoring": "scoring, s",
    "update": "update, s",
    "evaluation": "evaluation, s",
    "rounds": "rounds, s",
    "all": "all phases, s",
}
TRAINING = ("rollout", "scoring", "update")
"""What every iteration of PPO consists of."""
RATES = {
    "rollout_rate": "sampled tokens per second of rollout",
    "scoring_rate": "responses per second of scoring",
    "update_rate": "learned tokens per second of update",
    "whole_rate": "sampled tokens per second of the three together",
}


def throughput_table(runs: TaskRuns) -> Table | None:
    """Medians over runs: all of them, and each method's; None where no run says how long its phases took.

    Runs with another choice of aspect or recipe count among all only.
    """
    finished = {
        name: [r for r in found.values() if set(r.durations) & set(PHASES)] for name, found in runs.finished.items()
    }
    together = [record for records in finished.values() for record in records]
    if not together:
        return None
    timed = {ALL: together} | {name: finished[name] for name in runs.methods if finished.get(name)}
    return Table(
        name=f"throughput_{runs.task}",
        title=f"Throughput in {runs.task}",
        caption=[
            "Median over n runs; brackets: smallest and largest. A run may have shared its machine with others, so "
            "these are rates of an experiment, not of a machine.",
            "A sampled token is a token of a response, the end token included, prompt and padding left out. A learned "
            "token is one of them in one pass of the update, which also holds the predictions before the first pass. "
            "Rounds: judging, and with MetaRM training, the reward model.",
            *origin(runs.scale, runs.records),
        ],
        blocks=[
            _block("Work per second", timed, RATES, rates, digits=0),
            _block("Seconds per run", timed, PHASES, seconds, digits=1),
        ],
    )


def rates(record: RunRecord) -> dict[str, float]:
    """Work per second by phase, as far as the record's settings, history and durations tell it."""
    per_iteration = record.settings.get("ppo", {}).get("batch_size")
    lengths = [row.get("length") for row in record.history]
    if not per_iteration or not lengths or None in lengths:
        return {}
    sampled = per_iteration * float(np.sum(lengths))
    work = {"rollout_rate": ("rollout", sampled), "scoring_rate": ("scoring", per_iteration * len(lengths))}
    passes = [row.get("epochs") for row in record.history]
    if None not in passes:
        work["update_rate"] = ("update", per_iteration * float(np.dot(lengths, passes)))
    found = {name: amount / s for name, (phase, amount) in work.items() if (s := record.durations.get(phase))}
    if all(phase in record.durations for phase in TRAINING):
        found["whole_rate"] = sampled / sum(record.durations[phase] for phase in TRAINING)
    return found


def seconds(record: RunRecord) -> dict[str, float]:
    """Seconds by phase, and of all phases on record together."""
    found = {phase: record.durations[phase] for phase in PHASES if phase in record.durations}
    return {**found, "all": sum(found.values())}


def _block(
    title: str,
    timed: dict[str, list[RunRecord]],
    columns: dict[str, str],
    measure: Callable[[RunRecord], dict[str, float]],
    *,
    digits: int,
) -> Block:
    measured = {name: [measure(record) for record in records] for name, records in timed.items()}
    shown = [column for column in columns if any(column in values for found in measured.values() for values in found)]
    cells = {
        (row, column): _median_cell([values[column] for values in measured[row] if column in values], digits)
        for row in timed
        for column in shown
    }
    return Block(title, "runs", list(timed), shown, cells, columns)


def _median_cell(values: Sequence[float], digits: int) -> Cell:
    if not values:
        return Cell(missing="its time on record")
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    note = f"[{low}, {high}]" if len(values) > 1 else None
    return Cell(Spread(float(np.median(values)), None, len(values)), note=note, digits=digits)
