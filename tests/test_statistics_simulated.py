"""Error rates by simulation: under no difference the tests reject as often as they say, whatever seeds do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from alarm.evaluation.effects import minimum_detectable_difference, sign_test
from alarm.evaluation.seeds import seed_spread
from alarm.evaluation.statistics import bootstrap_mean, bootstrap_win_rate, holm

COMPARISONS, RESAMPLES = 500, 400
LOW, HIGH = stats.binom.ppf([0.001, 0.999], COMPARISONS, 0.05)
"""The band in which 500 tests at 5 % reject under no difference, all but twice in a thousand times: 11 to 41."""
MODELS = {
    "one seed": (1, 0.0, 0.5),
    "seeds alike": (3, 0.0, 0.0),
    "seeds alike, prompts differ": (3, 0.0, 0.5),
    "seeds differ a little": (3, 0.1, 0.0),
    "seeds differ": (3, 0.3, 0.5),
    "two seeds differ": (2, 0.3, 0.5),
}
"""Seeds, and the standard deviations of what a seed does to all its prompts and of what a prompt does in all seeds; a
single response has 1. With 200 prompts, 0.1 is what the seeds of real runs show."""


def scores(generator, seeds, by_seed, by_prompt, prompts=200):
    return (
        by_seed * generator.normal(size=(seeds, 1))
        + by_prompt * generator.normal(size=(1, prompts))
        + generator.normal(size=(seeds, prompts))
    )


def outcomes(differences):
    """About half the prompts tied, as greedy responses to the same prompt often are the same."""
    return np.where(np.abs(differences) < 0.7, 0, np.sign(differences))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_under_no_difference_few_are_found(model):
    generator = np.random.default_rng(5)
    rejected = {"mean": 0, "win rate": 0, "mean, pooled": 0, "win rate, pooled": 0}
    for number in range(COMPARISONS):
        data = scores(generator, *MODELS[model])
        pooled = seed_spread([data, *(scores(generator, *MODELS[model]) for _ in range(7))])
        for name, spread in (("", None), (", pooled", pooled)):
            options = {"seed": number, "resamples": RESAMPLES, "spread": spread}
            rejected["mean" + name] += bootstrap_mean(data, **options).p < 0.05
            rejected["win rate" + name] += bootstrap_win_rate([outcomes(data)], **options).p < 0.05
    assert max(rejected.values()) <= HIGH, rejected
    if model in ("one seed", "seeds differ a little"):
        assert min(rejected["mean"], rejected["win rate"]) >= LOW, "where one source counts the level is exact"


def test_the_sign_test_holds_for_the_seeds_at_hand_and_no_others():
    generator = np.random.default_rng(6)
    alike = [scores(generator, 3, 0.0, 0.5) for _ in range(COMPARISONS)]
    apart = [scores(generator, 3, 0.3, 0.5) for _ in range(COMPARISONS)]
    rejected = [sum(sign_test(outcomes(data)).p < 0.05 for data in sample) for sample in (alike, apart)]
    assert LOW <= rejected[0] <= HIGH
    assert rejected[1] > 3 * HIGH, "why its docstring sends readers to the bootstrap"


@pytest.mark.slow
def test_a_table_of_methods_seldom_holds_a_false_finding():
    """Eight methods without any difference, all pairs, Holm: at most about 5 % of such tables show a bold cell."""
    generator = np.random.default_rng(7)
    tables = 100
    false = 0
    for number in range(tables):
        runs = [scores(generator, 3, 0.15, 0.2) for _ in range(8)]
        spread = seed_spread(runs)
        pairs = itertools.combinations(runs, 2)
        p = [bootstrap_mean(a - b, seed=number, resamples=RESAMPLES, spread=spread).p for a, b in pairs]
        false += min(holm(p)) < 0.05
    assert false <= stats.binom.ppf(0.999, tables, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "by_seed"), [(1, 0.0), (3, 0.1)])
def test_power_at_the_minimum_detectable_difference_is_about_four_fifths(seeds, by_seed):
    generator = np.random.default_rng(8)
    sample, found = 300, 0
    for number in range(sample):
        runs = [scores(generator, seeds, by_seed, 0.3) for _ in range(10)]
        options = {"seed": number, "resamples": RESAMPLES, "spread": seed_spread(runs)}
        smallest = minimum_detectable_difference(bootstrap_mean(runs[0], **options))
        found += bootstrap_mean(scores(generator, seeds, by_seed, 0.3) + smallest, **options).p < 0.05
    assert found / sample == pytest.approx(0.8, abs=0.08)
