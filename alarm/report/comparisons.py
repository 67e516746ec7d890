"""Measured comparisons of a table: win rates over aligned runs with intervals, Holm's correction and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.effects import minimum_detectable_difference, sign_test
from alarm.evaluation.statistics import Estimate, bootstrap_mean, bootstrap_win_rate, holm, verdict
from alarm.evaluation.win_rates import outcomes, spread, win_rate
from alarm.report.published import Number
from alarm.report.runs import TaskRuns
from alarm.report.tables import Cell

BOOTSTRAP_SEED = 0


def win_cell(runs: TaskRuns, row: str, opponents: Sequence[str], score: str, published: Number | None) -> Cell:
    """Win rate of one run over one or several others, averaged per seed; its p value is not yet corrected.

    Opponents without any finished run are left out, and named in the cell.
    """
    present = [name for name in opponents if runs.finished.get(name)]
    absent = [name for name in opponents if name not in present]
    if not runs.finished.get(row) or not present:
        return Cell(published=published, missing=no_responses(runs, [row, *opponents]))
    aligned = runs.aligned([row, *present], score)
    if not aligned.seeds or not aligned.ids:
        what = "a common seed" if not aligned.seeds else f"a common prompt with {runs.label(score)}"
        return Cell(published=published, missing=what)
    better = runs.higher_is_better(score)
    rates = [
        np.mean([win_rate(aligned.scores[row][s], aligned.scores[o][s], higher_is_better=better).rate for o in present])
        for s in range(len(aligned.seeds))
    ]
    tables = [outcomes(aligned.scores[row], aligned.scores[o], higher_is_better=better) for o in present]
    gaps = [no_responses(runs, [name]) for name in absent]
    gaps += [f"seed {s}" for s in runs.seeds if s not in aligned.seeds]
    if aligned.undefined:
        gaps.append(f"{aligned.undefined} prompts with a NaN score")
    return Cell(
        measured=spread(rates),
        estimate=bootstrap_win_rate(tables, seed=BOOTSTRAP_SEED, spread=runs.seed_spread(score)),
        published=published,
        note=tie_share(tables),
        sign_p=sign_test(tables[0]).p if len(tables) == 1 else None,
        missing=", ".join(gaps) or None,
    )


def detectable(groups: Sequence[dict[tuple[str, str], Cell]]) -> list[str]:
    """How small a difference these cells could show, in a sentence; none where nothing was compared."""
    found = [c.estimate for cells in groups for c in cells.values() if c.estimate and c.estimate.errors]
    if not found:
        return []
    median = float(np.median([minimum_detectable_difference(estimate) for estimate in found]))
    return [
        f"A sample like this one finds a true difference of {median:.0f} points in half of these pairs with a power of "
        "80 %, before correction; the CSV file has it for each pair (`detectable`), with Cohen's h (`effect_size`) and "
        "an exact sign test (`sign_p`, for these trained policies only)."
    ]


def tie_share(outcomes: Sequence[NDArray]) -> str:
    """How many of all outcomes (0 for a tie) decide nothing, in words."""
    return f"{100 * float(np.mean(np.stack(outcomes) == 0)):.1f} % ties"


def difference(runs: TaskRuns, row: str, baseline: str, score: str) -> Estimate | None:
    """Mean paired difference of two runs' scores; None where they share no seed or prompt."""
    if row == baseline or not (runs.finished.get(row) and runs.finished.get(baseline)):
        return None
    aligned = runs.aligned([row, baseline], score)
    if not aligned.seeds or not aligned.ids:
        return None
    differences = aligned.scores[row] - aligned.scores[baseline]
    return bootstrap_mean(differences, seed=BOOTSTRAP_SEED, spread=runs.seed_spread(score))


@dataclass(frozen=True)
class PairedGains:
    """What a run changed from the SFT policy's greedy responses to the same prompts, in one score."""

    gains: NDArray
    """[S, P], after minus before."""
    before: NDArray
    """[P]."""
    seeds: tuple[int, ...]
    ids: tuple[str, ...]


def paired_gains(runs: TaskRuns, row: str, score: str) -> PairedGains | None:
    """None without finished runs, or without responses of the SFT policy to the same prompts."""
    known = runs.sft_scores(score)
    if not known or not runs.finished.get(row):
        return None
    aligned = runs.aligned([row], score)
    shared = [i for i, name in enumerate(aligned.ids) if np.isfinite(known.get(name, np.nan))]
    if not shared or not aligned.seeds:
        return None
    ids = tuple(aligned.ids[i] for i in shared)
    before = np.array([known[name] for name in ids])
    return PairedGains(aligned.scores[row][:, shared] - before, before, aligned.seeds, ids)


def gain_over_sft(runs: TaskRuns, row: str, score: str) -> tuple[list[float], Estimate] | None:
    """Per seed, the mean paired gain of a run over the SFT policy, and its interval; None without SFT responses."""
    paired = paired_gains(runs, row, score)
    if paired is None:
        return None
    estimate = bootstrap_mean(paired.gains, seed=BOOTSTRAP_SEED, spread=runs.seed_spread(score))
    return paired.gains.mean(axis=1).tolist(), estimate


def correct(
    groups: Sequence[dict[tuple[str, str], Cell]], *, null: float = 50.0, mirrored: bool = False
) -> list[dict[tuple[str, str], Cell]]:
    """The same cells with p values corrected over all groups together (Holm), and verdicts given.

    Args:
        groups: (row, column) to cell with an uncorrected p value, one group per block of a table.
        null: value of a comparison without effect.
        mirrored: (a, b) and (b, a) are one comparison, counted once.
    """

    def identity(group: int, key: tuple[str, str]) -> tuple:
        return (group, *(sorted(key) if mirrored else key))

    raw = {
        identity(number, key): cell.estimate.p
        for number, cells in enumerate(groups)
        for key, cell in cells.items()
        if cell.estimate is not None
    }
    corrected = dict(zip(raw, holm(list(raw.values())), strict=True))
    return [
        {key: _judged(cell, corrected.get(identity(number, key)), null) for key, cell in cells.items()}
        for number, cells in enumerate(groups)
    ]


def _judged(cell: Cell, p: float | None, null: float) -> Cell:
    if cell.estimate is None or p is None:
        return cell
    effect = cell.published_effect or cell.published
    words = None
    if effect is not None:
        words = verdict(cell.estimate.value, p, effect.mean, published_sd=effect.sd or 0.0, null=null)
    return replace(cell, estimate=replace(cell.estimate, p=p), verdict=words)


def no_responses(runs: TaskRuns, names: Sequence[str]) -> str:
    """Which of these runs are not on record, or in the case of samples have none."""
    absent = [name for name in names if not runs.finished.get(name)]
    what = "samples" if runs.are_samples else "run"
    return f"no {what} of {', '.join(absent)}" if absent else "nothing to compare with"
