"""WMT test sets: sacreBLEU's where it has them, local files otherwise, every incomplete file named with its count."""

from __future__ import annotations

import gzip
import socket

import pytest
from sacrebleu.dataset import DATASETS

from alarm.evaluation.wmt_test_sets import SEGMENTS, load_test_set
from alarm.reward_modeling.direct_assessment import read_segments


def write(folder, stem, sources, references):
    folder.mkdir(parents=True, exist_ok=True)
    for ending, lines in (("src", sources), ("ref", references)):
        (folder / f"{stem}.{ending}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """sacreBLEU's own folder, empty."""
    folder = tmp_path / "sacrebleu"
    monkeypatch.setattr("sacrebleu.utils.SACREBLEU_DIR", str(folder))
    for name in ("wmt13", "wmt23"):
        monkeypatch.setattr(DATASETS[name], "_outdir", str(folder / name))
        monkeypatch.setattr(DATASETS[name], "_rawdir", str(folder / name / "raw"))
    return folder


def lines(count: int, word: str = "Satz") -> list[str]:
    return [f"{word} {i}" for i in range(count)]


def test_local_files_plain_and_gzipped(tmp_path, no_network):
    write(tmp_path, "wmt13.de-en", lines(3000), lines(3000, "sentence"))
    sources, references = load_test_set("wmt13", "de-en", folder=tmp_path)
    assert len(sources) == 3000 and (sources[7], references[7]) == ("Satz 7", "sentence 7")
    for ending in ("src", "ref"):
        file = tmp_path / f"wmt13.de-en.{ending}"
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert load_test_set("wmt13", "de-en", folder=tmp_path) == (sources, references)


def test_a_slash_in_a_name_is_an_underscore_in_a_files_name(tmp_path):
    write(tmp_path, "wmt14_full.de-en", lines(3003), lines(3003))
    assert len(load_test_set("wmt14/full", "de-en", folder=tmp_path)[0]) == 3003


def test_a_missing_or_truncated_file_is_named_with_the_expected_count(tmp_path):
    with pytest.raises(ValueError, match=rf"no wmt22.de-en.src or wmt22.de-en.src.gz in {tmp_path}; .* 1,984 lines"):
        load_test_set("wmt22", "de-en", folder=tmp_path)
    write(tmp_path, "wmt22.de-en", lines(1984), lines(1984))
    (tmp_path / "wmt22.de-en.ref").unlink()
    with pytest.raises(ValueError, match=r"no wmt22.de-en.ref or wmt22.de-en.ref.gz in .* 1,984 lines"):
        load_test_set("wmt22", "de-en", folder=tmp_path)
    write(tmp_path, "wmt22.de-en", lines(154), lines(154))
    with pytest.raises(ValueError, match=r"wmt22.de-en.src has 154 lines, expected 1,984; it is not complete"):
        load_test_set("wmt22", "de-en", folder=tmp_path)


def test_without_a_known_count_the_sides_must_agree(tmp_path):
    assert ("wmt23", "de-en") not in SEGMENTS
    write(tmp_path, "wmt23.de-en", lines(10), lines(9))
    with pytest.raises(ValueError, match=r"wmt23.de-en.src has 10 lines but wmt23.de-en.ref has 9"):
        load_test_set("wmt23", "de-en", folder=tmp_path)


def test_unknown_sets_and_pairs_are_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"unknown test set 'wmt2'.*Known: .*wmt22"):
        load_test_set("wmt2", "de-en", folder=tmp_path)
    with pytest.raises(ValueError, match=r"unknown language pair of wmt24 'es-en'"):
        load_test_set("wmt24", "es-en", folder=tmp_path)


def test_what_sacrebleu_has_kept_is_read_offline(cache, no_network):
    folder = write(cache / "wmt13", "wmt13.es-en", lines(3000, "frase"), lines(3000, "sentence"))
    for ending in ("docid", "genre", "origlang"):
        (folder / f"wmt13.es-en.{ending}").touch()
    sources, references = load_test_set("wmt13", "es-en")
    assert (sources[0], references[2999]) == ("frase 0", "sentence 2999")
    write(folder, "wmt13.es-en", lines(2000), lines(2000))
    with pytest.raises(ValueError, match=r"wmt13.es-en.src has 2,000 lines, expected 3,000"):
        load_test_set("wmt13", "es-en")


def test_offline_and_without_a_network_the_remedy_is_named(cache, no_network, monkeypatch):
    with pytest.raises(
        ValueError, match=r"wmt13 es-en is not in sacreBLEU's folder .* offline; .*wmt13.es-en.ref, 3,000"
    ):
        load_test_set("wmt13", "es-en")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(
        ValueError, match=r"sacreBLEU cannot fetch wmt23 de-en \(.*no network in tests.*\); fetch it once"
    ):
        load_test_set("wmt23", "de-en")


def test_sacrebleu_unpacks_a_set_it_has_fetched_and_chooses_the_reference(cache, no_network, monkeypatch):
    """WMT's XML has one reference per translator."""
    raw = cache / "wmt23" / "raw"
    file = raw / DATASETS["wmt23"].langpairs["de-en"][0]
    file.parent.mkdir(parents=True)
    (raw / "wmt23.v.0.1.tar.gz").write_text("fetched")
    texts = {
        '<src lang="de">': "Satz",
        '<ref lang="en" translator="refB">': "other",
        '<ref lang="en" translator="refA">': "sentence",
    }
    document = "".join(
        tag + "".join(f'<seg id="{i}">{text}</seg>' for i, text in enumerate(lines(5, word))) + f"</{tag[1:4]}>"
        for tag, word in texts.items()
    )
    file.write_text(f'<dataset><doc id="a" origlang="de">{document}</doc></dataset>')
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    sources, references = load_test_set("wmt23", "de-en")
    assert sources[4] == "Satz 4" and references[4] == "sentence 4"


def test_counts_are_of_sets_that_sacrebleu_knows():
    assert all(pair in DATASETS[name].langpairs for name, pair in SEGMENTS)


@pytest.mark.shared_data
def test_the_count_of_wmt22_is_that_of_the_published_segments(shared_data, tmp_path):
    segments = read_segments(shared_data / "wmt22_deen" / "segments.jsonl.gz").values()
    assert len(segments) == SEGMENTS["wmt22", "de-en"]
    write(tmp_path, "wmt22.de-en", [s.source for s in segments], [s.references["A"] for s in segments])
    sources, references = load_test_set("wmt22", "de-en", folder=tmp_path)
    assert sources == [s.source.strip() for s in segments]
    assert references == [s.references["A"].strip() for s in segments]
