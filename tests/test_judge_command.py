"""`python -m alarm judge` and `pytest benchmarks --judge`: who meets whom, what is written, and how to go on."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from alarm.__main__ import main
from alarm.evaluation.judges.questions import JudgeSettings
from alarm.evaluation.win_rates import outcomes
from alarm.experiment.judging import (
    Match,
    draw_items,
    find_examples,
    find_matches,
    judge_task,
    one_hardware,
)
from alarm.experiment.matrix import RunSpec
from alarm.experiment.session import Session, check_judge
from alarm.records import (
    Generation,
    PromptRow,
    judge_path,
    read_judge,
    sft_generations_path,
    write_generations,
    write_prompts,
    write_record,
)
from alarm.report.runs import read_runs
from alarm.tasks.worlds.caption_quality import gold_quality
from tests.openai_server import SERVED, chosen, longer_wins, problem, serving, shown
from tests.synthetic_runs import run

ROOT = Path(__file__).resolve().parents[1]
KEY = "sk-test-0123456789abcdef"
PROMPTS = 6
LENGTHS = {"sft": 1, "holistic_only": 2, "aspect_only": 3, "weighted_sum": 4, "alarm": 5, "mine": 6}
"""Words a run's answers grow by: under a judge that likes the longer one, later runs win."""
PAPER = ["holistic_only", "aspect_only", "weighted_sum", "alarm"]


def answers(name: str, seed: int) -> list[Generation]:
    """Prompt 0 is answered alike by all."""
    texts = [
        " ".join(["A dog runs", *["very"] * (LENGTHS[name] * (i > 0)), f"{seed if i else ''}"]) for i in range(PROMPTS)
    ]
    return [Generation(f"p{i}", text.strip(), 5, {"holistic": 0.0, "gold": 0.5}) for i, text in enumerate(texts)]


def write_runs(results: Path, names=tuple(PAPER), *, task: str = "wmt", seeds=(1, 2), prompts: bool = True) -> None:
    for name in names:
        for seed in seeds:
            write_record(results, run(task, name, seed), answers(name, seed))
    write_generations(sft_generations_path(results, "tiny", task), answers("sft", 0))
    fields = {"source": "Ein Hund.", "question": "Who?", "passages": [{"wikipage": "Dogs", "content": "They run."}]}
    if prompts:
        rows = [PromptRow(f"p{i}", f"Ein Hund {i}.", f"A dog {i}.", fields) for i in range(PROMPTS)]
        write_prompts(results, "tiny", task, rows)


@pytest.fixture
def results(tmp_path):
    write_runs(tmp_path / "results")
    return tmp_path / "results"


def the_runs(results: Path, task: str = "wmt"):
    return one_hardware(read_runs(results, "tiny"), task, None)


def no_task():
    raise AssertionError("prompts lie beside the records; the task need not be built")


@pytest.fixture
def judge(results, tmp_path, monkeypatch, capsys):
    """The command with these records against a server; returns exit status, standard output and error."""

    def call(server, *options: object) -> tuple[int, str, str]:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        arguments = ["judge", "--judge", "openai:m", "--results", results, "--cache", tmp_path / "cache"]
        status = main([str(argument) for argument in (*arguments, *options)])
        return status, *capsys.readouterr()

    return call


def the_record(results: Path, task: str = "wmt"):
    return read_judge(judge_path(results, "tiny", task, "openai:m"))


# Who meets whom.


def meetings(matches: list[Match]) -> list[tuple[str, str, int]]:
    return [(match.row, match.column, match.seed) for match in matches]


def test_the_papers_methods_meet_each_other_once_per_seed(results):
    matches = find_matches(the_runs(results), no_task)
    assert len(matches) == 6 * 2
    assert {frozenset((row, column)) for row, column, _ in meetings(matches)} == {
        frozenset((a, b)) for a in PAPER for b in PAPER if a != b
    }
    assert meetings(matches)[:2] == [("holistic_only", "aspect_only", 1), ("holistic_only", "aspect_only", 2)]
    assert all(len(match.pairs) == PROMPTS for match in matches)
    first = matches[1].pairs[1]
    assert (first.id, first.first, first.second) == ("p1", "A dog runs very very 2", "A dog runs very very very 2")
    assert (first.example.reference, first.example.fields["source"]) == ("A dog 1.", "Ein Hund.")


def test_a_method_of_ones_own_meets_the_papers_four(results):
    write_runs(results, ["mine"])
    found = meetings(find_matches(the_runs(results), no_task, methods=["mine"], seeds=[2]))
    assert found == [("mine", name, 2) for name in PAPER]


def test_the_sft_policy_may_be_a_baseline_and_meets_every_seed(results):
    matches = find_matches(the_runs(results), no_task, methods=["alarm"], baselines=["sft"])
    assert meetings(matches) == [("alarm", "sft", 1), ("alarm", "sft", 2)]
    assert matches[0].pairs[1].second == matches[1].pairs[1].second == "A dog runs very 0"


def test_two_runs_meet_once_whichever_is_named_first(results):
    both = find_matches(the_runs(results), no_task, methods=["alarm", "sft"], baselines=["sft", "alarm"])
    assert meetings(both) == [("alarm", "sft", 1), ("alarm", "sft", 2)]


def test_the_same_items_are_drawn_for_all_matches(results):
    matches = find_matches(the_runs(results), no_task, max_items=3)
    assert len({tuple(pair.id for pair in match.pairs) for match in matches}) == 1
    assert len(matches[0].pairs) == 3


def test_drawing_depends_on_the_ids_alone():
    ids = {f"i{n}" for n in range(5000)}
    drawn = draw_items(ids, 3000)
    assert drawn == draw_items(set(sorted(ids, reverse=True)), 3000) == sorted(drawn)
    assert len(set(drawn)) == 3000
    assert drawn != sorted(ids)[:3000]
    assert draw_items(ids, 5000) == sorted(ids)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"methods": ["alrm"]}, r"unknown run of wmt on record 'alrm'. Did you mean 'alarm'"),
        ({"baselines": ["raw_sum"]}, r"unknown run of wmt on record 'raw_sum'.*Known: .*sft"),
        (
            {"seeds": [3]},
            r"holistic_only and aspect_only of wmt have no run with seed 3; seeds of both on record: 1, 2",
        ),
        ({"methods": ["alarm"], "baselines": ["alarm"]}, r"no two runs of wmt on record meet"),
        ({"max_items": 0}, r"--max-items must be at least 1"),
    ],
)
def test_what_cannot_meet_is_refused(results, options, problem):
    with pytest.raises(ValueError, match=problem):
        find_matches(the_runs(results), no_task, **options)


def test_runs_without_a_prompt_in_common_cannot_meet(results):
    write_record(results, run("wmt", "alarm", 1), [replace(row, id=f"x{row.id}") for row in answers("alarm", 1)])
    with pytest.raises(ValueError, match="runs of wmt on record have no test prompt in common"):
        find_matches(the_runs(results), no_task)


def test_runs_of_two_kinds_of_hardware_are_not_mixed(results):
    record = run("wmt", "alarm", 3)
    write_record(results, replace(record, environment={**record.environment, "device": "cuda"}), answers("alarm", 3))
    runs = read_runs(results, "tiny")
    with pytest.raises(ValueError, match="wmt has runs on both cpu and gpu"):
        one_hardware(runs, "wmt", None)
    assert one_hardware(runs, "wmt", "gpu").seeds == [3]
    with pytest.raises(ValueError, match="unknown task on record 'long_form_qa'"):
        one_hardware(runs, "long_form_qa", None)


# Prompts that do not lie beside the records.


def test_prompts_of_other_data_are_read_from_the_task(labs, tmp_path):
    task = labs("wmt").task
    examples = task.split("test")[:4]
    for name in ("alarm", "weighted_sum"):
        rows = [Generation(e.id, f"{name} {e.id}", 3, {}) for e in examples]
        write_record(tmp_path, run("wmt", name, 1, data_fingerprint=task.fingerprint), rows)
    matches = find_matches(the_runs(tmp_path), lambda: task)
    assert [pair.example for pair in matches[0].pairs] == sorted(examples, key=lambda example: example.id)
    runs = the_runs(tmp_path)
    with pytest.raises(ValueError, match=r"1 test prompts of wmt are unknown, such as nowhere-1"):
        find_examples(runs, lambda: task, [examples[0].id, "nowhere-1"])
    other = replace(runs, records=[replace(record, data_fingerprint="abc") for record in runs.records])
    with pytest.raises(ValueError, match="the wmt runs were made with other data than this; name theirs with --data"):
        find_examples(other, lambda: task, [examples[0].id])


# The command.


def test_the_command_writes_a_record_of_all_verdicts(judge, results):
    with serving() as server:
        status, out, err = judge(server)
    record = the_record(results)
    assert (status, err) == (0, "")
    assert "wmt, openai:m at 127.0.0.1:" in out
    assert "72 pairs, 12 of them equal; 120 questions in both orders, 0 answered already" in out
    assert str(judge_path(results, "tiny", "wmt", "openai:m")) in out
    assert (record.judge, record.task, record.scale) == ("openai:m", "wmt", "tiny")
    assert len(record.comparisons) == 12
    for comparison in record.comparisons:
        assert comparison["ids"] == [f"p{i}" for i in range(PROMPTS)]
        assert comparison["verdicts"] == ["tie"] + ["lose"] * 5
        assert comparison["choices"] == [["equal", "equal"]] + [["second", "first"]] * 5
    facts = record.facts
    assert (facts["items"], facts["seeds"], facts["pairs"]) == (PROMPTS, [1, 2], 72)
    assert facts["verdicts"] == {"win": 0, "lose": 60, "tie": 12, "invalid": 0}
    assert facts["served_models"] == {SERVED: 120}
    assert facts["prompt"]["version"] == "v1"
    checksum = read_runs(results, "tiny")[0].finished["alarm"][2].generations["sha256"]
    assert facts["responses"]["alarm"]["2"] == checksum


def test_asking_again_asks_nothing_and_changes_no_verdict(judge, results):
    with serving() as server:
        judge(server)
        first = the_record(results)
        assert judge(server)[0] == 0
        assert len(server.seen.requests) == 120
    assert the_record(results).comparisons == first.comparisons
    this_time = the_record(results).facts["this_time"]
    assert (this_time["requests"], this_time["answers"], this_time["answers_from_cache"]) == (0, 0, 120)


def test_new_responses_are_asked_about_and_old_ones_are_not(judge, results):
    with serving() as server:
        judge(server)
        write_record(results, run("wmt", "alarm", 1), answers("mine", 1))
        assert judge(server)[0] == 0
        assert len(server.seen.requests) == 120 + 3 * 5 * 2


def test_every_task_is_judged_in_its_own_words(judge, results):
    write_runs(results, task="long_form_qa")
    with serving() as server:
        status, *_ = judge(server, "--method", "alarm", "--baseline", "weighted_sum", "--seeds", "1")
        texts = list(server.seen.questions)
    assert status == 0
    assert sum("Compare two answers to a question" in text for text in texts) == 10
    assert sum("Compare two English translations" in text for text in texts) == 10
    assert the_record(results, "long_form_qa").facts["prompt"]["name"] == "long_form_qa"
    assert set(the_record(results).facts["responses"]) == {"alarm", "weighted_sum"}


def test_a_dry_run_asks_nothing_writes_no_record_and_needs_no_key(results, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    arguments = ["judge", "--results", str(results), "--cache", str(tmp_path / "cache"), "--dry-run"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "wmt, openai:gpt-4o-mini at api.openai.com: 72 pairs" in out
    assert "at most 0.0" in out
    assert not list(results.rglob("judge_*"))
    assert main([*arguments, "--max-cost", "0.001"]) == 2
    assert "more than --max-cost 0.001" in capsys.readouterr().err
    assert main(arguments[:-1]) == 2
    assert "the judge needs OPENAI_API_KEY" in capsys.readouterr().err


def test_an_estimate_above_the_cap_is_refused_before_the_first_question(judge, results):
    with serving() as server:
        status, out, err = judge(server, "--max-cost", "0.01", "--price-in", "1", "--price-out", "1")
        assert not server.seen.requests
    assert status == 2
    assert "asking would cost up to" in err
    assert "72 pairs" in out
    assert not list(results.rglob("judge_*"))


def test_what_the_cap_leaves_unasked_is_invalid_missing_and_asked_later(judge, results):
    def expensive(request):
        return chosen("A", usage=(1_000_000, 0))

    with serving(expensive) as server:
        status, _, err = judge(server, "--max-cost", "10", "--price-in", "1", "--price-out", "0", "--concurrency", "2")
        assert status == 2
        assert "--max-cost 10 USD is reached; raise it and run the same command again" in err
        facts = the_record(results).facts
        assert len(server.seen.requests) <= 10
        assert facts["usd"] <= 10
        assert facts["without_choice"]["missing"] == 120 - len(server.seen.requests)
        verdicts = [verdict for c in the_record(results).comparisons for verdict in c["verdicts"]]
        assert verdicts.count("invalid") == facts["verdicts"]["invalid"] >= 50
        assert judge(server)[0] == 0
        assert set(server.seen.questions.values()) == {1}
    assert the_record(results).facts["verdicts"] == {"win": 0, "lose": 0, "tie": 72, "invalid": 0}


def test_questions_that_stay_unanswered_are_counted_and_the_command_fails(judge, results):
    broken = True

    def behaviour(request):
        lost = broken and "A dog 3." in request["messages"][0]["content"]
        return problem(500) if lost else longer_wins(request)

    with serving(behaviour) as server:
        status, _, err = judge(server, "--retries", "0", "--seeds", "1", "--baseline", "sft")
        facts = the_record(results).facts
        assert status == 2
        assert facts["without_choice"]["missing"] == 8
        assert facts["verdicts"]["invalid"] == 4
        assert "8 questions on wmt got no answer (most often: HTTP 500: scripted)" in err
        assert "run the same command again" in err
        broken = False
        assert judge(server, "--seeds", "1", "--baseline", "sft")[0] == 0
    assert the_record(results).facts["without_choice"]["missing"] == 0


def test_a_record_of_nothing_but_missing_answers_is_one_all_the_same(judge, results):
    """Fewer questions than it takes to give a server up."""
    with serving(lambda request: problem(500)) as server:
        options = ("--method", "alarm", "--baseline", "sft", "--seeds", "1", "--max-items", "2", "--retries", "0")
        status, _, err = judge(server, *options)
    record = the_record(results)
    assert (status, len(server.seen.requests)) == (2, 2)
    assert "2 questions on wmt got no answer" in err
    assert record.comparisons[0]["verdicts"] == ["tie", "invalid"]


def test_a_refused_key_writes_nothing_and_is_not_repeated(judge, results):
    with serving(lambda request: problem(401, f"Incorrect API key: {KEY}")) as server:
        status, out, err = judge(server)
        assert len(server.seen.requests) == 1
    assert status == 2
    assert "refuses access: Incorrect API key: <key>; check OPENAI_API_KEY" in err
    assert KEY not in out + err
    assert not list(results.rglob("judge_*"))


def test_the_key_is_in_no_record_and_no_output(judge, results, tmp_path):
    with serving() as server:
        _, out, err = judge(server)
        assert server.seen.keys[0] == f"Bearer {KEY}"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not any(KEY.encode() in path.read_bytes() for path in files)
    assert KEY not in out + err


@pytest.mark.slow
def test_ctrl_c_leaves_a_record_that_says_what_is_missing(results, tmp_path, monkeypatch):
    """The process is interrupted by its own server once 30 questions are answered."""
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    process = None

    def behaviour(request):
        if len(server.seen.requests) == 30:
            process.send_signal(2)
        return longer_wins(request)

    with serving(behaviour) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        options = ("--judge", "openai:m", "--results", results, "--cache", tmp_path / "cache", "--concurrency", "2")
        command = [sys.executable, "-m", "alarm", "judge", *map(str, options)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        _, err = process.communicate(timeout=120)
        asked = len(server.seen.requests)
        assert process.returncode == 2
        assert "interrupted; what was answered is kept: run the same command again" in err
        assert 30 <= asked < 120
        assert the_record(results).facts["without_choice"]["missing"] == 120 - asked
        assert main(command[3:]) == 0
        assert set(server.seen.questions.values()) == {1}
    assert the_record(results).facts["verdicts"]["invalid"] == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--judge", "gpt-4o"], "unknown judge 'gpt-4o'; name a model as openai:MODEL"),
        (["--judge", "openai:"], "unknown judge 'openai:'"),
        (["--task", "wnt"], "unknown task on record 'wnt'. Did you mean 'wmt'"),
        (["--method", "alrm"], "unknown run of wmt on record 'alrm'. Did you mean 'alarm'"),
        (["--seeds", "one"], "--seeds takes whole numbers separated by commas"),
        (["--concurrency", "0"], "a judge's concurrency must be at least 1"),
        (["--max-cost", "1"], "--max-cost needs prices, and those of m on this server are unknown"),
        (["--price-in", "1"], "--price-in and --price-out belong together"),
        (["--scale", "tinny"], "unknown scale 'tinny'"),
        (["--scale", "small"], "there are no records in"),
    ],
)
def test_wrong_options_are_one_sentence_and_no_question(judge, options, problem):
    with serving() as server:
        status, _, err = judge(server, *options)
        assert not server.seen.requests
    assert status == 2
    assert problem in err
    assert err.count("\n") == 1


# In the benchmarks.


@pytest.mark.parametrize(
    ("judge_option", "options", "problem"),
    [
        ("gpt-4o", {}, "unknown judge 'gpt-4o'"),
        ("openai:m", {"max_cost": 1.0}, "--max-cost needs prices, and those of m on this server are unknown"),
        ("openai:gpt-4o-mini", {}, "the judge needs OPENAI_API_KEY, or OPENAI_BASE_URL"),
        (None, {"max_cost": 1.0}, "--max-cost limits what --judge spends; add --judge openai:MODEL"),
    ],
)
def test_the_benchmarks_check_the_judge_first(monkeypatch, judge_option, options, problem):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match=problem):
        check_judge(judge_option, options.get("max_cost"), (None, None))


def test_the_benchmarks_judge_the_papers_methods_or_those_that_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    request = check_judge("openai", 3.0, (0.0, 0.0))
    assert (request.settings, request.max_cost) == (JudgeSettings(model="gpt-4o-mini"), 3.0)
    common = {"scale": "tiny", "results": tmp_path, "store": tmp_path / "store", "seeds": (1, 2), "judge": request}
    session = Session(**common)
    assert session.judged == ["long_form_qa", "wmt"]
    assert sorted({spec.name for spec in session.judged_specs("wmt")}) == sorted(PAPER)
    assert len(session.judged_specs("wmt")) == 8
    named = Session(**common, tasks=("wmt",), methods=("raw_sum", "alarm"))
    assert {spec.name for spec in named.judged_specs("wmt")} == {"raw_sum", "alarm"}
    assert Session(**{**common, "judge": None}).judged == []


def test_a_cap_holds_for_all_tasks_of_an_invocation(results, tmp_path, monkeypatch):
    """Two judges, as of two worker processes, with one cache and one invocation."""
    from alarm.evaluation.judges.cache import AnswerCache
    from alarm.evaluation.judges.openai_judge import JudgeStoppedError

    with serving(lambda request: chosen("A", usage=(1_000_000, 0))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        request = check_judge("openai:m", 12.5, (1.0, 0.0))
        for folder in (tmp_path / "one", tmp_path / "one"):
            judge = request.open("wmt", AnswerCache(folder), invocation="same")
            pairs = [pair for match in find_matches(the_runs(results), no_task) for pair in match.pairs]
            with pytest.raises(JudgeStoppedError, match="is reached"):
                judge.judge(pairs)
        assert len(server.seen.requests) <= 12


def by_gold(request):
    """A model that knows the truth of generated captions and reads nothing but the question."""
    reference = re.search(r"<reference_translation>\n(.*?)\n<", request["messages"][0]["content"], re.DOTALL)[1]
    first, second = (gold_quality(reference, response) for response in shown(request))
    return chosen("tie" if first == second else "A" if first > second else "B")


@pytest.mark.slow
def test_finished_runs_are_judged_from_end_to_end(labs, tmp_path, monkeypatch):
    """By a server that knows the truth, which must come out as win, lose and tie by gold on record."""
    lab = labs("wmt")
    specs = [RunSpec("wmt", method, 1) for method in ("weighted_sum", "alarm")]
    with serving(by_gold) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        request = check_judge("openai:m", 1.0, (0.0, 0.0))
        path = judge_task(lab, request, specs, results=tmp_path, invocation="i")
        record = read_judge(path)
        asked = len(server.seen.requests)
        assert judge_task(lab, request, specs, results=tmp_path, invocation="j") == path
        assert len(server.seen.requests) == asked
    comparison = record.comparisons[0]
    assert [(c["row"], c["column"], c["seed"]) for c in record.comparisons] == [("weighted_sum", "alarm", 1)]
    assert len(comparison["ids"]) == lab.preset.evaluation.test_examples
    runs = the_runs(tmp_path)
    row, column = (
        [runs.generations(name, 1)[i].scores["gold"] for i in comparison["ids"]] for name in ("weighted_sum", "alarm")
    )
    names = {1: "win", 0: "tie", -1: "lose"}
    assert comparison["verdicts"] == [names[sign] for sign in outcomes(row, column)]
    assert record.facts["questions"] == asked > 0
    assert (lab.store.root / "judge" / "answers.sqlite").is_file()
