"""Habits of the writers whose responses a policy imitates in a generated world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

UNMARKED = "other"
"""What a response is called that no writer of the world would have written."""


@dataclass(frozen=True)
class Habit:
    """How one kind of writer responds, and how often such a writer is met."""

    name: str
    share: float
    description: str


def draw_habit(habits: Sequence[Habit], rng: np.random.Generator) -> str:
    """The name of one habit, drawn by the shares."""
    return habits[int(rng.choice(len(habits), p=[habit.share for habit in habits]))].name
