"""Best-of-k from one pool of SFT samples per test prompt: what the same rewards give without PPO (arXiv:2402.00742)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from alarm.environment import environment
from alarm.evaluation.best_of_k import best_of_k_kl, best_of_k_weights, best_of_k_win_rate
from alarm.experiment.reference_levels import REFERENCE_CODE, levels_by_prompt, reference_levels, score_distinct
from alarm.records import BestOfKRecord, best_of_k_path, read_best_of_k, write_best_of_k
from alarm.references import check
from alarm.transforms import log_sigmoid_centered

if TYPE_CHECKING:
    from alarm.experiment.lab import Lab

SPLIT = "test"
CODE = (*REFERENCE_CODE, "transforms.py", "evaluation/best_of_k.py", "experiment/best_of_k.py")
WITHOUT_FAULT = 1 - 1e-9

SELECTORS = {
    "holistic": "the holistic reward, raw; log-sigmoid-centred alone it ranks the same",
    "raw_sum": "the sum of the properties' raw rewards",
    "log_sigmoid_sum": "the sum of the log-sigmoid-centred rewards",
    "gold": "gold quality itself, the ceiling",
}


def best_of_k(lab: Lab) -> BestOfKRecord:
    """Gold quality of what each selector takes from k samples, for k = 1, 2, 4, ... up to the pool; stored once.

    One sample more than the pool is drawn per prompt: each in turn is the opponent of the best of the others. Rewards
    are those that PPO gets from the plain holistic model, except that reference levels, which belong to a prompt, are
    taken from the pool itself.

    Raises:
        ValueError: the pool or the number of its prompts is below 1, or the settings of references are not valid.
    """
    settings = lab.preset.references
    check(settings)
    if settings.pool < 1 or settings.pool_prompts < 1:
        raise ValueError(f"best-of-k needs a pool and prompts, got {settings.pool} samples, {settings.pool_prompts}")

    def build(path: Path) -> None:
        write_best_of_k(path, _record(lab))

    inputs = lab.inputs("policy", "sft", "reward_models", "references") | {
        "samples": [*lab.lengths, lab.preset.ppo.train_prompts]
    }
    path = lab.artifact("best_of_k", CODE, inputs, build)
    return read_best_of_k(best_of_k_path(path, lab.preset.scale, lab.task_name))


@dataclass(frozen=True)
class _Pool:
    """Scores of n samples for each of P prompts."""

    selectors: Mapping[str, NDArray]
    """[P, n] each."""
    gold: NDArray
    """[P, n]"""
    all_good: NDArray | None
    """[P, n], 1 where gold finds no fault in any property, else 0; None where properties have no gold."""


def _record(lab: Lab) -> BestOfKRecord:
    settings, task = lab.preset.references, lab.task
    pool = _score_pool(lab)
    ks = sorted({2**i for i in range(settings.pool.bit_length())} | {settings.pool})
    return BestOfKRecord(
        task=lab.task_name,
        scale=lab.preset.scale,
        pool=settings.pool,
        split=SPLIT,
        ks=ks,
        kl=[best_of_k_kl(k) for k in ks],
        selectors={
            name: {"description": SELECTORS[name]} | _outcomes(scores, pool, ks)
            for name, scores in pool.selectors.items()
        },
        properties=("holistic", *task.properties),
        gold_name=task.gold_name,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(lab.device),
    )


def _outcomes(scores: NDArray, pool: _Pool, ks: Sequence[int]) -> dict[str, Any]:
    """One selector's [K][P] lists: see `BestOfKRecord.selectors`."""
    weights = [[best_of_k_weights(row, k) for row in scores] for k in ks]
    outcomes = {
        "gold": np.einsum("kpn,pn->kp", weights, pool.gold).tolist(),
        "win_rate": [
            [100 * best_of_k_win_rate(row, gold, k) for row, gold in zip(scores, pool.gold, strict=True)] for k in ks
        ],
    }
    if pool.all_good is not None:
        outcomes["all_good"] = np.einsum("kpn,pn->kp", weights, pool.all_good).tolist()
    return outcomes


def _score_pool(lab: Lab) -> _Pool:
    """Draw the samples and score them by every property and by gold."""
    settings = lab.preset.references
    properties = {"holistic": lab.holistic(), **{name: lab.scorers[name] for name in lab.task.properties}}
    scales = {name: p.scale for name, p in reference_levels(lab, properties).properties.items()}
    examples = lab.task.split(SPLIT)[: settings.pool_prompts]
    samples = lab.sft_samples(SPLIT, examples, count=settings.pool + 1)
    lab.progress.start(f"{lab.task_name} best of {settings.pool}")
    prompts, responses = [s.prompt for s in samples], [s.response for s in samples]
    rewards, centred = {}, {}
    for name, scorer in properties.items():
        rewards[name] = np.array(score_distinct(scorer, prompts, responses)) / scales[name]
        levels = levels_by_prompt(lab, scorer, samples, rewards[name].tolist(), scale=scales[name])
        reference = torch.tensor([levels[prompt] for prompt in prompts], dtype=torch.float64)
        centred[name] = log_sigmoid_centered(torch.from_numpy(rewards[name]), reference).numpy()
    by_id = {example.id: example for example in examples}
    sampled = [by_id[sample.id] for sample in samples]
    gold = np.array(lab.task.gold(sampled, responses))
    parts = [np.array(values) >= WITHOUT_FAULT for values in lab.task.gold_parts(sampled, responses).values()]
    shape = (len(examples), settings.pool + 1)
    selectors = {
        "holistic": rewards["holistic"],
        "raw_sum": sum(rewards.values()),
        "log_sigmoid_sum": sum(centred.values()),
        "gold": gold,
    }
    return _Pool(
        {name: scores.reshape(shape) for name, scores in selectors.items()},
        gold.reshape(shape),
        np.all(parts, axis=0).astype(np.float64).reshape(shape) if parts else None,
    )
