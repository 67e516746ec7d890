"""Made-up sampled responses with habits, a pool of the SFT policy's samples, and spreads within prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from alarm.records import (
    Generation,
    PoolRecord,
    RunRecord,
    generations_of,
    read_generations,
    read_records,
    records_folder,
    sft_generations_path,
    sft_samples_path,
    write_generations,
    write_pool,
    write_record,
)
from tests.synthetic_runs import ENVIRONMENT, directions, labels

HABITS = {"hasty": 0.5, "chatty": 0.25, "careful": 0.25}
LOWER = 0.1
"""How much lower gold is in samples than in greedy responses."""


def with_habits(generations: Sequence[Generation], first: Sequence[str]) -> list[Generation]:
    """The same responses, their habits drawn in turn from `first`."""
    return [replace(g, habit=first[place % len(first)]) for place, g in enumerate(generations)]


def sampled(generations: Sequence[Generation]) -> list[Generation]:
    """The same responses with lower gold, as samples."""
    return [replace(g, scores={**g.scores, "gold": g.scores["gold"] - LOWER}) for g in generations]


def with_spreads(record: RunRecord, reward: float = 0.5, gold: float = 0.2) -> RunRecord:
    """The spread of the total reward and of gold within prompts, falling by a tenth per iteration."""
    history = [
        {**row, "reward_spread": reward * 0.9**i, "gold_spread": gold * 0.9**i} for i, row in enumerate(record.history)
    ]
    return replace(record, history=history)


def over_optimised(record: RunRecord) -> RunRecord:
    """A proxy that rises with the square root of KL, and gold that rises to .6 at 4 nats and falls by .05 per nat."""
    history = []
    for i, row in enumerate(record.history):
        kl = 0.4 * i
        gold = 0.4 + 0.05 * min(kl, 4.0) - 0.05 * max(0.0, kl - 4.0)
        history.append({**row, "kl": kl, "holistic": kl**0.5, "gold": gold})
    return replace(record, history=history)


def pool_record(task: str, scale: str = "tiny", prompts: int = 20, samples: int = 8) -> PoolRecord:
    """Scores with a standard deviation of 1 within prompts and about 1 between them; a proxy that agrees with gold."""
    generator = np.random.default_rng(5)
    between = generator.standard_normal((prompts, 1))
    gold = 0.4 + 0.2 * (between + generator.standard_normal((prompts, samples)))
    scores = {"holistic": (5 * (gold - 0.4) + 0.5 * generator.standard_normal(gold.shape)).tolist()}
    names = list(HABITS)
    return PoolRecord(
        task=task,
        scale=scale,
        samples=samples,
        scores={**scores, "gold": gold.tolist()},
        habits=[[names[(p + k) % len(names)] for k in range(samples)] for p in range(prompts)],
        demonstrators=[
            {"name": name, "share": share, "description": f"answers in a {name} way"} for name, share in HABITS.items()
        ],
        held_out={"pairs": 500, "accuracy": 77.5},
        score_labels=labels(task),
        directions=directions(task),
        environment=ENVIRONMENT,
    )


def add_samples(results: Path, *, scale: str = "tiny", low_kl: Sequence[str] = ("holistic_low_kl",)) -> None:
    """Give every run on record samples, habits and spreads, and every task a pool and samples of the SFT policy.

    SFT responses are hasty, chatty and careful in equal parts, those of runs careful in two of three.
    """
    records = [record for record in read_records(records_folder(results, scale)) if record.error is None]
    for record in records:
        greedy = with_habits(generations_of(record), ("careful", "careful", "hasty"))
        record = over_optimised(record) if record.method in low_kl else record
        write_record(results, with_spreads(record), greedy, sampled(greedy))
    for task in {record.task for record in records}:
        path = sft_generations_path(results, scale, task)
        greedy = with_habits(read_generations(path), tuple(HABITS))
        write_generations(path, greedy)
        write_generations(sft_samples_path(results, scale, task), sampled(greedy))
        write_pool(results, pool_record(task, scale))
