"""ALaRM's premise on samples of the SFT policy: how often the holistic reward orders a pair as gold does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.statistics import Estimate, draws, estimate_of
from alarm.records import PoolRecord
from alarm.report.comparisons import BOOTSTRAP_SEED

DECILES = 10
STRATA = 5
"""Of the difference in gold, so that halves are compared where gold differs alike."""


@dataclass(frozen=True)
class GoldPairs:
    """N pairs of samples of one prompt whose gold quality differs."""

    prompt: NDArray
    """[N], place of the prompt."""
    prompts: int
    decile: NDArray
    """[N], 0 to 9, by the pair's mean gold; tenths of equal size."""
    stratum: NDArray
    """[N], 0 to `STRATA` - 1, by the size of the difference in gold."""
    agrees: NDArray
    """[N], 1 where the holistic reward prefers the same response as gold, a half where it ties, else 0."""


def gold_pairs(pool: PoolRecord) -> GoldPairs | None:
    """All pairs within a prompt that gold decides; None where gold is unknown or decides fewer than ten."""
    if "gold" not in pool.scores or "holistic" not in pool.scores:
        return None
    gold, holistic = (np.array(pool.scores[name], dtype=np.float64) for name in ("gold", "holistic"))
    first, second = np.triu_indices(gold.shape[1], k=1)
    difference, reward = gold[:, first] - gold[:, second], holistic[:, first] - holistic[:, second]
    decided = np.isfinite(reward) & (np.abs(difference) > 1e-9)
    if decided.sum() < DECILES:
        return None
    level = ((gold[:, first] + gold[:, second]) / 2)[decided]
    agrees = (1 + np.sign(difference[decided]) * np.sign(reward[decided])) / 2
    prompt = np.nonzero(decided)[0]
    return GoldPairs(prompt, len(gold), _groups(level, DECILES), _groups(np.abs(difference[decided]), STRATA), agrees)


def lower_minus_upper(pairs: GoldPairs) -> Estimate:
    """Agreement in the lower half by gold minus agreement in the upper half, percentage points."""
    return _difference(pairs, np.zeros_like(pairs.stratum), 1)


def lower_minus_upper_matched(pairs: GoldPairs) -> Estimate:
    """The same among pairs whose gold differs alike: the Mantel-Haenszel mean over strata of the difference."""
    return _difference(pairs, pairs.stratum, STRATA)


def agreement_by_decile(pairs: GoldPairs) -> list[Estimate]:
    """Agreement in percent per decile of the pair's mean gold; the null hypothesis is 50."""
    found = []
    for decile in range(DECILES):
        inside = pairs.decile == decile
        count, agreed = (_per_prompt(pairs, inside, weight) for weight in (np.ones_like(pairs.agrees), pairs.agrees))

        def share(drawn: NDArray, count: NDArray = count, agreed: NDArray = agreed) -> NDArray:
            return 100 * (drawn @ agreed) / np.maximum(drawn @ count, 1)

        found.append(_bootstrap(share, pairs, null=50.0))
    return found


def _difference(pairs: GoldPairs, stratum: NDArray, strata: int) -> Estimate:
    """Mantel-Haenszel difference between the halves; with one stratum, the plain one."""
    upper = pairs.decile >= DECILES // 2
    ones = np.ones_like(pairs.agrees)
    counts, agreed = (
        [[_per_prompt(pairs, (stratum == s) & half, weight) for s in range(strata)] for half in (~upper, upper)]
        for weight in (ones, pairs.agrees)
    )

    def statistic(drawn: NDArray) -> NDArray:
        (low, high), (low_agreed, high_agreed) = (
            [np.stack([drawn @ column for column in half], axis=1) for half in halves] for halves in (counts, agreed)
        )
        total = np.maximum(low + high, 1)
        weight = np.maximum((low * high / total).sum(axis=1), 1e-9)
        return 100 * ((low_agreed * high - high_agreed * low) / total).sum(axis=1) / weight

    return _bootstrap(statistic, pairs)


def _bootstrap(statistic, pairs: GoldPairs, null: float = 0.0) -> Estimate:
    """Over prompts; `statistic` goes from how often each was drawn [R, P] to [R]."""
    value = statistic(np.ones((1, pairs.prompts)))
    drawn = statistic(draws(pairs.prompts, BOOTSTRAP_SEED))
    return estimate_of(value, drawn[:, None], null=null, prompts=pairs.prompts)


def _per_prompt(pairs: GoldPairs, chosen: NDArray, weight: NDArray) -> NDArray:
    """[P], the sum of the chosen pairs' weights."""
    return np.bincount(pairs.prompt[chosen], weight[chosen], minlength=pairs.prompts)


def _groups(values: NDArray, count: int) -> NDArray:
    """Groups of equal size by rising value; where values tie, pairs go by their order, which says nothing of them."""
    ranks = np.empty(len(values), dtype=int)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks * count // len(values)
