"""Proxy and gold as a function of KL (arXiv:2210.10760): where gold peaks and how far the proxy goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.best_of_k import best_of_k_kl, best_of_k_weights
from alarm.report.best_of_k_blocks import values_at
from alarm.report.gold_over_kl import POINTS, of_one_length, pooled
from alarm.report.gold_table import start_of_training
from alarm.report.meta_rounds import sft_golds
from alarm.report.runs import TaskRuns
from alarm.report.win_tables import GOLD

PROXY = "holistic"
METHODS = ("holistic_low_kl", "holistic_only")
"""PPO on the learned reward alone: with so low a KL coefficient that it is over-optimised, and with the default one."""


@dataclass(frozen=True)
class PPOCurve:
    """Gains of one method over the SFT policy, in its standard deviations; the first point is the SFT policy itself."""

    kl: NDArray
    """[S, points], nats per response."""
    proxy: NDArray
    """[S, points]"""
    gold: NDArray
    """[S, points]"""
    seeds: tuple[int, ...]

    @property
    def peak(self) -> int:
        """The point with the highest gold on average over seeds; 0 where it never rises."""
        return int(np.argmax(self.gold.mean(axis=0)))


@dataclass(frozen=True)
class GreedyCurve:
    """Gold of greedy dev responses at a method's evaluations, gained over the SFT policy's, in sd of its samples."""

    kl: NDArray
    """[S, E], nats per response, of the iteration before the evaluation."""
    gold: NDArray
    """[S, E]"""


@dataclass(frozen=True)
class BestOfKCurve:
    """Gains of best-of-k by the learned reward, from k = 1 on, in standard deviations of the SFT policy."""

    kl: NDArray
    """[K], nats."""
    gold: NDArray
    """[K]"""
    proxy_kl: NDArray
    """[J], as far as the pool of dev samples reaches; empty without one."""
    proxy: NDArray
    """[J]"""

    @property
    def peak(self) -> int:
        return int(np.argmax(self.gold))


def ppo_curve(runs: TaskRuns, method: str) -> PPOCurve | None:
    """The curve of a method, each run's iterations cut into `POINTS` consecutive groups.

    None where no run recorded KL, proxy and gold, or the SFT policy's spread is unknown.
    """
    starts = [start_of_training(runs, key) for key in (PROXY, GOLD)]
    sds = [sft_sd(runs, key) for key in (PROXY, GOLD)]
    seeds = {s: pooled(r, ("kl", PROXY, GOLD), POINTS) for s, r in sorted(runs.finished.get(method, {}).items())}
    kept = of_one_length(list(seeds.values()))
    if not kept or None in starts or not all(sds):
        return None
    kl, proxy, gold = np.stack(kept, axis=1)
    gains = [(values - start) / sd for values, start, sd in zip((proxy, gold), starts, sds, strict=True)]
    origin = np.zeros((len(kl), 1))
    used = tuple(seed for seed, curve in seeds.items() if any(curve is other for other in kept))
    return PPOCurve(*(np.hstack([origin, values]) for values in (kl, *gains)), used)


def greedy_curve(runs: TaskRuns, method: str) -> GreedyCurve | None:
    """Greedy dev gold during training: a policy that only becomes surer gains in sampled gold, and not in this.

    None where no run recorded it, or that of the SFT policy is unknown.
    """
    start, sd = sft_golds(runs), sft_sd(runs, GOLD)
    rows = [
        [(row["kl"], row["dev_gold"]) for row in record.history if row.get("dev_gold") is not None]
        for _, record in sorted(runs.finished.get(method, {}).items())
    ]
    kept = of_one_length([np.array(points, dtype=np.float64).T for points in rows if points])
    if not kept or start is None or not sd:
        return None
    kl, gold = np.stack(kept, axis=1)
    return GreedyCurve(kl, (gold - start.mean()) / sd)


def best_of_k_curve(runs: TaskRuns) -> BestOfKCurve | None:
    """Gold of the samples that the learned reward chooses; None where that is not on record."""
    record, sd = runs.best_of_k, sft_sd(runs, GOLD)
    if record is None or not sd:
        return None
    found = {k: values_at(record, PROXY, "gold", k) for k in record.ks}
    known = [(kl, float(found[k].mean())) for k, kl in zip(record.ks, record.kl, strict=True) if found[k] is not None]
    if not known:
        return None
    kl, gold = np.array(known).T
    return BestOfKCurve(kl, (gold - gold[0]) / sd, *_pool_proxy(runs, list(record.ks)))


def sft_sd(runs: TaskRuns, score: str) -> float | None:
    """Standard deviation of a score over the SFT policy's responses: the pool, else test samples, else greedy ones."""
    if runs.pool is not None and score in runs.pool.scores:
        values = np.array(runs.pool.scores[score], dtype=np.float64).ravel()
    else:
        values = np.array(list((runs.sampled or runs).sft_scores(score).values()))
    values = values[np.isfinite(values)]
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _pool_proxy(runs: TaskRuns, ks: list[int]) -> tuple[NDArray, NDArray]:
    """KL and gain in the proxy of best-of-k by the proxy, over the samples of dev prompts."""
    sd = sft_sd(runs, PROXY)
    if runs.pool is None or PROXY not in runs.pool.scores or not sd:
        return np.empty(0), np.empty(0)
    scores = np.array(runs.pool.scores[PROXY], dtype=np.float64)
    scores = scores[np.isfinite(scores).all(axis=1)]
    ks = [k for k in ks if k <= runs.pool.samples]
    means = np.array([np.mean([row @ best_of_k_weights(row, k) for row in scores]) for k in ks])
    return np.array([best_of_k_kl(k) for k in ks]), (means - scores.mean()) / sd
