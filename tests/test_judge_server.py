"""The judge against a real HTTP server: every answer and failure the protocol knows, and a process that is killed."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alarm.evaluation.judges import Choice, OpenAIJudge, Pair, Verdict, count_verdicts, load_prompt
from alarm.evaluation.judges.cache import AnswerCache
from alarm.evaluation.judges.client import AccessError, ChatClient, Endpoint, NoAnswerError
from alarm.evaluation.judges.cost import Budget, Prices
from alarm.evaluation.judges.ledger import Ledger
from alarm.evaluation.judges.openai_judge import JudgeStoppedError
from alarm.evaluation.judges.questions import JudgeSettings
from alarm.tasks.base import Example
from tests.openai_server import SERVED, Reply, chosen, completion, longer_wins, problem, serving, shown

ROOT = Path(__file__).resolve().parents[1]
KEY = "sk-test-0123456789abcdef"
ONE = [Pair(Example("1", "Ein Hund.", "A dog.", {"source": "Ein Hund."}), "A big dog.", "A dog.")]


def pairs(count: int, *, equal: int = 0) -> list[Pair]:
    """Different prompts; the first response is the longer one on even prompts."""
    made = []
    for i in range(count):
        texts = (f"A dog {i}.", f"Some dogs {i}.")
        made.append(
            Pair(Example(str(i), f"Hund {i}", "A dog.", {"source": f"Hund {i}"}), *texts[:: 1 if i % 2 else -1])
        )
    return made + [Pair(made[0].example, "Same.", "Same. ")] * equal


@pytest.fixture
def make_judge(tmp_path):
    """Judges with one cache, and little patience unless told otherwise."""

    def make(server, *, key: str | None = None, cap=None, prices=None, folder=tmp_path, **settings) -> OpenAIJudge:
        settings = {"model": "asked-model", "timeout": 10.0, "retries": 2, **settings}
        cache = AnswerCache(folder / "cache")
        return OpenAIJudge(
            load_prompt("wmt"),
            cache,
            JudgeSettings(**settings),
            endpoint=Endpoint(server.url, key),
            budget=Budget(Ledger(folder / "cache"), invocation="test", cap=cap, prices=prices),
        )

    return make


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


# Failures that pass.


def fails_first(times: int, failure: Reply):
    """Every question fails that many times, then is answered."""
    left: dict[str, int] = {}
    lock = threading.Lock()

    def behaviour(request):
        content = request["messages"][0]["content"]
        with lock:
            left[content] = left.get(content, times) - 1
            return failure if left[content] >= 0 else longer_wins(request)

    return behaviour


PASSING = {
    "429": problem(429),
    "500": problem(500),
    "503": problem(503),
    "truncated body": Reply(body=chosen("A").body, cut=True),
    "a hang": Reply(body=chosen("B").body, delay=60.0),
}
PATIENCE = {"a hang": 1.0}
"""Seconds to wait, where it is the server that waits longer."""


@pytest.mark.parametrize("name", PASSING)
def test_a_passing_failure_is_tried_again(make_judge, name):
    with serving(fails_first(1, PASSING[name])) as server:
        judge = make_judge(server, timeout=PATIENCE.get(name, 10.0))
        assert judge.judge(ONE)[0].verdict == Verdict.WIN
        assert len(server.seen.requests) == judge.client.requests == 4
        assert judge.answered == 2


@pytest.mark.parametrize("name", PASSING)
def test_a_failure_that_stays_is_missing_never_kept_and_asked_for_again_later(make_judge, name):
    with serving(fails_first(1, PASSING[name])) as server:
        judge = make_judge(server, timeout=PATIENCE.get(name, 10.0), retries=0)
        judgement = judge.judge(ONE)[0]
        assert (judgement.verdict, judgement.choices) == (Verdict.INVALID, (Choice.MISSING, Choice.MISSING))
        assert len(judge.cache) == 0
        assert judge.facts(ONE)["without_choice"]["missing"] == 2
        assert make_judge(server).judge(ONE)[0].verdict == Verdict.WIN


@pytest.mark.parametrize("header", ["retry_after", "retry_after_ms"])
def test_retry_after_is_honoured(make_judge, header):
    """The client's own first pause would be 0.5 s at most; the server asks for more than that."""
    value = {"retry_after": "1", "retry_after_ms": "900"}[header]
    with serving(fails_first(1, problem(429, **{header: value}))) as server:
        make_judge(server).judge(ONE)
        times = server.seen.times
    assert times[1] - times[0] >= 0.9


def test_without_retry_after_the_client_waits_a_little_longer_each_time(make_judge):
    with serving(fails_first(2, Reply(500, {"x-none": "1"}, "{}"))) as server:
        ask = make_judge(server)
        ask.collect(ONE)
        first, second, third = server.seen.times[:3]
    assert second - first >= 0.37
    assert third - second >= 0.75


BROKEN = {
    "wrong JSON": Reply(body='{"choices": [{"mess'),
    "a page instead": Reply(headers={"content-type": "text/html"}, body="<html>busy</html>"),
    "null": Reply(body="null"),
    "no choices": Reply(body='{"id": "x", "choices": []}'),
    "choices of another kind": Reply(body='{"choices": "A"}'),
    "a message of another kind": Reply(body='{"choices": [{"message": "A"}]}'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer_of_the_protocol_is_missing_and_not_kept(make_judge, name):
    with serving(fails_first(1, BROKEN[name])) as server:
        judge = make_judge(server)
        judgement = judge.judge(ONE)[0]
        assert judgement.choices == (Choice.MISSING, Choice.MISSING)
        assert "answer" in judgement.reasons[0]
        assert len(judge.cache) == 0
        assert make_judge(server).judge(ONE)[0].verdict == Verdict.WIN


def test_one_lost_question_leaves_the_others_be(make_judge):
    def behaviour(request):
        return problem(500) if shown(request) == ("Some dogs 2.", "A dog 2.") else longer_wins(request)

    with serving(behaviour) as server:
        judged = make_judge(server, retries=0).judge(pairs(5))
    assert [j.verdict for j in judged] == [Verdict.WIN, Verdict.LOSE, Verdict.INVALID, Verdict.LOSE, Verdict.WIN]
    assert judged[2].choices == (Choice.MISSING, Choice.SECOND)


# Failures that do not.


def test_a_server_that_answers_nothing_is_given_up(make_judge):
    with serving(lambda request: problem(500)) as server:
        with pytest.raises(JudgeStoppedError, match=r"left 3 questions in a row without an answer \(.*HTTP 500"):
            make_judge(server, retries=0).judge(pairs(50))
        assert len(server.seen.requests) == 3


def test_a_server_that_stops_answering_is_given_up_and_what_it_said_is_kept(make_judge):
    answered = threading.Semaphore(20)

    def behaviour(request):
        return longer_wins(request) if answered.acquire(blocking=False) else problem(503)

    with serving(behaviour) as server:
        judge = make_judge(server, retries=0, concurrency=4)
        with pytest.raises(JudgeStoppedError, match=r"left 1\d questions in a row .*asks only what is not"):
            judge.judge(pairs(50))
        assert len(judge.cache) == 20
        # Three answers under way may each come after nine failures, and three questions after the tenth in a row.
        assert 30 <= len(server.seen.requests) <= 20 + 3 * 9 + 10 + 3


def test_no_server_at_all(make_judge):
    with serving() as server:
        judge = make_judge(server, retries=0)
    with pytest.raises(JudgeStoppedError, match=r"127.0.0.1:\d+ left 3 questions .*connection to .* failed"):
        judge.judge(pairs(5))


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "refuses access: scripted; check OPENAI_API_KEY"),
        (403, "refuses access: scripted; check OPENAI_API_KEY"),
        (404, "does not know model asked-model or this address: scripted; check --judge and OPENAI_BASE_URL"),
    ],
)
def test_a_refused_key_or_model_ends_it_after_one_request(make_judge, status, sentence):
    with serving(lambda request: problem(status)) as server:
        with pytest.raises(AccessError, match=sentence):
            make_judge(server).judge(pairs(20))
        assert len(server.seen.requests) == 1


def test_a_key_that_is_withdrawn_ends_it_with_one_request_per_thread(make_judge):
    answered = threading.Semaphore(1)

    def behaviour(request):
        return longer_wins(request) if answered.acquire(blocking=False) else problem(401)

    with serving(behaviour) as server:
        judge = make_judge(server, concurrency=4)
        with pytest.raises(AccessError, match="refuses access"):
            judge.judge(pairs(100))
        assert len(judge.cache) == 1
        assert 2 <= len(server.seen.requests) <= 1 + 4


def test_a_retry_after_of_an_hour_is_not_waited_for():
    with serving(lambda request: problem(429, retry_after="3600")) as server:
        client = ChatClient(Endpoint(server.url), timeout=5, retries=3)
        with pytest.raises(NoAnswerError, match="HTTP 429"):
            client.ask({"model": "m", "messages": []})
        assert client.requests == 1
        client.close()


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


# A process that is killed.

LIFE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.test_judge_server import *

shutdown = ThreadPoolExecutor.shutdown

def telling(self, wait=True, *, cancel_futures=False):
    shutdown(self, wait=False, cancel_futures=cancel_futures)
    print("nothing more is asked", flush=True)
    shutdown(self, wait=wait)

ThreadPoolExecutor.shutdown = telling
cache = AnswerCache(Path(sys.argv[2]) / "cache")
settings = JudgeSettings(model="asked-model", concurrency=3)
OpenAIJudge(load_prompt("wmt"), cache, settings, endpoint=Endpoint(sys.argv[1])).judge(pairs(10))
"""


def start_life(server, folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", LIFE, server.url, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_after_a_kill_only_what_was_not_answered_is_asked(make_judge, tmp_path, ending):
    """Killed with 7 of 20 questions answered and 3 under way: those 3 come twice, every other question once.

    After Ctrl-C instead, the process waits for the questions under way, so that none comes twice.
    """
    answering, released = threading.Semaphore(7), threading.Event()

    def behaviour(request):
        if not answering.acquire(blocking=False):
            released.wait(60)
        return longer_wins(request)

    with serving(behaviour) as server:
        cache = AnswerCache(tmp_path / "cache")
        with start_life(server, tmp_path) as life:
            wait_until(lambda: len(cache) == 7 and len(server.seen.requests) == 10, life)
            life.send_signal(ending)
            assert life.stdout.readline() == ("" if ending == signal.SIGKILL else "nothing more is asked\n")
            released.set()
            life.communicate(timeout=60)
        kept = len(cache)
        judge = make_judge(server)
        judged = judge.judge(pairs(10))
        questions = server.seen.questions
    assert life.returncode != 0
    assert kept == (7 if ending == signal.SIGKILL else 10)
    assert judge.answered == 20 - kept
    assert sorted(questions.values()) == [1] * (10 + kept) + [2] * (10 - kept)
    assert count_verdicts(judged) == {"win": 5, "lose": 5, "tie": 0, "invalid": 0}


def wait_until(condition, process: subprocess.Popen, seconds: float = 60) -> None:
    """Wait for a condition that another process brings about; its end before that is an error."""
    started = time.monotonic()
    while not condition():
        assert process.poll() is None, process.stderr.read()[-2000:]
        assert time.monotonic() - started < seconds
        time.sleep(0.01)


@pytest.mark.slow
def test_several_processes_may_ask_at_once(tmp_path):
    """Both end with every answer; a question that both had under way is answered once for both."""
    with serving() as server:
        lives = [start_life(server, tmp_path) for _ in range(2)]
        for life in lives:
            life.communicate(timeout=120)
        assert [life.returncode for life in lives] == [0, 0]
        assert 20 <= len(server.seen.requests) <= 40
    assert len(AnswerCache(tmp_path / "cache")) == 20


@pytest.mark.parametrize(("name", "charged"), [("429", 0), ("a hang", 1), ("truncated body", 1)])
def test_attempts_that_the_server_may_have_charged_count_as_spent(make_judge, name, charged):
    with serving(fails_first(1, PASSING[name])) as server:
        judge = make_judge(server, prices=Prices(1000.0, 0.0), timeout=PATIENCE.get(name, 10.0), concurrency=1)
        estimate = judge.estimate(ONE).usd
        assert judge.judge(ONE)[0].verdict == Verdict.WIN
    counted = judge.facts(ONE)["usd"]
    # Both orders failed once; an attempt without an answer may have cost as much as the estimate.
    assert judge.budget.spent - counted == pytest.approx(charged * estimate, rel=0.3, abs=1e-9)
