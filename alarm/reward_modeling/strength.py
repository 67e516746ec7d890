"""Preference strength: how far an ensemble of reward models puts the two responses of a comparison apart.

`in sample` every model scores the pairs it was trained on, as in the paper; `cross-fitted` a pair is scored only by
models that were trained without its prompt, so that none of them can have memorised its label.

Source: arXiv:2401.06080, on measuring the strength of preferences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Strength:
    """Preference strength of P comparisons, in units of the reward."""

    mean: NDArray[np.float64]
    """[P], mean over models of r(chosen) - r(rejected); below 0 the ensemble contradicts the label."""
    sd: NDArray[np.float64]
    """[P], their sample standard deviation; NaN where a single model scored the pair."""
    models: NDArray[np.int64]
    """[P], how many models scored the pair."""


def preference_strength(differences: ArrayLike, scored: ArrayLike) -> Strength:
    """Mean and sample standard deviation over models of the differences that count.

    `mean = sum_m d_m / K`, `sd^2 = sum_m (d_m - mean)^2 / (K - 1)`, over the K models that scored the pair

    Args:
        differences: [M, P], d_m = r_m(chosen) - r_m(rejected) of model m; read only where `scored`.
        scored: [M, P] bool, whether model m's score of the pair counts.
    Raises:
        ValueError: shapes that differ, a pair that no model scored, or a difference that counts and is not finite.
    Source: arXiv:2401.06080, on measuring the strength of preferences.
    """
    values, counts = np.asarray(differences, dtype=np.float64), np.asarray(scored, dtype=np.bool_)
    if values.ndim != 2 or values.shape != counts.shape:
        raise ValueError(f"differences and scored must be [M, P] alike, got {values.shape} and {counts.shape}")
    models = counts.sum(0)
    if (models == 0).any():
        raise ValueError(f"{int((models == 0).sum())} of {values.shape[1]} pairs are scored by no model")
    values = np.where(counts, values, 0.0)
    if not np.isfinite(values).all():
        raise ValueError("a reward model's scores are not finite; lower its learning rate")
    mean = values.sum(0) / models
    squares = np.where(counts, (values - mean) ** 2, 0.0).sum(0)
    sd = np.sqrt(np.divide(squares, models - 1, out=np.full_like(mean, np.nan), where=models > 1))
    return Strength(mean, sd, models)


def folds(prompts: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """A fold in [0, count) for each of P pairs; all pairs of a prompt share theirs, whatever their order.

    Args:
        prompts: [P], the prompt of each pair.
        count: folds, at least 2; they differ by at most one in their number of distinct prompts.
        seed: decides which prompts go together.
    Raises:
        ValueError: fewer than 2 folds, or fewer distinct prompts than folds.
    """
    distinct = sorted(set(prompts))
    if not 2 <= count <= len(distinct):
        raise ValueError(f"cannot make {count} folds of {len(distinct)} prompts; use 2 to {len(distinct)} models")
    fold_of = np.random.default_rng(seed).permutation(np.arange(len(distinct)) % count)
    index = {prompt: i for i, prompt in enumerate(distinct)}
    return fold_of[[index[prompt] for prompt in prompts]]


def cross_fit_plan(models: int, left_out: int) -> NDArray[np.bool_]:
    """Which folds each model is trained without: model m leaves out m, m + 1, ..., m + left_out - 1 (modulo M).

    Args:
        models: M, which is also the number of folds.
        left_out: folds that each model leaves out, in [1, M - 1]; as many models then leave out each fold.
    Returns:
        [M, M], True where the model (row) has not seen the fold (column) and may score it.
    Raises:
        ValueError: `left_out` out of its range.
    """
    if not 1 <= left_out < models:
        raise ValueError(
            f"each of {models} models must leave out at least 1 and at most {models - 1} folds, got {left_out}"
        )
    return (np.arange(models) - np.arange(models)[:, None]) % models < left_out


def strength_groups(mean: ArrayLike, count: int) -> list[NDArray[np.int64]]:
    """Indices of the pairs by rising strength, cut into `count` groups whose sizes differ by at most one.

    Ties stay in the order of the pairs.

    Raises:
        ValueError: fewer pairs than groups.
    """
    mean = np.asarray(mean, dtype=np.float64)
    if not 1 <= count <= len(mean):
        raise ValueError(f"cannot cut {len(mean)} pairs into {count} groups of strength")
    return np.array_split(np.argsort(mean, kind="stable"), count)
