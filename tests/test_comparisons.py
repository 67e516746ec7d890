"""Comparison files: round trips, gzip, and errors that name the line."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alarm.reward_modeling.comparisons import (
    Comparison,
    TrueQuality,
    read_comparisons,
    read_true_qualities,
    write_comparisons,
    write_true_qualities,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.jsonl.gz"])
@given(rows=st.lists(st.builds(Comparison, texts, texts, texts), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_comparisons_come_back_as_they_were(tmp_path, name, rows):
    write_comparisons(tmp_path / name, rows)
    assert read_comparisons(tmp_path / name) == rows


@given(rows=st.lists(st.builds(TrueQuality, st.floats(0, 1), st.floats(0, 1)), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_true_qualities_come_back_as_they_were(tmp_path, rows):
    write_true_qualities(tmp_path / "true.jsonl", rows)
    assert read_true_qualities(tmp_path / "true.jsonl") == rows


def test_equal_comparisons_are_equal_bytes_also_gzipped(tmp_path):
    rows = [Comparison("p", "a", "b")]
    for name in ("first.gz", "second.gz"):
        write_comparisons(tmp_path / name, rows)
    assert (tmp_path / "first.gz").read_bytes() == (tmp_path / "second.gz").read_bytes()


def test_the_file_is_plain_json_lines(tmp_path):
    write_comparisons(tmp_path / "pairs.jsonl", [Comparison("Straße?", "a\nb", "c")])
    assert (tmp_path / "pairs.jsonl").read_text(encoding="utf-8") == (
        '{"prompt": "Straße?", "chosen": "a\\nb", "rejected": "c"}\n'
    )


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: a list"),
        ('{"prompt": "p", "chosen": "a"}', "line 2: field 'rejected' is missing"),
        ('{"prompt": "p", "chosen": "a", "rejected": 3}', "line 2: field 'rejected' must be text, got 3"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, match):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"}) + f"\n{line}\n")
    with pytest.raises(ValueError, match=match) as error:
        read_comparisons(path)
    assert str(path) in str(error.value)


def test_a_boolean_is_no_quality(tmp_path):
    (tmp_path / "true.jsonl").write_text('{"chosen": true, "rejected": 0.5}\n')
    with pytest.raises(ValueError, match="'chosen' must be a number"):
        read_true_qualities(tmp_path / "true.jsonl")


def test_missing_and_cut_off_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*none\.jsonl"):
        read_comparisons(tmp_path / "none.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "p"}' * 50)[:-10])
    with pytest.raises(ValueError, match=r"cut\.jsonl\.gz cannot be read"):
        read_comparisons(tmp_path / "cut.jsonl.gz")
