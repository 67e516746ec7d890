"""Grammar, confidence, readability and length: golden values of the real tools, directions, empty texts, caching."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alarm.registry import UnknownNameError
from alarm.scorers.base import Placement, Score, Span
from alarm.scorers.confidence import ConfidenceScorer
from alarm.scorers.grammar import GrammarChecker, GrammarScorer
from alarm.scorers.length import LengthScorer
from alarm.scorers.readability import ReadabilityScorer
from alarm.scorers.text_scorer import TextScorer

SCORERS = {
    "grammar": GrammarScorer(),
    "confidence": ConfidenceScorer(),
    "readability": ReadabilityScorer(),
    "length": LengthScorer(),
}
TEXTS = st.lists(st.sampled_from(["", " ", "A dog runs.", "an dog", "Ein Hund", "the the", "😀 a apple", "..."]))


def only(scorer, text: str) -> Score:
    return scorer.score(["a prompt"], [text])[0]


@pytest.mark.parametrize("name", SCORERS)
@given(texts=TEXTS)
@settings(max_examples=20)
def test_scores_do_not_depend_on_the_batch_or_the_prompt(name, texts):
    scorer = SCORERS[name]
    together = scorer.score([str(i) for i in range(len(texts))], texts)
    assert together == [only(scorer, text) for text in texts]
    assert together[::-1] == scorer.score([""] * len(texts), texts[::-1])


@pytest.mark.parametrize("name", SCORERS)
@given(text=st.text(max_size=60))
@settings(max_examples=30)
def test_any_text_has_a_finite_score_and_spans_inside_it(name, text):
    score = only(SCORERS[name], text)
    assert abs(score.value) < 1e6
    assert all(0 <= span.start <= span.end <= len(text) for span in score.spans)


@pytest.mark.parametrize("name", SCORERS)
def test_a_batch_of_unequal_lists_is_refused(name):
    with pytest.raises(ValueError, match="2 prompts but 1 responses"):
        SCORERS[name].score(["", ""], ["one"])


def test_directions_placements_and_versions():
    placements = {name: scorer.placement for name, scorer in SCORERS.items()}
    last = Placement.LAST
    assert placements == {"grammar": Placement.COVERED, "confidence": last, "readability": last, "length": last}
    assert {name for name, scorer in SCORERS.items() if not scorer.higher_is_better} == {"grammar"}
    assert {name for name, scorer in SCORERS.items() if scorer.normalize} == {"readability"}
    assert all(name == scorer.name for name, scorer in SCORERS.items())
    assert SCORERS["grammar"].version == "harper-py 0.2.0"
    assert SCORERS["readability"].version == "textstat 0.7.3"
    assert SCORERS["confidence"].version.startswith("lingua 2")


def test_empty_responses_have_the_stated_scores():
    for text in ("", "  \n"):
        assert only(SCORERS["grammar"], text) == Score(0.0)
        assert only(SCORERS["confidence"], text) == Score(0.0)
        assert only(SCORERS["length"], text) == Score(0.0)
    floor = only(SCORERS["readability"], "").value
    assert floor == pytest.approx(-15.7)
    assert floor < only(SCORERS["readability"], "I.").value


def test_harper_marks_article_and_repetition_errors_in_code_points():
    # "an" at 8..10 and "a a" at 20..23, of 9 words.
    score = only(SCORERS["grammar"], "She saw an dog near a a big park.")
    assert score.spans == (Span(8, 10, -1.0), Span(20, 23, -1.0))
    assert score.value == pytest.approx(2 / 9)
    # An emoji is one code point, so the offsets move by two with it and its space.
    assert only(SCORERS["grammar"], "😀 She saw an dog.").spans == (Span(10, 12, -1.0),)


def test_markup_is_read_as_text():
    assert only(SCORERS["grammar"], "She saw `an dog` here.").spans == (Span(9, 11, -1.0),)


class FixedChecker(GrammarChecker):
    version = "fixed 1"

    def find(self, text):
        return [(0, 1)]


def test_harper_finds_the_same_on_several_threads(monkeypatch):
    texts = [f"She saw an dog near {n} a a big park, and she {verb} it." for n in range(8) for verb in ("see", "saw")]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = GrammarScorer()
    assert alone.threads == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    together = GrammarScorer()
    assert together.threads == 3
    expected = [alone.measure(text) for text in texts]
    assert all(score.spans for score in expected)
    assert together.score(["p"] * 32, texts + texts) == expected + expected


def test_no_more_threads_than_pay(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert GrammarScorer().threads == 8


def test_any_checker_takes_harpers_place():
    scorer = GrammarScorer(FixedChecker())
    assert scorer.version == "fixed 1"
    assert only(scorer, "one two") == Score(0.5, (Span(0, 1, -1.0),))


def test_an_unknown_checker_names_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'harper'"):
        GrammarScorer("harpr")


def test_confidence_tells_english_from_german():
    english = only(SCORERS["confidence"], "The dog runs across the green field.").value
    german = only(SCORERS["confidence"], "Der Hund rennt über die grüne Wiese.").value
    assert english > 0.8 and german < 0.05
    reverse = ConfidenceScorer(target="german", source="english")
    assert only(reverse, "Der Hund rennt über die grüne Wiese.").value == pytest.approx(1 - german)


def test_confidence_needs_two_known_languages():
    with pytest.raises(ValueError, match="two languages"):
        ConfidenceScorer(target="english", source="ENGLISH")
    with pytest.raises(ValueError, match="Did you mean 'GERMAN'"):
        only(ConfidenceScorer(source="GERMAM"), "text")


def test_readability_is_the_flesch_kincaid_grade():
    # 6 words in one sentence, 6 syllables: 0.39 * 6 + 11.8 * 1 - 15.59 = -1.45, which textstat rounds to -1.5 or -1.4.
    assert only(SCORERS["readability"], "The cat sat on the mat.").value == pytest.approx(-1.45, abs=0.051)
    hard = "Notwithstanding considerable organisational difficulties, the commissioners unanimously approved it."
    assert only(SCORERS["readability"], hard).value > 15


def test_length_counts_words_and_scales_by_the_mean():
    assert only(SCORERS["length"], " two  words ").value == 2
    assert SCORERS["length"].scale == 1
    assert only(LengthScorer(mean_length=4), "a b").value * LengthScorer(mean_length=4).scale == 0.5
    with pytest.raises(ValueError, match="mean_length must be positive"):
        LengthScorer(mean_length=0.0)


def test_a_text_is_measured_once():
    class Counting(TextScorer):
        name = "counting"
        calls = 0

        def measure(self, response):
            self.calls += 1
            return Score(float(len(response)))

    scorer = Counting()
    assert [s.value for s in scorer.score(["p"] * 3, ["a", "bb", "a"])] == [1, 2, 1]
    scorer.score(["other"], ["bb"])
    assert scorer.calls == 2
