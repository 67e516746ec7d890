"""Comparisons from human scores of translations."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.direct_assessment import (
    Assessment,
    Segment,
    compare_assessments,
    read_assessments,
    read_segments,
)

SEGMENT = {
    "doc": "d1",
    "domain": "news",
    "seg_index": 0,
    "src": "Ein Hund.",
    "refs": {"A": "A hound.", "B": "One dog."},
    "systems": {"S": "A dog.", "T": "A dog. ", "U": "Dog!"},
}
SCORE = {"system": "S", "seg_index": 0, "sid": 9, "raw": 80.0, "z": 1, "n": 1, "n_raters": 1}


def write(path: Path, rows: list[dict]) -> Path:
    content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def judged(scores: dict[str, float], ratings: int = 1) -> list[Assessment]:
    return [Assessment(system, 0, 50.0 - z, z, ratings) for system, z in scores.items()]


SEGMENTS = {0: Segment(0, "d1", "news", "Ein Hund.", SEGMENT["refs"], SEGMENT["systems"])}


def test_files_are_read(tmp_path: Path) -> None:
    assert read_segments(write(tmp_path / "s.jsonl.gz", [SEGMENT])) == SEGMENTS
    assert read_assessments(write(tmp_path / "d.jsonl", [SCORE])) == [Assessment("S", 0, 80.0, 1.0, 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seg_index": "0"}, "field 'seg_index' must be a whole number"),
        ({"systems": {"S": None}}, "field 'S' must be text"),
        ({"refs": []}, "field 'refs' must be an object"),
        ({}, "segment 0 stands in the file twice"),
    ],
)
def test_malformed_segments_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"s\.jsonl, line 2.*: {message}"):
        read_segments(write(tmp_path / "s.jsonl", [SEGMENT, {**SEGMENT, **changes}]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": float("nan"), "system": "T"}, "scores must be finite"),
        ({"n": 0, "system": "T"}, "`n` positive"),
        ({"raw": "good"}, "field 'raw' must be a number"),
        ({}, "S's segment 0 is scored twice"),
    ],
)
def test_malformed_scores_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"d\.jsonl, line 2: .*{message}"):
        read_assessments(write(tmp_path / "d.jsonl", [SCORE, {**SCORE, **changes}]))


def test_the_better_rated_is_chosen_and_human_b_is_reference_b() -> None:
    found = compare_assessments(SEGMENTS, judged({"HUMAN-B": 0.5, "U": 2.0}), margin=1.0)
    assert found.pairs == [Comparison("Ein Hund.", "Dog!", "One dog.")]
    assert found.documents == ["d1"] and found.differences == [1.5]
    raw = compare_assessments(SEGMENTS, judged({"HUMAN-B": 0.5, "U": 2.0}), score="raw", margin=1.0)
    assert raw.pairs == [Comparison("Ein Hund.", "One dog.", "Dog!")]


def test_equal_translations_are_one_with_the_mean_of_all_ratings() -> None:
    scores = [Assessment("S", 0, 0, 0.0, 1), Assessment("T", 0, 0, 3.0, 2), Assessment("U", 0, 0, 0.0, 1)]
    found = compare_assessments(SEGMENTS, scores, margin=0.5)
    assert found.pairs == [Comparison("Ein Hund.", "A dog.", "Dog!")]
    assert found.differences == [2.0]  # (0 + 2 * 3) / 3
    assert found.facts["distinct translations"] == 2


def test_a_difference_of_the_margin_is_a_tie() -> None:
    found = compare_assessments(SEGMENTS, judged({"S": 0.0, "U": 1.0, "HUMAN-B": 1.5}), margin=1.0)
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [("One dog.", "A dog.")]
    assert found.facts["ties skipped"] == 2


@given(st.lists(st.integers(-3, 3), min_size=3, max_size=3), st.integers(0, 3))
def test_pairs_and_ties_are_all_there_is(scores: list[int], margin: int) -> None:
    systems = dict(zip(("S", "U", "HUMAN-B"), map(float, scores), strict=True))
    expected = sum(abs(a - b) > margin for i, a in enumerate(scores) for b in scores[:i])
    if expected == 0:
        with pytest.raises(ValueError, match="lower the margin"):
            compare_assessments(SEGMENTS, judged(systems), margin=margin)
        return
    found = compare_assessments(SEGMENTS, judged(systems), margin=margin)
    assert len(found.pairs) == expected and found.facts["ties skipped"] == 3 - expected
    better = {SEGMENTS[0].translation(name): score for name, score in systems.items()}
    assert [better[pair.chosen] - better[pair.rejected] for pair in found.pairs] == found.differences


def test_files_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="X's translation of segment 0 is assessed but unknown"):
        compare_assessments(SEGMENTS, judged({"X": 1.0}))
    with pytest.raises(ValueError, match="segment 7 is assessed but unknown"):
        compare_assessments(SEGMENTS, [Assessment("S", 7, 1.0, 1.0, 1)])
    with pytest.raises(ValueError, match="score must be"):
        compare_assessments(SEGMENTS, judged({"S": 1.0}), score="Z")
    with pytest.raises(ValueError, match="margin must be 0 or more"):
        compare_assessments(SEGMENTS, judged({"S": 1.0}), margin=float("nan"))


def test_empty_translations_are_counted() -> None:
    segments = {0: Segment(0, "d1", "news", "Ein Hund.", {}, {**SEGMENT["systems"], "V": " "})}
    found = compare_assessments(segments, judged({"S": 2.0, "U": 0.0, "V": 5.0}))
    assert len(found.pairs) == 1 and found.facts["empty translations skipped"] == 1


@pytest.mark.shared_data
def test_real_scores_of_one_text_differ_as_much_as_those_of_two(shared_data: Path) -> None:
    """The facts behind the tie margin."""
    segments = read_segments(shared_data / "wmt22_deen/segments.jsonl.gz")
    assessments = read_assessments(shared_data / "wmt22_deen/human_da.jsonl.gz")
    assert (len(segments), len(assessments)) == (1984, 17139)
    assert len({segment.document for segment in segments.values()}) == 271
    by_segment: dict[int, list[Assessment]] = {}
    for assessment in assessments:
        by_segment.setdefault(assessment.segment, []).append(assessment)
    differences: dict[bool, list[float]] = {True: [], False: []}
    for index, judged in by_segment.items():
        texts = [segments[index].translation(a.system).strip() for a in judged]
        for i, first in enumerate(judged):
            for j in range(i):
                differences[texts[i] == texts[j]].append(first.z - judged[j].z)
    assert np.std(differences[True]) == pytest.approx(1.167, abs=0.001)
    assert np.std(differences[False]) == pytest.approx(1.151, abs=0.001)
    assert np.median(np.abs(differences[True])) == pytest.approx(0.649, abs=0.001)
    assert compare_assessments(segments, assessments).facts["pairs"] == 11867
