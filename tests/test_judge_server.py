"""The judge against a real HTTP server: answers, many at a time, what they cost and what is recorded."""

from __future__ import annotations

import json
import logging
import threading

import pytest

from alarm.evaluation.judges import Choice, Pair, Verdict, count_verdicts, load_prompt
from alarm.evaluation.judges.client import AccessError, Endpoint
from alarm.evaluation.judges.cost import Prices
from alarm.evaluation.judges.openai_judge import JudgeStoppedError
from alarm.evaluation.judges.questions import JudgeSettings
from alarm.tasks.base import Example
from tests.judging import ONE, pairs
from tests.openai_server import SERVED, Reply, chosen, completion, longer_wins, problem, serving, shown

KEY = "sk-test-0123456789abcdef"


# Answers.


def test_both_orders_are_asked_at_temperature_0_with_a_schema(make_judge):
    with serving() as server:
        judge = make_judge(server, key=KEY)
        judgement = judge.judge(ONE)[0]
        requests = server.seen.requests
    assert judgement.verdict == Verdict.WIN
    assert judgement.choices == (Choice.FIRST, Choice.SECOND)
    assert [shown(request) for request in requests] == [("A big dog.", "A dog."), ("A dog.", "A big dog.")]
    for request in requests:
        assert (request["model"], request["temperature"], request["max_tokens"]) == ("asked-model", 0, 64)
        assert request["response_format"]["json_schema"]["schema"]["properties"]["choice"]["enum"] == ["A", "B", "tie"]
    assert server.seen.keys == [f"Bearer {KEY}"] * 2


def test_a_judge_that_always_chooses_the_first_place_decides_nothing(make_judge):
    with serving(lambda request: chosen("A")) as server:
        judged = make_judge(server).judge(pairs(5))
    assert {judgement.verdict for judgement in judged} == {Verdict.TIE}
    assert {choice for judgement in judged for choice in judgement.choices} == {Choice.FIRST}


def test_verdicts_follow_the_responses_and_equal_ones_are_never_asked_about(make_judge):
    with serving() as server:
        judged = make_judge(server).judge(pairs(6, equal=3))
        assert len(server.seen.requests) == 12
    assert [j.verdict for j in judged] == [Verdict.WIN, Verdict.LOSE] * 3 + [Verdict.TIE] * 3
    assert judged[-1].choices == (Choice.EQUAL, Choice.EQUAL)


def test_one_question_of_several_pairs_is_asked_once(make_judge):
    """Other ids, the same texts; and the same pair the other way round."""
    again = Pair(Example("other", "Ein Hund.", "A dog.", ONE[0].example.fields), ONE[0].first, ONE[0].second)
    turned = Pair(again.example, again.second, again.first)
    with serving() as server:
        judge = make_judge(server)
        judged = judge.judge([*ONE, again, turned])
        assert len(server.seen.requests) == 2
    assert [j.verdict for j in judged] == [Verdict.WIN, Verdict.WIN, Verdict.LOSE]
    assert judge.facts([*ONE, again, turned])["questions"] == 2


REPLIES = {
    "refusal": (completion(None, refusal="I cannot judge this."), Choice.REFUSAL, "I cannot judge this."),
    "content filter": (completion("", finish_reason="content_filter"), Choice.REFUSAL, "content filter"),
    "outside the schema": (chosen("C"), Choice.UNPARSABLE, "no clear choice in"),
    "another object": (completion('{"winner": "A"}'), Choice.UNPARSABLE, "no clear choice in"),
    "both named": (completion("A or B"), Choice.UNPARSABLE, "no clear choice in 'A or B'"),
    "nothing said": (completion(None), Choice.UNPARSABLE, "no clear choice in ''"),
    "cut off": (completion('{"choice": "A"}', finish_reason="length"), Choice.UNPARSABLE, "cut off after 64 tokens"),
}


@pytest.mark.parametrize("name", REPLIES)
def test_an_answer_without_a_choice_makes_its_pair_invalid_is_counted_and_not_asked_for_again(make_judge, name):
    reply, choice, reason = REPLIES[name]

    def behaviour(request):
        return reply if shown(request)[0] == "A dog." else chosen("A")

    with serving(behaviour) as server:
        judge = make_judge(server)
        judgement = judge.judge(ONE)[0]
        assert (judgement.verdict, judgement.choices) == (Verdict.INVALID, (Choice.FIRST, choice))
        assert judgement.reasons[0] == "" and reason in judgement.reasons[1]
        assert judge.facts(ONE)["without_choice"][choice.value] == 1
        assert make_judge(server).judge(ONE)[0].verdict == Verdict.INVALID
        assert len(server.seen.requests) == 2


def test_a_server_that_knows_no_schema_is_asked_without_it_from_then_on(make_judge):
    def behaviour(request):
        if "response_format" in request:
            return problem(400, "response_format is not supported")
        return completion(f"Answer: {'A' if len(shown(request)[0]) > len(shown(request)[1]) else 'B'}")

    with serving(behaviour) as server:
        judge = make_judge(server)
        judged = judge.judge(pairs(4))
        with_schema = ["response_format" in request for request in server.seen.requests]
        assert with_schema == [True] + [False] * 8
        assert [j.verdict for j in judged] == [Verdict.WIN, Verdict.LOSE] * 2
        assert judge.facts(pairs(4))["answers_by_form"] == {"plain_text": 8}
        # A later judge finds these answers, whatever form it would have asked in.
        assert count_verdicts(make_judge(server).judge(pairs(4)))["invalid"] == 0
        assert len(server.seen.requests) == 9


def test_a_model_that_takes_no_temperature_is_asked_without_and_the_facts_say_so(make_judge):
    """As models that reason first refuse it, one parameter at a time."""

    def behaviour(request):
        for name in ("max_tokens", "temperature"):
            if name in request:
                return problem(400, f"Unsupported parameter: '{name}'")
        return longer_wins(request)

    with serving(behaviour) as server:
        judge = make_judge(server)
        assert judge.judge(ONE)[0].verdict == Verdict.WIN
        last = server.seen.requests[-1]
        assert [len(server.seen.requests), last["max_completion_tokens"]] == [2 + 2, 64]
        assert "response_format" in last
    facts = judge.facts(ONE)
    assert facts["answers_by_form"] == {"schema_at_default_temperature": 2}
    assert facts["temperature"] == "default"


def test_a_request_refused_after_the_schema_has_worked_is_not_the_schemas_fault(make_judge):
    def behaviour(request):
        return problem(400, "too long") if "Hund 3" in request["messages"][0]["content"] else longer_wins(request)

    with serving(behaviour) as server:
        judge = make_judge(server)
        judged = judge.judge(pairs(5))
        assert all("response_format" in request for request in server.seen.requests)
    assert [j.verdict for j in judged] == [Verdict.WIN, Verdict.LOSE, Verdict.WIN, Verdict.INVALID, Verdict.WIN]
    assert judged[3].choices == (Choice.MISSING, Choice.MISSING)
    assert judged[3].reasons[0] == "HTTP 400: too long"
    assert judge.missing(pairs(5)) == (2, "HTTP 400: too long")


# Many at a time.


def test_concurrency_has_a_limit(make_judge):
    """The first question goes alone; then no answer comes before three are under way."""
    reached = threading.Event()

    def behaviour(request):
        if len(server.seen.requests) > 1:
            if server.seen.at_once == 3:
                reached.set()
            reached.wait(20)
        return longer_wins(request)

    with serving(behaviour) as server:
        judged = make_judge(server, concurrency=3).judge(pairs(12))
        assert reached.is_set()
        assert server.seen.most_at_once == 3
        assert set(server.seen.questions.values()) == {1}
    assert count_verdicts(judged) == {"win": 6, "lose": 6, "tie": 0, "invalid": 0}


def test_progress_counts_every_question_once(make_judge):
    steps = []
    with serving() as server:
        judge = make_judge(server)
        judge._on_step = lambda done, total: steps.append((done, total))
        judge.judge(pairs(4))
    assert steps == [(done, 8) for done in range(9)]


# Cost.


def test_the_cap_stops_before_it_is_passed_and_keeps_what_was_answered(make_judge):
    """The server counts a million tokens a question, a dollar each, where a few hundred were expected."""

    def behaviour(request):
        return chosen("A", usage=(1_000_000, 0))

    with serving(behaviour) as server:
        judge = make_judge(server, cap=5.5, prices=Prices(1.0, 0.0), concurrency=2)
        with pytest.raises(JudgeStoppedError, match=r"--max-cost 5.5 USD is reached; raise it and run"):
            judge.judge(pairs(20))
        assert len(judge.cache) == len(server.seen.requests) == 5
        assert judge.budget.spent == pytest.approx(5.0)
        facts = judge.facts(pairs(20))
        assert facts["usd"] == pytest.approx(5.0)
        assert facts["without_choice"]["missing"] == 35
        assert sum(j.verdict == Verdict.INVALID for j in judge.judgements(pairs(20))) >= 17


def test_the_estimate_is_above_what_is_counted_and_falls_with_what_is_answered(make_judge):
    with serving() as server:
        judge = make_judge(server, prices=Prices(1.0, 1.0))
        before = judge.estimate(pairs(5, equal=2))
        judge.judge(pairs(2))
        after = judge.estimate(pairs(5, equal=2))
        judge.judge(pairs(5))
    assert (before.pairs, before.equal_pairs, before.questions, before.answered) == (7, 2, 10, 0)
    assert (after.questions, after.answered) == (10, 4)
    assert after.input_tokens == pytest.approx(before.input_tokens * 0.6, rel=0.01)
    assert judge.budget.spent < before.usd


def test_a_lost_answer_may_have_cost_something_and_a_refused_one_has_not(make_judge):
    with serving(lambda request: Reply(body=chosen("A").body, cut=True)) as server:
        lost = make_judge(server, cap=9.0, prices=Prices(1000.0, 0.0), retries=0)
        lost.judge(ONE)
        assert lost.budget.spent == pytest.approx(lost.estimate(ONE).usd)
    with serving(lambda request: problem(500)) as server:
        refused = make_judge(server, cap=9.0, prices=Prices(1000.0, 0.0), retries=0)
        spent = refused.budget.spent
        refused.judge(ONE)
        assert refused.budget.spent == spent


# What is recorded.


def test_facts_say_what_verdicts_depend_on_and_cost(make_judge):
    with serving() as server:
        judge = make_judge(server, prices=Prices(10.0, 100.0))
        judge.judge(pairs(3))
        facts = judge.facts(pairs(3))
        again = make_judge(server, prices=Prices(10.0, 100.0))
        again.judge(pairs(3))
        repeated = again.facts(pairs(3))
        assert len(server.seen.requests) == 6
    assert facts["asked_model"] == "asked-model"
    assert facts["served_models"] == {SERVED: 6}
    assert facts["server"] == server.url
    assert facts["prompt"] == {"name": "wmt", "version": "v1", "sha256": load_prompt("wmt").sha256}
    assert (facts["temperature"], facts["max_tokens"]) == (0.0, 64)
    assert facts["answers_by_form"] == {"schema": 6}
    assert facts["tokens"] == {"input": 600, "output": 42}
    assert facts["usd"] == pytest.approx((600 * 10 + 42 * 100) / 1e6)
    spent = facts["this_time"].pop("usd_of_all_tasks_with_lost_attempts")
    assert spent == pytest.approx(facts["usd"])
    assert facts["this_time"] == {"requests": 6, "answers": 6, "answers_from_cache": 0}
    assert repeated["this_time"].pop("usd_of_all_tasks_with_lost_attempts") == pytest.approx(spent), "one invocation"
    assert repeated.pop("this_time") == {"requests": 0, "answers": 0, "answers_from_cache": 6}
    assert repeated == {name: value for name, value in facts.items() if name != "this_time"}


def test_the_key_is_in_no_file_no_log_no_error_and_no_text_of_an_object(make_judge, tmp_path, caplog):
    """The server repeats the key wherever it can."""
    bodies = iter([problem(400, f"bad {KEY}"), problem(500, f"fault {KEY}"), completion(f'{KEY} {{"choice"'), None])

    def behaviour(request):
        if request.get("model") == "locked":
            return problem(401, f"Incorrect API key provided: {KEY}")
        return next(bodies, None) or completion(None, refusal=f"not with {KEY}")

    with caplog.at_level(logging.DEBUG), serving(behaviour) as server:
        judge = make_judge(server, key=KEY, retries=0)
        judged = judge.judge(pairs(4))
        with pytest.raises(AccessError) as refused:
            make_judge(server, key=KEY, model="locked").judge(pairs(4))
    assert server.seen.keys[0] == f"Bearer {KEY}"
    assert any("fault <key>" in reason for judgement in judged for reason in judgement.reasons)
    assert any("not with <key>" in reason for judgement in judged for reason in judgement.reasons)
    assert "Incorrect API key provided: <key>" in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__
    texts = [caplog.text, str(judged), json.dumps(judge.facts(pairs(4))), repr(judge.endpoint), repr(refused.value)]
    texts += [repr(vars(judge)), repr(judge.estimate(pairs(4)))]
    assert caplog.records and not any(KEY in text for text in texts)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(KEY.encode() in path.read_bytes() for path in files)


def test_a_password_in_the_address_is_recorded_nowhere():
    endpoint = Endpoint("http://user:geheim@host:8000/v1/?key=geheim")
    assert (endpoint.host, endpoint.address) == ("host:8000", "http://host:8000/v1")


# What must be there before anything is asked.


@pytest.mark.parametrize(
    ("variables", "problem_or_address"),
    [
        ({}, "needs OPENAI_API_KEY, or OPENAI_BASE_URL of a compatible server"),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1/"}, "needs OPENAI_API_KEY, or OPENAI_BASE_URL"),
        ({"OPENAI_BASE_URL": "localhost:8000"}, "OPENAI_BASE_URL is no address such as http://localhost:8000/v1"),
        ({"OPENAI_API_KEY": KEY}, None),
        ({"OPENAI_BASE_URL": "http://localhost:8000/v1"}, None),
        ({"OPENAI_BASE_URL": "", "OPENAI_API_KEY": KEY}, None),
    ],
)
def test_a_key_or_a_server_of_ones_own_is_needed(variables, problem_or_address):
    endpoint = Endpoint.from_environment(variables)
    if problem_or_address is None:
        endpoint.require()
    else:
        with pytest.raises(ValueError, match=problem_or_address):
            endpoint.require()


@pytest.mark.parametrize("wrong", [{"max_tokens": 0}, {"concurrency": 0}, {"retries": -1}, {"timeout": 0.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"a judge's {next(iter(wrong))} must be"):
        JudgeSettings(**wrong)
