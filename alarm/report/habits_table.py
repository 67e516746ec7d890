"""What became of the policy: which writers of a generated world its test responses look like, before and after PPO."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.win_rates import Spread, spread
from alarm.records import Generation
from alarm.report.captions import origin
from alarm.report.mean_tables import SFT_ROW
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.verdicts import SFT, responses
from alarm.report.win_tables import missing_runs

WAYS = {"greedy": "Greedy test responses", "sampled": "Sampled test responses"}
DEMONSTRATOR_COLUMNS = {"share": "share, %", "description": "how it responds"}


def habits_table(runs: TaskRuns) -> Table | None:
    """Share of each habit among test responses per method, and the demonstrators; None where no habit is on record."""
    habits = habits_on_record(runs)
    if not habits:
        return None
    rows = [SFT, *runs.methods]
    names = {row: SFT_ROW if row == SFT else row for row in rows}
    blocks = []
    for way, title in WAYS.items():
        view = view_of(runs, way)
        if view is not None:
            cells = {(names[row], habit): cell for row in rows for habit, cell in _row_cells(view, row, habits).items()}
            blocks.append(Block(title, "method", list(names.values()), habits, cells))
    missing = missing_runs(runs, runs.methods)
    missing += [] if runs.sampled else [f"{runs.task} sampled test responses"]
    demonstrators = _demonstrators_block(runs)
    blocks += [demonstrators] if demonstrators else []
    missing += [] if demonstrators else [f"{runs.task} demonstrators"]
    return Table(
        name=f"habits_{runs.task}",
        title=f"Habits of the policies in {runs.task}",
        caption=[
            "Which writer of the world a test response looks like, in percent of the responses; mean ± sd over n seeds "
            "(sample sd). The SFT policy is what every method starts from.",
            "Demonstrators: the writers whose responses the SFT policy learnt to imitate, with their share of the "
            "demonstrations.",
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=blocks,
        missing=missing,
    )


def view_of(runs: TaskRuns, way: str) -> TaskRuns | None:
    """The runs with `greedy` or `sampled` responses; None where there are none."""
    return runs if way == "greedy" else runs.sampled


def habits_on_record(runs: TaskRuns) -> list[str]:
    """Habits of test responses: the demonstrators' in their order, then others; empty if no response has one."""
    seen: set[str] = set()
    for view in filter(None, (runs, runs.sampled)):
        for name in (SFT, *view.methods):
            for seed in seeds_of(view, name):
                seen |= {g.habit for g in responses(view, name, seed).values()}
    seen.discard("")
    known = [str(writer["name"]) for writer in runs.pool.demonstrators] if runs.pool else []
    return [*(name for name in known if seen), *sorted(seen - set(known))]


def seeds_of(runs: TaskRuns, name: str) -> list[int]:
    """Finished seeds of a run; the SFT policy counts as one run with the seed 0."""
    return [0] if name == SFT else sorted(runs.finished.get(name, {}))


def habit_shares(runs: TaskRuns, name: str, habits: list[str]) -> NDArray:
    """[S, H], percent of the responses with each habit per finished seed; no rows without responses with habits."""
    found = [_shares(responses(runs, name, seed), habits) for seed in seeds_of(runs, name)]
    return np.array([shares for shares in found if shares is not None]).reshape(-1, len(habits))


def _shares(generations: Mapping[str, Generation], habits: list[str]) -> list[float] | None:
    known = [g.habit for g in generations.values() if g.habit]
    return [100 * known.count(habit) / len(known) for habit in habits] if known else None


def _row_cells(view: TaskRuns, row: str, habits: list[str]) -> dict[str, Cell]:
    shares = habit_shares(view, row, habits)
    if not len(shares):
        what = "habits" if row == SFT or view.finished.get(row) else f"no run of {row}"
        return {habits[0]: Cell(missing=what)}
    return {
        habit: Cell(spread(column), digits=1, show_count=row != SFT)
        for habit, column in zip(habits, shares.T, strict=True)
    }


def _demonstrators_block(runs: TaskRuns) -> Block | None:
    if runs.pool is None or not runs.pool.demonstrators:
        return None
    cells: dict[tuple[str, str], Cell] = {}
    for writer in runs.pool.demonstrators:
        cells[writer["name"], "share"] = Cell(Spread(100 * writer["share"], None, 1), digits=1, show_count=False)
        cells[writer["name"], "description"] = Cell(note=str(writer["description"]))
    names = [writer["name"] for writer in runs.pool.demonstrators]
    return Block("Demonstrators", "writer", names, list(DEMONSTRATOR_COLUMNS), cells, DEMONSTRATOR_COLUMNS)
