"""Recipes: how the holistic reward model is trained on noisy comparisons, and what a recipe makes of them.

Source: arXiv:2401.06080.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alarm.registry import Registry
from alarm.reward_modeling.comparisons import Comparison

if TYPE_CHECKING:
    from alarm.reward_modeling.pair_batches import Pair
    from alarm.settings import RecipeSettings


@dataclass(frozen=True)
class Recipe:
    """A way to train a reward model; `plain` is the Bradley-Terry loss on the annotators' labels."""

    name: str
    description: str
    needs_strength: bool = False
    """Reads the preference strength of every pair, so an ensemble is trained first."""
    flips: bool = False
    """Swaps the labels of the weakest share of pairs."""
    margins: bool = False
    """Puts the strength of every pair into the loss as its margin."""
    soft_labels: bool = False
    """Smooths the labels of pairs of negative strength."""
    contrastive: str | None = None
    """The contrastive term on the responses' representations: "simcse" or "swav"."""
    trained: bool = True
    """False where there is nothing to train: the reward is gold quality itself."""
    iterative: bool = False
    """Trained as `plain` first, then updated by MetaRM on the current policy's samples after each round of PPO."""


RECIPES: Registry[Recipe] = Registry("reward-model recipe")
for _recipe in (
    Recipe("plain", "Bradley-Terry loss on the annotators' comparisons"),
    Recipe("flip", "the labels of the weakest pairs are swapped", needs_strength=True, flips=True),
    Recipe("margin", "every pair's strength is its margin", needs_strength=True, margins=True),
    Recipe(
        "flip_margin", "the weakest pairs swapped, strength as margin", needs_strength=True, flips=True, margins=True
    ),
    Recipe(
        "soft_label_margin",
        "labels of pairs of negative strength smoothed, strength as margin",
        needs_strength=True,
        margins=True,
        soft_labels=True,
    ),
    Recipe("simcse", "with a SimCSE term on the responses' representations", contrastive="simcse"),
    Recipe("swav", "with a SwAV term on the responses' representations", contrastive="swav"),
    Recipe("gold", "gold quality itself is the holistic reward: a control, no model", trained=False),
    Recipe("meta", "adapted to the policy's samples between rounds of PPO (MetaRM)", iterative=True),
):
    RECIPES.add(_recipe.name, _recipe)


@dataclass(frozen=True)
class Prepared:
    """Comparisons as a recipe trains on them, in the order they came in."""

    pairs: list[Pair]
    margins: list[float] | None
    """One per pair, or None without margins."""
    soft_labels: list[float] | None
    """One per pair, or None without soft labels."""


def prepare(
    recipe: Recipe, pairs: Sequence[Pair], strength: Sequence[float] | None, settings: RecipeSettings
) -> Prepared:
    """Apply a recipe to P comparisons by their preference strength, the mean of r(chosen) - r(rejected) in an ensemble.

    Flips: the round(flip_share * P) pairs of lowest strength are swapped, the first ones where strengths tie.
    Margins: a pair's strength as it is labelled now, so that a swapped pair has the negative of what it had.
    Soft labels: `settings.soft_label` on pairs of negative strength as labelled now, 0 on the others.

    Args:
        strength: [P] in units of the reward; None for recipes that need none.
    Raises:
        ValueError: a recipe that needs strength without it, a count that differs, strengths that are not finite, or a
            share out of [0, 1].
    Source: arXiv:2401.06080, on flipping, adaptive margins and label smoothing.
    """
    if not recipe.needs_strength:
        return Prepared(list(pairs), None, None)
    if strength is None:
        raise ValueError(
            f"the recipe {recipe.name} needs the preference strength of every pair; train an ensemble first and pass it"
        )
    if len(strength) != len(pairs):
        raise ValueError(f"{len(strength)} strengths for {len(pairs)} pairs; pass one strength per pair")
    if not all(map(math.isfinite, strength)):
        raise ValueError(f"the recipe {recipe.name} needs finite strengths; score every pair with the ensemble")
    if not (0 <= settings.flip_share <= 1 and 0 <= settings.soft_label <= 1):
        raise ValueError(
            f"flip_share and soft_label must lie in [0, 1], got {settings.flip_share} and {settings.soft_label}"
        )
    labelled, strengths = list(pairs), [float(value) for value in strength]
    if recipe.flips:
        weakest = sorted(range(len(pairs)), key=strengths.__getitem__)  # stable: ties in the order they came in
        for i in weakest[: round(settings.flip_share * len(pairs))]:
            labelled[i] = Comparison(pairs[i].prompt, chosen=pairs[i].rejected, rejected=pairs[i].chosen)
            strengths[i] = -strengths[i]
    return Prepared(
        labelled,
        margins=strengths if recipe.margins else None,
        soft_labels=[settings.soft_label * (value < 0) for value in strengths] if recipe.soft_labels else None,
    )
