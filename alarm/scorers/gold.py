"""Gold quality as a reward: what an oracle would pay, and a control that must succeed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alarm.scorers.base import Placement, Score, Scorer

Gold = Callable[[Sequence[str], Sequence[str]], list[float]]
"""Prompts and responses to true qualities."""


class GoldScorer(Scorer):
    """The task's gold quality of a response, in the place of a holistic reward model."""

    name = "holistic"
    placement = Placement.LAST
    higher_is_better = True
    normalize = True

    def __init__(self, gold: Gold, value_name: str) -> None:
        self.gold = gold
        self.value_name = value_name

    @property
    def version(self) -> str:
        return f"gold: {self.value_name}"

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Score]:
        """One `Score` per pair. Raises `ValueError` for a prompt that is not the task's."""
        return [Score(value) for value in self.gold(prompts, responses)]
