"""The ensemble of reward models behind preference strength: equal but for the training order and the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from alarm.reward_modeling.fitting import OnStep
from alarm.reward_modeling.pair_scores import PairScorer
from alarm.reward_modeling.preferences import fit_preferences
from alarm.reward_modeling.strength import Strength, cross_fit_plan, folds, preference_strength

if TYPE_CHECKING:
    from alarm.reward_modeling.pair_batches import Pair
    from alarm.scorers.reader import Reader
    from alarm.settings import RecipeSettings, RewardModelSettings

FIRST_SEED = 100
"""Of the members, added to that of the reward models: none of them is a model that is judged later."""


def train_ensemble(
    pairs: Sequence[Pair],
    make_reader: Callable[[int], Reader],
    *,
    settings: RewardModelSettings,
    recipes: RecipeSettings,
    cross_fitted: bool,
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> Strength:
    """Train `recipes.ensemble_size` plain reward models and measure the strength of every pair.

    Args:
        pairs: [P] comparisons as the annotators labelled them.
        make_reader: an untrained reader with a head drawn from the seed it is called with.
        settings: batch size, learning rate and seed of the training; its steps are `recipes.ensemble_steps`.
        cross_fitted: score a pair only by the `recipes.left_out_folds` models trained without its prompt; otherwise
            every model trains on all pairs and scores all.
        on_step: called with (step, steps, loss), steps counted over all members.
    Raises:
        ValueError: as `folds`, `cross_fit_plan` and `fit_preferences`, or fewer than 2 members.
    """
    size, steps = recipes.ensemble_size, recipes.ensemble_steps
    if size < 2:
        raise ValueError(f"an ensemble needs at least 2 models, got ensemble_size={size}")
    unseen = np.ones((size, len(pairs)), dtype=np.bool_)
    trained_on = unseen
    if cross_fitted:
        plan = cross_fit_plan(size, recipes.left_out_folds)
        unseen = plan[:, folds([pair.prompt for pair in pairs], size, settings.seed)]
        trained_on = ~unseen
    differences = np.full(unseen.shape, np.nan)
    for member in range(size):
        seed = settings.seed + FIRST_SEED + member
        reader = make_reader(seed)
        fit_preferences(
            reader,
            [pairs[i] for i in np.flatnonzero(trained_on[member])],
            settings=replace(settings, steps=steps, seed=seed),
            device=device,
            on_step=_counted_on(on_step, member * steps, size * steps),
        )
        scored = np.flatnonzero(unseen[member])
        differences[member, scored] = PairScorer(reader, [pairs[i] for i in scored]).differences()
    return preference_strength(differences, unseen)


def _counted_on(on_step: OnStep | None, before: int, total: int) -> OnStep | None:
    return on_step and (lambda step, _, loss: on_step(before + step, total, loss))
