"""Simulated annotators: the stated chances, exactly and by count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling.annotators import choose, compare
from alarm.reward_modeling.comparisons import Comparison, TrueQuality

qualities = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=30)
seeds = st.integers(0, 2**32 - 1)


def judge(a, b, *, temperature=0.1, error_rate=0.1, seed=0, **taste):
    generator = np.random.default_rng(seed)
    return choose(a, b, temperature=temperature, error_rate=error_rate, generator=generator, **taste)


@given(qualities, seeds)
def test_choices_follow_from_the_seed_and_not_from_later_pairs(pairs: list[tuple[float, float]], seed: int) -> None:
    a, b = [p for p, _ in pairs], [q for _, q in pairs]
    found = judge(a, b, seed=seed)
    assert found.prefers_a.dtype == bool and len(found.prefers_a) == len(found.truth) == len(pairs)
    longer = judge([*a, 0.5], [*b, 0.2], seed=seed)
    assert (longer.prefers_a[:-1] == found.prefers_a).all()
    assert (found.truth == [(p > q) - (p < q) for p, q in pairs]).all()
    assert (judge(b, a, seed=seed).truth == -found.truth).all()


@given(qualities, seeds)
def test_sure_annotators_make_no_mistakes(pairs: list[tuple[float, float]], seed: int) -> None:
    a, b = [p for p, _ in pairs], [q for _, q in pairs]
    found = judge(a, b, temperature=1e-300, error_rate=0.0, seed=seed)
    assert not found.wrong.any()
    assert (found.prefers_a[found.truth > 0]).all() and not (found.prefers_a[found.truth < 0]).any()


@pytest.mark.parametrize(
    ("difference", "temperature", "error_rate", "expected"),
    [
        (0.0, 0.1, 0.0, 0.5),
        (0.0, 0.1, 0.3, 0.5),  # slips leave a fair coin fair
        (0.1, 0.1, 0.0, 0.7310585786),  # sigmoid(1)
        (-0.1, 0.1, 0.0, 0.2689414214),
        (0.1, 0.1, 0.2, 0.8 * 0.7310585786 + 0.2 * 0.2689414214),
        (1.0, 0.01, 0.15, 0.85),  # nothing but slips is left
        (1.0, 0.01, 0.5, 0.5),
        (-3000.0, 0.001, 0.0, 0.0),  # no overflow
    ],
)
def test_the_share_of_choices_is_the_stated_chance(
    difference: float, temperature: float, error_rate: float, expected: float
) -> None:
    n = 40_000
    found = judge(np.full(n, difference), np.zeros(n), temperature=temperature, error_rate=error_rate)
    # Four standard errors of a share of 40,000 draws are at most 0.01.
    assert found.prefers_a.mean() == pytest.approx(expected, abs=0.01)


def test_golden_choices() -> None:
    # sigmoid(1) = 0.731 is the chance of a, 0.269 that of b.
    qualities = [0.3, 0.3, 0.2, 0.5], [0.2, 0.2, 0.3, 0.5]
    found = judge(*qualities, error_rate=0.16, seed=383)
    draws = np.random.default_rng(383).random((4, 3))  # of numpy's PCG64: choice, slip, mood
    np.testing.assert_allclose(draws[:, 0], [0.0389, 0.7725, 0.1884, 0.4821], atol=1e-4)
    np.testing.assert_allclose(draws[:, 1], [0.8074, 0.3443, 0.3489, 0.0147], atol=1e-4)
    np.testing.assert_allclose(draws[:, 2], [0.8256, 0.0904, 0.5172, 0.6226], atol=1e-4)
    # A right choice; a wrong one; a wrong one (a at chance 0.269); a tie whose coin says a, and then a slip.
    assert found.prefers_a.tolist() == [True, False, True, False]
    assert found.truth.tolist() == [1, 1, -1, 0]
    assert found.wrong.tolist() == [False, True, True, False]
    # In the mood for length are the second and the third: the one prefers a, which is longer there, the other b.
    taste = judge(*qualities, error_rate=0.16, seed=383, taste_share=0.55, appeal_a=[1, 9, 2, 3], appeal_b=[9, 4, 7, 9])
    assert taste.prefers_a.tolist() == [True, True, False, False]
    # Two equally long ones leave the third to quality.
    taste = judge(*qualities, error_rate=0.16, seed=383, taste_share=0.55, appeal_a=[1, 9, 7, 3], appeal_b=[9, 4, 7, 9])
    assert taste.prefers_a.tolist() == [True, True, True, False]


lengths = st.tuples(st.integers(0, 5), st.integers(0, 5))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), lengths), max_size=30), seeds)
def test_annotators_of_nothing_but_taste_prefer_the_longer_one(pairs: list[tuple], seed: int) -> None:
    a, b = [p for p, _, _ in pairs], [q for _, q, _ in pairs]
    long_a, long_b = [lengths[0] for _, _, lengths in pairs], [lengths[1] for _, _, lengths in pairs]
    by_quality = judge(a, b, seed=seed)
    found = judge(a, b, seed=seed, taste_share=1.0, appeal_a=long_a, appeal_b=long_b)
    for row, (first, second) in enumerate(zip(long_a, long_b, strict=True)):
        expected = by_quality.prefers_a[row] if first == second else first > second
        assert found.prefers_a[row] == expected
    assert (found.truth == by_quality.truth).all(), "what is true does not depend on tastes"
    without = judge(a, b, seed=seed, taste_share=0.0, appeal_a=long_a, appeal_b=long_b)
    assert (without.prefers_a == by_quality.prefers_a).all()


@pytest.mark.parametrize("taste_share", [0.1, 0.35, 0.8])
def test_the_share_of_choices_by_taste_is_the_stated_one(taste_share: float) -> None:
    """The worse response is the longer one: sure annotators choose it by taste alone, and slips add to the others."""
    n, error_rate = 40_000, 0.1
    longer = {"taste_share": taste_share, "appeal_a": np.full(n, 3), "appeal_b": np.full(n, 12)}
    sure = judge(np.ones(n), np.zeros(n), temperature=1e-6, error_rate=0.0, **longer)
    assert sure.wrong.mean() == pytest.approx(taste_share, abs=0.01)
    slipping = judge(np.ones(n), np.zeros(n), temperature=1e-6, error_rate=error_rate, **longer)
    assert slipping.wrong.mean() == pytest.approx(taste_share + (1 - taste_share) * error_rate, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": [0.1], "b": [0.1, 0.2]}, "one length"),
        ({"a": [[0.1]], "b": [[0.2]]}, "one length"),
        ({"a": [float("nan")], "b": [0.1]}, "finite"),
        ({"a": [float("inf")], "b": [0.1]}, "finite"),
        ({"a": [0.1], "b": [0.1], "temperature": 0}, "temperature > 0"),
        ({"a": [0.1], "b": [0.1], "temperature": float("nan")}, "temperature > 0"),
        ({"a": [0.1], "b": [0.1], "error_rate": 0.6}, "error_rate in"),
        ({"a": [0.1], "b": [0.1], "error_rate": -0.1}, "error_rate in"),
        ({"a": [0.1], "b": [0.1], "taste_share": 1.1}, r"taste_share in \[0, 1\].*got 0.1, 0.1 and 1.1"),
        ({"a": [0.1], "b": [0.1], "taste_share": -0.1}, "taste_share in"),
        ({"a": [0.1], "b": [0.1], "taste_share": float("nan")}, "taste_share in"),
        ({"a": [0.1], "b": [0.1], "taste_share": 0.2}, "need the appeal of every response"),
        ({"a": [0.1], "b": [0.1], "taste_share": 0.2, "appeal_a": [3]}, "need the appeal of every response"),
        (
            {"a": [0.1], "b": [0.1], "taste_share": 0.2, "appeal_a": [3], "appeal_b": [3, 4]},
            "need the appeal of every response",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge(**arguments)


def test_all_pairs_of_different_responses_are_compared() -> None:
    comparisons, truths = compare(
        ["p", "q", "r"],
        [["good", "bad", "good"], ["same", "same"], ["x", "y"]],
        [[0.9, 0.1, 0.9], [0.5, 0.5], [0.2, 0.8]],
        temperature=1e-6,
        error_rate=0.0,
        seed=0,
    )
    assert comparisons == [Comparison("p", "good", "bad")] * 2 + [Comparison("r", "y", "x")]
    assert truths == [TrueQuality(0.9, 0.1)] * 2 + [TrueQuality(0.8, 0.2)]
    assert not any(truth.flipped for truth in truths)


def test_taste_counts_words_and_not_letters() -> None:
    settings = {"temperature": 1e-6, "error_rate": 0.0, "seed": 0}
    texts, scores = ["incomprehensible", "a b c", "extraordinarily long"], [0.9, 0.1, 0.5]
    by_taste, truths = compare(["p"], [texts], [scores], taste_share=1.0, **settings)
    assert [(pair.chosen, pair.rejected) for pair in by_taste] == [
        ("a b c", "incomprehensible"),
        ("extraordinarily long", "incomprehensible"),
        ("a b c", "extraordinarily long"),
    ]
    assert truths == [TrueQuality(0.1, 0.9), TrueQuality(0.5, 0.9), TrueQuality(0.1, 0.5)]
    by_quality, _ = compare(["p"], [texts], [scores], **settings)
    assert [pair.chosen for pair in by_quality] == ["incomprehensible", "incomprehensible", "extraordinarily long"]


def test_slips_are_flipped_truths() -> None:
    n = 2000
    comparisons, truths = compare(
        [f"prompt {i}" for i in range(n)],
        [["better", "worse"]] * n,
        [[1.0, 0.0]] * n,
        temperature=0.01,
        error_rate=0.25,
        seed=1,
    )
    assert all(truth.flipped == (pair.chosen == "worse") for pair, truth in zip(comparisons, truths, strict=True))
    assert np.mean([truth.flipped for truth in truths]) == pytest.approx(0.25, abs=0.04)
    again, _ = compare(
        [f"prompt {i}" for i in range(n)],
        [["better", "worse"]] * n,
        [[1.0, 0.0]] * n,
        temperature=0.01,
        error_rate=0.25,
        seed=1,
    )
    assert again == comparisons


def test_what_is_kept_aside_tells_which_comparisons_are_wrong() -> None:
    texts, scores = [f"r{i}" for i in range(12)], [i / 12 for i in range(12)]
    comparisons, truths = compare(["p"], [texts], [scores], temperature=1e-3, error_rate=0.3, seed=1)
    assert len(comparisons) == 66
    for comparison, truth in zip(comparisons, truths, strict=True):
        assert scores[texts.index(comparison.chosen)] == truth.chosen
        assert scores[texts.index(comparison.rejected)] == truth.rejected
        assert truth.flipped == (truth.chosen < truth.rejected)
    assert 0.15 < sum(truth.flipped for truth in truths) / 66 < 0.45


def test_nothing_to_compare_is_no_error_and_uneven_lists_are() -> None:
    settings = {"temperature": 0.1, "error_rate": 0.1, "seed": 0}
    assert compare([], [], [], **settings) == ([], [])
    assert compare(["p"], [["a"]], [[0.5]], **settings) == ([], [])
    with pytest.raises(ValueError):
        compare(["p"], [["a", "b"]], [[0.5]], **settings)
