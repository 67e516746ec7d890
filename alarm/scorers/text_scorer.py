"""Scorers that read the response alone: each text is measured once and remembered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache

from alarm.scorers.base import Score, Scorer

CACHED_TEXTS = 65_536
"""Least recently seen texts are forgotten beyond this many, so a long run's memory stays bounded."""


class TextScorer(Scorer):
    """A scorer whose score depends on the response text only; the prompt is ignored."""

    threads = 1
    """Texts measured at once. Above 1, `measure` must bear calls from several threads, and gain by them."""

    def __init__(self) -> None:
        self._remembered = lru_cache(maxsize=CACHED_TEXTS)(self.measure)

    @abstractmethod
    def measure(self, response: str) -> Score:
        """The score of one response, measured anew."""

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Score]:
        """One `Score` per response, in order; repeated texts are measured once. Unequal lists raise `ValueError`."""
        if len(prompts) != len(responses):
            raise ValueError(f"{self.name}: {len(prompts)} prompts but {len(responses)} responses; pass one of each")
        distinct = list(dict.fromkeys(responses))
        found = map if self.threads == 1 else self._pool.map
        scores = dict(zip(distinct, found(self._remembered, distinct), strict=True))
        return [scores[response] for response in responses]

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """Threads that stay: a tool may have to warm up in each."""
        return ThreadPoolExecutor(self.threads)
