"""The bootstrap, Holm's correction and verdicts: properties, slow loops, what scipy computes, and malformed input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alarm.evaluation.errors import Errors
from alarm.evaluation.seeds import SeedSpread, seed_spread
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


def slow_rates(data, resamples, seed):
    """[R, S], the rate of each seed over the resampled prompts, one prompt at a time."""
    prompts = data.shape[1]
    rates = []
    for drawn in np.random.default_rng(seed).integers(prompts, size=(resamples, prompts)):
        row = []
        for outcome in data:
            won = sum(outcome[p] == 1 for p in drawn)
            lost = sum(outcome[p] == -1 for p in drawn)
            row.append(100 * won / (won + lost) if won + lost else 50)
        rates.append(row)
    return np.array(rates)


def test_one_seed_is_the_percentile_bootstrap_widened_for_few_prompts():
    data = table(1, 30)
    drawn = slow_rates(data, 200, seed=4)[:, 0]
    rate = 100 * (data == 1).sum() / (data != 0).sum()
    wider = math.sqrt(30 / 29) * stats.t.ppf(0.975, 29) / stats.norm.ppf(0.975)
    estimate = bootstrap_win_rate([data], seed=4, resamples=200)
    assert estimate.value == pytest.approx(rate)
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert (estimate.low, estimate.high) == pytest.approx((rate - wider * (rate - low), rate + wider * (high - rate)))


def test_several_seeds_add_their_spread_to_what_prompts_do_in_all_of_them():
    data = table(3, 25, win=0.7, generator=np.random.default_rng(3))
    drawn = slow_rates(data, 200, seed=4)
    rates = np.array([100 * (row == 1).sum() / (row != 0).sum() for row in data])
    value, means = rates.mean(), drawn.mean(axis=1)
    pairs = [np.cov(drawn[:, a], drawn[:, b])[0, 1] for a, b in ((0, 1), (0, 2), (1, 2))]
    shared = max(0.0, np.mean(pairs)) / means.var(ddof=1)
    seeds = stats.t.ppf(0.975, 2) * rates.std(ddof=1) / math.sqrt(3)
    wider = math.sqrt(25 / 24) * stats.t.ppf(0.975, 24) / stats.norm.ppf(0.975)
    below = wider * (value - np.percentile(means, 2.5))
    estimate = bootstrap_win_rate([data], seed=4, resamples=200)
    assert estimate.value == pytest.approx(value)
    assert estimate.low == pytest.approx(value - math.sqrt(seeds**2 + shared * below**2), rel=1e-6)


def test_without_prompt_effects_it_is_scipys_t_test_over_seeds():
    """Antithetic prompts: what they do, they do to each seed apart, so the seeds' means alone count."""
    generator = np.random.default_rng(0)
    half = generator.normal(size=(4, 100))
    half -= half.mean(axis=0)
    data = half + np.array([[0.1], [0.3], [0.2], [0.5]])
    test = stats.ttest_1samp(data.mean(axis=1), 0)
    interval = test.confidence_interval(0.95)
    estimate = bootstrap_mean(data, seed=0)
    assert estimate.p == pytest.approx(test.pvalue, rel=1e-3)
    assert (estimate.low, estimate.high) == pytest.approx((interval.low, interval.high), rel=1e-3)


def test_one_seed_agrees_with_scipys_paired_t_test_and_bootstrap():
    data = np.random.default_rng(1).normal(0.15, 1, (1, 150))
    estimate = bootstrap_mean(data, seed=0)
    assert estimate.p == pytest.approx(stats.ttest_1samp(data[0], 0).pvalue, rel=0.1)
    theirs = stats.bootstrap(data, np.mean, method="percentile", rng=np.random.default_rng(2))
    ends = theirs.confidence_interval
    assert (estimate.low, estimate.high) == pytest.approx((ends.low, ends.high), abs=0.012)


@given(st.integers(0, 200), st.floats(-1, 1), st.integers(1, 4))
def test_the_interval_leaves_out_the_null_exactly_where_p_is_small(number, shift, seeds):
    data = np.random.default_rng(number).normal(shift, 1, (seeds, 12))
    estimate = bootstrap_mean(data, seed=0, resamples=200)
    assert (estimate.p < 0.05) == (not estimate.low <= 0 <= estimate.high)


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


def test_few_decided_prompts_are_never_surer_than_as_many_coins():
    """Four prompts won and 56 tied: every resample that decides anything says 100 %."""
    data = np.zeros((2, 60))
    data[:, :4] = 1
    estimate = bootstrap_win_rate([data], seed=0)
    assert estimate.value == 100 and estimate.p == stats.binomtest(4, 4).pvalue
    one = bootstrap_mean(np.array([[0.3], [0.4]]), seed=0)
    assert (one.low, one.high, one.p) == (-math.inf, math.inf, 1.0)


def test_seeds_are_clusters():
    """One seed that wins everything while two lose mildly: prompts alone would call it certain, seeds do not."""
    data = np.stack([np.ones(200), table(1, 200, win=0.45)[0], table(1, 200, win=0.45)[0]])
    pooled = bootstrap_win_rate([data.reshape(1, -1)], seed=0)
    clustered = bootstrap_win_rate([data], seed=0)
    assert pooled.p < 0.01 < 0.05 < clustered.p
    assert clustered.high - clustered.low > 2 * (pooled.high - pooled.low)


def test_a_known_spread_of_seeds_sharpens_what_three_seeds_say():
    data = np.random.default_rng(1).normal(0.3, 1, (3, 100))
    alone, calm, wild = (
        bootstrap_mean(data, seed=0, spread=spread)
        for spread in (None, SeedSpread(1.0, 100, 40), SeedSpread(30.0, 100, 40))
    )
    assert calm.p < alone.p and calm.high - calm.low < alone.high - alone.low
    assert wild.p > calm.p and wild.value == calm.value == alone.value
    assert wild.errors.seeds_df == 40 and alone.errors.seeds_df == 2


def test_seeds_that_differ_more_than_others_do_are_not_made_calm_by_the_others():
    data = np.random.default_rng(2).normal(0, 1, (3, 100)) + np.array([[-2.0], [0.0], [3.0]])
    alone, among = (bootstrap_mean(data, seed=0, spread=spread) for spread in (None, SeedSpread(1.0, 100, 40)))
    assert among.errors.seeds == pytest.approx(alone.errors.seeds) and among.errors.seeds_df == 40


def test_the_pooled_spread_is_the_mean_f_statistic_of_seeds():
    """Against an F statistic from sums of squares, and against what the simulation put in."""
    generator = np.random.default_rng(0)
    tables = [0.2 * generator.normal(size=(3, 1)) + generator.normal(size=(3, 100)) for _ in range(400)]
    x = tables[0]
    rows, columns = x.mean(axis=1), x.mean(axis=0)
    between = sum(100 * (row - x.mean()) ** 2 for row in rows) / 2
    within = sum((x[s, p] - rows[s] - columns[p] + x.mean()) ** 2 for s in range(3) for p in range(100)) / 198
    one, pooled = seed_spread(tables[:1]), seed_spread(tables)
    assert one.factor == pytest.approx(between / within) and one.df == 2
    assert pooled.factor == pytest.approx(1 + 100 * 0.04, rel=0.15) and pooled.df == 800
    assert pooled.at(100) == pytest.approx(pooled.factor) and pooled.at(50) == pytest.approx(
        1 + (pooled.factor - 1) / 2
    )
    assert SeedSpread(0.2, 100, 4).at(100) == 1.0
    assert seed_spread([np.ones((1, 5)), np.ones((3, 5)), np.zeros((0, 0))]) is None


def test_half_widths_of_one_source_are_student_t():
    seeds_only = Errors(2.0, 4, 0.0, 0.0, 1.0, 50)
    prompts_only = Errors(0.0, 0, 1.0, 3.0, 1.0, 50)
    assert seeds_only.half_width(0.05, upward=True) == pytest.approx(2 * stats.t.ppf(0.975, 4))
    assert prompts_only.half_width(0.1, upward=False) == pytest.approx(stats.t.ppf(0.95, 50))
    assert prompts_only.p_value(-3.0) == pytest.approx(2 * stats.t.sf(1, 50), rel=1e-5)
    assert seeds_only.p_value(5.0) == pytest.approx(2 * stats.t.sf(2.5, 4), rel=1e-5)


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
