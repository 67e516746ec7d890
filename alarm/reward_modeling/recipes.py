"""Recipes: how the holistic reward model is trained on noisy comparisons. The training itself is in `preferences`."""

from __future__ import annotations

from dataclasses import dataclass

from alarm.registry import Registry


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
    Recipe("meta", "adapted to the policy's samples between rounds of PPO (MetaRM)", iterative=True),
):
    RECIPES.add(_recipe.name, _recipe)
