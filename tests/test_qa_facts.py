"""Reading the QA world's texts back, and gold quality."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.tasks.worlds.qa_facts import (
    KINDS,
    Fact,
    Quality,
    Topic,
    Verdict,
    facts_of,
    gold_quality,
    judge,
    parse,
    quality,
)

FILM = "The film Velor was directed by Anna Bell."
FILM_YEAR = "The film Velor came out in 1912."
NOVEL = "The novel Velor was written by Emma Lowe."
PASSAGES = (
    {"wikipage": "Velor (film)", "content": f"{FILM} {FILM_YEAR}"},
    {"wikipage": "Velor (novel)", "content": NOVEL},
)
REFERENCE = f"{FILM} {NOVEL}"

TOPICS = st.builds(
    lambda kind, name, slot: Topic(kind, name, KINDS[kind][slot]),
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(["Velor", "Tamest", "Korika"]),
    st.sampled_from(["maker", "year", "place"]),
)
FACTS = st.builds(Fact, TOPICS, st.sampled_from(["1905", "1940", "Anna Bell", "Emma Lowe", "Carsby"]))
NOISE = st.sampled_from(
    ["The", "the film", "Velor", "was", "was directed by", "in", "1912", ".", ", while", "and", FILM, "Nothing.", "?!"]
)


def say(fact: Fact) -> str:
    return f"{fact.clause[0].upper()}{fact.clause[1:]}."


@given(st.lists(FACTS, max_size=6))
def test_facts_said_are_facts_read(facts: list[Fact]) -> None:
    claims = parse(" ".join(say(fact) for fact in facts))
    assert [claim.fact for claim in claims] == facts


@given(st.lists(FACTS, min_size=1, max_size=4))
def test_joined_facts_are_read_too(facts: list[Fact]) -> None:
    for join in (", while ", " while ", ", and ", "; "):
        text = "T" + join.join(fact.clause for fact in facts)[1:]
        assert [claim.fact for claim in parse(text)] == facts


@given(st.lists(NOISE, max_size=12).map(" ".join) | st.text(max_size=40))
def test_any_text_parses_into_spans_at_word_bounds(text: str) -> None:
    position = 0
    for claim in parse(text):
        assert position <= claim.start < claim.end <= len(text)
        piece = text[claim.start : claim.end]
        assert piece == piece.strip()
        position = claim.end


@given(st.lists(NOISE, max_size=12).map(" ".join))
def test_quality_is_in_the_unit_interval(text: str) -> None:
    parts = quality(REFERENCE, PASSAGES, text)
    assert all(0 <= value <= 1 for value in (parts.factuality, parts.relevance, parts.completeness, parts.overall))
    assert (parts.overall > 0) == (parts.completeness > 0)
    assert gold_quality(REFERENCE, PASSAGES, text) == parts.overall


@given(st.permutations([FILM, NOVEL]))
def test_order_does_not_matter_and_the_ideal_answer_is_perfect(sentences: list[str]) -> None:
    assert quality(REFERENCE, PASSAGES, " ".join(sentences)) == Quality(1.0, 1.0, 1.0, 1.0)


@given(FACTS.filter(lambda fact: say(fact) not in (FILM, NOVEL)), st.sampled_from([FILM, NOVEL, REFERENCE]))
def test_anything_added_that_was_not_asked_lowers_quality(fact: Fact, answer: str) -> None:
    assert gold_quality(REFERENCE, PASSAGES, f"{answer} {say(fact)}") < gold_quality(REFERENCE, PASSAGES, answer)


@pytest.mark.parametrize(
    ("response", "verdicts", "expected"),
    [
        ("", [], (0, 0, 0, 0)),
        (" . ", [], (0, 0, 0, 0)),
        # Half of what was asked, nothing wrong: P 1, R 1/2.
        (FILM, [Verdict.CORRECT], (1, 1, 1 / 2, 2 / 3)),
        # True but not asked: P 1 / 1.5, R 1/2.
        (f"{FILM} {FILM_YEAR}", [Verdict.CORRECT, Verdict.IRRELEVANT], (1, 1 / 2, 1 / 2, 4 / 7)),
        # Said twice: costs the same.
        (f"{FILM} {FILM}", [Verdict.CORRECT, Verdict.REDUNDANT], (1, 1 / 2, 1 / 2, 4 / 7)),
        # The novel's author is wrong: P 1/2, R 1/2.
        (
            f"{FILM[:-1]}, while the novel Velor was written by Anna Bell.",
            [Verdict.CORRECT, Verdict.WRONG],
            (1 / 2, 1, 1 / 2, 1 / 2),
        ),
        # Not understandable: counts as false, and as not relevant.
        (f"{FILM} The novel Velor was.", [Verdict.CORRECT, Verdict.INCOHERENT], (1 / 2, 1 / 2, 1 / 2, 1 / 2)),
        # False and not asked.
        ("The song Tamest opened in 1905.", [Verdict.IRRELEVANT], (0, 0, 0, 0)),
        # English that the world never says is a statement all the same.
        ("The film Velor was directed by 1912.", [Verdict.WRONG], (0, 1, 0, 0)),
        # A false claim made twice is redundant the second time, and false both times.
        (
            f"The film Velor was directed by Emma Lowe. The film Velor was directed by Emma Lowe. {NOVEL}",
            [Verdict.WRONG, Verdict.REDUNDANT, Verdict.CORRECT],
            (1 / 3, 2 / 3, 1 / 2, 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)),
        ),
    ],
)
def test_quality_by_hand(response: str, verdicts: list[Verdict], expected: tuple[float, ...]) -> None:
    assert [verdict for _, verdict in judge(REFERENCE, PASSAGES, response)] == verdicts
    parts = quality(REFERENCE, PASSAGES, response)
    assert (parts.factuality, parts.relevance, parts.completeness, parts.overall) == pytest.approx(expected)


def test_asked_but_nowhere_stated_is_unverifiable() -> None:
    film_alone = PASSAGES[:1]
    assert [verdict for _, verdict in judge(REFERENCE, film_alone, NOVEL)] == [Verdict.UNVERIFIABLE]


def test_claims_cover_their_text() -> None:
    text = f"{FILM[:-1]}, while the novel Velor was written by Emma Lowe. And so on, and on. {FILM_YEAR}"
    assert [text[claim.start : claim.end] for claim in parse(text)] == [
        f"{FILM[:-1]},",
        "while the novel Velor was written by Emma Lowe.",
        "And so on, and on.",
        FILM_YEAR,
    ]
    assert len(facts_of(text)) == 3


def test_real_answers_have_no_gold_quality() -> None:
    with pytest.raises(ValueError, match="generated worlds only"):
        gold_quality("The 2009 film took place in Los Angeles.", PASSAGES, FILM)
