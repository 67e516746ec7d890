"""Sentence and sub-sentence units."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.tasks.qa_feedback import read_feedback
from alarm.text.splitting import sentence_spans, split_sentences, sub_sentence_spans, sub_sentence_starts

WORDS = st.sampled_from(
    ["a", "Bell", "rang,", "loud;", "why?", "No!", "it", "stopped.", "Dr.", "U.S.", "\n\n", "3.5", " "]
)
TEXTS = st.lists(WORDS, max_size=40).map(" ".join) | st.text(max_size=60)


def pieces(text: str, spans: list[tuple[int, int]]) -> list[str]:
    return [text[start:end] for start, end in spans]


@given(TEXTS)
def test_sentence_units_tile_the_text_up_to_its_last_word(text: str) -> None:
    spans = sentence_spans(text)
    assert "".join(pieces(text, spans)) == text.rstrip()[: spans[-1][1] if spans else 0]
    assert bool(spans) == bool(text.strip())
    assert all(piece.strip() for piece in pieces(text, spans))


@given(TEXTS)
def test_sub_sentence_units_tile_the_text_from_its_first_word(text: str) -> None:
    spans = sub_sentence_spans(text)
    assert "".join(pieces(text, spans)) == text.lstrip()
    assert all(end == start for (_, end), (start, _) in pairwise(spans))


@given(TEXTS)
def test_sub_sentences_refine_sentences(text: str) -> None:
    starts = {start for start, _ in sub_sentence_spans(text)}
    assert {start for start, _ in split_sentences(text)} <= starts


@given(TEXTS)
def test_only_units_at_a_sentence_start_are_short(text: str) -> None:
    """A cut leaves at least five words before it, or none would be made; more than five remain after the last cut."""
    for start, end in split_sentences(text):
        words = text[start:end].split()
        starts = sub_sentence_starts(words)
        assert starts[0] == 0
        assert all(later - earlier >= 5 for earlier, later in pairwise(starts[:-1]))
        assert len(starts) == 1 or (starts[1] >= 5 and len(words) - starts[-1] > 5)


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        ("", []),
        ("one two three.", [0]),
        # Five words before the comma and six after it: a cut.
        ("a b c d e, f g h i j k.", [0, 5]),
        # Only five words after it: none.
        ("a b c d e, f g h i j.", [0]),
        # Too early in the sentence: the candidate is dropped.
        ("a b, c d e f g h i j k l.", [0]),
        # Two words after a cut another candidate follows: the cut moves on to it.
        ("a b c d e; f g, h i j k l m.", [0, 7]),
        # The moved cut is the one that counts for the next candidate.
        ("a b c d e; f g, h i j k l? m n o p q r.", [0, 7, 12]),
        # No other marks cut.
        ("a b c d e: f g h i j k l m.", [0]),
    ],
)
def test_sub_sentence_starts_by_hand(words: str, starts: list[int]) -> None:
    assert sub_sentence_starts(words.split()) == starts


def test_least_number_of_words_is_a_setting() -> None:
    assert sub_sentence_starts(["a", "b,", "c", "d", "e."], min_words=2) == [0, 2]
    assert sub_sentence_starts(["a", "b,", "c", "d", "e."], min_words=3) == [0]


def test_units_carry_the_space_the_reference_gives_them() -> None:
    text = " It rained all day long, and then it snowed all night.  We left. \n"
    assert pieces(text, sentence_spans(text)) == [
        " It rained all day long, and then it snowed all night.",
        "  We left.",
    ]
    assert pieces(text, sub_sentence_spans(text)) == [
        "It rained all day long, ",
        "and then it snowed all night.  ",
        "We left. \n",
    ]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Mr. J. R. Smith met Dr. Bell in the U.S. Senate.", "He left."],
        ['He asked "Why?"', "Then he went (at 5 a.m. sharp).", "No. 7 won."],
        ["It cost 3.5 million.", "Wow!", "Really?!", "Yes… no."],
        ["He said no.", "She agreed."],
        ["one line without an end", "another after an empty line."],
    ],
)
def test_sentences_by_hand(sentences: list[str]) -> None:
    text = "\n\n".join(sentences) if sentences[0].startswith("one") else " ".join(sentences)
    assert pieces(text, split_sentences(text)) == sentences


@pytest.mark.parametrize("text", ["", " ", "\n\n\t"])
def test_blank_text_has_no_units(text: str) -> None:
    assert sentence_spans(text) == sub_sentence_spans(text) == []


def test_another_splitter_can_take_its_place() -> None:
    def halves(text: str) -> list[tuple[int, int]]:
        return [(0, 4), (4, 4), (4, len(text))]

    assert sentence_spans("ab. cd. ef.", sentence_splitter=halves) == [(0, 4), (4, 11)]
    assert pieces("ab. cd. ef.", sub_sentence_spans("ab. cd. ef.", sentence_splitter=halves)) == ["ab. ", "cd. ef."]


@pytest.mark.shared_data
def test_published_sentence_boundaries_are_found(shared_data) -> None:
    """The published passages are given in sentences (the first two of a page are its title and a heading)."""
    found = right = given_ = 0
    for record in read_feedback(shared_data / "qa_feedback/dev_feedback.jsonl.gz"):
        for page in record.passages:
            text, ends = "", set()
            for sentence in filter(str.strip, page[2:]):
                text = f"{text} {' '.join(sentence.split())}".lstrip()
                ends.add(len(text))
            ends.discard(len(text))
            mine = {end for _, end in split_sentences(text)} - {len(text)}
            found, right, given_ = found + len(mine), right + len(mine & ends), given_ + len(ends)
    assert right / found > 0.995
    assert right / given_ > 0.98
