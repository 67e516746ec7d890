"""Verdicts from both orders, position bias, and the judges that score."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.evaluation.judges import (
    Choice,
    GoldJudge,
    Pair,
    RewardModelJudge,
    Verdict,
    count_verdicts,
    first_choice_share,
    verdict_of,
)
from alarm.evaluation.win_rates import win_rate
from alarm.scorers.base import Placement, Score, Scorer
from alarm.scorers.length import LengthScorer
from alarm.tasks.base import Example

PLACES = (Choice.FIRST, Choice.SECOND, Choice.TIE)
OTHER = {Choice.FIRST: Choice.SECOND, Choice.SECOND: Choice.FIRST}


def test_the_same_response_in_both_orders_wins_and_everything_else_that_is_chosen_is_a_tie():
    verdicts = {choices: verdict_of(choices) for choices in product(PLACES, PLACES)}
    assert verdicts.pop((Choice.FIRST, Choice.SECOND)) == Verdict.WIN
    assert verdicts.pop((Choice.SECOND, Choice.FIRST)) == Verdict.LOSE
    assert set(verdicts.values()) == {Verdict.TIE}


@pytest.mark.parametrize("lacking", [Choice.REFUSAL, Choice.UNPARSABLE, Choice.MISSING])
@pytest.mark.parametrize("other", [*PLACES, Choice.REFUSAL, Choice.MISSING])
def test_an_order_without_a_choice_makes_the_pair_invalid_and_never_a_tie(lacking, other):
    assert verdict_of((lacking, other)) == verdict_of((other, lacking)) == Verdict.INVALID


@given(st.tuples(st.sampled_from(list(Choice)), st.sampled_from(list(Choice))))
def test_exchanging_the_two_responses_exchanges_win_and_lose(choices):
    """The same answers, read for the other response: its first order is this one's second."""
    exchanged = {Verdict.WIN: Verdict.LOSE, Verdict.LOSE: Verdict.WIN}
    verdict = verdict_of(choices)
    assert verdict_of(choices[::-1]) == exchanged.get(verdict, verdict)


def test_first_choice_share():
    assert first_choice_share([]) is None
    assert first_choice_share(["tie", "refusal", "equal", "missing"]) is None
    assert first_choice_share(["first", "second", "second", "tie", "second"]) == 0.25
    fair = [choice for place in ("first", "second") for choice in (place, OTHER[Choice(place)])]
    assert first_choice_share(fair) == 0.5


@given(st.lists(st.sampled_from([(Choice.FIRST, Choice.SECOND), (Choice.SECOND, Choice.FIRST)]), min_size=1))
def test_a_judge_that_reads_the_texts_alone_has_no_position_bias(choices):
    assert first_choice_share(place for both in choices for place in both) == 0.5


def pair(first: str, second: str, prompt: str = "Ein Hund.", reference: str = "A dog.") -> Pair:
    return Pair(Example(prompt, prompt, reference, {"source": prompt}), first, second)


class ErrorCount(Scorer):
    """Counts the letter x; NaN where there is a question mark."""

    name, value_name, placement, higher_is_better = "errors", "errors", Placement.LAST, False

    def score(self, prompts, responses):
        assert len(prompts) == len(responses)
        return [Score(math.nan if "?" in response else response.count("x")) for response in responses]


def test_a_scorer_as_judge_knows_its_direction():
    longer = RewardModelJudge(LengthScorer())
    fewer = RewardModelJudge(ErrorCount())
    assert [j.verdict for j in longer.judge([pair("one two", "one"), pair("one", "one two"), pair("a b", "c d")])] == [
        Verdict.WIN,
        Verdict.LOSE,
        Verdict.TIE,
    ]
    judged = fewer.judge([pair("a", "x"), pair("xx", "x"), pair("x", "yx"), pair("a?", "x")])
    assert [j.verdict for j in judged] == [Verdict.WIN, Verdict.LOSE, Verdict.TIE, Verdict.INVALID]
    assert count_verdicts(judged) == {"win": 1, "lose": 1, "tie": 1, "invalid": 1}
    assert judged[3].reasons == ("a score is not a number",) * 2


def test_equal_responses_are_a_tie_whatever_a_judge_thinks_of_them():
    judgement = RewardModelJudge(ErrorCount()).judge([pair("what?", " what? ")])[0]
    assert (judgement.verdict, judgement.choices) == (Verdict.TIE, (Choice.EQUAL, Choice.EQUAL))


@pytest.mark.parametrize("task", ["wmt", "long_form_qa"])
def test_the_gold_judge_prefers_what_gold_prefers(labs, task):
    """On the generated world, the reference against another prompt's; the same counts as win rates by gold."""
    task = labs(task).task
    examples = task.split("test")[:12]
    others = [example.reference for example in (*examples[1:], examples[0])]
    judgements = GoldJudge(task).judge(
        [Pair(example, example.reference, other) for example, other in zip(examples, others, strict=True)]
    )
    expected = win_rate(task.gold(examples, [e.reference for e in examples]), task.gold(examples, others))
    counts = count_verdicts(judgements)
    assert (counts["win"], counts["lose"], counts["tie"]) == (expected.wins, expected.losses, expected.ties)
    assert counts["win"] >= 10
    assert first_choice_share(choice for judgement in judgements for choice in judgement.choices) == 0.5
