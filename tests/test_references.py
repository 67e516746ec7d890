"""Reference levels: the strategies by hand, and what is said about settings that cannot work."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.references import REFERENCE_STRATEGIES, check, levels_of
from alarm.registry import UnknownNameError
from alarm.settings import ReferenceSettings

SETTINGS = ReferenceSettings(canned_response="I cannot say.", constant=0.25)
REWARDS = [[3.0, 1.0, 2.0, 4.0], [0.0, 0.0, 0.0, 10.0]]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        # The .85 quantile of four values lies at 0.85 * 3 = 2.55 of the way from the lowest to the highest.
        ("quantile", [3 + 0.55 * 1, 0 + 0.55 * 10]),
        ("mean", [2.5, 2.5]),
        ("canned", [-1.0, 7.0]),
        ("constant", [0.25, 0.25]),
    ],
)
def test_strategies_by_hand(strategy, expected):
    settings = replace(SETTINGS, strategy=strategy)
    np.testing.assert_allclose(levels_of(REWARDS, settings, canned=[-1.0, 7.0]), expected)


def test_every_strategy_is_tested():
    assert set(REFERENCE_STRATEGIES) == {"quantile", "mean", "canned", "constant"}


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=9), st.floats(0, 1), st.floats(-5, 5))
def test_levels_shift_with_the_rewards_and_lie_among_them(rewards, quantile, shift):
    for strategy in ("quantile", "mean"):
        settings = replace(SETTINGS, strategy=strategy, quantile=quantile)
        (level,) = levels_of([rewards], settings)
        assert min(rewards) - 1e-9 <= level <= max(rewards) + 1e-9
        assert levels_of([np.array(rewards) + shift], settings)[0] == pytest.approx(level + shift, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"strategy": "quantil"}, "unknown reference strategy 'quantil'. Did you mean 'quantile'"),
        ({"quantile": 1.5}, "between 0 and 1, got 1.5"),
        ({"strategy": "canned", "canned_response": ""}, "needs a canned_response"),
        ({"strategy": "constant", "constant": math.inf}, "must be finite"),
    ],
)
def test_bad_settings_are_one_sentence(changes, problem):
    with pytest.raises(ValueError, match=problem):
        check(replace(SETTINGS, **changes))


def test_bad_rewards_are_one_sentence():
    with pytest.raises(ValueError, match="finite rewards"):
        levels_of([[1.0, math.nan]], SETTINGS)
    with pytest.raises(ValueError, match=r"shape \(2, 0\)"):
        levels_of([[], []], SETTINGS)
    with pytest.raises(ValueError, match="reward of the canned response for every prompt"):
        levels_of(REWARDS, replace(SETTINGS, strategy="canned"))
    with pytest.raises(UnknownNameError):
        levels_of(REWARDS, replace(SETTINGS, strategy="median"))
