"""Training of a reward model by a recipe: what the recipe makes of the comparisons, then the training of all models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alarm.reward_modeling.contrastive import Contrastive
from alarm.reward_modeling.preferences import PreferenceReport, train_preference_model
from alarm.reward_modeling.recipes import Recipe, prepare

if TYPE_CHECKING:
    from alarm.reward_modeling.pair_batches import Pair
    from alarm.settings import RecipeSettings


def train_recipe(
    recipe: Recipe,
    pairs: Sequence[Pair],
    directory: str | Path,
    *,
    recipes: RecipeSettings,
    strength: Sequence[float] | None = None,
    **training: Any,
) -> PreferenceReport:
    """Train a sequence score on `pairs` by a recipe and save it to `directory`.

    An iterative recipe starts as a plain model; `alarm.reward_modeling.meta` adapts that between rounds of PPO.

    Args:
        pairs: comparisons as the annotators labelled them.
        recipes: shares, weights and targets of the recipes.
        strength: one per pair, for recipes that need it.
        training: the further arguments of `train_preference_model`.
    Returns:
        The report; its `train_accuracy` is on the comparisons as the recipe labels them.
    Raises:
        ValueError: a recipe that trains nothing; or as `prepare` and `train_preference_model`.
    """
    if not recipe.trained:
        raise ValueError(f"recipe {recipe.name} trains no model; its reward is gold quality itself")
    prepared = prepare(recipe, pairs, strength, recipes)
    return train_preference_model(
        prepared.pairs,
        directory,
        margins=prepared.margins,
        soft_labels=prepared.soft_labels,
        contrastive=contrastive_of(recipe, recipes),
        **training,
    )


def contrastive_of(recipe: Recipe, recipes: RecipeSettings) -> Contrastive | None:
    """The recipe's contrastive term, or None."""
    return None if recipe.contrastive is None else Contrastive.from_settings(recipe.contrastive, recipes)
