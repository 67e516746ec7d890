"""Intervals behind the claims: over seeds, over trainings that share seeds, of a ROC curve; and ALaRM's premise."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from alarm.report.claims.estimates import auc_estimate, contrast_estimate, seeds_estimate
from alarm.report.claims.evidence import NotOnRecord
from alarm.report.claims.premise import (
    DECILES,
    agreement_by_decile,
    gold_pairs,
    lower_minus_upper,
    lower_minus_upper_matched,
)
from alarm.reward_modeling.detection import detector
from tests.claim_runs import pool_record


def false_findings(draw, count: int = 400) -> float:
    """Share of simulations without an effect that are significant."""
    return float(np.mean([draw(np.random.default_rng([9, k])).p < 0.05 for k in range(count)]))


def test_without_other_runs_the_seeds_have_students_interval():
    differences = [1.0, 2.5, 0.5]
    found, expected = seeds_estimate(differences, []), ttest_1samp(differences, 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_other_runs_tell_how_much_seeds_differ():
    pooled = seeds_estimate([1.0, 1.1, 0.9], [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]])
    alone = seeds_estimate([1.0, 1.1, 0.9], [])
    assert pooled.value == alone.value and pooled.high - pooled.low > alone.high - alone.low
    # Variance 4 within runs, so 8 of a difference; three seeds, four degrees of freedom.
    assert pooled.high - pooled.value == pytest.approx(2.7764451 * np.sqrt(8 / 3))


def test_seeds_without_a_difference_are_rarely_significant():
    def draw(generator: np.random.Generator):
        runs = generator.normal(0, 1, (6, 3))
        return seeds_estimate(runs[0] - runs[1], runs)

    assert false_findings(draw) < 0.06


def test_a_contrast_is_free_of_what_a_seed_does_to_all_trainings():
    generator = np.random.default_rng(0)
    table = generator.normal(0, 0.1, (5, 3)) + np.array([0, 1, 1, 1, 1])[:, None]
    weights = [-1, 0.25, 0.25, 0.25, 0.25]
    found = contrast_estimate(table, weights)
    shifted = contrast_estimate(table + np.array([10.0, -5.0, 3.0]), weights)
    assert (found.value, found.low, found.p) == pytest.approx((shifted.value, shifted.low, shifted.p))
    assert found.value == pytest.approx(table[1:].mean() - table[0].mean()) and found.p < 1e-4
    two = contrast_estimate(table[:2], [-1, 1])
    assert two.p == pytest.approx(ttest_1samp(table[1] - table[0], 0).pvalue), "a paired t test for two trainings"


def test_contrasts_without_a_difference_are_significant_as_often_as_they_should():
    rate = false_findings(lambda g: contrast_estimate(g.normal(0, 1, (5, 3)) + g.normal(0, 1, 3), [-1] + [0.25] * 4))
    assert 0.02 < rate < 0.08


@pytest.mark.parametrize(
    "make", [lambda v: seeds_estimate(v, []), lambda v: contrast_estimate(np.array([v, v]), [1, -1])]
)
@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0, 1.0]])
def test_one_seed_or_equal_seeds_have_no_interval(make, values):
    with pytest.raises(NotOnRecord, match="for an interval"):
        make(values)


def test_the_area_under_the_curve_is_the_detectors_and_covers_the_truth():
    covered = []
    for k in range(60):
        generator = np.random.default_rng([3, k])
        wrong = generator.random(500) < 0.3
        # A prompt's ten pairs share half of their variance, as if ranked by a model that is wrong about the prompt.
        common = np.repeat(generator.standard_normal(50), 10)
        strength = (common + generator.standard_normal(500)) / np.sqrt(2) - wrong
        found = auc_estimate(strength.tolist(), wrong.tolist())
        covered.append(
            found.low <= 100 * (0.7602 - 0.5) <= found.high
        )  # the normal distribution function at 1 / sqrt(2)
    assert found.value == pytest.approx(100 * (detector(strength.tolist(), wrong.tolist())["auc"] - 0.5))
    assert np.mean(covered) > 0.88


def test_the_area_needs_both_kinds_of_labels():
    with pytest.raises(NotOnRecord, match="both wrong and right"):
        auc_estimate([0.1] * 60, [False] * 60)
    with pytest.raises(NotOnRecord, match="50 pairs"):
        auc_estimate([0.1] * 10, [False] * 10)


# The premise.


def test_agreement_is_counted_over_pairs_of_one_prompt():
    pool = pool_record("wmt", prompts=20, k=4)
    pairs = gold_pairs(pool)
    gold, reward = np.array(pool.scores["gold"]), np.array(pool.scores["holistic"])
    expected = [
        (gold[p, i] > gold[p, j]) == (reward[p, i] > reward[p, j])
        for p in range(20)
        for i, j in combinations(range(4), 2)
    ]
    assert pairs.agrees.tolist() == [float(value) for value in expected]
    levels = [gold[p, [i, j]].mean() for p in range(20) for i, j in combinations(range(4), 2)]
    assert np.bincount(pairs.decile).tolist() == [12] * DECILES
    assert max(np.array(levels)[pairs.decile == 0]) <= min(np.array(levels)[pairs.decile == 1])


def test_equal_gold_is_left_out_and_an_equal_reward_counts_half():
    pool = replace(pool_record("wmt"), scores={"gold": [[0.1, 0.1, 0.5]] * 10, "holistic": [[3.0, 1.0, 1.0]] * 10})
    assert gold_pairs(pool).agrees.tolist() == [0.0, 0.5] * 10


def test_a_premise_that_is_true_is_found_and_one_that_is_not_is_not():
    true, false = (gold_pairs(pool_record("wmt", lower=0.9, upper=upper)) for upper in (0.6, 0.9))
    found = lower_minus_upper(true)
    low, high = ([share.value for share in agreement_by_decile(true)][half] for half in (slice(0, 5), slice(5, 10)))
    assert found.value == pytest.approx(np.mean(low) - np.mean(high)) and found.low > 10
    assert lower_minus_upper(false).p > 0.05


def test_where_gold_differs_less_among_good_responses_the_matched_effect_says_so():
    generator = np.random.default_rng(2)
    good = (np.arange(200) % 2)[:, None]
    gold = 0.5 * good + generator.uniform(0, 1, (200, 6)) * np.where(good, 0.1, 0.4)
    reward = gold + 0.1 * generator.standard_normal(gold.shape)  # equally reliable everywhere
    pool = replace(pool_record("wmt"), scores={"gold": gold.tolist(), "holistic": reward.tolist()})
    plain, matched = lower_minus_upper(gold_pairs(pool)), lower_minus_upper_matched(gold_pairs(pool))
    assert plain.value > 10 and plain.p < 0.001
    assert abs(matched.value) < plain.value / 3


def test_without_gold_there_is_no_premise():
    pool = pool_record("wmt")
    assert gold_pairs(replace(pool, scores={"holistic": pool.scores["holistic"]})) is None
    assert gold_pairs(replace(pool, scores={**pool.scores, "gold": [[0.5] * 6] * 80})) is None
