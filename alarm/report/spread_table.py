"""How far each method's reward tells responses to one prompt apart before PPO, beside what the method gained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.win_rates import Spread, spread
from alarm.report.captions import origin, samples_sentence
from alarm.report.comparisons import correct, gain_over_sft, no_responses
from alarm.report.gold_table import area_gain_cell
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import GOLD, INTERVALS, missing_runs

SPREADS = {"reward_spread": "spread of the total reward", "gold_spread": "spread of gold"}
AREA = "area"
POOL_COLUMNS = {
    "within": "spread within a prompt",
    "whole": "spread of all samples",
    "share": "within, % of all",
}


def spread_table(runs: TaskRuns) -> Table | None:
    """Spread within a prompt under the SFT policy, and gains in gold; None where no spread is on record."""
    recorded = any(first_value(runs, m, key) for m in runs.methods for key in SPREADS)
    if not recorded and runs.pool is None:
        return None
    blocks = [_methods_block(runs)] if recorded else []
    blocks += [_pool_block(runs)] if runs.pool else []
    way = "sampled" if runs.sampled else "greedy"
    return Table(
        name=f"spread_{runs.task}",
        title=f"Spread of rewards within a prompt, before PPO, in {runs.task}",
        caption=[
            "The spread of a reward among responses to one prompt decides how fast it teaches (arXiv:2310.20703), "
            "since PPO follows what tells them apart.",
            "Spread: standard deviation (n − 1) among the responses to one prompt, mean over the first batch, which "
            "the SFT policy answers; mean ± sd over n seeds. A total reward has the scale of its method, so "
            "it is to be read beside the scores below.",
            f"Gain: {runs.label(GOLD)} of {way} test responses, from the SFT policy. Area: mean of gold over training, "
            "from the start. " + INTERVALS.format(family="the column of gains"),
            samples_sentence(runs),
            *_pool_sentence(runs),
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=blocks,
        missing=[
            *missing_runs(runs, runs.methods),
            *([] if runs.pool else [f"{runs.task} pool of samples of the SFT policy"]),
            *([] if recorded else [f"{runs.task} spreads in the runs' histories"]),
        ],
    )


def first_value(runs: TaskRuns, run: str, key: str) -> list[float]:
    """Per finished seed, a column's first value, which is measured before any update."""
    histories = [record.history for _, record in sorted(runs.finished.get(run, {}).items())]
    return [float(rows[0][key]) for rows in histories if rows and rows[0].get(key) is not None]


def spread_within(scores: NDArray) -> float:
    """Mean over prompts of the standard deviation (n - 1) among a prompt's samples.

    Args:
        scores: [P, k], k at least 2.

    >>> spread_within(np.array([[0.0, 2.0], [1.0, 1.0]])).round(3)
    0.707
    """
    return float(np.std(scores, axis=1, ddof=1).mean())


def _methods_block(runs: TaskRuns) -> Block:
    view = runs.sampled or runs
    cells: dict[tuple[str, str], Cell] = {}
    gains: dict[tuple[str, str], Cell] = {}
    for row in runs.methods:
        for key in SPREADS:
            values = first_value(runs, row, key)
            absent = Cell(missing="spread" if runs.finished.get(row) else f"no run of {row}")
            cells[row, key] = Cell(spread(values), digits=3) if values else absent
        gain = gain_over_sft(view, row, GOLD)
        absent = "responses of the SFT policy" if view.finished.get(row) else no_responses(view, [row])
        gains[row, "gain"] = Cell(spread(gain[0]), gain[1], digits=3) if gain else Cell(missing=absent)
        cells[row, AREA] = area_gain_cell(runs, row)
    (gains,) = correct([gains], null=0.0)
    way = "sampled" if runs.sampled else "greedy"
    labels = {**SPREADS, "gain": f"gain in {way} gold", AREA: "area, from the start"}
    return Block("", "method", runs.methods, list(labels), {**cells, **gains}, labels)


def _pool_block(runs: TaskRuns) -> Block:
    """Every score of the SFT policy's samples: its spread within prompts and over all samples."""
    cells: dict[tuple[str, str], Cell] = {}
    rows = []
    for score, values in runs.pool.scores.items():
        table = np.array(values, dtype=np.float64)
        table = table[np.isfinite(table).all(axis=1)]
        if score == "holistic_raw" or table.size < 2 or table.shape[1] < 2:
            continue
        row = runs.pool.score_labels.get(score, score)
        within, whole = spread_within(table), float(np.std(table, ddof=1))
        rows.append(row)
        cells[row, "within"], cells[row, "whole"] = _number(within, 3), _number(whole, 3)
        cells[row, "share"] = _number(100 * within / whole, 0) if whole else Cell(missing="any spread")
    return Block("Scores of the SFT policy's samples", "score", rows, list(POOL_COLUMNS), cells, POOL_COLUMNS)


def _pool_sentence(runs: TaskRuns) -> list[str]:
    if runs.pool is None:
        return []
    prompts = len(next(iter(runs.pool.scores.values()), ()))
    return [f"Below: {runs.pool.samples} samples of the SFT policy for each of {prompts} dev prompts."]


def _number(value: float, digits: int) -> Cell:
    return Cell(Spread(value, None, 1), digits=digits, show_count=False)
