"""What the writers of a generated world are like, told from their demonstrations; nothing is trained for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from alarm.experiment.lab import Lab

DEMONSTRATIONS = 800
"""How many are looked at."""


@dataclass(frozen=True)
class Demonstrator:
    """One kind of writer: how often it is met, and means over its demonstrations."""

    name: str
    share: float
    description: str
    words: float
    values: dict[str, float]
    """`gold`, its parts, and every aspect that a rule or a tool measures."""


def demonstrators(lab: Lab) -> list[Demonstrator]:
    """The world's writers in the order of `Task.habits`; empty where data come from people.

    Gold is measured against the ideal response, which a demonstration stands in place of.
    """
    if not lab.task.habits:
        return []
    shown = lab.task.split("sft")[:DEMONSTRATIONS]
    ideal = {example.prompt: example for example in lab.task.split("train")}
    examples, texts = [ideal[each.prompt] for each in shown], [each.reference for each in shown]
    columns = {"gold": lab.task.gold(examples, texts), **lab.task.gold_parts(examples, texts)}
    prompts = [example.prompt for example in examples]
    for name, scorer in lab.tools().items():
        columns[name] = [score.value for score in scorer.score(prompts, texts)]
    habits = [lab.task.habit(example, text) for example, text in zip(examples, texts, strict=True)]
    words = [len(text.split()) for text in texts]
    found = []
    for habit in lab.task.habits:
        rows = [i for i, name in enumerate(habits) if name == habit.name]
        means = {name: float(np.mean([values[i] for i in rows])) for name, values in columns.items()}
        length = float(np.mean([words[i] for i in rows]))
        found.append(Demonstrator(habit.name, habit.share, habit.description, length, means))
    return found
