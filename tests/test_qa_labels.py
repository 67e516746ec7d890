"""Labels from feedback: by hand, against a slow loop, and on the real records."""

from collections import Counter
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.tasks.qa_feedback import PAIRS, ErrorSpan, Feedback, MissingInfo, read_feedback
from alarm.tasks.qa_labels import (
    MIN_SIMILARITY,
    _Sentences,
    _units,
    completeness_preference,
    coverages,
    factuality_labels,
    preferred_pairs,
    relevance_labels,
)
from alarm.text.splitting import sentence_spans, split_sentences, sub_sentence_spans

TEXT = (
    "The film came out in 1962, while the novel came out in 1950. It rained a lot. The bridge stands in the old town."
)
PASSAGES = (("Film", "The film came out in 1962.", "It was long."), ("Novel", "The novel came out in 1950."))


def record(errors=(), predictions=(TEXT,), corrected="", missing=(), passages=PASSAGES) -> Feedback:
    spans = tuple(ErrorSpan(kind, TEXT.index(part), TEXT.index(part) + len(part)) for kind, part in errors)
    four = (*predictions, "", "", "")[:4]
    return Feedback("Q?", passages, "", four, spans, tuple(missing), corrected, (0,) * 6)


def test_labels_without_errors() -> None:
    assert relevance_labels(record()) == ("O",) * 4
    assert factuality_labels(record()) == ("O",) * 3
    assert relevance_labels(record(predictions=("",))) == factuality_labels(record(predictions=("",))) == ()


def test_labels_by_hand() -> None:
    errors = [
        ("Irrelevant", "while the novel came out in"),
        ("Redundant", "It rained a lot."),  # four words: overlooked
        ("Unverifiable", "old"),  # one word, but factual
    ]
    assert relevance_labels(record(errors)) == ("O", "NF-ERR", "O", "O")
    assert factuality_labels(record(errors)) == ("Ignore", "O", "F-ERR")


def test_factual_error_outweighs_relevance_error_in_a_sentence() -> None:
    errors = [("Incoherent", "while the novel came out in"), ("Wrong-Grounding", "1962")]
    assert factuality_labels(record(errors)) == ("F-ERR", "O", "O")
    assert relevance_labels(record(errors)) == ("O", "NF-ERR", "O", "O")


def test_space_alone_is_not_touched() -> None:
    """A sub-sentence carries the space after it; an error that covers no more than that space leaves it good."""
    error = ErrorSpan("Irrelevant", TEXT.index(" while"), TEXT.index(" It"))
    spaced = Feedback("Q?", PASSAGES, "", (TEXT, "", "", ""), (error,), (), "", (0,) * 6)
    assert relevance_labels(spaced) == ("O", "NF-ERR", "O", "O")


def test_factuality_without_anything_to_learn() -> None:
    everything = Feedback(
        "Q?", PASSAGES, "", (TEXT, "", "", ""), (ErrorSpan("Redundant", 0, len(TEXT)),), (), "", (0,) * 6
    )
    assert factuality_labels(everything) == ()
    assert relevance_labels(everything) == ("NF-ERR",) * 4


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=6, max_size=6))
def test_preferred_pairs_keep_order_and_drop_ties(preference: list[int]) -> None:
    pairs = preferred_pairs(preference)
    assert len(pairs) == sum(choice != 0 for choice in preference)
    assert [tuple(sorted(pair)) for pair in pairs] == [p for p, c in zip(PAIRS, preference, strict=True) if c]
    assert [1 if better < worse else 2 for better, worse in pairs] == [c for c in preference if c]


def test_coverage_by_hand() -> None:
    film, novel = "The film came out in 1962.", "The novel came out in 1950."
    four = (film, f"{film} {novel}", "Nothing is known at all.", novel)
    assert coverages(record(predictions=four, corrected=f"{film} {novel}")) == (0.5, 1.0, 0.0, 0.5)
    assert completeness_preference(record(predictions=four, corrected=f"{film} {novel}")) == (2, 1, 0, 1, 1, 2)


def test_minor_information_counts_only_where_the_first_prediction_has_it() -> None:
    film, novel = "The film came out in 1962.", "The novel came out in 1950."
    minor = [MissingInfo("Missing-Minor-Auxiliary", 2, (1,))]
    lacks = record(predictions=(film, novel), corrected=f"{film} {novel}", missing=minor)
    assert coverages(lacks) == (1.0, 0.0, 0.0, 0.0)
    has = record(predictions=(f"{film} {novel}", novel), corrected=f"{film} {novel}", missing=minor)
    assert coverages(has) == (1.0, 0.5, 0.0, 0.0)
    major = [MissingInfo("Missing-Major-Auxiliary", 2, (1,))]
    assert coverages(record(predictions=(film,), corrected=f"{film} {novel}", missing=major)) == (0.5, 0.0, 0.0, 0.0)


def test_nothing_needed_gives_no_preference() -> None:
    for nothing in (
        record(corrected=""),
        record(corrected=TEXT, passages=()),
        record(corrected=TEXT, passages=(("T",),)),
    ):
        assert coverages(nothing) is None
        assert completeness_preference(nothing) == (0,) * 6


def slow_best_match(feedback: Feedback, unit: str) -> tuple[int, int] | None:
    """The rule as a loop over sentences and n-grams with the standard library's character overlap."""
    best, best_id = -1.0, None
    width = len(unit.split()) + int(0.05 * len(unit.split()))
    for i, page in enumerate(feedback.passages, start=1):
        for j, sentence in enumerate(page[1:], start=1):
            text = " ".join(sentence.split())
            words = text.split()
            words += ["#"] * max(0, width - len(words) + 1)
            grams = [" ".join(words[k : k + width]) for k in range(len(words) - width + 1)]
            ratios = (SequenceMatcher(None, gram, unit).quick_ratio() for gram in grams)
            similarity = 1.0 if unit in text else max(ratios)
            if similarity > best:
                best, best_id = similarity, (i, j)
    return best_id if best >= MIN_SIMILARITY else None


SENTENCE = st.lists(
    st.sampled_from(["the", "film", "novel", "came", "out", "in", "1950", "1962", "1926", "while", "#"]), max_size=14
).map(" ".join)


@given(st.lists(SENTENCE, min_size=1, max_size=4), SENTENCE.filter(bool))
def test_matching_equals_the_slow_loop(sentences: list[str], unit: str) -> None:
    feedback = record(passages=(("Title", *sentences),))
    assert _Sentences(feedback).best_match(unit) == slow_best_match(feedback, unit)


@pytest.fixture(scope="module")
def real_feedback(shared_data) -> list[Feedback]:
    return read_feedback(shared_data / "qa_feedback/dev_feedback.jsonl.gz")


@pytest.mark.shared_data
def test_real_matching_equals_the_slow_loop(real_feedback: list[Feedback]) -> None:
    for feedback in real_feedback[:6]:
        sentences = _Sentences(feedback)
        for unit in _units(feedback.corrected, split_sentences):
            assert sentences.best_match(unit) == slow_best_match(feedback, unit)


@pytest.mark.shared_data
def test_labels_of_the_real_records(real_feedback: list[Feedback]) -> None:
    relevance = [relevance_labels(feedback) for feedback in real_feedback]
    factuality = [factuality_labels(feedback) for feedback in real_feedback]
    assert Counter(label for labels in relevance for label in labels) == {"O": 1056, "NF-ERR": 1126}
    assert Counter(label for labels in factuality for label in labels) == {"O": 402, "F-ERR": 228, "Ignore": 500}
    assert factuality.count(()) == 53
    for feedback, units, sentences in zip(real_feedback, relevance, factuality, strict=True):
        assert len(units) == len(sub_sentence_spans(feedback.predictions[0]))
        assert len(sentences) in (0, len(sentence_spans(feedback.predictions[0])))


@pytest.mark.shared_data
def test_pairs_of_the_real_records(real_feedback: list[Feedback]) -> None:
    assert sum(len(preferred_pairs(feedback.preference)) for feedback in real_feedback) == 1243 + 855
    shares = [coverages(feedback) for feedback in real_feedback]
    assert shares.count(None) == 51
    pairs = [preferred_pairs(completeness_preference(feedback)) for feedback in real_feedback]
    assert sum(map(len, pairs)) == 875
