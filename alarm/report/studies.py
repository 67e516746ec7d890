"""Studies of reward-model recipes as the report reads them: which there are, and the accuracies they hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alarm.evaluation.statistics import Estimate
from alarm.records import RewardModelRecord, read_reward_models, records_folder
from alarm.report.captions import origin_of

PLAIN = "plain"
WAYS = {"in_sample": "in sample (as the paper)", "cross_fitted": "cross-fitted"}
"""How strength is measured, to how tables print it."""
Variant = tuple[str, str | None]
"""A recipe, and the target of its contrastive term or None."""


def read_studies(results: Path, scale: str) -> list[RewardModelRecord]:
    """Every source's study at a scale, in the order of their names.

    Raises:
        RecordError: one of them cannot be read.
    """
    return [read_reward_models(path) for path in sorted(records_folder(results, scale).glob("*/reward_models.json"))]


def study_origin(record: RewardModelRecord) -> list[str]:
    """Where the numbers of a study come from, for captions."""
    return origin_of(record.scale, [record.environment], record.finished[:10])


def variants(record: RewardModelRecord) -> list[Variant]:
    """Recipes with their targets in the order of the record."""
    return list(dict.fromkeys((row["recipe"], row.get("target")) for row in record.curves))


def variant_name(variant: Variant) -> str:
    """`simcse (pair)`, or the recipe alone."""
    recipe, target = variant
    return f"{recipe} ({target})" if target else recipe


def final_accuracies(record: RewardModelRecord, variant: Variant, validation_set: str) -> dict[int, float]:
    """Seed to accuracy in percent at the end of training; empty where the set is not on record."""
    return {
        row["seed"]: 100 * row["accuracy"][validation_set][-1]
        for row in record.curves
        if (row["recipe"], row.get("target")) == variant and _known(row["accuracy"].get(validation_set))
    }


def wrong_label_share(record: RewardModelRecord) -> float | None:
    """Percent of training labels that gold contradicts, of those it decides."""
    decided = [wrong for wrong in record.wrong or () if wrong is not None]
    return 100 * float(np.mean(decided)) if decided else None


def paired_by_seed(values: Mapping[int, float], baseline: Mapping[int, float]) -> tuple[float, Estimate | None] | None:
    """Mean difference over common seeds, with Student's t interval; no interval with one seed or equal differences.

    None without a common seed.
    """
    differences = np.array([value - baseline[seed] for seed, value in sorted(values.items()) if seed in baseline])
    if not len(differences):
        return None
    if len(differences) < 2 or np.ptp(differences) == 0:
        return float(differences.mean()), None
    from scipy.stats import ttest_1samp

    test = ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(0.95)
    return float(differences.mean()), Estimate(float(differences.mean()), float(low), float(high), float(test.pvalue))


def strengths(record: RewardModelRecord, way: str) -> Mapping[str, Any] | None:
    """`mean`, `sd` and `models` of one way of measuring strength; None where it is absent or not all finite."""
    found = record.strength.get(way)
    return found if found and found["mean"] and all(map(_finite, found["mean"])) else None


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _known(values: Sequence[float | None] | None) -> bool:
    return bool(values) and _finite(values[-1])
