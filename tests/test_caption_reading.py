"""Reading texts back in the captions world: any text has a reading, good English has no errors, bad English has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.tasks.worlds import caption_lexicon as words
from alarm.tasks.worlds.caption_grammar import english
from alarm.tasks.worlds.caption_reading import read
from alarm.tasks.worlds.captions import quality, random_scene, write_world

PIECES = ("a", "the", "two", "man", "dogs", "is", "reads", "and", "while", "in front of", "red", "to", ",", ".", "b")

references = st.integers(0, 2**32 - 1).map(lambda seed: english(random_scene(np.random.default_rng(seed))))


@given(references, st.data())
def test_every_foreign_or_wrongly_written_word_costs(text: str, data: st.DataObject) -> None:
    tokens = text[:-1].split()
    i = data.draw(st.integers(0, len(tokens) - 1))
    for changed in ("Straße", "xyz", tokens[i].swapcase()):
        sentence = " ".join([*tokens[:i], changed, *tokens[i + 1 :]]) + "."
        assert quality(text, sentence).overall < 1.0, sentence
        assert read(sentence).errors > 0


@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_any_order_of_words_can_be_read(tokens: list[str]) -> None:
    reading = read(" ".join(tokens))
    assert reading.errors >= 0
    assert all(count > 0 for count in reading.slots.values())


@given(references, references)
def test_adequacy_is_symmetric(a: str, b: str) -> None:
    assert quality(a, b).adequacy == quality(b, a).adequacy


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
def test_gold_quality_by_hand(response: str, adequacy: float, fluency: float) -> None:
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
def test_good_english_that_the_world_does_not_write_is_no_error(text: str) -> None:
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
def test_bad_english_is_an_error(text: str) -> None:
    assert read(text).errors > 0


def test_every_noun_and_verb_is_used(tmp_path: Path) -> None:
    write_world(tmp_path, seed=1)
    for language in ("de", "en"):
        text = (tmp_path / f"train.{language}").read_text(encoding="utf-8")
        assert len({word.strip(".,").lower() for word in text.split()}) <= 400
    used = set((tmp_path / "train.en").read_text(encoding="utf-8").lower().replace(".", "").split())
    assert {noun.english for noun in words.NOUNS} <= used
    assert {verb.gerund for verb in words.VERBS} <= used


def test_no_english_form_has_two_kinds() -> None:
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
