"""What is told of the writers that a generated world's policy imitates."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from alarm.__main__ import main
from alarm.experiment import demonstrators as module
from alarm.experiment.demonstrators import demonstrators
from alarm.experiment.lab import lab_class
from alarm.presets import TASK_NAMES, preset
from alarm.store import Store


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The writers of both worlds, seen through 200 demonstrations."""
    labs = {task: lab_class(task)(preset("tiny", task), Store(tmp_path_factory.mktemp(task))) for task in TASK_NAMES}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DEMONSTRATIONS", 200)
        return {task: (lab, demonstrators(lab)) for task, lab in labs.items()}


@pytest.mark.parametrize("task", TASK_NAMES)
def test_writers_stand_in_the_tasks_order_with_what_they_do(found, task):
    lab, writers = found[task]
    assert [(w.name, w.share, w.description) for w in writers] == [
        (habit.name, habit.share, habit.description) for habit in lab.task.habits
    ]
    parts = lab.task.gold_parts(lab.task.split("train")[:1], ["a"])
    assert all(list(w.values) == ["gold", *parts, *lab.tools()] for w in writers)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_values_are_means_over_the_writers_own_demonstrations(found, task):
    lab, writers = found[task]
    ideal = {example.prompt: example for example in lab.task.split("train")}
    for writer in writers:
        texts = [
            (ideal[each.prompt], each.reference)
            for each in lab.task.split("sft")[:200]
            if lab.task.habit(ideal[each.prompt], each.reference) == writer.name
        ]
        gold = lab.task.gold([example for example, _ in texts], [text for _, text in texts])
        assert writer.values["gold"] == pytest.approx(sum(gold) / len(gold))
        assert writer.words == pytest.approx(sum(len(text.split()) for _, text in texts) / len(texts))


def test_careful_writers_are_the_best_and_no_reward_by_length_finds_them(found):
    for _, writers in found.values():
        by_name = {writer.name: writer for writer in writers}
        assert by_name["careful"].values["gold"] > 0.95
        assert max(writers, key=lambda w: w.values["gold"]).name == "careful"
        assert max(writers, key=lambda w: w.words).name != "careful"


def test_people_are_not_told_apart():
    assert demonstrators(SimpleNamespace(task=SimpleNamespace(habits=()))) == []


def test_show_prints_all_writers(found, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "DEMONSTRATIONS", 200)
    assert main(["show", "--scale", "tiny", "--store", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    tables = printed.split("Writers that the policy imitates")[1:]
    assert len(tables) == len(TASK_NAMES)
    for (_, writers), table in zip(found.values(), tables, strict=True):
        lines = [line.split() for line in table.splitlines()]
        for writer in writers:
            line = next(line for line in lines if line and line[0] == writer.name)
            assert line[1:4] == [f"{writer.share:.2f}", f"{writer.words:.1f}", f"{writer.values['gold']:.2f}"]
            assert " ".join(line).endswith(writer.description)
