import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.selection import Inconsistency, inconsistency, select_aspect

pairs = st.lists(st.tuples(*[st.integers(-3, 3)] * 4), min_size=1, max_size=40)


@given(pairs)
def test_counts_equal_a_loop_over_the_definition(rows):
    a, b, ha, hb = zip(*rows, strict=True)
    got = inconsistency(a, b, ha, hb)
    conflicts = sum((x > y and p < q) or (x < y and p > q) for x, y, p, q in rows)
    both = sum(x != y and p != q for x, y, p, q in rows)
    decided = sum(p != q for _, _, p, q in rows)
    assert (got.conflicts, got.both_decide, got.holistic_decides, got.pairs) == (conflicts, both, decided, len(rows))
    assert got.rate == (100 * conflicts / both if both else 0)
    assert got.rate_released == (100 * conflicts / decided if decided else 0)


@given(pairs)
def test_swapping_a_and_b_changes_nothing_and_reversing_the_direction_turns_conflicts_into_agreements(rows):
    a, b, ha, hb = zip(*rows, strict=True)
    got = inconsistency(a, b, ha, hb)
    assert got == inconsistency(b, a, hb, ha)
    reversed_ = inconsistency(a, b, ha, hb, higher_is_better=False)
    assert got.conflicts + reversed_.conflicts == got.both_decide


def test_an_aspect_equal_to_the_holistic_reward_is_never_inconsistent():
    values = [0.1, 0.5, 0.2, 0.9]
    other = [0.3, 0.1, 0.2, 0.4]
    assert inconsistency(values, other, values, other).rate == 0
    assert inconsistency(values, other, other, values).rate == 100


def test_selection_takes_the_lowest_rate_and_distrusts_an_aspect_that_never_decides():
    silent = Inconsistency(conflicts=0, both_decide=0, holistic_decides=10, pairs=10)
    good = Inconsistency(conflicts=2, both_decide=10, holistic_decides=10, pairs=10)
    poor = Inconsistency(conflicts=4, both_decide=10, holistic_decides=10, pairs=10)
    same_rate_fewer = Inconsistency(conflicts=1, both_decide=5, holistic_decides=10, pairs=10)
    assert select_aspect({"poor": poor, "silent": silent, "fewer": same_rate_fewer, "good": good}) == "good"
    assert select_aspect({"silent": silent}) == "silent"


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one length"):
        inconsistency([1], [1, 2], [1], [1])
    with pytest.raises(ValueError, match="NaN"):
        inconsistency([math.nan], [1.0], [1.0], [2.0])
    with pytest.raises(ValueError, match="at least one"):
        select_aspect({})
