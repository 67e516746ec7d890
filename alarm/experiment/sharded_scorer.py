"""A scorer that several processes ask together, each for its share of the responses."""

from __future__ import annotations

from collections.abc import Sequence

from alarm.ppo import processes
from alarm.scorers.base import Score, Scorer


def in_shards(scorer: Scorer) -> Scorer:
    """The scorer, shared among the processes of a run; alone, the scorer itself."""
    return scorer if processes.count() == 1 else ShardedScorer(scorer)


class ShardedScorer(Scorer):
    """Scores this process's share of a batch by `scorer` and gives all processes all scores."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        for name in ("name", "value_name", "placement", "higher_is_better", "normalize", "scale", "log_odds"):
            setattr(self, name, getattr(scorer, name))

    @property
    def version(self) -> str:
        return self._scorer.version

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Score]:
        """As the scorer itself; what it refuses in one process is refused in all.

        Raises:
            ValueError: whatever `scorer` refuses.
        """
        return processes.in_shards(lambda mine: self._scorer.score(prompts[mine], responses[mine]), len(prompts))
