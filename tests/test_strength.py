"""Preference strength: its mean and spread over models, folds by prompt, and who scores whom."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling.strength import cross_fit_plan, folds, preference_strength, strength_groups

PROMPTS = st.lists(st.sampled_from("abcdefghij"), min_size=12, max_size=40).map(lambda rest: [*"abcd", *rest])
MEANS = st.lists(st.sampled_from([-1.5, -0.5, 0.0, 0.25, 2.0]), min_size=5, max_size=40)


def test_strength_by_hand():
    differences = [[1.0, 5.0, -2.0], [3.0, np.nan, -4.0], [8.0, 7.0, -6.0]]
    strength = preference_strength(differences, [[True, True, False], [True, False, False], [False, True, True]])
    np.testing.assert_allclose(strength.mean, [2.0, 6.0, -6.0])
    np.testing.assert_allclose(strength.sd, [2**0.5, 2**0.5, np.nan])
    assert strength.models.tolist() == [2, 2, 1]


@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 99))
def test_strength_of_all_models_is_numpys_mean_and_sample_deviation(models, pairs, seed):
    differences = np.random.default_rng(seed).normal(size=(models, pairs))
    strength = preference_strength(differences, np.ones_like(differences, dtype=bool))
    np.testing.assert_allclose(strength.mean, differences.mean(0))
    np.testing.assert_allclose(strength.sd, differences.std(0, ddof=1))


def test_strength_refuses_what_it_cannot_average():
    with pytest.raises(ValueError, match="alike"):
        preference_strength([[1.0]], [[True, True]])
    with pytest.raises(ValueError, match="1 of 2 pairs are scored by no model"):
        preference_strength([[1.0, 2.0]], [[True, False]])
    with pytest.raises(ValueError, match="not finite"):
        preference_strength([[np.nan]], [[True]])


@given(PROMPTS, st.integers(2, 4), st.integers(0, 99))
def test_folds_are_by_prompt_balanced_and_independent_of_order(prompts, count, seed):
    found = folds(prompts, count, seed)
    fold_of = dict(zip(prompts, found.tolist(), strict=True))
    assert [fold_of[prompt] for prompt in prompts] == found.tolist()
    sizes = np.bincount(list(fold_of.values()), minlength=count)
    assert len(sizes) == count and sizes.max() - sizes.min() <= 1
    assert folds(prompts[::-1], count, seed).tolist() == found.tolist()[::-1]


def test_folds_depend_on_the_seed_and_need_prompts():
    prompts = [str(i) for i in range(50)]
    assert folds(prompts, 5, 1).tolist() != folds(prompts, 5, 2).tolist()
    with pytest.raises(ValueError, match="3 folds of 2 prompts"):
        folds(["a", "b", "a"], 3, 0)


def test_cross_fit_plan_by_hand():
    assert cross_fit_plan(4, 2).astype(int).tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]


@given(st.integers(2, 12), st.data())
def test_every_fold_is_scored_by_as_many_models_as_leave_it_out(models, data):
    left_out = data.draw(st.integers(1, models - 1))
    plan = cross_fit_plan(models, left_out)
    assert (plan.sum(0) == left_out).all() and (plan.sum(1) == left_out).all()
    assert plan.diagonal().all()


@pytest.mark.parametrize("left_out", [0, 3])
def test_a_cross_fitted_model_must_leave_something_out_and_keep_something(left_out):
    with pytest.raises(ValueError, match="at least 1 and at most 2"):
        cross_fit_plan(3, left_out)


@given(MEANS, st.integers(1, 5))
def test_groups_of_strength_part_the_pairs_in_order(means, count):
    groups = strength_groups(means, count)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(means)))
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    for low, high in pairwise(np.concatenate(groups).tolist()):
        assert (means[low], low) < (means[high], high)


def test_too_few_pairs_make_no_groups():
    with pytest.raises(ValueError, match="cut 2 pairs into 3"):
        strength_groups([0.0, 1.0], 3)
