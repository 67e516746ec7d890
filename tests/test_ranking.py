"""The Bradley-Terry ranking: closed forms, another optimiser, invariances, known strengths, and what has no answer."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from alarm.evaluation.ranking import ELO, bradley_terry, rank

NAMES = ("a", "b", "c", "d", "e")


def random_wins(number, size=5):
    return np.random.default_rng(number).integers(1, 40, size=(size, size)).astype(float)


def simulated(strengths, seeds=3, prompts=200, ties=0.2, seed_effect=0.0, number=0):
    """Outcomes of all pairs by a logistic choice between the methods' strengths, some of them ties."""
    generator = np.random.default_rng(number)
    own = np.asarray(strengths)[:, None] + seed_effect * generator.normal(size=(len(strengths), seeds))
    outcomes = {}
    for i, j in combinations(range(len(strengths)), 2):
        chance = expit(own[i] - own[j])[:, None]
        won = np.where(generator.random((seeds, prompts)) < chance, 1.0, -1.0)
        outcomes[NAMES[i], NAMES[j]] = np.where(generator.random(won.shape) < ties, 0.0, won)
    return outcomes


def test_two_methods_differ_by_their_log_odds():
    strengths = bradley_terry(np.array([[0, 30], [10, 0]]))
    assert strengths == pytest.approx([math.log(3) / 2, -math.log(3) / 2])


def test_a_chain_is_the_sum_of_its_links():
    wins = np.array([[0, 20, 0], [10, 0, 8], [0, 24, 0]])
    strengths = bradley_terry(wins)
    assert strengths[0] - strengths[1] == pytest.approx(math.log(2))
    assert strengths[2] - strengths[0] == pytest.approx(math.log(3 / 2))


@pytest.mark.parametrize("number", range(3))
def test_it_is_the_maximum_that_scipy_finds(number):
    wins = random_wins(number)
    np.fill_diagonal(wins, 0)

    def loss(strengths):
        return -(wins * np.log(expit(strengths[:, None] - strengths[None, :]))).sum()

    found = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-8}).x
    assert bradley_terry(wins) == pytest.approx(found - found.mean(), abs=1e-5)


@given(st.integers(0, 1000), st.floats(0.1, 1000), st.permutations(range(5)))
def test_neither_order_nor_the_number_of_repeats_matters(number, factor, order):
    wins = random_wins(number)
    strengths = bradley_terry(wins)
    assert bradley_terry(factor * wins) == pytest.approx(strengths, abs=1e-6)
    order = list(order)
    assert bradley_terry(wins[np.ix_(order, order)]) == pytest.approx(strengths[order], abs=1e-6)
    assert bradley_terry(wins.T) == pytest.approx(-strengths, abs=1e-6)


def test_many_tables_at_once_are_the_same_as_one_by_one():
    tables = np.stack([random_wins(number) for number in range(6)]).reshape(2, 3, 5, 5)
    together = bradley_terry(tables)
    assert together.shape == (2, 3, 5)
    assert together[1, 2] == pytest.approx(bradley_terry(tables[1, 2]), abs=1e-6)


@pytest.mark.parametrize(
    "wins", [[[0, 5], [0, 0]], [[0, 3, 0], [3, 0, 0], [0, 0, 0]], [[0, 2, 1], [2, 0, 1], [0, 0, 0]]]
)
def test_without_finite_strengths_it_says_so(wins):
    with pytest.raises(ValueError, match="no finite strengths fit"):
        bradley_terry(np.array(wins))


def test_near_certainty_still_converges():
    wins = np.array([[0, 100_000, 1], [1, 0, 100_000], [1, 1, 0]])
    strengths = bradley_terry(wins)
    expected = (wins + wins.T) * expit(strengths[:, None] - strengths[None, :])
    np.fill_diagonal(expected, 0)
    assert expected.sum(axis=1) == pytest.approx(wins.sum(axis=1), rel=1e-4)


def test_two_methods_are_ranked_as_by_hand():
    """45 wins, 30 losses, 25 ties and the one tie that is added: odds of 58 to 43."""
    outcome = np.array([[1.0] * 45 + [-1.0] * 30 + [0.0] * 25])
    first, second = rank({("a", "b"): outcome}, anchor="b", seed=0)
    assert (first.name, first.rank, second.name, second.rank) == ("a", 1, "b", 2)
    assert first.elo.value == pytest.approx(400 * math.log10(58 / 43))
    assert (second.elo.value, second.elo.low, second.elo.high, second.elo.p) == (0.0, 0.0, 0.0, 1.0)
    assert first.elo.low < first.elo.value < first.elo.high


def test_verdicts_that_are_none_count_for_neither():
    outcome = np.array([[1.0] * 45 + [-1.0] * 30 + [0.0] * 25])
    gaps = np.concatenate([outcome, np.full((1, 40), np.nan)], axis=1)
    whole, holed = (rank({("a", "b"): table}, anchor="b", seed=0)[0].elo.value for table in (outcome, gaps))
    assert holed == pytest.approx(whole)


def test_swapping_the_names_of_a_pair_changes_nothing():
    outcomes = simulated([0.5, 0.2, 0.0])
    swapped = {(b, a): -table for (a, b), table in outcomes.items()}
    ours, theirs = (rank(o, anchor="c", seed=0, resamples=200) for o in (outcomes, swapped))
    assert [s.name for s in ours] == [s.name for s in theirs] == ["a", "b", "c"]
    for one, other in zip(ours, theirs, strict=True):
        assert one.elo.value == pytest.approx(other.elo.value, abs=1e-6)
        assert (one.elo.low, one.elo.high) == pytest.approx((other.elo.low, other.elo.high), abs=1e-4)


def test_known_strengths_lie_in_their_intervals_about_as_often_as_stated():
    strengths = np.array([0.6, 0.3, 0.1, 0.0])
    covered, tables = 0, 40
    for number in range(tables):
        standings = rank(
            simulated(strengths, ties=0.0, seed_effect=0.1, number=number), anchor="d", seed=number, resamples=200
        )
        for standing in standings:
            if standing.name != "d":
                truth = ELO * strengths[NAMES.index(standing.name)]
                covered += standing.elo.low <= truth <= standing.elo.high
    assert covered / (3 * tables) == pytest.approx(0.95, abs=0.05)


def test_ranks_are_ranges_where_methods_cannot_be_told_apart():
    standings = {s.name: s for s in rank(simulated([2.0, 0.0, 0.02, -2.0]), seed=0, resamples=300)}
    assert [(s.best, s.worst) for s in map(standings.get, "abcd")] == [(1, 1), (2, 3), (2, 3), (4, 4)]
    assert sorted(s.rank for s in standings.values()) == [1, 2, 3, 4]
    assert sum(s.elo.value for s in standings.values()) == pytest.approx(0, abs=1e-6), "without an anchor the mean is 0"


def test_equal_methods_share_all_ranks():
    standings = rank(simulated([0.0] * 4, ties=0.5), seed=0, resamples=300)
    assert {(s.best, s.worst) for s in standings} == {(1, 4)}


def test_who_wins_everything_stays_finite():
    standings = rank({("a", "b"): np.ones((2, 30)), ("b", "c"): np.zeros((2, 30))}, anchor="c", seed=0, resamples=100)
    assert standings[0].name == "a" and standings[0].elo.value == pytest.approx(400 * math.log10(30.5 / 0.5))
    assert math.isfinite(standings[0].elo.low) and math.isfinite(standings[0].elo.high)


@pytest.mark.parametrize(
    ("outcomes", "anchor", "problem"),
    [
        ({}, None, "outcomes"),
        ({("a", "b"): np.ones(3)}, None, "outcomes"),
        ({("a", "b"): np.ones((1, 3)), ("a", "c"): np.ones((1, 4))}, None, "one shape"),
        ({("a", "b"): np.ones((1, 3)), ("b", "a"): np.ones((1, 3))}, None, "a and b are there twice"),
        ({("a", "b"): np.ones((1, 3))}, "sft", "the anchor 'sft' has no verdicts"),
        ({("a", "b"): np.ones((1, 3)), ("c", "d"): np.ones((1, 3))}, None, "no verdict connects c, d with a"),
        ({("a", "b"): np.ones((1, 3)), ("b", "c"): np.full((1, 3), np.nan)}, None, "no verdict connects c with a"),
    ],
)
def test_what_cannot_be_ranked_is_refused(outcomes, anchor, problem):
    with pytest.raises(ValueError, match=problem):
        rank(outcomes, anchor=anchor, seed=0)


def test_strengths_do_not_depend_on_how_many_tables_are_worked_on_at_once(monkeypatch):
    wins = np.random.default_rng(0).integers(1, 20, (7, 3, 5, 5))
    start = bradley_terry(wins.mean(axis=0))
    whole = bradley_terry(wins, start=start)
    monkeypatch.setattr("alarm.evaluation.ranking.CHUNK", 50)
    assert np.array_equal(bradley_terry(wins, start=start), whole)
    alone = [[bradley_terry(table) for table in tables] for tables in wins]
    np.testing.assert_allclose(whole, alone, atol=1e-9)
