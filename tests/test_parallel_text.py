"""Parallel text: reading, and naming what is wrong with files that are missing, cut off or damaged."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.tasks.parallel_text import MULTI30K_LINES, find_text, read_lines, read_parallel

# Line ends but for \n, which corpora hold inside lines, are part of a line.
line_texts = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))


def put(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@given(st.lists(line_texts), st.booleans())
def test_lines_come_back_stripped_and_in_number(tmp_path_factory, texts: list[str], zipped: bool) -> None:
    path = put(tmp_path_factory.mktemp("lines"), "x.de" + ".gz" * zipped, "".join(f"{text}\n" for text in texts))
    assert read_lines(path) == [text.strip() for text in texts]


def test_pairs_are_read_from_plain_and_gzipped_files(tmp_path: Path) -> None:
    put(tmp_path, "val.de", "Ein Hund.\nZwei\u2028Hunde. \n")
    put(tmp_path, "val.en.gz", " A dog.\nTwo dogs.")  # the last line end may be missing
    expected = [("Ein Hund.", "A dog."), ("Zwei\u2028Hunde.", "Two dogs.")]
    assert read_parallel(tmp_path, "val") == expected
    assert read_parallel(tmp_path, "val", lines=2) == expected
    assert read_parallel(tmp_path, "val", source="en", target="de")[0] == ("A dog.", "Ein Hund.")


def test_plain_text_comes_before_gzip(tmp_path: Path) -> None:
    assert find_text(tmp_path, "val.de") is None
    zipped = put(tmp_path, "val.de.gz", "Ein Hund.\n")
    assert find_text(tmp_path, "val.de") == zipped
    plain = put(tmp_path, "val.de", "Der Hund.\n")
    assert find_text(tmp_path, "val.de") == plain


def test_both_files_cut_off_alike_are_found_by_the_known_count(tmp_path: Path) -> None:
    for language in ("de", "en"):
        put(tmp_path, f"val.{language}", "a\n" * 154)
    assert len(read_parallel(tmp_path, "val")) == 154
    with pytest.raises(ValueError, match=r"val\.de has 154 lines, expected 1,014"):
        read_parallel(tmp_path, "val", lines=MULTI30K_LINES["val"])


def test_a_missing_file_is_named_with_its_count(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no train\.de or train\.de\.gz in .*29,000 lines"):
        read_parallel(tmp_path, "train", lines=MULTI30K_LINES["train"])
    put(tmp_path, "train.de", "Ein Hund.\n")
    with pytest.raises(ValueError, match=r"no train\.en or train\.en\.gz in .*; put the parallel text there"):
        read_parallel(tmp_path, "train")


def test_wrong_counts_are_named(tmp_path: Path) -> None:
    put(tmp_path, "val.de", "Ein Hund.\nZwei Hunde.\n")
    put(tmp_path, "val.en", "A dog.\n")
    with pytest.raises(ValueError, match=r"val\.de has 2 lines, expected 1,014.*fetch it again"):
        read_parallel(tmp_path, "val", lines=1014)
    with pytest.raises(ValueError, match=r"val\.de has 2 lines but val\.en has 1 \(Multi30k has 1,014\)"):
        read_parallel(tmp_path, "val")


def test_a_line_without_text_is_named(tmp_path: Path) -> None:
    put(tmp_path, "val.de", "Ein Hund.\n \nDrei Hunde.\n")
    put(tmp_path, "val.en", "A dog.\nTwo dogs.\nThree dogs.\n")
    with pytest.raises(ValueError, match=r"val\.de, line 2: no text; remove the pair"):
        read_parallel(tmp_path, "val")


def test_empty_files_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "val.de", "")
    put(tmp_path, "val.en", "")
    with pytest.raises(ValueError, match=r"val\.de is empty"):
        read_parallel(tmp_path, "val")


@pytest.mark.parametrize("keep", [slice(0, -4), slice(0, 12), slice(3, None)])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, keep: slice) -> None:
    path = put(tmp_path, "val.de.gz", "Ein Hund.\n" * 100)
    path.write_bytes(path.read_bytes()[keep])
    with pytest.raises(ValueError, match=r"val\.de\.gz cannot be read.*fetch it again"):
        read_lines(path)


def test_a_bit_error_inside_gzip_is_noticed(tmp_path: Path) -> None:
    path = put(tmp_path, "val.de.gz", "Ein Hund bellt laut.\n" * 100)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"val\.de\.gz"):
        read_lines(path)


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "val.de"
    path.write_bytes("Ein Mädchen.\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"val\.de is not UTF-8 at byte 5"):
        read_lines(path)


@pytest.mark.shared_data
def test_multi30k_has_its_published_counts(shared_data: Path) -> None:
    for stem, count in MULTI30K_LINES.items():
        assert len(read_parallel(shared_data / "multi30k", stem, lines=count)) == count
    first = read_parallel(shared_data / "multi30k", "train")[0]
    assert first == (
        "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
        "Two young, White males are outside near many bushes.",
    )
