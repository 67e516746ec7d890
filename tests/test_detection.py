"""Low preference strength as a detector of wrong labels, against counting by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling.detection import PERCENTILES, agreement_by_decile, detector, percentiles

ROWS = st.lists(
    st.tuples(st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.0, 3.0]), st.sampled_from([True, False, None])),
    min_size=1,
    max_size=30,
)


def test_a_detector_by_hand():
    found = detector([-1.0, -0.5, 0.5, 2.0, -3.0, 1.0], [True, False, True, False, None, False])
    assert (found["pairs"], found["wrong_share"], found["flagged_share"]) == (5, 0.4, 0.4)
    assert (found["precision"], found["recall"]) == (0.5, 0.5)
    assert found["auc"] == pytest.approx(5 / 6)  # of 2 x 3 (wrong, right) pairs one is in the wrong order
    assert found["fpr"][0] == found["tpr"][0] == 0 and found["fpr"][-1] == found["tpr"][-1] == 1


@given(ROWS)
def test_a_detector_counts_as_a_slow_loop_does(rows):
    means, wrong = zip(*rows, strict=True)
    found = detector(means, wrong)
    bad = [mean for mean, label in rows if label is True]
    good = [mean for mean, label in rows if label is False]
    flagged_bad, flagged = sum(mean < 0 for mean in bad), sum(mean < 0 for mean in bad + good)
    assert found["precision"] == pytest.approx(flagged_bad / flagged if flagged else math.nan, nan_ok=True)
    assert found["recall"] == pytest.approx(flagged_bad / len(bad) if bad else math.nan, nan_ok=True)
    wins = [(b < g) + 0.5 * (b == g) for b in bad for g in good]
    assert found["auc"] == pytest.approx(np.mean(wins) if wins else math.nan, nan_ok=True)
    if wins:
        assert np.trapz(found["tpr"], found["fpr"]) == pytest.approx(found["auc"])
    else:
        assert found["fpr"] == found["tpr"] == []


def test_a_perfect_and_a_blind_detector():
    wrong = [True, True, False, False]
    assert detector([-2, -1, 1, 2], wrong)["auc"] == 1
    assert detector([1, 1, 1, 1], wrong)["auc"] == 0.5
    assert math.isnan(detector([1, 1, 1, 1], wrong)["precision"])
    assert math.isnan(detector([-1, 1], [None, None])["wrong_share"])


def test_percentiles_by_hand():
    means = [4.0, -2.0, 1.0, 0.0, 3.0, -1.0, 2.0, 5.0, 6.0, 7.0]
    rows = percentiles(means, [abs(mean) for mean in means], (20, 50, 100))
    assert [row["percentile"] for row in rows] == [20, 50, 100]
    assert [row["mean"] for row in rows] == [-1.5, 1.0, 5.0]
    assert [row["sd"] for row in rows] == [1.5, 1.0, 5.0]
    assert [row["strength"] for row in rows] == pytest.approx([-0.2, 2.5, 7.0])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=50))
def test_percentiles_cover_every_pair_once(means):
    rows = percentiles(means, [None] * len(means))
    assert len(rows) == len(PERCENTILES) and all(math.isnan(row["sd"]) for row in rows)
    kept = [row["mean"] for row in rows if not math.isnan(row["mean"])]
    assert all(low <= high + 1e-9 for low, high in pairwise(kept))
    assert rows[-1]["strength"] == max(means)
    ends = [0, *(round(point / 100 * len(means)) for point in PERCENTILES)]
    sizes = np.diff(ends)
    total = sum(size * row["mean"] for size, row in zip(sizes, rows, strict=True) if size)
    assert total == pytest.approx(sum(means), abs=1e-6)


def test_agreement_by_group_by_hand():
    means = [3.0, -1.0, 0.0, 2.0, -2.0, 1.0]
    wrong = [False, True, True, None, True, False]
    assert agreement_by_decile(means, wrong, 3) == [0.0, 0.5, 1.0]
    assert math.isnan(agreement_by_decile(means, wrong, 6)[4])


def test_damaged_lists_are_refused():
    with pytest.raises(ValueError, match="2 strengths for 1 labels"):
        detector([1.0, 2.0], [True])
    with pytest.raises(ValueError, match="finite"):
        detector([None], [True])
    with pytest.raises(ValueError, match="rise within"):
        percentiles([1.0], [1.0], (50, 10))
    with pytest.raises(ValueError, match="one mean and one sd"):
        percentiles([], [])
