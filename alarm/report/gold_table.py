"""Gold quality before and after PPO, by samples and by greedy responses, and the area under its curve in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alarm.evaluation.win_rates import Spread, spread
from alarm.records import RunRecord
from alarm.report.captions import origin, samples_sentence
from alarm.report.comparisons import correct, gain_over_sft, no_responses
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import GOLD, INTERVALS, missing_runs

GAIN, SAMPLED_GAIN = "gain", "sampled_gain"
AREA, AREA_GAIN = "area", "area_gain"
LABELS = {
    "sampled_before": "sampled: before",
    "sampled_after": "sampled: after",
    SAMPLED_GAIN: "sampled: gain",
    "before": "greedy: before",
    "after": "greedy: after",
    GAIN: "greedy: gain",
    AREA: "area: mean over training",
    AREA_GAIN: "area: from the start",
}


def gold_table(runs: TaskRuns) -> Table:
    """Gold quality of all runs before and after PPO, ablations and recipes included, with the gain's interval."""
    rows = list(dict.fromkeys([*runs.methods, *runs.variants.values(), *runs.combinations]))
    (cells,) = correct([_gains(runs, rows)], null=0.0)
    columns = ["before", "after", GAIN]
    if runs.sampled:
        (sampled,) = correct([_gains(runs.sampled, rows)], null=0.0)
        cells |= {(row, f"sampled_{column}"): cell for (row, column), cell in sampled.items()}
        columns = [f"sampled_{column}" for column in columns] + columns
    cells |= {(row, column): cell for row in rows for column, cell in _area_cells(runs, row).items()}
    return Table(
        name=f"gold_quality_{runs.task}",
        title=f"Gold quality before and after PPO in {runs.task}",
        caption=[
            f"{runs.label(GOLD)} of test responses; mean ± sd over n seeds. Before: the SFT policy.",
            samples_sentence(runs),
            "Area: the area under the curve of gold over responses, divided by the responses. It is the mean over all "
            "PPO iterations of the batch's mean gold, of samples for training prompts. From the start: minus the mean "
            "of the first batches of all seeds, which the SFT policy answers.",
            INTERVALS.format(family="each column of gains"),
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=[Block("", "method", rows, [*columns, AREA, AREA_GAIN], cells, LABELS)],
        missing=missing_runs(runs, rows),
    )


def batch_means(record: RunRecord, key: str) -> list[float]:
    """One column of a run's history, without the iterations that lack it."""
    return [float(row[key]) for row in record.history if row.get(key) is not None]


def areas(runs: TaskRuns, run: str, key: str = GOLD) -> list[float]:
    """Per finished seed, the mean over training of the batch's mean: the area under its curve, per response."""
    found = [batch_means(record, key) for _, record in sorted(runs.finished.get(run, {}).items())]
    return [float(np.mean(values)) for values in found if values]


def start_of_training(runs: TaskRuns, key: str) -> float | None:
    """The SFT policy's mean over the first batches, each seed counted once; None where none is on record.

    The first row of a history is measured before any update.
    """
    by_seed: dict[int, list[float]] = {}
    for seeds in runs.finished.values():
        for seed, record in seeds.items():
            if record.history and record.history[0].get(key) is not None:
                by_seed.setdefault(seed, []).append(float(record.history[0][key]))
    return float(np.mean([np.mean(values) for values in by_seed.values()])) if by_seed else None


def area_gain_cell(runs: TaskRuns, row: str) -> Cell:
    """The area under the gold curve, from the SFT policy's gold at the start of training."""
    values, start = areas(runs, row), start_of_training(runs, GOLD)
    if not values or start is None:
        return Cell(missing="gold during training" if runs.finished.get(row) else f"no run of {row}")
    return Cell(spread([value - start for value in values]), digits=3)


def _area_cells(runs: TaskRuns, row: str) -> dict[str, Cell]:
    values, gain = areas(runs, row), area_gain_cell(runs, row)
    return {AREA: Cell(spread(values), digits=3) if values else gain, AREA_GAIN: gain}


def _gains(runs: TaskRuns, rows: Sequence[str]) -> dict[tuple[str, str], Cell]:
    """`before`, `after` and `gain` of every row, with p values that are not yet corrected."""
    cells: dict[tuple[str, str], Cell] = {}
    before = runs.sft_mean(GOLD)
    for row in rows:
        after = runs.means(row, GOLD)
        if before is not None:
            cells[row, "before"] = Cell(Spread(before, None, 1), digits=3, show_count=False)
        if not after:
            cells[row, "after"] = cells[row, GAIN] = Cell(missing=no_responses(runs, [row]))
            continue
        cells[row, "after"] = Cell(spread(after), digits=3)
        gain = gain_over_sft(runs, row, GOLD)
        if gain:
            cells[row, GAIN] = Cell(spread(gain[0]), gain[1], digits=3)
        elif before is not None:
            cells[row, GAIN] = Cell(
                spread([value - before for value in after]), digits=3, missing="interval (no SFT responses on record)"
            )
    return cells
