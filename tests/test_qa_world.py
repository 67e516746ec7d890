"""The QA world's files, and the task that reads them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from alarm.tasks.base import SPLITS
from alarm.tasks.long_form_qa import LongFormQA
from alarm.tasks.qa_feedback import read_questions
from alarm.tasks.worlds.qa import World, _rows, write_world
from alarm.tasks.worlds.qa_facts import SLOTS, facts_of, passage_facts

SMALL = {"sft": 300, "train": 500, "dev": 200, "test": 200}  # more than the questions of a split, so all are in use


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> LongFormQA:
    directory = tmp_path_factory.mktemp("world")
    write_world(directory, seed=3, sizes=SMALL)
    return LongFormQA(directory)


def test_the_same_seed_writes_the_same_bytes(task: LongFormQA, tmp_path: Path) -> None:
    write_world(tmp_path / "same", seed=3, sizes=SMALL)
    write_world(tmp_path / "other", seed=4, sizes=SMALL)
    for path in task.directory.iterdir():
        assert path.read_bytes() == (tmp_path / "same" / path.name).read_bytes()
        assert path.read_bytes() != (tmp_path / "other" / path.name).read_bytes()
    assert LongFormQA(tmp_path / "same").fingerprint == task.fingerprint
    assert LongFormQA(tmp_path / "other").fingerprint != task.fingerprint


def test_files_have_the_published_layout(task: LongFormQA) -> None:
    assert sorted(path.name for path in task.directory.iterdir()) == [
        "dev.json", "test.json", "train.json", "train_1k.json",
    ]  # fmt: skip
    rows = json.loads((task.directory / "dev.json").read_text(encoding="utf-8"))
    assert all(sorted(row) == ["answer", "passages", "question", "text"] for row in rows)
    for row, question in zip(rows, read_questions(task.directory / "dev.json"), strict=True):
        assert row["text"] == question.prompt
        assert row["answer"] == [question.answer]


def test_splits_have_their_sizes_and_no_question_in_common(task: LongFormQA) -> None:
    assert {name: len(task.split(name)) for name in SPLITS} == SMALL
    questions = {name: {example.fields["question"] for example in task.split(name)} for name in SPLITS}
    assert not questions["train"] & questions["dev"]
    assert not questions["train"] & questions["test"]
    assert not questions["dev"] & questions["test"]
    first = list(task.split("train"))[: SMALL["sft"]]
    assert [example.prompt for example in task.split("sft")] == [example.prompt for example in first]
    everything = [example.id for name in ("train", "dev", "test") for example in task.split(name)]
    assert len(everything) == len(set(everything))


def test_facts_recur_over_splits(task: LongFormQA) -> None:
    seen = {fact for example in task.split("train") for fact in facts_of(example.reference)}
    asked = {fact for example in task.split("test") for fact in facts_of(example.reference)}
    assert len(asked & seen) > 0.9 * len(asked)


def test_ideal_answers_are_perfect_and_others_are_not(task: LongFormQA) -> None:
    for name in ("train", "dev", "test"):
        examples = task.split(name)
        references = [example.reference for example in examples]
        assert task.gold(examples, references) == [1.0] * len(examples)
    shifted = task.gold(examples, references[1:] + references[:1])
    assert sum(shifted) / len(shifted) < 0.2


def test_gold_parts_say_which_property_is_at_fault(task: LongFormQA) -> None:
    examples = task.split("test")[:20]
    references = [example.reference for example in examples]
    assert task.gold_parts(examples, references) == {name: [1.0] * 20 for name in task.properties}
    twice = task.gold_parts(examples, [f"{reference} {reference}" for reference in references])
    assert set(twice["factuality"]) == set(twice["completeness"]) == {1.0} and set(twice["relevance"]) == {0.5}
    assert set(task.properties) < set(task.aspects)


def test_answers_follow_from_the_passages(task: LongFormQA) -> None:
    for example in task.split("test"):
        facts = facts_of(example.reference)
        assert 2 <= len(facts) <= 4
        assert set(facts) <= set(passage_facts(example.fields["passages"]))
        assert 2 <= len(re.findall(r"\.(?: |$)", example.reference)) <= 3


def test_texts_are_short_and_use_few_words(task: LongFormQA) -> None:
    words = set()
    for name in SPLITS:
        for example in task.split(name):
            assert len(example.prompt.split()) <= 100
            assert len(example.reference.split()) <= (64 if name == "sft" else 35)  # some writers say too much
            words.update(re.findall(r"\w+", f"{example.prompt} {example.reference}"))
    assert len(words) <= 400


def test_every_question_has_its_own_words() -> None:
    texts = [question.text for question in World(3).questions()]
    assert len(texts) == len(set(texts)) > 1000


@pytest.mark.parametrize("sizes", [{"dev": 0}, {"sft": 10, "train": 9}, {"validation": 3}])
def test_impossible_sizes_are_refused(tmp_path: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="size"):
        write_world(tmp_path, seed=0, sizes=sizes)


def test_a_split_larger_than_its_questions_allow_is_refused() -> None:
    world = World(0)
    everything = next(question for question in world.questions() if question.slots == SLOTS)
    with pytest.raises(ValueError, match="too few distinct prompts"):
        _rows(world, [everything], 1000, np.random.default_rng(0))


def test_missing_split_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the sft split of long_form_qa needs train_1k.json"):
        LongFormQA(tmp_path).split("sft")
    with pytest.raises(ValueError, match="unknown split 'validation'"):
        LongFormQA(tmp_path).split("validation")


def test_of_a_prompt_that_occurs_twice_the_first_counts(tmp_path: Path) -> None:
    row = {"question": "Who?", "passages": [], "answer": ["Ann."]}
    rows = [row, {**row, "answer": ["Ben."]}, {**row, "question": "Where?"}]
    (tmp_path / "dev.json").write_text(json.dumps(rows), encoding="utf-8")
    assert [example.reference for example in LongFormQA(tmp_path).split("dev")] == ["Ann.", "Ann."]


@pytest.mark.shared_data
def test_real_data_is_read_by_the_same_task(shared_data: Path) -> None:
    task = LongFormQA(shared_data / "qa_feedback")
    examples = task.split("dev")
    assert len(examples) == len({example.id for example in examples}) == 400
    assert all(example.prompt.startswith(f"question: {example.fields['question']} context: ") for example in examples)
    with pytest.raises(ValueError, match="generated worlds only"):
        task.gold(examples[:1], ["Los Angeles."])
