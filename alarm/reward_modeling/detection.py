"""What preference strength says about labels: as a detector of wrong ones, and along its percentiles.

All from the lists that a `RewardModelRecord` holds: `strength` (in sample or cross-fitted) and `wrong`.

Source: arXiv:2401.06080, figures 2 and 3, with the gold label in the place of GPT-4's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from alarm.reward_modeling.strength import strength_groups

PERCENTILES = (5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 95, 100)
"""Those of the paper's figure 2."""


class Detector(TypedDict):
    """Strength below 0 as a detector of wrong labels, over the D pairs whose truth is decided."""

    pairs: int
    """D."""
    wrong_share: float
    """Share of wrong labels: the precision of flagging at random."""
    flagged_share: float
    """Share of pairs of negative strength."""
    precision: float
    """Share of flagged pairs whose label is wrong; NaN where none is flagged."""
    recall: float
    """Share of wrong labels that are flagged; NaN where none is wrong."""
    auc: float
    """Probability that a wrong label has less strength than a right one, a tie counting half; NaN without both."""
    fpr: list[float]
    """ROC curve: share of right labels below each threshold of strength, rising from 0 to 1; empty without both."""
    tpr: list[float]
    """The same share of wrong labels."""


class Percentile(TypedDict):
    """Pairs between the percentile before and this one, by strength."""

    percentile: float
    strength: float
    """At the percentile, interpolated linearly."""
    mean: float
    """Over the pairs in between; NaN where there are none."""
    sd: float
    """Mean over them of the standard deviation between models; NaN where it is unknown."""


def detector(mean: Sequence[float], wrong: Sequence[bool | None]) -> Detector:
    """How well low strength finds wrong labels; precision and recall at 0, ROC curve over all thresholds.

    Args:
        mean: [P] strengths.
        wrong: [P], whether the label is wrong; None where truth is undecided, which leaves the pair out.
    Raises:
        ValueError: lists of different lengths, or strengths that are not finite.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    strengths, labels = _decided(mean, wrong)
    flagged = strengths < 0
    both = labels.any() and not labels.all()
    fpr, tpr, _ = roc_curve(labels, -strengths) if both else ([], [], [])
    return Detector(
        pairs=len(labels),
        wrong_share=_mean(labels),
        flagged_share=_mean(flagged),
        precision=_mean(labels[flagged]),
        recall=_mean(flagged[labels]),
        auc=float(roc_auc_score(labels, -strengths)) if both else math.nan,
        fpr=[float(value) for value in fpr],
        tpr=[float(value) for value in tpr],
    )


def percentiles(
    mean: Sequence[float], sd: Sequence[float | None], points: Sequence[float] = PERCENTILES
) -> list[Percentile]:
    """Strength by percentile (figure 2): at each, and the average of the pairs since the one before.

    Args:
        mean: [P] strengths.
        sd: [P] standard deviations between models; None or NaN where a single model scored the pair.
        points: rising percentiles in (0, 100].
    Raises:
        ValueError: no pairs, lists of different lengths, strengths that are not finite, or points out of order.
    """
    strengths = _finite(mean)
    spread = np.array([math.nan if value is None else value for value in sd], dtype=np.float64)
    if len(strengths) == 0 or strengths.shape != spread.shape:
        raise ValueError(f"percentiles need one mean and one sd per pair, got {len(strengths)} and {len(spread)}")
    if list(points) != sorted(set(points)) or not all(0 < point <= 100 for point in points):
        raise ValueError(f"percentiles must rise within (0, 100], got {list(points)}")
    order = np.argsort(strengths, kind="stable")
    ends = [round(point / 100 * len(order)) for point in points]
    return [
        Percentile(
            percentile=point,
            strength=float(np.percentile(strengths, point)),
            mean=_mean(strengths[order[start:end]]),
            sd=_mean(spread[order[start:end]]),
        )
        for point, start, end in zip(points, [0, *ends], ends, strict=False)
    ]


def agreement_by_decile(mean: Sequence[float], wrong: Sequence[bool | None], groups: int = 10) -> list[float]:
    """Share of labels that gold agrees with, per group of equal size by rising strength (figure 3).

    Groups are of all pairs; pairs whose truth is undecided count in no share, and a group of such pairs alone is NaN.

    Raises:
        ValueError: lists of different lengths, strengths that are not finite, or fewer pairs than groups.
    """
    strengths, _ = _finite(mean), _decided(mean, wrong)
    labels = list(wrong)
    return [
        _mean(np.array([not labels[i] for i in group if labels[i] is not None]))
        for group in strength_groups(strengths, groups)
    ]


def _decided(mean: Sequence[float], wrong: Sequence[bool | None]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Strengths and labels of the pairs whose truth is decided."""
    strengths = _finite(mean)
    if len(strengths) != len(wrong):
        raise ValueError(f"{len(strengths)} strengths for {len(wrong)} labels; pass one of each per pair")
    known = np.array([label is not None for label in wrong], dtype=np.bool_)
    return strengths[known], np.array([label for label in wrong if label is not None], dtype=np.bool_)


def _finite(mean: Sequence[float]) -> NDArray[np.float64]:
    strengths = np.array(mean, dtype=np.float64)  # None becomes NaN
    if not np.isfinite(strengths).all():
        raise ValueError("strengths must be finite; score every pair with the ensemble")
    return strengths


def _mean(values: NDArray) -> float:
    return float(values.mean()) if len(values) else math.nan
