"""The judge against a real HTTP server that fails, in every way the protocol knows, and a process that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alarm.evaluation.judges import Choice, Verdict, count_verdicts
from alarm.evaluation.judges.cache import AnswerCache
from alarm.evaluation.judges.client import AccessError, ChatClient, Endpoint, NoAnswerError
from alarm.evaluation.judges.cost import Prices
from alarm.evaluation.judges.openai_judge import JudgeStoppedError
from tests.judging import ONE, pairs
from tests.openai_server import Reply, chosen, longer_wins, problem, serving, shown

ROOT = Path(__file__).resolve().parents[1]


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


# A process that is killed.

LIFE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.judging import *

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
