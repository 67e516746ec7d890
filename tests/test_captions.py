"""The captions world: its files, how texts are read back, and the gold quality of translations."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.tasks.worlds.caption_grammar import english, german
from alarm.tasks.worlds.caption_reading import read
from alarm.tasks.worlds.captions import MAX_WORDS, gold_quality, quality, random_scene, write_world

SMALL = {"train": 600, "val": 60, "test_2016_flickr": 60}
REFERENCE = "An old man is reading two books in the park."

scenes = st.integers(0, 2**32 - 1).map(lambda seed: random_scene(np.random.default_rng(seed)))
references = scenes.map(english)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("captions")
    write_world(directory, seed=5, sizes=SMALL)
    return directory


def lines(directory: Path, name: str) -> list[str]:
    return (directory / name).read_text(encoding="utf-8").splitlines()


# Files


def test_files_have_multi30ks_layout(world: Path) -> None:
    expected = {f"{stem}.{language}": count for stem, count in SMALL.items() for language in ("de", "en")}
    expected |= {f"demonstrations.{ending}": SMALL["train"] for ending in ("de", "en", "writers")}
    assert {path.name: len(lines(world, path.name)) for path in world.iterdir()} == expected


def test_the_same_seed_writes_the_same_bytes(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "same", seed=5, sizes=SMALL)
    write_world(tmp_path / "other", seed=6, sizes=SMALL)
    for path in world.iterdir():
        assert path.read_bytes() == (tmp_path / "same" / path.name).read_bytes()
        assert path.read_bytes() != (tmp_path / "other" / path.name).read_bytes()


def test_no_source_occurs_twice(tmp_path: Path) -> None:
    # The grammar says the same thing again now and then, so a world of this size would have copies.
    rng = np.random.default_rng(5)
    drawn = [german(random_scene(rng)) for _ in range(2000)]
    assert len(set(drawn)) < len(drawn)
    sizes = {"train": 1600, "val": 200, "test_2016_flickr": 200}
    write_world(tmp_path, seed=5, sizes=sizes)
    sources = [line for stem in sizes for line in lines(tmp_path, f"{stem}.de")]
    assert len(sources) == len(set(sources)) == 2000


def test_sentences_are_short_and_words_few(world: Path) -> None:
    for language in ("de", "en"):
        texts = lines(world, f"train.{language}")
        assert all(4 <= len(text.split()) <= MAX_WORDS for text in texts)
        assert len({word.strip(".,").lower() for text in texts for word in text.split()}) <= 400


def test_unknown_files_and_empty_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown files.*dev.*known are train, val, test_2016_flickr"):
        write_world(tmp_path, seed=0, sizes={"dev": 3})
    with pytest.raises(ValueError, match="positive"):
        write_world(tmp_path, seed=0, sizes={"val": 0})
    assert not list(tmp_path.iterdir())


# Gold quality: properties


@given(scenes)
def test_a_reference_reads_back_without_errors_and_is_perfect(scene) -> None:
    text = english(scene)
    assert read(text).errors == 0
    said = {slot[-1] for slot in read(text).slots} | {slot[2] for slot in read(text).slots}
    assert {phrase.noun.english for phrase in scene.subjects} | {scene.predicate.verb.base} <= said
    assert gold_quality(text, text) == 1.0


@given(references, st.text() | references)
def test_quality_is_a_number_between_0_and_1_and_its_formula_holds(reference: str, response: str) -> None:
    found = quality(reference, response)
    assert 0 <= found.adequacy <= 1 and 0 <= found.fluency <= 1
    assert found.overall == found.adequacy * (1 + found.fluency) / 2
    assert (found.overall == 1) <= (read(response).slots == read(reference).slots)


@given(references, st.data())
def test_every_missing_word_costs(reference: str, data: st.DataObject) -> None:
    words = reference[:-1].split()
    words.pop(data.draw(st.integers(0, len(words) - 1)))
    shorter = " ".join(words)
    assert gold_quality(reference, f"{shorter[:1].upper()}{shorter[1:]}.") < 1


@given(references, st.data())
def test_every_repeated_word_costs(reference: str, data: st.DataObject) -> None:
    words = reference[:-1].split()
    i = data.draw(st.integers(0, len(words) - 1))
    repeated = [*words[: i + 1], words[i].lower(), *words[i + 1 :]]
    assert gold_quality(reference, " ".join(repeated) + ".") < 1


@given(references)
def test_saying_it_twice_does_not_pay(reference: str) -> None:
    assert gold_quality(reference, f"{reference} {reference}") < 0.75
    assert gold_quality(reference, reference) == 1


@given(references, st.integers(0, 2**32 - 1))
def test_words_in_another_order_are_worth_less(reference: str, seed: int) -> None:
    words = reference[:-1].split()
    shuffled = [words[i] for i in np.random.default_rng(seed).permutation(len(words))]
    if shuffled != words:
        assert gold_quality(reference, " ".join(shuffled) + ".") < 1


# Gold quality: values worked by hand


@pytest.mark.parametrize(
    ("response", "errors"),
    [
        (REFERENCE, 0),
        ("In the park, an old man is reading two books.", 0),
        ("A old man is reading two books in the park.", 1),
        ("An old man are reading two books in the park.", 1),
        ("An old man reads two books in the park.", 0),
        ("An old man read two books in the park.", 1),
        ("An old man is reads two books in the park.", 1),
        ("An old man is reading two book in the park.", 1),
        ("An old man is reading in the park.", 1),
        ("Old man is reading two books in the park.", 1),
        ("an old man is reading two books in the park", 2),
        ("An old man is is reading two books in the park.", 1),
        ("An old man is reading two books in in the park.", 1),
        ("An old man is reading two books in the the park.", 1),
        ("An old man is reading two books in the quixotic park.", 1),
        ("An old man reading two books in the park.", 1),
        ("Two men and a woman is reading a book.", 1),
        ("Two men in a red hat are reading a book.", 0),
    ],
)
def test_errors_are_counted(response: str, errors: int) -> None:
    assert read(response).errors == errors


@pytest.mark.parametrize(
    ("response", "adequacy", "fluency"),
    [
        # The reference has 13 slots: man 4 (noun, number, determiner, old), reading 2 (verb, aspect), books 3 (noun,
        # number, determiner), park 4 (preposition, noun, number, determiner).
        (REFERENCE, 1.0, 1.0),
        ("A man is reading two books in the park.", 2 * 12 / (13 + 12), 1.0),  # "old" is missing
        ("An old man is reading two books.", 2 * 9 / (13 + 9), 1.0),  # the place is missing
        ("An old man are reading two books in the park.", 1.0, 0.5),
        ("An old man is reading three books in the park.", 12 / 13, 1.0),  # one determiner differs
        ("An old man is carrying two books in the park.", 11 / 13, 1.0),  # verb and its aspect differ
        # Exchanged roles: only the verb, its aspect and the place are where they belong.
        ("Two books are reading an old man in the park.", 6 / 13, 1.0),
        ("", 0.0, 0.0),
        (" ", 0.0, 0.0),
        (".", 0.0, 0.0),
    ],
)
def test_quality_by_hand(response: str, adequacy: float, fluency: float) -> None:
    found = quality(REFERENCE, response)
    assert found.adequacy == pytest.approx(adequacy)
    assert found.fluency == fluency
    assert found.overall == pytest.approx(adequacy * (1 + fluency) / 2)


def test_chance_is_far_below_the_ceiling() -> None:
    rng = np.random.default_rng(7)
    texts = [english(random_scene(rng)) for _ in range(400)]
    assert np.mean([gold_quality(a, b) for a, b in itertools.pairwise(texts)]) < 0.1


def test_copying_the_source_is_worth_nothing() -> None:
    scene = random_scene(np.random.default_rng(8))
    assert gold_quality(english(scene), german(scene)) == 0


def test_a_reference_from_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match=r'generated worlds only.*gold="chrf"'):
        gold_quality("The quick brown fox jumps over the lazy dog.", "A dog is running.")


# The grammar tool sees the world's mistakes, and none where there is none.


def test_harper_finds_nothing_wrong_with_references_and_finds_articles_and_repetitions() -> None:
    harper = pytest.importorskip("harper")
    linter = harper.Linter()

    def flags(text: str) -> int:
        return len(linter.lint(text, language=harper.Language.PLAINTEXT))

    rng = np.random.default_rng(9)
    assert sum(flags(english(random_scene(rng))) > 0 for _ in range(300)) <= 3
    assert flags("A old man is reading two books in the park.")
    assert flags("An old man is is reading two books in the park.")
