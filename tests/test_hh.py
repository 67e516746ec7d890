"""HH-RLHF files, plain and with annotated strength: splitting, skipping with reasons, and faults that are named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.hh import (
    DIFFERENT_DIALOGUES,
    EMPTY_RESPONSE,
    EQUAL_RESPONSES,
    NO_ASSISTANT,
    opening,
    read_annotated_hh,
    read_hh,
    recent_turns,
)

TALK = "\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: Is it late?"
PROMPT = "Hi.\n\nAssistant: Hello.\n\nHuman: Is it late?"


def row(chosen: str, rejected: str, before: str = TALK, before_rejected: str | None = None) -> dict[str, str]:
    other = before if before_rejected is None else before_rejected
    return {"chosen": f"{before}\n\nAssistant:{chosen}", "rejected": f"{other}\n\nAssistant:{rejected}"}


def write(path: Path, rows: list[dict]) -> Path:
    content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["test.jsonl", "test.jsonl.gz"])
def test_dialogues_are_split_at_the_last_assistant_turn(tmp_path: Path, name: str) -> None:
    found = read_hh(write(tmp_path / name, [row(" Yes,\n\nvery. ", " No.")]))
    assert found.pairs == [Comparison(PROMPT, "Yes,\n\nvery.", "No.")]
    assert found.rows == [0] and found.skipped == {}


def test_unusable_rows_are_listed_by_reason(tmp_path: Path) -> None:
    rows = [
        row(" ", " No."),
        row(" Yes.", " No."),
        row(" Yes.", " No.", before_rejected="\n\nHuman: Bye."),
        {"chosen": "\n\nHuman: Hi.", "rejected": "\n\nHuman: Hi."},
        row(" Yes.", ""),
        row(" Yes.", " Yes. "),
    ]
    found = read_hh(write(tmp_path / "test.jsonl", rows))
    assert found.rows == [1] and len(found.pairs) == 1
    assert found.skipped == {
        EMPTY_RESPONSE: [0, 4],
        DIFFERENT_DIALOGUES: [2],
        NO_ASSISTANT: [3],
        EQUAL_RESPONSES: [5],
    }
    assert found.facts["rows"] == 6 and found.facts["pairs"] == 1
    assert found.facts[f"skipped: {EMPTY_RESPONSE}"] == 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('{"chosen": "a"', r"test\.jsonl, line 2: not JSON"),
        ('{"chosen": "a"}', r"test\.jsonl, line 2: field 'rejected' is missing"),
        ('{"chosen": ["a"], "rejected": "b"}', r"test\.jsonl, line 2: field 'chosen' must be text"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, bad: str, message: str) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(f"{json.dumps(row(' Yes.', ' No.'))}\n{bad}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_hh(path)


def test_a_file_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no usable comparison \(1 with an empty response\)"):
        read_hh(write(tmp_path / "test.jsonl", [row("", " No.")]))
    with pytest.raises(ValueError, match=r"no usable comparison \(no rows\)"):
        read_hh(write(tmp_path / "empty.jsonl", []))
    with pytest.raises(ValueError, match=r"there is no file .*none\.jsonl"):
        read_hh(tmp_path / "none.jsonl")


TURNS = {"chosen": ["Hi.", "Hello.", "Is it late?", "Yes."], "rejected": ["Hi.", "Hello.", "Is it late?", "No."]}


def test_annotated_rows_give_the_same_pairs_and_their_strength(tmp_path: Path) -> None:
    released = {
        **TURNS,
        "GPT4 label": 0,
        "mean preference difference": -0.25,
        "std preference difference": 0.5,
        "chosen score list": [1.0, 2.0],
        "rejected score list": [3.0, 3.0],
    }
    found = read_annotated_hh(write(tmp_path / "valid.jsonl.gz", [released]))
    assert found.pairs == read_hh(write(tmp_path / "test.jsonl", [row(" Yes.", " No.")])).pairs
    assert (found.mean, found.sd, found.gpt4) == ([-0.25], [0.5], [-1])


def test_annotated_columns_may_be_named_otherwise_or_follow_from_scores(tmp_path: Path) -> None:
    rows = [
        {**row(" Yes.", " No."), "Mean_Preference-Difference": 1, "STD_preference_difference": 0, "gpt4_label": 1},
        {**TURNS, "chosen_score_list": [1, 2], "rejected_score_list": [0, 3], "GPT4 label": -1},
        {**TURNS, "rejected": TURNS["chosen"], "chosen_score_list": [1, 2], "rejected_score_list": [0, 3]},
    ]
    found = read_annotated_hh(write(tmp_path / "valid.jsonl", rows))
    assert found.rows == [0, 1] and found.skipped == {EQUAL_RESPONSES: [2]}
    assert found.mean == [1.0, 0.0]
    assert found.sd == pytest.approx([0.0, 2**0.5])  # of the differences 1 and -1
    assert found.gpt4 == [1, 0]


def test_a_cut_history_begins_with_the_assistant(tmp_path: Path) -> None:
    turns = {side: [*TURNS[side][1:]] for side in ("chosen", "rejected")}
    (pair,) = read_annotated_hh(
        write(tmp_path / "a.jsonl", [{**turns, "mean preference difference": 1.0, "std preference difference": 1.0}])
    ).pairs
    assert pair.prompt == "\n\nAssistant: Hello.\n\nHuman: Is it late?"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean preference difference": "0.1"}, "field 'mean preference difference' must be a number"),
        ({"std preference difference": None}, "field 'std preference difference' must be a number"),
        ({"GPT4 label": 2}, "field 'gpt4 label' must be 1, 0 or -1, got 2"),
        ({"chosen": 3}, "field 'chosen' must be text or a list"),
        ({"chosen": ["Hi.", 3]}, "a dialogue must be a list of texts"),
    ],
)
def test_malformed_annotations_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    good = {**TURNS, "mean preference difference": 0.1, "std preference difference": 0.1}
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 2: {message}"):
        read_annotated_hh(write(tmp_path / "a.jsonl", [good, {**good, **changes}]))


@pytest.mark.parametrize(("chosen", "rejected"), [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([1.0, True], [1.0, 2.0])])
def test_score_lists_must_match(tmp_path: Path, chosen: list, rejected: list) -> None:
    path = write(tmp_path / "a.jsonl", [{**TURNS, "chosen score list": chosen, "rejected score list": rejected}])
    with pytest.raises(ValueError, match=r"line 1: .*scores?"):
        read_annotated_hh(path)


TURN = st.text("ab ", min_size=1, max_size=12).filter(str.strip).map(str.strip)


@given(st.lists(TURN, min_size=1, max_size=7).filter(lambda turns: len(turns) % 2), st.integers(0, 20))
def test_recent_turns_are_an_end_of_the_dialogue(turns: list[str], words: int) -> None:
    prompt = turns[0] + "".join(f"\n\n{'Assistant' if i % 2 else 'Human'}: {turn}" for i, turn in enumerate(turns) if i)
    assert opening(prompt) == turns[0]
    kept = recent_turns(prompt, words)
    assert prompt.endswith(kept) and kept.endswith(turns[-1])
    assert kept == turns[-1] or len(kept.split()) <= words
    if len(prompt.split()) <= words:
        assert kept == prompt


@pytest.mark.shared_data
def test_the_real_file_is_read_and_its_faults_are_counted(shared_data: Path) -> None:
    found = read_hh(shared_data / "hh/harmless-base/test.jsonl.gz")
    assert found.skipped == {EMPTY_RESPONSE: [86, 516, 925, 1103], DIFFERENT_DIALOGUES: [1254, 1688]}
    assert found.facts["rows"] == 1800 and found.facts["pairs"] == 1794
    assert found.pairs[0].prompt.startswith("what are some pranks with a pen i can do?\n\nAssistant: Are you")
    assert found.pairs[0].chosen.startswith("No, sorry!  All of these involve a pen")
