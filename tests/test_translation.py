"""Translation metrics: invariances, hand-worked values, signatures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.evaluation.translation import corpus_scores, sentence_chrf

words = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "dog"]), min_size=1, max_size=8).map(" ".join)
pairs = st.lists(st.tuples(words, words), min_size=2, max_size=6)


@given(pairs)
def test_order_of_sentences_changes_nothing(sentences):
    forward = corpus_scores(*map(list, zip(*sentences, strict=True)))
    backward = corpus_scores(*map(list, zip(*reversed(sentences), strict=True)))
    for name in ("bleu", "chrf", "ter"):
        assert forward[name].value == pytest.approx(backward[name].value)


@given(pairs)
def test_sentence_chrf_is_bounded_and_does_not_depend_on_the_batch(sentences):
    responses, references = map(list, zip(*sentences, strict=True))
    together = sentence_chrf(responses, references)
    assert all(0 <= score <= 100 for score in together)
    assert together == [sentence_chrf([a], [b])[0] for a, b in sentences]


def test_values_by_hand():
    scores = corpus_scores(["the cat sat on mat"], ["the cat sat on the mat"])
    # Precisions 5/5, 3/4, 2/3, 1/2 and brevity penalty exp(1 - 6/5); one of six words is to be inserted.
    bleu = 100 * math.exp(1 - 6 / 5) * (1 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert scores["bleu"].value == pytest.approx(bleu)
    assert scores["ter"].value == pytest.approx(100 / 6)
    assert sentence_chrf(["abc", "", "the cat"], ["xyz", "xyz", "the cat"]) == [0.0, 0.0, 100.0]


def test_a_copy_of_the_references_is_perfect_and_directions_are_stated():
    references = ["A man is sitting on a bench.", "Two dogs are running."]
    scores = corpus_scores(references, references)
    assert {name: round(score.value, 9) for name, score in scores.items()} == {"bleu": 100, "chrf": 100, "ter": 0}
    assert {name: score.higher_is_better for name, score in scores.items()} == {
        "bleu": True,
        "chrf": True,
        "ter": False,
    }


def test_signatures_say_tokenisation_and_version():
    scores = corpus_scores(["a"], ["a"])
    assert "tok:13a" in scores["bleu"].signature
    assert all("version:" in score.signature for score in scores.values())
    assert scores["bleu"].to_dict()["name"] == "BLEU"


def test_corpus_scores_are_no_means_of_sentence_scores():
    responses, references = ["a b c d", "x"], ["a b c d", "p q r s t u v w"]
    mean = sum(sentence_chrf(responses, references)) / 2
    assert abs(corpus_scores(responses, references)["chrf"].value - mean) > 5


def test_lists_must_fit():
    with pytest.raises(ValueError, match="1 responses and 2 references"):
        corpus_scores(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        corpus_scores([], [])
    with pytest.raises(ValueError, match="1 responses but 0 references"):
        sentence_chrf(["a"], [])
