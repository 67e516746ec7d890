"""The captions world: its grammar against hand-written German and English, its files, and gold quality."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.scorers.grammar import HarperChecker
from alarm.tasks.worlds import caption_lexicon as words
from alarm.tasks.worlds.caption_grammar import Phrase, Place, Predicate, Scene, english, german, german_phrase
from alarm.tasks.worlds.caption_reading import read
from alarm.tasks.worlds.captions import quality, random_scene, write_world

NOUNS = {noun.english: noun for noun in words.NOUNS}
VERBS = {verb.base: verb for verb in words.VERBS}
ADJECTIVES = {adjective.english: adjective for adjective in words.ADJECTIVES}
DETERMINERS = {determiner.english: determiner for determiner in (*words.COUNTS, *words.POSSESSIVES.values(), words.A)}
DETERMINERS |= {"the": words.THE, "the +": words.THE_PLURAL, "": words.BARE}

PIECES = "a the two man dogs is are reading reads and while in red to , . often quickly in_front_of b".split()

seeds = st.integers(0, 2**32 - 1)


def phrase(determiner, *rest):
    *adjectives, noun = rest
    return Phrase(NOUNS[noun], DETERMINERS[determiner], tuple(ADJECTIVES[word] for word in adjectives))


def place(preposition, *rest):
    kinds = {**words.WHERE, "in +": words.WHITHER["in"], "durch": words.WHITHER["durch"], "mit": words.WITH}
    return Place(kinds[preposition], phrase(*rest))


def scene_of(seed):
    return random_scene(np.random.default_rng(seed))


@given(seeds)
def test_every_caption_is_read_back_without_error(seed):
    text = english(scene_of(seed))
    assert read(text).errors == 0, text
    assert quality(text, text).overall == 1.0


@given(seeds, st.data())
def test_every_lost_repeated_or_foreign_word_costs(seed, data):
    text = english(scene_of(seed))
    tokens = text[:-1].split()
    i = data.draw(st.integers(0, len(tokens) - 1))
    for changed in ([], [tokens[i]] * 2, ["Straße"], [tokens[i].swapcase()]):
        sentence = " ".join([*tokens[:i], *changed, *tokens[i + 1 :]]) + "."
        got = quality(text, sentence)
        assert got.overall < 1.0, sentence
        assert 0.0 <= got.adequacy <= 1.0 and 0.0 <= got.fluency <= 1.0


@given(st.text(max_size=60))
def test_any_text_has_a_quality(text):
    got = quality("A man is sleeping in the park.", text)
    assert 0.0 <= got.overall <= got.adequacy <= 1.0


@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_any_order_of_words_can_be_read(tokens):
    reading = read(" ".join(tokens).replace("_", " "))
    assert reading.errors >= 0
    assert all(count > 0 for count in reading.slots.values())


@given(seeds, seeds)
def test_adequacy_is_symmetric(first, second):
    a, b = english(scene_of(first)), english(scene_of(second))
    assert quality(a, b).adequacy == quality(b, a).adequacy


def test_german_declension():
    table = {
        ("a", "red", "hat"): "ein roter Hut, einen roten Hut, einem roten Hut",
        ("a", "red", "flower"): "eine rote Blume, eine rote Blume, einer roten Blume",
        ("a", "red", "book"): "ein rotes Buch, ein rotes Buch, einem roten Buch",
        ("the", "red", "hat"): "der rote Hut, den roten Hut, dem roten Hut",
        ("the", "red", "flower"): "die rote Blume, die rote Blume, der roten Blume",
        ("the", "red", "book"): "das rote Buch, das rote Buch, dem roten Buch",
        ("the +", "red", "hat"): "die roten Hüte, die roten Hüte, den roten Hüten",
        ("two", "red", "hat"): "zwei rote Hüte, zwei rote Hüte, zwei roten Hüten",
        ("several", "old", "man"): "mehrere alte Männer, mehrere alte Männer, mehreren alten Männern",
        ("many", "officer"): "viele Polizisten, viele Polizisten, vielen Polizisten",
        ("", "pink", "dress"): "rosa Kleider, rosa Kleider, rosa Kleidern",
        ("a", "tired", "boy"): "ein müder Junge, einen müden Jungen, einem müden Jungen",
        ("his", "old", "horse"): "sein altes Pferd, sein altes Pferd, seinem alten Pferd",
        ("her", "small", "cat"): "ihre kleine Katze, ihre kleine Katze, ihrer kleinen Katze",
        ("the +", "office"): "die Büros, die Büros, den Büros",
    }
    for parts, expected in table.items():
        assert ", ".join(german_phrase(phrase(*parts), case) for case in ("nom", "acc", "dat")) == expected


@pytest.mark.parametrize(
    ("scene", "source", "target"),
    [
        (
            Scene(
                (phrase("a", "old", "man"),),
                Predicate(VERBS["sleep"], place=place("in", "the", "park")),
                fronted="place",
            ),
            "Im Park schläft ein alter Mann.",
            "An old man is sleeping in the park.",
        ),
        (
            Scene(
                (phrase("two", "woman"),),
                Predicate(VERBS["run"], manner=("schnell", "quickly"), place=place("in +", "the", "house")),
            ),
            "Zwei Frauen laufen schnell ins Haus.",
            "Two women are running quickly into the house.",
        ),
        (
            Scene(
                (phrase("the", "teacher"),),
                Predicate(VERBS["give"], object=phrase("a", "apple"), recipient=phrase("a", "boy")),
                habit=("oft", "often"),
                fronted="habit",
            ),
            "Oft gibt die Lehrerin einem Jungen einen Apfel.",
            "The teacher often gives an apple to a boy.",
        ),
        (
            Scene(
                (phrase("a", "man"), phrase("a", "girl")),
                Predicate(VERBS["call"], object=phrase("the", "doctor")),
                meanwhile=Scene((phrase("a", "elephant"),), Predicate(VERBS["wait"])),
            ),
            "Ein Mann und ein Mädchen rufen die Ärztin an, während ein Elefant wartet.",
            "A man and a girl are calling the doctor while an elephant is waiting.",
        ),
        (
            Scene(
                (phrase("a", "artist"),),
                Predicate(VERBS["stand"], place=place("an", "a", "lake")),
                attribute=place("mit", "her", "dog"),
                also=Predicate(VERBS["lift"], object=phrase("three", "box")),
            ),
            "Eine Künstlerin mit ihrem Hund steht an einem See und hebt drei Kisten hoch.",
            "An artist with her dog is standing at a lake and lifting three boxes.",
        ),
        (
            Scene(
                (phrase("a", "worker"),),
                Predicate(VERBS["buy"], object=phrase("a", "uniform")),
                habit=("selten", "rarely"),
            ),
            "Ein Arbeiter kauft selten eine Uniform.",
            "A worker rarely buys a uniform.",
        ),
    ],
)
def test_captions_by_hand(scene, source, target):
    assert (german(scene), english(scene)) == (source, target)


def test_no_english_form_has_two_kinds():
    forms = Counter()
    for noun in words.NOUNS:
        forms.update({noun.english, noun.english_plural})
    for verb in words.VERBS:
        forms.update({verb.base, verb.third, verb.gerund})
    forms.update(adjective.english for adjective in words.ADJECTIVES)
    forms.update(english_word for _, english_word in (*words.HABITS, *words.MANNERS))
    forms.update({determiner.english for determiner in words.DETERMINERS} | {"is", "are", "and", "while", "an"})
    forms.update(part for preposition in words.PREPOSITIONS for part in set(preposition.split()) - {"in", "to"})
    assert [form for form, count in forms.items() if count > 1] == []


REFERENCE = "A man is watching a dog."
"""Eight slots: noun, number and determiner of both, verb, aspect."""


@pytest.mark.parametrize(
    ("response", "adequacy", "fluency"),
    [
        (REFERENCE, 1, 1),
        ("A dog is watching a man.", 2 / 8, 1),  # exchanged roles: only verb and aspect are right
        ("A man are watching dog.", 7 / 8, 1 / 3),  # agreement, article
        ("A man watches a dog.", 7 / 8, 1),  # aspect
        ("A man is watching two dogs.", 6 / 8, 1),  # number and determiner
        ("A man is watching an dog.", 1, 1 / 2),
        ("a man is watching a dog", 1, 1 / 3),  # capital, full stop
        ("A man is watching.", 2 * 5 / 13, 1 / 2),  # an object is missing
        ("A man is watching a dog a dog.", 2 * 8 / 19, 1 / 2),  # three slots too many, once out of place
        ("A man is watching a old dog.", 2 * 8 / 17, 1 / 2),
        ("A man in the park is watching a dog.", 2 * 8 / 20, 1),
        ("A man is reading a dog.", 6 / 8, 1),
        ("", 0, 0),
        (".", 0, 0),
    ],
)
def test_gold_quality_by_hand(response, adequacy, fluency):
    got = quality(REFERENCE, response)
    assert got.adequacy == pytest.approx(adequacy)
    assert got.fluency == pytest.approx(fluency)
    assert got.overall == pytest.approx(adequacy * (1 + fluency) / 2)


@pytest.mark.parametrize(
    "text",
    [
        "In the park, a man is sleeping.",
        "A man is always sleeping in the park.",
        "A man is sleeping, while a dog is waiting.",
        "The dogs and a cat run through the garden.",
    ],
)
def test_good_english_that_the_world_does_not_write_is_no_error(text):
    assert read(text).errors == 0


@pytest.mark.parametrize(
    "text",
    [
        "A man sleep in the park.",
        "Two men sleeps in the park.",
        "A man sleeping in the park.",
        "A man and a woman is sleeping in the park.",
        "A man is sleeping in in the park.",
        "A man is sleeping in the.",
        "A man is.",
        "A uniform man an uniform.",
        "A man is sleeping and.",
        "A man is sleeping while.",
        "A man, is sleeping.",
        "A dogs is sleeping.",
        "Often sleeping is a man.",
        "Man is sleeping.",
    ],
)
def test_bad_english_is_an_error(text):
    assert read(text).errors > 0


def test_references_that_are_no_captions_have_no_gold_quality():
    for reference in ("Two young, White males are outside near many bushes.", ""):
        with pytest.raises(ValueError, match="generated worlds only"):
            quality(reference, "A man is sleeping.")


def test_the_grammar_checker_accepts_the_references():
    checker = HarperChecker()
    texts = [english(scene_of(seed)) for seed in range(200)]
    assert [text for text in texts if checker.find(text)] == []


def test_files_are_decided_by_the_seed_and_no_source_repeats(tmp_path):
    sizes = {"train": 300, "val": 50, "test_2016_flickr": 50}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_world(tmp_path / name, seed=seed, sizes=sizes)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(f"{stem}.{language}" for stem in sizes for language in ("de", "en"))
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "c" / name).read_bytes()
    sources = [line for stem in sizes for line in (tmp_path / "a" / f"{stem}.de").read_text("utf-8").splitlines()]
    assert len(sources) == len(set(sources)) == 400
    for line in [*sources, *(tmp_path / "a" / "train.en").read_text("utf-8").splitlines()]:
        assert 4 <= len(line.split()) <= 16


def test_the_vocabulary_is_small_and_every_word_is_used(tmp_path):
    write_world(tmp_path, seed=1)
    for language in ("de", "en"):
        text = (tmp_path / f"train.{language}").read_text(encoding="utf-8")
        assert len({word.strip(".,").lower() for word in text.split()}) <= 400
    used = set((tmp_path / "train.en").read_text(encoding="utf-8").lower().replace(".", "").split())
    assert {noun.english for noun in words.NOUNS} <= used
    assert {verb.gerund for verb in words.VERBS} <= used


@pytest.mark.parametrize(
    ("sizes", "match"), [({"valid": 3}, r"unknown files \['valid'\]"), ({"val": 0}, "must be positive")]
)
def test_bad_sizes_are_named(tmp_path, sizes, match):
    with pytest.raises(ValueError, match=match):
        write_world(tmp_path, seed=1, sizes=sizes)
