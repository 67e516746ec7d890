"""Agreement of judges: sklearn's kappa, its bounds, gaps left out and counted, intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from alarm.evaluation.agreement import agreement, kappa


def judges(number, comparisons=4, prompts=80, copied=0.5):
    """Two judges; the second copies a share of the first's verdicts and guesses the rest."""
    generator = np.random.default_rng(number)
    first = generator.choice([1.0, 0.0, -1.0], p=[0.4, 0.35, 0.25], size=(comparisons, prompts))
    guessed = generator.choice([1.0, 0.0, -1.0], p=[0.4, 0.35, 0.25], size=first.shape)
    return first, np.where(generator.random(first.shape) < copied, first, guessed)


def sklearns_kappa(first, second):
    """Over both sides of every comparison."""
    return cohen_kappa_score(np.concatenate([first, -first]).ravel(), np.concatenate([second, -second]).ravel())


@given(st.integers(0, 500), st.floats(0, 1))
def test_it_is_sklearns_kappa(number, copied):
    first, second = judges(number, copied=copied)
    found = agreement(first, second, seed=0, resamples=10)
    assert found.kappa == pytest.approx(sklearns_kappa(first, second))
    assert found.share == pytest.approx(100 * (first == second).mean())
    assert found.opposed == pytest.approx(100 * (first * second == -1).mean())


@given(st.integers(0, 500), st.lists(st.booleans(), min_size=4, max_size=4))
def test_which_run_a_comparison_names_first_does_not_matter(number, turned):
    first, second = judges(number)
    sign = np.where(turned, -1.0, 1.0)[:, None]
    turned, straight = (agreement(s * first, s * second, seed=0, resamples=20) for s in (sign, 1.0))
    assert turned == straight


@given(st.integers(0, 500))
def test_judges_may_be_swapped(number):
    first, second = judges(number)
    forward = agreement(first, second, seed=0, resamples=20)
    assert forward == agreement(second, first, seed=0, resamples=20)


def test_full_agreement_none_and_contradiction():
    first, _ = judges(0)
    assert agreement(first, first, seed=0).kappa == 1.0
    assert abs(agreement(*judges(1, prompts=2000, copied=0.0), seed=0).kappa) < 0.03
    decided = np.where(first == 0, 1.0, first)
    against = agreement(decided, -decided, seed=0)
    assert against.kappa < 0 and (against.share, against.opposed) == (0, 100)


def test_gaps_are_left_out_and_counted():
    first, second = judges(3)
    holed = first.copy()
    holed[0, :10] = np.nan
    second[1, :5] = np.nan
    found = agreement(holed, second, seed=0)
    known = ~(np.isnan(holed) | np.isnan(second))
    assert (found.verdicts, found.left_out) == (4 * 80 - 15, 15)
    assert found.kappa == pytest.approx(sklearns_kappa(holed[known], second[known]))


def test_without_a_common_verdict_or_without_variation_there_is_no_kappa():
    nothing = agreement(np.full((1, 3), np.nan), np.ones((1, 3)), seed=0)
    assert math.isnan(nothing.kappa) and (nothing.verdicts, nothing.left_out) == (0, 3)
    constant = agreement(np.zeros((2, 5)), np.zeros((2, 5)), seed=0)
    assert math.isnan(constant.kappa) and math.isnan(constant.kappa_low) and constant.share == 100


def test_intervals_cover_the_truth_about_as_often_as_stated_though_prompts_stand_in_several_comparisons():
    """A prompt is easy or hard for all its comparisons, so verdicts on one prompt are not independent."""
    tables, inside, alone = 200, 0, 0

    def sample(number, prompts):
        generator = np.random.default_rng(number)
        first = generator.choice([1.0, 0.0, -1.0], size=(6, prompts))
        easy = generator.random(prompts) < 0.6
        return first, np.where(easy, first, generator.choice([1.0, 0.0, -1.0], size=first.shape))

    truth = agreement(*sample(-1 % 2**32, 20_000), seed=0, resamples=1).kappa
    for number in range(tables):
        first, second = sample(number, 60)
        found = agreement(first, second, seed=number, resamples=300)
        naive = agreement(first.reshape(-1, 1).T, second.reshape(-1, 1).T, seed=number, resamples=300)
        inside += found.kappa_low <= truth <= found.kappa_high
        alone += naive.kappa_low <= truth <= naive.kappa_high
    assert inside / tables == pytest.approx(0.95, abs=0.05)
    assert alone / tables < 0.85, "why prompts are drawn whole"


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "same comparisons"),
        (np.ones(3), np.ones(3), "same comparisons"),
        (np.full((1, 3), 0.5), np.ones((1, 3)), "take the sign"),
    ],
)
def test_malformed_verdicts_are_refused(first, second, problem):
    with pytest.raises(ValueError, match=problem):
        agreement(first, second, seed=0)


def test_kappa_of_many_tables_at_once():
    tables = np.random.default_rng(0).integers(1, 30, size=(7, 3, 3))
    assert kappa(tables) == pytest.approx([float(kappa(table)) for table in tables])
