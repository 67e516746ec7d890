"""Effect sizes, the sign test and the smallest difference a sample can show: against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alarm.evaluation.effects import cohen_dz, cohen_h, minimum_detectable_difference, sign_test
from alarm.evaluation.errors import Errors
from alarm.evaluation.statistics import Estimate, bootstrap_mean


def test_the_sign_test_is_scipys_on_the_prompts_that_seeds_decide():
    outcomes = np.array([[1] * 9 + [-1] * 3 + [0] * 4, [1] * 9 + [-1] * 2 + [1] + [0] * 3 + [-1]])
    found = sign_test(outcomes)
    assert (found.wins, found.losses, found.ties) == (9, 3, 4)
    assert found.p == stats.binomtest(9, 12).pvalue


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=30))
def test_one_seeds_sign_test_counts_its_prompts_and_has_two_sides(row):
    found, mirrored = sign_test(np.array([row])), sign_test(-np.array([row]))
    assert (found.wins, found.losses, found.ties) == (row.count(1), row.count(-1), row.count(0))
    assert (mirrored.wins, mirrored.p) == (found.losses, pytest.approx(found.p))


def test_only_the_sign_of_a_difference_counts():
    outcomes = np.array([[1, -1, 1, 0], [1, 1, -1, 0], [1, 1, -1, 1]])
    sizes = np.array([[0.1, 5, 1, 3], [2, 1, 1, 3], [4, 1, 1, 0.1]])
    assert sign_test(outcomes) == sign_test(outcomes * sizes)


def test_nothing_decided_is_no_evidence():
    assert sign_test(np.zeros((3, 5))).p == 1.0


def test_cohens_d_is_the_t_statistic_by_the_root_of_n():
    data = np.random.default_rng(0).normal(0.4, 1, (3, 50))
    t = stats.ttest_1samp(data.mean(axis=0), 0).statistic
    assert cohen_dz(data) == pytest.approx(t / math.sqrt(50))
    assert cohen_dz(-10 * data) == pytest.approx(-cohen_dz(data))


def test_cohens_d_without_spread():
    assert cohen_dz(np.zeros((2, 4))) == 0.0
    assert cohen_dz(np.full((2, 4), -0.1)) == -math.inf
    assert math.isnan(cohen_dz(np.ones((3, 1))))


def test_cohens_h_by_hand():
    """Cohen's table 6.2.2: 0.50 against 0.75 is 1.571 - 2.094 = -0.523."""
    assert cohen_h(75) == pytest.approx(math.pi / 6)
    assert cohen_h(25) == pytest.approx(-math.pi / 6)
    assert (cohen_h(50), cohen_h(100)) == (0.0, pytest.approx(math.pi / 2))


def test_the_detectable_difference_of_one_source_is_the_textbooks():
    """(t of 97.5 % + t of 80 %) standard errors: 2.8 of them for many prompts."""
    errors = Errors(0.0, 0, 0.5, 0.5, 1.0, 100_000)
    smallest = minimum_detectable_difference(Estimate(0.0, 0.0, 0.0, 1.0, errors))
    assert smallest == pytest.approx(0.5 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)), rel=1e-3)


def test_more_prompts_detect_less_and_more_power_needs_more():
    generator = np.random.default_rng(1)
    few, many = (bootstrap_mean(generator.normal(size=(1, size)), seed=0) for size in (50, 800))
    assert minimum_detectable_difference(many) == pytest.approx(minimum_detectable_difference(few) / 4, rel=0.2)
    assert minimum_detectable_difference(few, power=0.95) > minimum_detectable_difference(few)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sign_test(np.zeros(3)),
        lambda: sign_test(np.zeros((0, 3))),
        lambda: cohen_dz(np.array([[1.0, np.nan]])),
        lambda: cohen_h(101),
        lambda: minimum_detectable_difference(Estimate(0.0, 0.0, 0.0, 1.0)),
        lambda: minimum_detectable_difference(bootstrap_mean(np.eye(3), seed=0), power=0.3),
    ],
)
def test_wrong_input_is_refused(wrong):
    with pytest.raises(ValueError, match=r"effect|detectable"):
        wrong()
