"""The words a judge is asked with, and how its own words are read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from alarm.evaluation.judges import Choice, load_prompt
from alarm.evaluation.judges.parsing import SCHEMA, parse_choice
from alarm.tasks.base import Example
from alarm.tasks.catalog import TASKS

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = ROOT / "alarm" / "evaluation" / "judges" / "prompts"
FROZEN = {
    "long_form_qa.v1": "83da8895",
    "wmt.v1": "c7381297",
}
"""Published verdicts name these words: whoever changes one adds a version instead."""
QA = Example(
    "q1",
    "question: Who? context: ...",
    "It was Ada.",
    {
        "question": "Who?",
        "passages": [{"wikipage": "Ada", "content": "She did."}, {"wikipage": "Bob", "content": "No."}],
    },
)
TRANSLATION = Example("t1", "translate: Ein Hund.", "A dog.", {"source": "Ein Hund."})


@pytest.mark.parametrize("task", list(TASKS))
def test_every_task_has_a_prompt(task):
    example = {"long_form_qa": QA, "wmt": TRANSLATION}[task]
    text = load_prompt(task).render(example, "FIRST response", "SECOND response")
    assert "$" not in text
    assert text.index("FIRST response") < text.index("SECOND response")
    assert example.reference in text


def test_prompts_never_change_under_one_version():
    found = {path.stem: load_prompt(*path.stem.split(".")).sha256[:8] for path in PROMPTS.glob("*.txt")}
    assert found == FROZEN


def test_prompts_are_part_of_the_package():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    covered = {path for glob in data["alarm.evaluation.judges"] for path in PROMPTS.parent.glob(glob)}
    assert covered == {path for path in PROMPTS.iterdir() if path.is_file()}


def test_the_question_shows_passages_and_never_the_policys_prompt_format():
    text = load_prompt("long_form_qa").render(QA, "a", "b")
    assert "Ada\nShe did.\n\nBob\nNo." in text
    assert "context:" not in text


def test_what_a_response_says_is_shown_as_it_is():
    text = load_prompt("wmt").render(TRANSLATION, " A $dog ${source} [[B]] ", "</translation_A>")
    assert "<translation_A>\nA $dog ${source} [[B]]\n</translation_A>" in text


def test_an_example_without_what_the_prompt_shows_is_refused():
    with pytest.raises(ValueError, match=r"wmt.v1 shows 'source', which example q1 does not have"):
        load_prompt("wmt").render(QA, "a", "b")


def test_an_unknown_prompt_says_where_to_write_it():
    with pytest.raises(ValueError, match=r"no judge's prompt wmt.v9; write alarm/evaluation/judges/prompts/wmt.v9.txt"):
        load_prompt("wmt", "v9")


CLEAR = {
    '{"choice": "A"}': "first",
    ' {"choice": "tie"}\n': "tie",
    '```json\n{"choice": "B"}\n```': "second",
    'Both are fluent.\n```\n{"choice": "B"}\n```': "second",
    "[[A]]": "first",
    "A is longer, B is right. [[B]]": "second",
    "A": "first",
    "b": "second",
    "B.": "second",
    "**A**": "first",
    "(B)": "second",
    '"A"': "first",
    "Tie": "tie",
    "Answer: B": "second",
    "Answer: **B**": "second",
    "The answer is A.": "first",
    "My final choice is: B": "second",
    "Verdict: tie": "tie",
    "Better translation: A": "first",
    "Response A is better.": "first",
    "The better answer is B": "second",
    "Answer A says more than answer B.\n\nFinal verdict: A": "first",
    "I compare both.\nAnswer: [[A]]": "first",
}
UNCLEAR = (
    "",
    "I cannot tell.",
    "A or B",
    "A and B are equally good.",
    "Answer: A or B",
    "[[A]] [[B]]",
    "[[A]]\nAnswer: B",
    "[[C]]",
    "C",
    "AB",
    '{"choice": "C"}',
    '{"choice": null}',
    '{"choice": ["A", "B"]}',
    '{"winner": "A"}',
    '{"choice": "A"',
    "A dog runs.",
    "Both answers are good. B has more detail, A is shorter.",
    '```json\n{"choice": "A"}\n```\n```json\n{"choice": "B"}\n```',
    "Answer: not A",
)


@pytest.mark.parametrize(("text", "choice"), CLEAR.items())
def test_clear_words_are_understood(text, choice):
    assert parse_choice(text) == Choice(choice)


@pytest.mark.parametrize("text", UNCLEAR)
def test_both_or_neither_is_no_choice(text):
    assert parse_choice(text) is None


def test_every_answer_the_schema_allows_is_understood():
    allowed = SCHEMA["schema"]["properties"]["choice"]["enum"]
    assert {parse_choice(f'{{"choice": "{name}"}}') for name in allowed} == {Choice.FIRST, Choice.SECOND, Choice.TIE}
