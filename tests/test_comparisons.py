"""Comparison files: what is written comes back, and what is malformed is named by file, line and field."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling.comparisons import (
    Comparison,
    TrueQuality,
    read_comparisons,
    read_true_qualities,
    write_comparisons,
    write_true_qualities,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
endings = st.sampled_from(["pairs.jsonl", "pairs.jsonl.gz"])


@given(st.lists(st.builds(Comparison, texts, texts, texts)), endings)
def test_comparisons_come_back(tmp_path_factory, comparisons: list[Comparison], name: str) -> None:
    path = tmp_path_factory.mktemp("pairs") / name
    write_comparisons(path, comparisons)
    assert read_comparisons(path) == comparisons


@given(st.lists(st.builds(TrueQuality, st.floats(0, 1), st.floats(0, 1))), endings)
def test_true_qualities_come_back(tmp_path_factory, truths: list[TrueQuality], name: str) -> None:
    path = tmp_path_factory.mktemp("pairs") / name
    write_true_qualities(path, truths)
    assert read_true_qualities(path) == truths


def test_the_format_is_trls(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_comparisons(path, [Comparison("Ein Mädchen.", "A girl.", "A\u2028boy.")])
    (line,) = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert json.loads(line) == {"prompt": "Ein Mädchen.", "chosen": "A girl.", "rejected": "A\u2028boy."}


def test_equal_comparisons_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_comparisons(tmp_path / name, [Comparison("p", "c", "r")] * 3)
    data = (tmp_path / "a.jsonl.gz").read_bytes()
    assert data == (tmp_path / "b.jsonl.gz").read_bytes()
    assert data[4:8] == bytes(4)  # no time of writing


def test_other_keys_and_blank_lines_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "p", "chosen": "c", "rejected": "r", "margin": 2}\n\n', encoding="utf-8")
    assert read_comparisons(path) == [Comparison("p", "c", "r")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "p", "chosen": "c"', "line 2: not JSON"),
        ('["p", "c", "r"]', "line 2: a list where one JSON object"),
        ('{"prompt": "p", "chosen": "c"}', "line 2: field 'rejected' is missing; found 'prompt', 'chosen'"),
        ("{}", "line 2: field 'prompt' is missing; found none"),
        ('{"prompt": "p", "chosen": 3, "rejected": "r"}', "line 2: field 'chosen' must be text, got 3"),
        ('{"prompt": null, "chosen": "c", "rejected": "r"}', "line 2: field 'prompt' must be text, got None"),
    ],
)
def test_malformed_rows_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "p", "chosen": "c", "rejected": "r"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"pairs\.jsonl, {message}"):
        read_comparisons(path)


def test_qualities_must_be_numbers(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text('{"chosen": 1, "rejected": true}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"truth\.jsonl, line 1: field 'rejected' must be a number, got True"):
        read_true_qualities(path)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*pairs\.jsonl"):
        read_comparisons(tmp_path / "pairs.jsonl")
    good = gzip.compress(b'{"prompt": "p", "chosen": "c", "rejected": "r"}\n' * 50)
    wrong_sum, wrong_block = bytearray(good), bytearray(good)
    wrong_sum[-8] ^= 0xFF
    wrong_block[10] ^= 0xFF
    for data in (good[:-5], good[4:], bytes(wrong_sum), bytes(wrong_block), b""):
        path = tmp_path / "pairs.jsonl.gz"
        path.write_bytes(data)
        if not data:
            # gzip takes no bytes for an empty archive.
            assert read_comparisons(path) == []
            continue
        with pytest.raises(ValueError, match=r"pairs\.jsonl\.gz"):
            read_comparisons(path)


def test_who_is_mistaken() -> None:
    assert TrueQuality(chosen=0.2, rejected=0.3).flipped
    assert not TrueQuality(chosen=0.3, rejected=0.2).flipped
    assert not TrueQuality(chosen=0.3, rejected=0.3).flipped
