"""How each prompt's response changed from the SFT policy's, property by property (arXiv:2402.00742)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.statistics import bootstrap_mean
from alarm.evaluation.win_rates import spread
from alarm.report.captions import origin
from alarm.report.comparisons import BOOTSTRAP_SEED, correct, paired_gains
from alarm.report.gold_over_kl import PAIRS
from alarm.report.published import PAPER_METHODS
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import GOLD, INTERVALS, missing_runs

METHODS = tuple(method for pair in PAIRS for method in pair)
RAW_OF = {transformed: raw for raw, transformed in PAIRS}
LOWER, UPPER = "lower", "upper"


@dataclass(frozen=True)
class Improvements:
    """A method's gains over the SFT policy's greedy responses in one score, positive where better."""

    gains: NDArray
    """[S, P]."""
    below: NDArray
    """[P], whether the SFT policy's response is worse than its median response."""
    seeds: tuple[int, ...]
    ids: tuple[str, ...]


def properties(runs: TaskRuns) -> list[str]:
    """What the sums run over, then gold quality and its parts, as far as the records tell."""
    if runs.best_of_k:
        summed = list(runs.best_of_k.properties)
    else:
        named = dict.fromkeys(name for record in runs.records for name in record.directions)
        summed = [name for name in named if not name.startswith(GOLD) and name != "holistic_raw"]
    return [*summed, GOLD, *runs.gold_parts]


def shown_scores(runs: TaskRuns) -> list[str]:
    """The properties for which any method but the papers' common baseline is on record with the SFT policy."""
    compared = [method for method in METHODS if method not in PAPER_METHODS]
    return [score for score in properties(runs) if any(improvements(runs, method, score) for method in compared)]


def improvements(runs: TaskRuns, method: str, score: str) -> Improvements | None:
    """None without finished runs, or without responses of the SFT policy to the same prompts."""
    paired = paired_gains(runs, method, score)
    if paired is None:
        return None
    sign = 1.0 if runs.higher_is_better(score) else -1.0
    start = sign * paired.before
    return Improvements(sign * paired.gains, start < np.median(start), paired.seeds, paired.ids)


def improvements_table(runs: TaskRuns) -> Table | None:
    """Per property: shares of prompts that gained and lost, and gains by how good the SFT response was."""
    scores = shown_scores(runs)
    if not scores:
        return None
    blocks = [_block(runs, score) for score in scores]
    for block, cells in zip(blocks, correct([block.cells for block in blocks], null=0.0), strict=True):
        block.cells = cells
    return Table(
        name=f"improvements_{runs.task}",
        title=f"Who is left behind, who is pushed needlessly, in {runs.task}",
        caption=[
            "Change of the greedy test response from the SFT policy's to the same prompt, in the score's own units, "
            "positive where better. Shares of prompts that gained and lost, the rest being unchanged; mean ± sd over "
            "n seeds (sample sd).",
            "Mean change apart for prompts whose SFT response scores below the SFT policy's median (left behind if "
            "they gain little) and at or above it (pushed needlessly if they gain much). Regression to the mean moves "
            "both for every method alike.",
            "Second line: difference of the transformed method from the raw one on the same prompts and seeds. "
            + INTERVALS.format(family="this table"),
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=blocks,
        missing=missing_runs(runs, METHODS),
    )


def _block(runs: TaskRuns, score: str) -> Block:
    found = {method: improvements(runs, method, score) for method in METHODS}
    cells: dict[tuple[str, str], Cell] = {}
    for method, change in found.items():
        if change is None:
            cells |= {(method, column): Cell(missing=f"no run of {method}") for column in ("gained", "lost")}
            continue
        cells[method, "gained"] = Cell(spread(100 * (change.gains > 0).mean(axis=1)), digits=1)
        cells[method, "lost"] = Cell(spread(100 * (change.gains < 0).mean(axis=1)), digits=1)
        for column in (LOWER, UPPER):
            cells[method, column] = _half(
                runs, score, column, change, RAW_OF.get(method), found.get(RAW_OF.get(method))
            )
    labels = {
        "gained": "gained, % of prompts",
        "lost": "lost, % of prompts",
        LOWER: "mean change, SFT below its median",
        UPPER: "mean change, SFT at or above it",
    }
    return Block(f"{runs.label(score)} (`{score}`)", "method", METHODS, list(labels), cells, labels)


def _half(
    runs: TaskRuns, score: str, column: str, change: Improvements, raw_name: str | None, raw: Improvements | None
) -> Cell:
    """Mean change over one half of the prompts, and how the raw method's differs on common seeds and prompts."""
    half = change.below if column == LOWER else ~change.below
    if not half.any():
        return Cell(missing="such prompts")
    cell = {"measured": spread(change.gains[:, half].mean(axis=1)), "note": f"{half.sum()} prompts", "digits": 3}
    if raw is None:
        return Cell(**cell)
    seeds = [seed for seed in change.seeds if seed in raw.seeds]
    ids = [i for i, name in enumerate(change.ids) if half[i] and name in raw.ids]
    if not seeds or not ids:
        return Cell(**cell, missing=f"a common seed with {raw_name}")
    ours = change.gains[np.ix_([change.seeds.index(s) for s in seeds], ids)]
    theirs = raw.gains[np.ix_([raw.seeds.index(s) for s in seeds], [raw.ids.index(change.ids[i]) for i in ids])]
    effect = bootstrap_mean(ours - theirs, seed=BOOTSTRAP_SEED, spread=runs.seed_spread(score))
    return Cell(**cell, estimate=effect, effect_name=f"against {raw_name}")
