"""MetaRM's rounds (arXiv:2401.06080) as records state them: an adapting reward model beside the frozen one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.win_rates import win_rate
from alarm.report.runs import TaskRuns

ADAPTED, FROZEN = "meta_rm", "holistic_only"
METHODS = (ADAPTED, FROZEN)


@dataclass(frozen=True)
class Round:
    """The end of one round of one method, over the S seeds that have it; the rest may be absent in some seeds."""

    golds: NDArray
    """[S, P], of greedy responses to the P dev prompts; [0, 0] where none is on record."""
    seeds: tuple[int, ...]
    """Of `golds`."""
    accuracy: dict[int, float]
    """Seed to the share of gold-decided pairs of the current policy's samples that the reward model orders as gold."""
    pairs: int
    """How many pairs those were, over all seeds."""
    spread: dict[int, float]
    """Seed to the mean over prompts of the standard deviation of the samples' scores, raw reward."""


def has_rounds(runs: TaskRuns) -> bool:
    """Whether any run was made of rounds with diagnostics of its reward model."""
    return any(row.get("round") for record in runs.records for row in record.history)


def rounds_of(runs: TaskRuns, method: str) -> dict[int, Round]:
    """Round number to what the method's finished runs say at its end."""
    rows: dict[int, dict[int, dict]] = {}
    for seed, record in sorted(runs.finished.get(method, {}).items()):
        for row in record.history:
            if row.get("round"):
                rows.setdefault(int(row["round"]), {})[seed] = row
    return {number: _round(rows[number]) for number in sorted(rows)}


def sft_golds(runs: TaskRuns) -> NDArray | None:
    """[P], of the SFT policy's greedy responses to the dev prompts."""
    stated = (record.metrics.get("dev", {}).get("sft_golds") for record in runs.records)
    return next((np.array(golds, dtype=np.float64) for golds in stated if golds), None)


def sft_rates(end: Round, before: NDArray | None) -> list[float]:
    """Win rate by gold over the SFT policy's greedy responses per seed, in percent; none where either is absent."""
    if before is None or end.golds.shape[1] != len(before):
        return []
    return [win_rate(golds, before).rate for golds in end.golds]


def common_golds(rounds: dict[str, dict[int, Round]], number: int) -> tuple[NDArray, NDArray] | None:
    """Golds [S, P] of the adapted and of the frozen runs on their common seeds; None without any."""
    ends = [rounds[method].get(number) for method in METHODS]
    if not all(end is not None and end.golds.size for end in ends):
        return None
    seeds = [seed for seed in ends[0].seeds if seed in ends[1].seeds]
    if not seeds or ends[0].golds.shape[1] != ends[1].golds.shape[1]:
        return None
    adapted, frozen = (end.golds[[end.seeds.index(seed) for seed in seeds]] for end in ends)
    return adapted, frozen


def _round(rows: dict[int, dict]) -> Round:
    golds = {seed: row["dev_golds"] for seed, row in rows.items() if row.get("dev_golds")}
    # Prompts have no names here, so seeds with another number of them cannot be aligned.
    size = max((len(values) for values in golds.values()), default=0)
    golds = {seed: values for seed, values in golds.items() if len(values) == size}
    return Round(
        np.array(list(golds.values()), dtype=np.float64).reshape(len(golds), size),
        tuple(golds),
        _known(rows, "current_accuracy"),
        int(sum(_known(rows, "current_pairs").values())),
        _known(rows, "current_spread"),
    )


def _known(rows: dict[int, dict], key: str) -> dict[int, float]:
    return {seed: row[key] for seed, row in rows.items() if row.get(key) is not None}
