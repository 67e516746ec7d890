"""Simulated annotators: probabilities, noise, truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling.annotators import choose, compare
from alarm.reward_modeling.comparisons import Comparison, TrueQuality

qualities = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=50)


def judge(pairs, *, temperature=0.1, error_rate=0.1, seed=0):
    first, second = np.array(pairs, dtype=float).reshape(-1, 2).T
    return choose(first, second, temperature=temperature, error_rate=error_rate, generator=np.random.default_rng(seed))


@given(qualities, st.integers(0, 99))
def test_the_first_judgements_do_not_depend_on_how_many_follow(pairs, seed):
    few, many = judge(pairs, seed=seed), judge([*pairs, (0.2, 0.9)], seed=seed)
    assert np.array_equal(few.prefers_a, many.prefers_a[:-1])


@given(qualities)
def test_truth_is_the_sign_of_the_difference_and_swapping_reverses_it(pairs):
    truth = judge(pairs).truth
    assert truth.tolist() == [(a > b) - (a < b) for a, b in pairs]
    assert np.array_equal(judge([(b, a) for a, b in pairs]).truth, -truth)


@given(qualities)
def test_cold_annotators_without_slips_are_right(pairs):
    pairs = [(a, b) for a, b in pairs if abs(a - b) > 1e-3 or a == b]
    choices = judge(pairs, temperature=1e-5, error_rate=0.0)
    assert not choices.wrong.any()


@pytest.mark.parametrize(
    ("a", "b", "temperature", "error_rate", "probability"),
    [
        (0.5, 0.5, 0.15, 0.15, 0.5),
        (0.8, 0.5, 0.15, 0.0, 1 / (1 + math.exp(-2))),  # 0.8808
        (0.8, 0.5, 0.15, 0.15, 0.85 * 0.880797 + 0.15 * 0.119203),  # 0.7666
        (0.0, 1.0, 1e-3, 0.25, 0.25),
    ],
)
def test_the_share_of_preferences_is_the_stated_probability(a, b, temperature, error_rate, probability):
    share = judge([(a, b)] * 40_000, temperature=temperature, error_rate=error_rate).prefers_a.mean()
    assert share == pytest.approx(probability, abs=0.01)  # four standard errors


def test_choices_by_hand():
    # Generator 3 draws taste 0.086, 0.801 and slip 0.237, 0.582: p = 0.5 is met by the first only, neither slips.
    draws = np.random.default_rng(3).random((2, 2))
    assert draws.round(3).tolist() == [[0.086, 0.237], [0.801, 0.582]]
    assert judge([(1, 1), (1, 1)], error_rate=0.2, seed=3).prefers_a.tolist() == [True, False]
    assert judge([(1, 1), (1, 1)], error_rate=0.3, seed=3).prefers_a.tolist() == [False, False]


def test_equal_qualities_cannot_be_judged_wrongly():
    choices = judge([(0.4, 0.4)] * 20 + [(0.1, 0.9)] * 20, error_rate=0.5)
    assert not choices.wrong[:20].any()
    assert choices.wrong[20:].any()


@pytest.mark.parametrize(
    ("a", "b", "settings", "match"),
    [
        ([1.0], [1.0, 2.0], {}, "one length"),
        ([math.nan], [1.0], {}, "finite"),
        ([1.0], [1.0], {"temperature": 0.0}, "temperature > 0"),
        ([1.0], [1.0], {"error_rate": 0.6}, r"\[0, 0.5\]"),
    ],
)
def test_bad_arguments_are_named(a, b, settings, match):
    with pytest.raises(ValueError, match=match):
        choose(a, b, generator=np.random.default_rng(0), **({"temperature": 1.0, "error_rate": 0.0} | settings))


def test_every_two_different_responses_are_compared():
    comparisons, truths = compare(
        ["p", "q"],
        [["good", "bad", "good"], ["same", "same"]],
        [[0.9, 0.1, 0.9], [0.5, 0.5]],
        temperature=1e-3,
        error_rate=0.0,
        seed=0,
    )
    assert comparisons == [Comparison("p", "good", "bad")] * 2
    assert truths == [TrueQuality(0.9, 0.1)] * 2
    assert not any(truth.flipped for truth in truths)


def test_what_is_kept_aside_tells_which_comparisons_are_wrong():
    texts = [f"r{i}" for i in range(12)]
    scores = [i / 12 for i in range(12)]
    comparisons, truths = compare(["p"], [texts], [scores], temperature=1e-3, error_rate=0.3, seed=1)
    assert len(comparisons) == 66
    for comparison, truth in zip(comparisons, truths, strict=True):
        assert scores[texts.index(comparison.chosen)] == truth.chosen
        assert scores[texts.index(comparison.rejected)] == truth.rejected
        assert truth.flipped == (truth.chosen < truth.rejected)
    assert 0.15 < sum(truth.flipped for truth in truths) / 66 < 0.45


def test_nothing_to_compare_is_no_error():
    assert compare([], [], [], temperature=0.1, error_rate=0.1, seed=0) == ([], [])
