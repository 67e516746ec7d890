"""Two runs' scores of the same prompts with the same seeds, whichever record holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.seeds import SeedSpread, seed_spread
from alarm.evaluation.win_rates import outcomes
from alarm.records import MetricRecord
from alarm.registry import UnknownNameError, unknown_name
from alarm.report.runs import LENGTH, TaskRuns
from alarm.report.verdicts import SFT, scores_of
from alarm.report.win_tables import GOLD

SAME_AS_ANOTHER = ("holistic_raw",)
"""Scores that only rescale another, left out unless asked for."""


@dataclass(frozen=True)
class Paired:
    """One score of two runs."""

    score: str
    label: str
    higher_is_better: bool | None
    """None where neither is, as for the length."""
    method: NDArray
    """[S, P]."""
    baseline: NDArray
    """[S, P]; the SFT policy's are the same in every row."""
    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    spread: SeedSpread | None
    """Of the score between the seeds of the task's runs."""

    @property
    def differences(self) -> NDArray:
        """[S, P], method minus baseline."""
        return self.method - self.baseline

    @property
    def outcomes(self) -> NDArray:
        """[S, P]: 1 where the method wins, -1 where it loses, 0 for equal scores."""
        return outcomes(self.method, self.baseline, higher_is_better=self.higher_is_better is not False)


def runs_on_record(runs: TaskRuns) -> list[str]:
    """Names that can be compared: every run that finished, and the SFT policy where its responses are there."""
    return [*runs.finished, *([SFT] if runs.sft else [])]


def common_seeds(runs: TaskRuns, names: Sequence[str]) -> list[int]:
    """Seeds that all of these runs have; the SFT policy has any."""
    return sorted(set.intersection(*(set(runs.finished[name]) for name in names if name != SFT)))


def score_names(runs: TaskRuns) -> list[str]:
    """Every score on record, gold first, the length last; metrics computed after the runs among them."""
    named = dict.fromkeys(name for record in runs.records for name in record.directions)
    first = [name for name in (GOLD, "holistic") if name in named]
    others = [name for name in named if name not in (*first, *SAME_AS_ANOTHER)]
    return [*first, *others, *(metric.name for metric in runs.metrics), LENGTH]


def paired(runs: TaskRuns, method: str, baseline: str, score: str) -> Paired | None:
    """The score of both runs on their common seeds and prompts; None where they share none with that score.

    Raises:
        UnknownNameError: no record of the task has the score.
    """
    metric = next((metric for metric in runs.metrics if metric.name == score), None)
    if metric is None and score not in known_scores(runs):
        raise UnknownNameError(unknown_name(f"score of {runs.task}", score, known_scores(runs)))
    seeds = common_seeds(runs, (method, baseline))
    tables = [_values(runs, metric, name, seed, score) for name in (method, baseline) for seed in seeds]
    ids = [i for i in sorted(set.intersection(*map(set, tables))) if all(np.isfinite(table[i]) for table in tables)]
    if not ids:
        return None
    values = np.array([[table[i] for i in ids] for table in tables]).reshape(2, len(seeds), len(ids))
    better = metric.higher_is_better if metric else None if score == LENGTH else runs.higher_is_better(score)
    label = metric.label if metric else "length in tokens" if score == LENGTH else runs.label(score)
    spread = _metric_spread(metric) if metric else runs.seed_spread(score)
    return Paired(score, label, better, *values, tuple(seeds), tuple(ids), spread)


def known_scores(runs: TaskRuns) -> list[str]:
    """Every name that `paired` takes."""
    return [*score_names(runs), *(name for name in SAME_AS_ANOTHER if _has(runs, name))]


def _values(runs: TaskRuns, metric: MetricRecord | None, name: str, seed: int, score: str) -> dict[str, float]:
    if metric is None:
        return scores_of(runs, name, seed, score)
    return dict(metric.scores.get(name, {}).get(str(0 if name == SFT else seed), {}))


def _metric_spread(metric: MetricRecord) -> SeedSpread | None:
    tables = []
    for name, seeds in metric.scores.items():
        if name != SFT and seeds:
            shared = sorted(set.intersection(*map(set, seeds.values())))
            tables.append(np.array([[scores[i] for i in shared] for scores in seeds.values()], dtype=np.float64))
    return seed_spread([table for table in tables if np.isfinite(table).all()])


def _has(runs: TaskRuns, score: str) -> bool:
    return any(score in record.directions for record in runs.records)
