"""Responses of a policy to many examples, and the file they are kept in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.settings import Preset
from alarm.tasks.base import Example


@dataclass(frozen=True)
class Sample:
    """One response to one example; `length` counts generated tokens, the end token included."""

    id: str
    prompt: str
    response: str
    length: int


def generate(
    policy: Policy, examples: Sequence[Example], preset: Preset, *, count: int = 0, seed: int = 0
) -> list[Sample]:
    """`count` samples per example, or its greedy response where `count` is 0, in the order of the examples.

    Prompts are batched by length, so that little padding is computed. Samples depend on the batches, which are of
    `preset.evaluation.batch_size` responses.
    """
    repeated = [example for example in examples for _ in range(max(1, count))]
    order = sorted(range(len(repeated)), key=lambda i: len(repeated[i].prompt))
    samples: list[Sample | None] = [None] * len(repeated)
    generator = torch.Generator(policy.device).manual_seed(seed) if count else None
    for start in range(0, len(order), preset.evaluation.batch_size):
        rows = order[start : start + preset.evaluation.batch_size]
        drawn = rollout(
            policy,
            [repeated[i].prompt for i in rows],
            max_prompt_tokens=preset.ppo.max_prompt_tokens,
            max_new_tokens=preset.ppo.max_new_tokens,
            generator=generator,
        )
        for i, response, length in zip(rows, drawn.responses, drawn.lengths.tolist(), strict=True):
            samples[i] = Sample(repeated[i].id, repeated[i].prompt, response, length)
    return samples


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    path.write_text("".join(json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in samples), "utf-8")


def read_samples(path: Path) -> list[Sample]:
    return [Sample(**json.loads(line)) for line in path.read_text("utf-8").split("\n") if line]
