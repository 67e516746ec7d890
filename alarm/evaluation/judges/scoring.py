"""Judges that score both responses and let the higher score win; the order they are shown in cannot matter."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

from alarm.evaluation.judges.base import Choice, Judge, Judgement, Pair, equal_judgement, verdict_of
from alarm.scorers.base import Scorer
from alarm.tasks.base import Example, Task


class ScoreJudge(Judge):
    """The response with the better score wins; equal scores are a tie, an undefined one has no choice."""

    @abstractmethod
    def scores(self, examples: Sequence[Example], responses: Sequence[str]) -> list[float]:
        """One score per response, higher is better; NaN where it is not defined."""

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement]:
        examples = [pair.example for pair in pairs]
        responses = [pair.first for pair in pairs] + [pair.second for pair in pairs]
        scores = self.scores(examples + examples, responses)
        both = zip(pairs, scores[: len(pairs)], scores[len(pairs) :], strict=True)
        return [equal_judgement() if pair.is_equal else _judgement(first, second) for pair, first, second in both]


class GoldJudge(ScoreJudge):
    """True quality, which generated worlds know; on real text the task's automatic stand-in."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.name = f"gold:{task.name}"

    def scores(self, examples: Sequence[Example], responses: Sequence[str]) -> list[float]:
        return self.task.gold(examples, responses)


class RewardModelJudge(ScoreJudge):
    """Any scorer, such as the holistic reward model."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.name = f"scorer:{scorer.name}"

    def scores(self, examples: Sequence[Example], responses: Sequence[str]) -> list[float]:
        sign = 1.0 if self.scorer.higher_is_better else -1.0
        return [sign * score.value for score in self.scorer.score([example.prompt for example in examples], responses)]


def _judgement(first: float, second: float) -> Judgement:
    if math.isnan(first) or math.isnan(second):
        return Judgement(verdict_of((Choice.MISSING,) * 2), (Choice.MISSING,) * 2, ("a score is not a number",) * 2)
    if first == second:
        choices = (Choice.TIE, Choice.TIE)
    else:
        choices = (Choice.FIRST, Choice.SECOND) if first > second else (Choice.SECOND, Choice.FIRST)
    return Judgement(verdict_of(choices), choices)
