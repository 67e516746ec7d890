"""Win rates: properties, hand-worked values, and the stated outcomes of ties and NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.evaluation.win_rates import WinRate, outcomes, spread, win_rate

scores = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=30)


@given(scores)
def test_win_rates_of_both_sides_sum_to_100(pairs):
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    forward, backward = win_rate(a, b), win_rate(b, a)
    assert forward.rate + backward.rate == pytest.approx(100)
    assert (forward.wins, forward.losses, forward.ties) == (backward.losses, backward.wins, backward.ties)
    assert forward.wins + forward.losses + forward.ties == len(pairs)


@given(scores)
def test_reversing_the_direction_reverses_the_rate(pairs):
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    assert win_rate(a, b, higher_is_better=False) == win_rate(b, a)


@given(scores, st.randoms(use_true_random=False))
def test_order_of_prompts_and_ties_do_not_matter(pairs, random):
    shuffled = [*random.sample(pairs, len(pairs)), (1, 1)]
    before = win_rate([p[0] for p in pairs], [p[1] for p in pairs])
    after = win_rate([p[0] for p in shuffled], [p[1] for p in shuffled])
    assert after.rate == before.rate and after.ties == before.ties + 1


def test_hand_worked_values():
    assert win_rate([1, 2, 3, 4], [0, 3, 3, 1]) == WinRate(wins=2, losses=1, ties=1)
    assert win_rate([1, 2, 3, 4], [0, 3, 3, 1]).rate == pytest.approx(66.6667, abs=1e-4)
    assert win_rate([1.0, 1.0], [1.0, 1.0]).to_dict() == {"wins": 0, "losses": 0, "ties": 2, "rate": 50.0}
    assert win_rate([], []).rate == 50.0
    assert win_rate([0.0, 0.1], [0.2, 0.3], higher_is_better=False).rate == 100.0, "fewer errors win"
    assert win_rate([math.inf, -math.inf], [0.0, 0.0]).rate == 50.0


def test_nan_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="1 of 2 pairs have a NaN score"):
        win_rate([1.0, math.nan], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        outcomes([1, 2], [1, 2, 3])


def test_spread_uses_the_sample_standard_deviation_and_none_for_one_seed():
    result = spread([1.0, 2.0, 4.0])
    assert (result.mean, result.count) == (pytest.approx(7 / 3), 3)
    assert result.sd == pytest.approx(np.sqrt(7 / 3), rel=1e-12)
    assert spread([5.0]).sd is None
    with pytest.raises(ValueError, match="at least one seed"):
        spread([])
