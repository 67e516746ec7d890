"""Recipes: what each makes of the comparisons, by hand, and that each trains a model that loads."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.preferences import train_preference_model
from alarm.reward_modeling.recipe_training import train_recipe
from alarm.reward_modeling.recipes import RECIPES, prepare
from alarm.scorers.learned import HolisticScorer
from alarm.settings import RecipeSettings, RewardModelSettings
from tests.test_reward_modeling import toy_pairs
from tests.tiny_models import checkpoint, tokenizer

SETTINGS = RecipeSettings(flip_share=0.4, soft_label=0.1)
PAIRS = [Comparison(f"prompt {i}", f"chosen {i}", f"rejected {i}") for i in range(5)]
STRENGTH = [0.5, -2.0, -0.25, 3.0, -0.25]
DENOISED = ("flip", "margin", "flip_margin", "soft_label_margin")


def swapped(pair: Comparison) -> Comparison:
    return Comparison(pair.prompt, pair.rejected, pair.chosen)


def test_flip_swaps_the_weakest_share_and_ties_go_by_position():
    prepared = prepare(RECIPES["flip"], PAIRS, STRENGTH, SETTINGS)
    assert prepared.pairs == [PAIRS[0], swapped(PAIRS[1]), swapped(PAIRS[2]), PAIRS[3], PAIRS[4]]
    assert (prepared.margins, prepared.soft_labels) == (None, None)


def test_margins_are_strengths():
    prepared = prepare(RECIPES["margin"], PAIRS, STRENGTH, SETTINGS)
    assert (prepared.pairs, prepared.margins, prepared.soft_labels) == (PAIRS, STRENGTH, None)


def test_a_flipped_pair_has_the_margin_of_its_new_label():
    prepared = prepare(RECIPES["flip_margin"], PAIRS, STRENGTH, SETTINGS)
    assert prepared.pairs[1] == swapped(PAIRS[1])
    assert (prepared.margins, prepared.soft_labels) == ([0.5, 2.0, 0.25, 3.0, -0.25], None)


def test_labels_of_negative_strength_are_smoothed():
    prepared = prepare(RECIPES["soft_label_margin"], PAIRS, [*STRENGTH[:4], 0.0], SETTINGS)
    assert (prepared.pairs, prepared.margins) == (PAIRS, [*STRENGTH[:4], 0.0])
    assert prepared.soft_labels == [0.0, 0.1, 0.1, 0.0, 0.0]


@pytest.mark.parametrize("name", ["plain", "simcse", "swav", "meta"])
def test_other_recipes_take_the_comparisons_as_they_are(name):
    prepared = prepare(RECIPES[name], PAIRS, None, SETTINGS)
    assert (prepared.pairs, prepared.margins, prepared.soft_labels) == (PAIRS, None, None)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0, 1))
def test_flips_leave_order_and_prompts_and_flip_nothing_stronger_than_what_stays(strengths, share):
    pairs = [Comparison(str(i), "a", "b") for i in range(len(strengths))]
    settings = replace(SETTINGS, flip_share=share)
    prepared = prepare(RECIPES["flip_margin"], pairs, strengths, settings)
    flipped = [new != old for new, old in zip(prepared.pairs, pairs, strict=True)]
    assert sum(flipped) == round(share * len(pairs))
    assert [pair.prompt for pair in prepared.pairs] == [pair.prompt for pair in pairs]
    assert max((s for s, f in zip(strengths, flipped, strict=True) if f), default=-math.inf) <= min(
        (s for s, f in zip(strengths, flipped, strict=True) if not f), default=math.inf
    )
    assert prepared.margins == [-s if f else s for s, f in zip(strengths, flipped, strict=True)]
    assert prepare(RECIPES["flip"], prepared.pairs, strengths, settings).pairs == pairs


@pytest.mark.parametrize("name", DENOISED)
def test_strength_that_is_missing_or_unusable_is_refused(name):
    with pytest.raises(ValueError, match=f"recipe {name} needs the preference strength of every pair"):
        prepare(RECIPES[name], PAIRS, None, SETTINGS)
    with pytest.raises(ValueError, match="2 strengths for 5 pairs"):
        prepare(RECIPES[name], PAIRS, [1.0, 2.0], SETTINGS)
    with pytest.raises(ValueError, match="needs finite strengths"):
        prepare(RECIPES[name], PAIRS, [*STRENGTH[:4], math.nan], SETTINGS)
    with pytest.raises(ValueError, match="must lie in"):
        prepare(RECIPES[name], PAIRS, STRENGTH, replace(SETTINGS, flip_share=1.5))


def test_every_recipe_trains_a_model_of_its_own(tmp_path):
    pairs = toy_pairs(30, 1)
    strength = [(-1) ** i * (0.2 + 0.1 * i) for i in range(30)]
    training = dict(
        kind="holistic", checkpoint=checkpoint(tmp_path / "start", "t5"), tokenizer=tokenizer(),
        settings=RewardModelSettings(steps=3, batch_size=16, learning_rate=3e-3, seed=1), held_out=toy_pairs(5, 2),
    )  # fmt: skip
    train_preference_model(pairs, tmp_path / "without", **training)
    versions = {}
    trained = {name: recipe for name, recipe in RECIPES.items() if recipe.trained}
    assert set(RECIPES) - set(trained) == {"gold"}
    for name, recipe in trained.items():
        given = strength if recipe.needs_strength else None
        report = train_recipe(recipe, pairs, tmp_path / name, strength=given, recipes=SETTINGS, **training)
        assert (report.pairs, report.held_out_pairs) == (30, 5)
        versions[name] = HolisticScorer(tmp_path / name).version
    assert versions["plain"] == versions["meta"] == HolisticScorer(tmp_path / "without").version
    assert len(set(versions.values())) == len(versions) - 1


def test_a_recipe_that_trains_nothing_is_not_trained_as_another(tmp_path):
    with pytest.raises(ValueError, match="recipe gold trains no model; its reward is gold quality itself"):
        train_recipe(RECIPES["gold"], toy_pairs(3, 1), tmp_path / "m", recipes=SETTINGS, checkpoint="nowhere")


def test_a_recipe_without_its_strength_fails_before_training(tmp_path):
    with pytest.raises(ValueError, match="train an ensemble first"):
        train_recipe(RECIPES["flip"], toy_pairs(3, 1), tmp_path / "m", recipes=SETTINGS, checkpoint="nowhere")
