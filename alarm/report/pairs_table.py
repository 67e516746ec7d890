"""Which methods differ: each against the SFT policy and against every other, by mean gold of the same prompts."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from alarm.evaluation.statistics import LEVEL
from alarm.evaluation.win_rates import Spread, spread
from alarm.report.captions import origin, samples_sentence
from alarm.report.comparisons import correct, difference, gain_over_sft
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import GOLD, INTERVALS

COLUMNS = {
    "gold": "gold",
    "gain": "from the SFT policy",
    "above": "methods significantly below it",
    "below": "methods significantly above it",
}
Cells = dict[tuple[str, str], Cell]


def pairs_table(runs: TaskRuns) -> Table | None:
    """Gold of samples, or of greedy responses where there are none; None where no two methods have gold.

    Methods are ordered by their gold, best first.
    """
    view = runs.sampled or runs
    means = {method: view.means(method, GOLD) for method in view.methods}
    names = sorted((m for m in means if means[m]), key=lambda name: -float(np.mean(means[name])))
    if len(names) < 2:
        return None
    gains = _gain_cells(view, names)
    pairs = _pair_cells(view, names)
    wins = {name: [b for (a, b), cell in pairs.items() if a == name and is_significant(cell)] for name in names}
    losses = {name: [a for (a, b), cell in pairs.items() if b == name and is_significant(cell)] for name in names}
    cells: Cells = {}
    for name in names:
        cells[name, "gold"] = Cell(spread(means[name]), digits=3)
        cells[name, "gain"] = gains.get((name, "gain"), Cell(missing="responses of the SFT policy"))
        cells[name, "above"], cells[name, "below"] = _count(wins[name]), _count(losses[name])
    differing = sum(map(len, wins.values()))
    return Table(
        name=f"pairs_{runs.task}",
        title=f"Which methods differ in {runs.task}",
        caption=[
            f"{differing} of {len(pairs)} pairs of methods differ significantly in {runs.label(GOLD)} of "
            f"{'samples' if view.are_samples else 'greedy responses'}.",
            _against_sft(gains, names),
            "Below, row minus column on the same prompts and seeds; the CSV file has the intervals. "
            + samples_sentence(runs),
            INTERVALS.format(family="all pairs, and apart over the column of gains"),
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=[
            Block("", "method", names, list(COLUMNS), cells, COLUMNS),
            Block("Difference of every pair", "minus", names[:-1], names[1:], pairs),
        ],
    )


def is_significant(cell: Cell) -> bool:
    """Whether the cell's corrected p value is below 5 %."""
    return cell.estimate is not None and cell.estimate.p < LEVEL


def _gain_cells(view: TaskRuns, names: list[str]) -> Cells:
    found = {name: gain_over_sft(view, name, GOLD) for name in names}
    gains = {(name, "gain"): Cell(spread(gain[0]), gain[1], digits=3) for name, gain in found.items() if gain}
    return correct([gains], null=0.0)[0]


def _pair_cells(view: TaskRuns, names: list[str]) -> Cells:
    """(a, b) to a minus b, where a has the higher mean; pairs without a common seed are named."""
    cells: Cells = {}
    for a, b in combinations(names, 2):
        found = difference(view, a, b, GOLD)
        seeds = len(set(view.finished[a]) & set(view.finished[b]))
        cells[a, b] = (
            Cell(missing="a common seed")
            if found is None
            else Cell(Spread(found.value, None, seeds), found, digits=3, show_count=False, show_interval=False)
        )
    return correct([cells], null=0.0)[0]


def _against_sft(gains: Cells, names: list[str]) -> str:
    """Which methods are significantly above and below the SFT policy, in a sentence."""
    if not gains:
        return "No responses of the SFT policy are on record to compare with."
    clear = [(name, gains[name, "gain"]) for name in names if is_significant(gains.get((name, "gain"), Cell()))]
    above = [name for name, cell in clear if cell.estimate.value > 0]
    below = [name for name, cell in clear if cell.estimate.value < 0]
    return (
        f"Significantly above the SFT policy: {', '.join(above) or 'none'}. "
        f"Significantly below it: {', '.join(below) or 'none'}."
    )


def _count(names: list[str]) -> Cell:
    return Cell(Spread(len(names), None, 1), digits=0, show_count=False)
