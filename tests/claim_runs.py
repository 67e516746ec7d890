"""Made-up records behind the papers' claims: runs with sampled test responses of known gold, a pool of SFT samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from alarm.records import (
    Generation,
    PoolRecord,
    RunRecord,
    sft_samples_path,
    write_generations,
    write_pool,
    write_record,
    write_reward_models,
)
from tests.synthetic_runs import (
    ENVIRONMENT,
    GOLD_PARTS,
    PAPER_TASK_NAMES,
    directions,
    extended,
    generations,
    labels,
    run,
    study_record,
    write_shared,
)

SFT_GOLD = 0.4
SAMPLED_GOLD = {
    "holistic_only": 0.5,
    "aspect_only": 0.5,
    "weighted_sum": 0.55,
    "alarm": 0.6,
    "alarm_as_released": 0.52,
    "log_sigmoid": 0.52,
    "log_sigmoid_sum": 0.6,
    "raw_sum": 0.5,
    "denoised_rm": 0.5,
    "meta_rm": 0.5,
    "oracle": 0.65,
    "holistic_low_kl": 0.35,
}
"""Mean gold of sampled responses by method; 0.1 are 10 points."""
GREEDY_GOLD = {"holistic_only": 0.8, "holistic_low_kl": 0.6}
"""Mean gold of the greedy responses of what over-optimisation compares; all other methods' are alike."""
PROXY = {"holistic_low_kl": 2.0, "log_sigmoid": 0.6}
"""Mean holistic reward of sampled responses, z; 1 for the others, 0 for the SFT policy."""
PROMPTS = 60
GoldOf = Mapping[str, float] | Callable[[str, int], float]


def write_claims(
    results: Path,
    *,
    tasks: Iterable[str] = PAPER_TASK_NAMES,
    seeds: Iterable[int] = range(1, 7),
    gold: GoldOf = SAMPLED_GOLD,
    methods: Iterable[str] = tuple(SAMPLED_GOLD),
    pool: bool = True,
    study: bool = True,
    noise: float = 0.05,
) -> None:
    """Runs of these methods (`alarm+aspect` too) with samples; `gold` may depend on the method and on the seed."""
    gold_of = gold if callable(gold) else lambda name, seed: gold[name]
    for task in tasks:
        parts = GOLD_PARTS[task]
        for seed in seeds:
            for name in methods:
                method, _, aspect = name.partition("+")
                record = _uneven(extended(run(task, method, seed, aspect=aspect or None)))
                greedy = generations(task, 0.3, seed, PROMPTS, parts)
                if name in GREEDY_GOLD:
                    greedy = samples(task, name, seed, GREEDY_GOLD[name], noise)
                write_record(results, record, greedy, samples(task, name, seed, gold_of(name, seed), noise))
        write_shared(results, task, parts=parts)
        write_generations(sft_samples_path(results, "tiny", task), samples(task, "sft", 0, SFT_GOLD, noise, proxy=0.0))
        if pool:
            write_pool(results, pool_record(task))
        if study:
            write_reward_models(results, study_record(task))


def _uneven(record: RunRecord) -> RunRecord:
    """The run with a spread of scores by rounds that is not the same for every seed."""
    generator = np.random.default_rng([record.seed, len(record.run_name)])
    rows = [
        {**row, "current_spread": row["current_spread"] + 0.02 * generator.standard_normal()} if "round" in row else row
        for row in record.history
    ]
    return replace(record, history=rows)


def samples(task: str, name: str, seed: int, gold: float, noise: float, proxy: float | None = None) -> list[Generation]:
    """Responses whose mean gold is as asked for exactly; a response is without fault if its gold is above .55."""
    generator = np.random.default_rng([seed, *map(ord, name)])
    common = np.random.default_rng(5).normal(0, 0.1, PROMPTS)
    golds = common - common.mean() + _centred(generator, noise) + gold
    reward = PROXY.get(name, 1.0) if proxy is None else proxy
    holistic = common * 10 + _centred(generator, 0.5) + reward
    rows = []
    for p in range(PROMPTS):
        scores = dict.fromkeys(directions(task), 0.0) | {"gold": float(golds[p]), "holistic": float(holistic[p])}
        scores |= {f"gold_{part}": 1.0 if golds[p] > 0.55 else 0.5 for part in GOLD_PARTS[task]}
        rows.append(Generation(f"{task}-{p}", "A dog runs.", 10, scores))
    return rows


def pool_record(task: str, *, prompts: int = 80, k: int = 6, lower: float = 0.9, upper: float = 0.6) -> PoolRecord:
    """A holistic reward that orders a pair as gold with about these probabilities, by whether gold is low or high.

    Half of the prompts have responses of low gold, the others of high gold.
    """
    generator = np.random.default_rng(7)
    gold = generator.uniform(0, 0.4, (prompts, k)) + 0.5 * (np.arange(prompts) % 2)[:, None]
    # What reward adds to gold: noise that overturns more pairs where gold is high.
    noise = np.where(np.arange(prompts) % 2, _scale(upper), _scale(lower))[:, None]
    holistic = gold + noise * generator.standard_normal((prompts, k))
    return PoolRecord(
        task=task,
        scale="tiny",
        samples=k,
        scores={"gold": gold.tolist(), "holistic": holistic.tolist()},
        habits=[],
        demonstrators=[],
        held_out={},
        score_labels=labels(task),
        directions=directions(task),
        environment=ENVIRONMENT,
    )


def _scale(agreement: float) -> float:
    """Of the noise with which about this share of pairs keeps its order; 0 for all of them."""
    return 0.0 if agreement == 1 else 0.3 * (1 - agreement) / (agreement - 0.5)


def _centred(generator: np.random.Generator, scale: float) -> np.ndarray:
    values = generator.normal(0, scale, PROMPTS)
    return values - values.mean()
