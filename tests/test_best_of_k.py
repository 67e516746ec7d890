"""Best-of-k in closed form: against brute force over all subsets, and its limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.evaluation.best_of_k import best_of_k_kl, best_of_k_weights, best_of_k_win_rate

scores = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=7)  # with many ties
distinct = st.lists(st.floats(-10, 10), min_size=2, max_size=20, unique=True)


def brute_weights(values, k):
    weights, subsets = np.zeros(len(values)), list(itertools.combinations(range(len(values)), k))
    for subset in subsets:
        best = [i for i in subset if values[i] == max(values[j] for j in subset)]
        weights[best] += 1 / len(best) / len(subsets)
    return weights


def brute_win_rate(values, quality, k):
    shares = []
    for opponent in range(len(values)):
        rest = [i for i in range(len(values)) if i != opponent]
        weights = brute_weights([values[i] for i in rest], k)
        wins = [(quality[i] > quality[opponent]) + 0.5 * (quality[i] == quality[opponent]) for i in rest]
        shares.append(float(weights @ wins))
    return np.mean(shares)


@given(scores, st.data())
def test_weights_equal_brute_force_over_all_subsets(values, data):
    k = data.draw(st.integers(1, len(values)))
    np.testing.assert_allclose(best_of_k_weights(values, k), brute_weights(values, k), atol=1e-12)


@given(scores.filter(lambda values: len(values) > 1), st.data())
def test_the_win_rate_equals_brute_force_over_opponents_and_subsets(values, data):
    k = data.draw(st.integers(1, len(values) - 1))
    quality = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=len(values), max_size=len(values)))
    assert best_of_k_win_rate(values, quality, k) == pytest.approx(brute_win_rate(values, quality, k), abs=1e-12)


@given(distinct, st.data())
def test_weights_are_a_distribution_that_rises_with_the_score(values, data):
    k = data.draw(st.integers(1, len(values)))
    weights = best_of_k_weights(values, k)
    assert weights.sum() == pytest.approx(1.0)
    assert (np.diff(weights[np.argsort(values)]) >= -1e-12).all()
    order = data.draw(st.permutations(range(len(values))))
    np.testing.assert_allclose(best_of_k_weights(np.array(values)[order], k), weights[order])


@given(distinct)
def test_one_sample_is_the_mean_and_all_samples_give_the_best(values):
    count = len(values)
    np.testing.assert_allclose(best_of_k_weights(values, 1), np.full(count, 1 / count))
    assert best_of_k_weights(values, count)[int(np.argmax(values))] == 1.0


@given(distinct, st.data())
def test_a_perfect_selector_wins_k_of_k_plus_one(values, data):
    k = data.draw(st.integers(1, len(values) - 1))
    assert best_of_k_win_rate(values, values, k) == pytest.approx(k / (k + 1))
    assert best_of_k_win_rate(values, data.draw(st.permutations(values)), 1) == pytest.approx(0.5)


def test_kl_by_hand():
    assert best_of_k_kl(1) == 0.0
    assert best_of_k_kl(2) == pytest.approx(math.log(2) - 0.5)
    assert best_of_k_kl(64) == pytest.approx(3.174508083)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: best_of_k_weights([1.0, 2.0], 3), "2 samples are too few"),
        (lambda: best_of_k_weights([1.0, 2.0], 0), "k is below 1"),
        (lambda: best_of_k_weights([1.0, math.nan], 1), "none of them NaN"),
        (lambda: best_of_k_win_rate([1.0, 2.0], [1.0, 2.0], 2), "2 samples are too few"),
        (lambda: best_of_k_win_rate([1.0, 2.0], [1.0], 1), "one quality per score"),
        (lambda: best_of_k_kl(0), "at least 1"),
    ],
)
def test_bad_inputs_are_one_sentence(call, problem):
    with pytest.raises(ValueError, match=problem):
        call()
