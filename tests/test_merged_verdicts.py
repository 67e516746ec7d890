"""Several calls of a judge, one record: nothing that was answered is lost, and nothing outlives its responses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alarm.experiment.merged_verdicts import merged
from alarm.records import Generation, JudgeRecord
from alarm.records.paths import judge_path
from alarm.report.runs import read_runs
from alarm.report.verdicts import SFT, SFT_SEED, is_current, responses_checksum
from tests.synthetic_runs import judge_record, write_judged

METHODS = ("alarm", "holistic_only", "weighted_sum")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    write_judged(results, "wmt", methods=METHODS, seeds=(1, 2))
    (runs,) = read_runs(results, "tiny")
    return results, runs


@pytest.fixture
def full(place) -> JudgeRecord:
    return judge_record(place[0], "wmt", METHODS, (1, 2))


def with_only(record: JudgeRecord, *keys, **changes) -> JudgeRecord:
    rows = [row for row in record.comparisons if (row["row"], row["column"], row["seed"]) in keys]
    return replace(record, comparisons=[{**row, **changes} for row in rows])


def test_a_later_call_about_less_keeps_the_rest(place, full):
    later = with_only(full, ("alarm", "weighted_sum", 1))
    both = merged(later, full, place[1])
    assert len(both.comparisons) == len(full.comparisons) == 6
    assert both.facts["pairs"] == sum(len(row["ids"]) for row in full.comparisons)
    assert both.facts["comparisons_of_earlier_calls"] == 5 and both.facts["seeds"] == [1, 2]
    assert sum(both.facts["verdicts"].values()) == both.facts["pairs"]


def test_what_is_missing_now_does_not_replace_an_answer(place, full):
    key = ("alarm", "weighted_sum", 1)
    (row,) = with_only(full, key).comparisons
    nothing = {"verdicts": ["invalid"] * len(row["ids"]), "choices": [["missing", "missing"]] * len(row["ids"])}
    both = merged(with_only(full, key, **nothing), full, place[1])
    (found,) = with_only(both, key).comparisons
    assert found == row
    alone = merged(with_only(full, key, **nothing), None, place[1])
    assert set(alone.comparisons[0]["verdicts"]) == {"invalid"}


def test_a_new_answer_replaces_the_old_one_whichever_run_stood_first(place, full):
    (row,) = with_only(full, ("alarm", "weighted_sum", 1)).comparisons
    ids = row["ids"][:2]
    now = {"row": "weighted_sum", "column": "alarm", "seed": 1, "ids": ids}
    now |= {"verdicts": ["win", "invalid"], "choices": [["first", "second"], ["missing", "first"]]}
    both = merged(replace(full, comparisons=[now]), full, place[1])
    (found,) = with_only(both, ("weighted_sum", "alarm", 1)).comparisons
    mirrored = {"win": "lose", "lose": "win"}
    assert found["ids"] == row["ids"] and found["verdicts"][0] == "win"
    assert found["verdicts"][1] == mirrored.get(row["verdicts"][1], row["verdicts"][1])
    assert found["choices"][1] == row["choices"][1][::-1]
    assert len(both.comparisons) == 6


def test_another_prompt_or_server_is_another_judge(place, full):
    later = with_only(full, ("alarm", "weighted_sum", 1))
    for change in ({"prompt": {"name": "wmt", "version": "v2", "sha256": "0"}}, {"server": "http://elsewhere"}):
        assert len(merged(replace(later, facts={**later.facts, **change}), full, place[1]).comparisons) == 1


def test_verdicts_on_responses_replaced_since_are_dropped(place, full):
    old = {**full.facts["responses"], "holistic_only": {"1": "0" * 64, "2": "0" * 64}}
    stale = replace(full, facts={**full.facts, "responses": old})
    both = merged(with_only(full, ("alarm", "weighted_sum", 1)), stale, place[1])
    assert {name for row in both.comparisons for name in (row["row"], row["column"])} == {"alarm", "weighted_sum"}


def test_verdicts_against_another_sft_policy_are_not_current(place, full):
    runs = place[1]
    row = {"row": "alarm", "column": SFT, "seed": 1}
    facts = {**full.facts["responses"], SFT: {SFT_SEED: responses_checksum(runs.sft)}}
    record = replace(full, facts={**full.facts, "responses": facts})
    assert is_current(runs, record, row)
    first = next(iter(runs.sft))
    other = {**runs.sft, first: Generation(first, "Something else.", 3, {})}
    assert not is_current(replace(runs, sft=other), record, row)


def test_names_that_look_alike_have_files_of_their_own(tmp_path):
    names = ("openai:org/m_1", "openai:org-m-1", "openai:org/m-1")
    assert len({judge_path(tmp_path, "tiny", "wmt", name) for name in names}) == 3
