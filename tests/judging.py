"""Pairs to judge, and judges with little patience, for tests against a real HTTP server."""

from __future__ import annotations

from pathlib import Path

from alarm.evaluation.judges import OpenAIJudge, Pair, load_prompt
from alarm.evaluation.judges.cache import AnswerCache
from alarm.evaluation.judges.client import Endpoint
from alarm.evaluation.judges.cost import Budget
from alarm.evaluation.judges.ledger import Ledger
from alarm.evaluation.judges.questions import JudgeSettings
from alarm.tasks.base import Example

ONE = [Pair(Example("1", "Ein Hund.", "A dog.", {"source": "Ein Hund."}), "A big dog.", "A dog.")]


def pairs(count: int, *, equal: int = 0) -> list[Pair]:
    """Different prompts; the first response is the longer one on even prompts."""
    made = []
    for i in range(count):
        texts = (f"A dog {i}.", f"Some dogs {i}.")
        made.append(
            Pair(Example(str(i), f"Hund {i}", "A dog.", {"source": f"Hund {i}"}), *texts[:: 1 if i % 2 else -1])
        )
    return made + [Pair(made[0].example, "Same.", "Same. ")] * equal


def judge_of(server, folder: Path, *, key: str | None = None, cap=None, prices=None, **settings) -> OpenAIJudge:
    """A judge with its answers in `folder`, and little patience unless told otherwise."""
    settings = {"model": "asked-model", "timeout": 10.0, "retries": 2, **settings}
    return OpenAIJudge(
        load_prompt("wmt"),
        AnswerCache(folder / "cache"),
        JudgeSettings(**settings),
        endpoint=Endpoint(server.url, key),
        budget=Budget(Ledger(folder / "cache"), invocation="test", cap=cap, prices=prices),
    )
