"""The parts of a study of reward-model recipes on one source of comparisons (arXiv:2401.06080).

Each trains its own models and returns a plain dictionary that can be stored as JSON, so that parts run in any order, in
processes of their own; curves and deciles read the strength. `alarm.reward_modeling.study_record` puts them together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from alarm.reward_modeling.ensemble import train_ensemble
from alarm.reward_modeling.fitting import OnStep
from alarm.reward_modeling.preferences import fit_preferences
from alarm.reward_modeling.recipe_training import contrastive_of
from alarm.reward_modeling.recipes import RECIPES, prepare
from alarm.reward_modeling.strength import strength_groups
from alarm.reward_modeling.validation import ComparisonSource, Validation, validation_sets

if TYPE_CHECKING:
    from alarm.reward_modeling.pair_batches import Pair
    from alarm.settings import RecipeSettings, RewardModelSettings

WAYS = ("in_sample", "cross_fitted")
"""Of measuring strength: by models trained on all pairs, as the paper, or only by models that never saw the prompt."""
DENOISING = ("plain", "flip", "margin", "flip_margin", "soft_label_margin")
CONTRASTIVE = ("simcse", "swav")
CHECKPOINTS = 6
"""Of a training curve, the start and the end among them."""
DECILES = 10
SWEEP_ERROR_RATES = (0.0, 0.4)
"""Annotators' error rates beside the source's own."""

Part = dict[str, Any]


def curve_plan(recipes: RecipeSettings) -> list[tuple[str, str | None, int]]:
    """(recipe, contrastive target, seed) of every curve: all recipes with all seeds, the other target with the first.

    Contrastive terms stand on representations of both responses; on those of their difference with the first seed only.
    """
    plan = [(name, None, seed) for name in DENOISING for seed in recipes.study_seeds]
    plan += [(name, "pair", seed) for name in CONTRASTIVE for seed in recipes.study_seeds]
    return plan + [(name, "difference", recipes.study_seeds[0]) for name in CONTRASTIVE]


def study_strength(
    source: ComparisonSource,
    way: str,
    *,
    settings: RewardModelSettings,
    recipes: RecipeSettings,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> Part:
    """Preference strength of the training comparisons.

    Args:
        way: "in_sample" or "cross_fitted".
    Returns:
        `mean` and `sd` (None where a single model scored the pair), [P] to six decimals, `models`, how many score
        each pair, and `seconds`.
    Raises:
        ValueError: another way, or as `train_ensemble`.
    """
    if way not in WAYS:
        raise ValueError(f"strength is measured {' or '.join(WAYS)}, got {way!r}")
    started = time.perf_counter()
    strength = train_ensemble(
        source.train,
        source.make_reader,
        settings=settings,
        recipes=recipes,
        cross_fitted=way == "cross_fitted",
        device=device,
        on_step=on_step,
    )
    return {
        "mean": [round(value, 6) for value in strength.mean.tolist()],
        "sd": [None if math.isnan(value) else round(value, 6) for value in strength.sd.tolist()],
        "models": int(strength.models[0]),
        "seconds": time.perf_counter() - started,
    }


def study_curve(
    source: ComparisonSource,
    recipe: str,
    seed: int,
    *,
    settings: RewardModelSettings,
    recipes: RecipeSettings,
    strength: Sequence[float] | None = None,
    target: str | None = None,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> Part:
    """Train one model by a recipe, `recipes.study_steps` steps, measuring its accuracies on the way (figure 8).

    Args:
        strength: [P], for recipes that need it.
        target: of a contrastive term; None takes the settings' one, and is all that other recipes have.
    Returns:
        A row of `RewardModelRecord.curves`, and `seconds`.
    """
    entry = RECIPES[recipe]
    if entry.contrastive is not None:
        recipes = replace(recipes, contrastive_target=target or recipes.contrastive_target)
    prepared = prepare(entry, source.train, strength, recipes)
    checkpoints = sorted({round(i * recipes.study_steps / (CHECKPOINTS - 1)) for i in range(CHECKPOINTS)})
    accuracies, seconds = _fit_and_validate(
        source,
        prepared.pairs,
        seed,
        settings=settings,
        recipes=recipes,
        checkpoints=checkpoints,
        margins=prepared.margins,
        soft_labels=prepared.soft_labels,
        contrastive=contrastive_of(entry, recipes),
        device=device,
        on_step=on_step,
    )
    return {
        "recipe": recipe,
        "target": recipes.contrastive_target if entry.contrastive is not None else None,
        "seed": seed,
        "steps": checkpoints,
        "accuracy": {name: [values[name] for values in accuracies] for name in accuracies[0]},
        "seconds": seconds,
    }


def study_decile(
    source: ComparisonSource,
    decile: int,
    *,
    strength: Sequence[float],
    settings: RewardModelSettings,
    recipes: RecipeSettings,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> Part:
    """Train a plain model on one strength decile alone, with the first seed and half of the study's steps (figure 4).

    A decile has a tenth of the pairs, mostly of different prompts, so a step costs more and sees each pair oftener.

    Args:
        decile: 0, the weakest tenth, to 9.
        strength: [P], of all training pairs.
    Returns:
        A row of `RewardModelRecord.deciles`, and `seconds`.
    """
    shorter = replace(recipes, study_steps=max(1, recipes.study_steps // 2))
    group = strength_groups(strength, DECILES)[decile]
    accuracies, seconds = _fit_and_validate(
        source,
        # In the pairs' own order, so that strength decides which pairs are learned and nothing else.
        [source.train[i] for i in np.sort(group)],
        recipes.study_seeds[0],
        settings=settings,
        recipes=shorter,
        checkpoints=[shorter.study_steps],
        device=device,
        on_step=on_step,
    )
    return {"decile": decile, "seed": recipes.study_seeds[0], "accuracy": accuracies[-1], "seconds": seconds}


def study_sweep(
    source: ComparisonSource,
    error_rate: float,
    *,
    settings: RewardModelSettings,
    recipes: RecipeSettings,
    seeds: Sequence[int] | None = None,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> Part:
    """Plain training and the denoising recipes at another noise, with strength (`recipes.strength`) measured there.

    Args:
        source: the same comparisons, labelled with that noise.
        error_rate: of its annotators, for the record.
        seeds: of each recipe; by default the first of the study's.
    Returns:
        `rows` of `RewardModelRecord.sweep`, and `seconds`.
    """
    common = {"settings": settings, "recipes": recipes, "device": device, "on_step": on_step}
    strength = study_strength(source, recipes.strength, **common)
    rows, seconds = [], strength["seconds"]
    for recipe in DENOISING:
        for seed in recipes.study_seeds[:1] if seeds is None else seeds:
            curve = study_curve(source, recipe, seed, strength=strength["mean"], **common)
            seconds += curve["seconds"]
            rows.append(
                {
                    "error_rate": error_rate,
                    "wrong_label_share": source.wrong_label_share,
                    "recipe": recipe,
                    "seed": seed,
                    "accuracy": {name: values[-1] for name, values in curve["accuracy"].items()},
                }
            )
    return {"rows": rows, "seconds": seconds}


def _fit_and_validate(
    source: ComparisonSource,
    pairs: Sequence[Pair],
    seed: int,
    *,
    settings: RewardModelSettings,
    recipes: RecipeSettings,
    checkpoints: Sequence[int],
    **training: Any,
) -> tuple[list[dict[str, float]], float]:
    """Accuracies per validation set at every checkpoint, and the seconds it took."""
    started = time.perf_counter()
    reader = source.make_reader(seed)
    accuracies: list[dict[str, float]] = []
    measure = Validation(validation_sets(source)).of(reader)
    fit_preferences(
        reader,
        pairs,
        settings=replace(settings, steps=recipes.study_steps, seed=seed),
        checkpoints=checkpoints,
        on_checkpoint=lambda _: accuracies.append(measure()),
        **training,
    )
    return accuracies, time.perf_counter() - started
