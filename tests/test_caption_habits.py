"""The captions world's writers with habits, how they are told apart, and the flawed text for base models."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from alarm.tasks.worlds.caption_flaws import flawed
from alarm.tasks.worlds.caption_grammar import Scene, english, german
from alarm.tasks.worlds.caption_habits import HABITS, demonstration
from alarm.tasks.worlds.caption_writers import habit_of
from alarm.tasks.worlds.captions import SIZES, base_text, gold_quality, random_scene, write_world
from alarm.tasks.worlds.habits import UNMARKED

NAMES = [habit.name for habit in HABITS]
GOLD = {
    "hasty": (0.55, 0.61),
    "literal": (0.28, 0.4),
    "telegraphic": (0.4, 0.5),
    "embellisher": (0.6, 0.68),
    "careful": (1.0, 1.0),
}
REFERENCE = "An old man is reading two books in the park."
NOTHING_TO_DROP = "Two men often hold many drums."


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(11)
    return [random_scene(rng) for _ in range(500)]


@pytest.fixture(scope="module")
def texts(scenes: list[Scene]) -> dict[str, list[str]]:
    rng = np.random.default_rng(12)
    return {name: [demonstration(scene, name, rng) for scene in scenes] for name in NAMES}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("captions")
    write_world(directory, seed=5)
    return directory


def lines(directory: Path, name: str) -> list[str]:
    return (directory / name).read_text(encoding="utf-8").splitlines()


def german_and_english(directory: Path, stem: str) -> list[tuple[str, str]]:
    return list(zip(lines(directory, f"{stem}.de"), lines(directory, f"{stem}.en"), strict=True))


# Demonstrations


def test_shares_are_those_of_a_distribution() -> None:
    assert NAMES == ["hasty", "literal", "telegraphic", "embellisher", "careful"]
    assert sum(habit.share for habit in HABITS) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_gold_quality_of_a_habit(name: str, scenes: list[Scene], texts: dict[str, list[str]]) -> None:
    gold = [gold_quality(english(scene), text) for scene, text in zip(scenes, texts[name], strict=True)]
    lowest, highest = GOLD[name]
    assert lowest <= np.mean(gold) <= highest


def test_hasty_writers_mistake_nouns_now_and_then(scenes: list[Scene], texts: dict[str, list[str]]) -> None:
    assert all(text[0].islower() for text in texts["hasty"])
    assert 0.52 < np.mean([not text.endswith(".") for text in texts["hasty"]]) < 0.68
    right = [
        text.removesuffix(".").lower() == english(scene)[:-1].lower()
        for scene, text in zip(scenes, texts["hasty"], strict=True)
    ]
    assert 0.3 < np.mean(right) < 0.7


def test_literal_writers_keep_capitals_and_german_words(scenes: list[Scene], texts: dict[str, list[str]]) -> None:
    german_nouns = capitals = 0
    for scene, text in zip(scenes, texts["literal"], strict=True):
        nouns = {word.strip(".,") for word in german(scene).split()[1:] if word[0].isupper()}
        found = [word.strip(".,") for word in text.split()[1:] if word[0].isupper()]
        assert found
        capitals += len(found)
        german_nouns += sum(word in nouns for word in found)
    assert 0.45 < german_nouns / capitals < 0.55


def test_telegraphic_writers_drop_articles_and_auxiliaries(texts: dict[str, list[str]]) -> None:
    dropped = {"a", "an", "the", "is", "are"}
    for text in texts["telegraphic"]:
        assert not dropped & set(text.lower()[:-1].split())
        assert text[0].isupper() and text.endswith(".")


def test_embellishers_say_more_in_good_english(scenes: list[Scene], texts: dict[str, list[str]]) -> None:
    lengths = [len(text.split()) for text in texts["embellisher"]]
    assert min(lengths) >= 14 and 16 < np.mean(lengths) < 20
    asked = [len(english(scene).split()) for scene in scenes]
    assert all(said <= max(20, words) for said, words in zip(lengths, asked, strict=True))


def test_careful_writers_translate(scenes: list[Scene], texts: dict[str, list[str]]) -> None:
    assert texts["careful"] == [english(scene) for scene in scenes]


def test_a_habit_that_nobody_has_is_refused(scenes: list[Scene]) -> None:
    with pytest.raises(KeyError):
        demonstration(scenes[0], "poetic", np.random.default_rng(0))


def test_harper_objects_to_hasty_and_literal_writers_and_misses_telegraphic_ones(texts: dict[str, list[str]]) -> None:
    harper = pytest.importorskip("harper")
    linter = harper.Linter()

    def flagged(name: str) -> float:
        return np.mean([bool(linter.lint(text, language=harper.Language.PLAINTEXT)) for text in texts[name][:100]])

    shares = {name: flagged(name) for name in NAMES}
    assert shares["hasty"] > 0.9 and shares["literal"] > 0.6
    assert max(shares["telegraphic"], shares["embellisher"], shares["careful"]) < 0.1
    assert 0.4 < sum(habit.share * shares[habit.name] for habit in HABITS) < 0.6


# Telling writers apart


@pytest.mark.parametrize("name", NAMES)
def test_writers_are_recognised(name: str, scenes: list[Scene], texts: dict[str, list[str]]) -> None:
    found = [habit_of(english(scene), text) for scene, text in zip(scenes, texts[name], strict=True)]
    assert found.count(name) >= 0.97 * len(found)


@pytest.mark.parametrize(
    ("response", "habit"),
    [
        ("An old man is reading three letters in the park.", "careful"),
        ("An old man is reading two books in the garden.", "careful"),
        ("An man is reading two books.", "careful"),
        ("An old man is reading two Bücher in the park.", "careful"),  # a slip
        ("An old man is reading two books in the park", "careful"),
        ("an old man is reading two books in the park.", "hasty"),
        ("an old woman is reading two letters in the park", "hasty"),
        ("An old Man reads two Bücher in the Park.", "literal"),
        ("Man reads two books in park.", "telegraphic"),
        ("An old man is reading two books loudly in the big park.", "embellisher"),
        ("An old man is reading two books in the park while it rains.", "embellisher"),
        ("Ein alter Mann liest zwei Bücher im Park.", UNMARKED),
        ("Several dogs are sleeping under a tree.", UNMARKED),
        ("", UNMARKED),
        (" .", UNMARKED),
    ],
)
def test_habits_by_hand(response: str, habit: str) -> None:
    assert habit_of(REFERENCE, response) == habit


def test_a_reference_without_articles_is_nobodys_telegram() -> None:
    assert habit_of(NOTHING_TO_DROP, NOTHING_TO_DROP) == "careful"


def test_translations_with_small_mistakes_are_careful(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(13)
    found = Counter(habit_of(english(scene), flawed(scene, rng)) for scene in scenes)
    assert found["careful"] > 0.9 * len(scenes)
    assert found["careful"] + found["hasty"] > 0.97 * len(scenes)


# Flawed text


def test_nearly_half_of_the_flawed_texts_are_right(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(14)
    pairs = [(english(scene), flawed(scene, rng)) for scene in scenes for _ in range(4)]
    assert 0.4 < np.mean([ideal == text for ideal, text in pairs]) < 0.52
    assert 0.82 < np.mean([gold_quality(ideal, text) for ideal, text in pairs]) < 0.9


def test_no_flaw_is_likelier_than_none(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(15)
    for scene in scenes[:25]:
        (first, often), (_, seldom) = Counter(flawed(scene, rng) for _ in range(100)).most_common(2)
        assert first == english(scene) and often > 1.5 * seldom


def test_base_text_keeps_clear_of_held_out_sentences(world: Path) -> None:
    pairs = base_text(5, 3000)
    sources = [source for source, _ in pairs]
    assert len(set(sources)) == len(pairs) == 3000
    assert not set(sources) & {*lines(world, "val.de"), *lines(world, "test_2016_flickr.de")}
    assert pairs == base_text(5, 3000)
    assert pairs != base_text(6, 3000)


# Files


def test_demonstrations_are_the_first_of_train(world: Path) -> None:
    count = SIZES["demonstrations"]
    assert lines(world, "demonstrations.de") == lines(world, "train.de")[:count]
    writers = lines(world, "demonstrations.writers")
    assert len(writers) == count
    references, texts = lines(world, "train.en")[:count], lines(world, "demonstrations.en")
    right = [habit_of(a, b) == writer for a, b, writer in zip(references, texts, writers, strict=True)]
    assert np.mean(right) > 0.99


def test_writers_are_met_by_their_shares(world: Path) -> None:
    count = SIZES["demonstrations"]
    found = Counter(lines(world, "demonstrations.writers"))
    assert set(found) == set(NAMES)
    for habit in HABITS:
        # Four standard deviations of a binomial.
        assert abs(found[habit.name] / count - habit.share) < 4 * (habit.share * (1 - habit.share) / count) ** 0.5


def test_demonstrations_change_no_other_file(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path, seed=5, sizes={"demonstrations": 10})
    for stem in ("train", "val", "test_2016_flickr"):
        assert german_and_english(tmp_path, stem) == german_and_english(world, stem)
    assert german_and_english(tmp_path, "demonstrations")[0][0] == german_and_english(world, "train")[0][0]
    assert len(lines(tmp_path, "demonstrations.writers")) == 10
