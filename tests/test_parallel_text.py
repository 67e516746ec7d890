"""Parallel line files: pairs, gzip, and errors that name the file."""

import gzip

import pytest

from alarm.tasks.parallel_text import MULTI30K_LINES, find_text, read_lines, read_parallel


def write(directory, **files):
    for name, content in files.items():
        stem, language = name.rsplit("_", 1)
        (directory / f"{stem}.{language}").write_text(content, encoding="utf-8")


def test_lines_belong_together_and_lose_surrounding_space(tmp_path):
    write(tmp_path, val_de=" Ein Hund.\nZwei Äpfel. \n", val_en="A dog.\nTwo apples.\n")
    assert read_parallel(tmp_path, "val") == [("Ein Hund.", "A dog."), ("Zwei Äpfel.", "Two apples.")]
    assert read_parallel(tmp_path, "val", source="en", target="de")[0] == ("A dog.", "Ein Hund.")


@pytest.mark.parametrize("separator", ["\u2028", "\x0c", "\x85", "\r"])
def test_only_newlines_end_lines(tmp_path, separator):
    (tmp_path / "a.de").write_bytes(f"eins{separator}zwei\ndrei\n".encode())
    assert len(read_lines(tmp_path / "a.de")) == 2


def test_a_last_line_without_newline_counts(tmp_path):
    (tmp_path / "a.de").write_text("eins\nzwei")
    assert read_lines(tmp_path / "a.de") == ["eins", "zwei"]


def test_gzip_and_plain_may_be_mixed_and_plain_comes_first(tmp_path):
    write(tmp_path, val_en="A dog.\n")
    (tmp_path / "val.de.gz").write_bytes(gzip.compress(b"Ein Hund.\n"))
    assert read_parallel(tmp_path, "val") == [("Ein Hund.", "A dog.")]
    write(tmp_path, val_de="Der Hund.\n")
    assert find_text(tmp_path, "val.de") == tmp_path / "val.de"
    assert read_parallel(tmp_path, "val") == [("Der Hund.", "A dog.")]


def test_different_line_counts_are_an_error_with_both_counts(tmp_path):
    write(tmp_path, train_de="a\nb\nc\n", train_en="a\nb\n")
    with pytest.raises(ValueError, match=r"train\.de has 3 lines but train\.en has 2 \(Multi30k has 29,000\)"):
        read_parallel(tmp_path, "train")


def test_both_files_cut_off_alike_are_found_by_the_known_count(tmp_path):
    write(tmp_path, val_de="a\n" * 154, val_en="a\n" * 154)
    assert len(read_parallel(tmp_path, "val")) == 154
    with pytest.raises(ValueError, match=r"val\.de has 154 lines, expected 1,014"):
        read_parallel(tmp_path, "val", lines=MULTI30K_LINES["val"])


def test_missing_files_are_named_with_the_expected_count(tmp_path):
    write(tmp_path, val_de="a\n" * 3)
    with pytest.raises(ValueError, match=r"no val\.en or val\.en\.gz in .*; put the parallel text there"):
        read_parallel(tmp_path, "val")
    with pytest.raises(ValueError, match=r"no val\.en or val\.en\.gz in .* with 3 lines"):
        read_parallel(tmp_path, "val", lines=3)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (gzip.compress(bytes(range(256)) * 9)[:-12], "cut off or damaged"),
        (b"no gzip", "cut off or damaged"),
        (gzip.compress("Straße".encode("latin-1")), "not UTF-8 at byte 4"),
    ],
)
def test_damaged_files_are_named(tmp_path, data, match):
    (tmp_path / "val.de.gz").write_bytes(data)
    with pytest.raises(ValueError, match=match) as error:
        read_lines(tmp_path / "val.de.gz")
    assert "val.de.gz" in str(error.value)


def test_empty_files_and_empty_lines_are_named(tmp_path):
    write(tmp_path, val_de="", val_en="")
    with pytest.raises(ValueError, match=r"val\.de is empty"):
        read_parallel(tmp_path, "val")
    write(tmp_path, val_de="a\nb\n", val_en="a\n \n")
    with pytest.raises(ValueError, match=r"val\.en, line 2: no text"):
        read_parallel(tmp_path, "val")
