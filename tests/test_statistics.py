"""The bootstrap, Holm's correction and verdicts: properties, a slow loop, and error rates under the null."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.evaluation.statistics import (
    OPPOSITE,
    SAME,
    UNDECIDED,
    bootstrap_mean,
    bootstrap_win_rate,
    holm,
    verdict,
)

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def table(seeds, prompts, win=0.5, tie=0.2, generator=None):
    generator = generator or np.random.default_rng(0)
    drawn = generator.random((seeds, prompts))
    return np.where(drawn < tie, 0, np.where(drawn < tie + (1 - tie) * win, 1, -1)).astype(np.int8)


def test_the_estimate_is_what_a_slow_loop_over_the_same_draws_gives():
    data = table(3, 7)
    resamples = 50
    generator = np.random.default_rng(4)
    seeds = [np.bincount(drawn, minlength=3) for drawn in generator.integers(3, size=(resamples, 2))]
    prompts = [np.bincount(drawn, minlength=7) for drawn in generator.integers(7, size=(resamples, 7))]

    def rate(prompt_counts, seed_counts):
        total = 0.0
        for s in range(3):
            won = sum(prompt_counts[p] for p in range(7) if data[s, p] == 1)
            lost = sum(prompt_counts[p] for p in range(7) if data[s, p] == -1)
            total += seed_counts[s] * (100 * won / (won + lost) if won + lost else 50)
        return total / sum(seed_counts)

    drawn = np.array([rate(prompts[r], seeds[r]) for r in range(resamples)])
    estimate = bootstrap_win_rate([data], seed=4, resamples=resamples)
    assert estimate.value == pytest.approx(rate([1] * 7, [1] * 3))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    beyond = min((drawn <= 50).sum(), (drawn >= 50).sum())
    assert estimate.p == pytest.approx(min(1, 2 * (beyond + 1) / (resamples + 1)))


def test_the_value_is_the_mean_of_the_rates_of_the_seeds():
    data = np.array([[1, 1, -1, 0], [1, -1, -1, -1], [0, 0, 0, 0]])
    assert bootstrap_win_rate([data], seed=0, resamples=10).value == pytest.approx((200 / 3 + 25 + 50) / 3)
    assert bootstrap_win_rate([data, -data], seed=0, resamples=10).value == pytest.approx(50)


def test_swapping_sides_mirrors_the_estimate():
    data = table(3, 60, win=0.6)
    forward, backward = (bootstrap_win_rate([d], seed=1) for d in (data, -data))
    assert (forward.value, forward.low, forward.high) == pytest.approx(
        (100 - backward.value, 100 - backward.high, 100 - backward.low)
    )
    assert forward.p == pytest.approx(backward.p)


def test_the_same_seed_gives_the_same_numbers():
    data = table(3, 60)
    assert bootstrap_win_rate([data], seed=1) == bootstrap_win_rate([data], seed=1)
    assert bootstrap_win_rate([data], seed=1) != bootstrap_win_rate([data], seed=2)


def test_clear_effects_are_found_and_none_is_not():
    assert bootstrap_win_rate([np.ones((2, 20))], seed=0).p < 0.001
    assert bootstrap_win_rate([np.zeros((2, 20))], seed=0).p == 1.0
    assert bootstrap_mean(np.full((3, 5), 0.1), seed=0).low == pytest.approx(0.1)
    assert bootstrap_mean(np.zeros((3, 5)), seed=0).p == 1.0


def test_seeds_are_clusters():
    """One seed that wins everything while two lose mildly: prompts alone would call it certain, seeds do not."""
    data = np.stack([np.ones(200), table(1, 200, win=0.45)[0], table(1, 200, win=0.45)[0]])
    pooled = bootstrap_win_rate([data.reshape(1, -1)], seed=0)
    clustered = bootstrap_win_rate([data], seed=0)
    assert pooled.p < 0.01 < 0.05 < clustered.p
    assert clustered.high - clustered.low > 2 * (pooled.high - pooled.low)


def test_the_null_is_rejected_about_as_often_as_stated():
    generator = np.random.default_rng(7)
    tables = [table(3, 100, generator=generator) for _ in range(200)]
    rejected = sum(bootstrap_win_rate([t], seed=i, resamples=400).p < 0.05 for i, t in enumerate(tables))
    assert rejected <= 20, "twice the nominal 5 % of 200"


@given(p_lists)
def test_holm_is_monotone_and_never_smaller(p_values):
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)
    assert max(adjusted) <= min(1.0, len(p_values) * max(p_values))


def test_holm_hand_worked():
    assert holm([0.01, 0.02, 0.03, 0.5]) == pytest.approx([0.04, 0.06, 0.06, 0.5])
    assert holm([0.5]) == [0.5]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("measured", "p", "published", "sd", "expected"),
    [
        (55, 0.01, 52, 1, SAME),
        (45, 0.01, 48, 1, SAME),
        (45, 0.01, 52, 1, OPPOSITE),
        (55, 0.01, 48, 1, OPPOSITE),
        (55, 0.05, 52, 1, UNDECIDED),
        (55, 0.01, 50.3, 1, UNDECIDED),
        (55, 0.01, 50, 0, UNDECIDED),
        (55, float("nan"), 52, 0, UNDECIDED),
    ],
)
def test_verdicts(measured, p, published, sd, expected):
    assert verdict(measured, p, published, published_sd=sd) == expected


def test_verdicts_on_differences_use_their_own_null():
    assert verdict(-0.1, 0.01, -0.02, null=0.0) == SAME
    assert verdict(0.1, 0.01, -0.02, null=0.0) == OPPOSITE


@pytest.mark.parametrize("bad", [[], [np.zeros(3)], [np.zeros((0, 3))], [np.zeros((1, 2)), np.zeros((1, 3))]])
def test_malformed_tables_are_refused(bad):
    with pytest.raises(ValueError, match="seeds x prompts"):
        bootstrap_win_rate(bad, seed=0)
    with pytest.raises(ValueError, match="complete tables"):
        bootstrap_mean(np.array([[np.nan, 1.0]]), seed=0)
