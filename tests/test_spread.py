"""How far the responses to one prompt lie apart, in reward and in gold quality."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from alarm.experiment.matrix import RunSpec
from alarm.experiment.run import Run
from alarm.settings import PPOSettings
from tests.micro import micro_lab, micro_preset


def spread(copies: int, values: list[float]) -> float | None:
    return Run._spread(SimpleNamespace(settings=PPOSettings(responses_per_prompt=copies)), values)


@pytest.mark.parametrize(
    ("copies", "values", "expected"),
    [
        (2, [1, 3], math.sqrt(2)),
        (2, [1, 3, 5, 5], math.sqrt(2) / 2),  # sd 1.414 and 0; that all prompts differ is no spread
        (3, [0, 1, 2, 4, 4, 7], (1 + math.sqrt(3)) / 2),
        (4, [2, 2, 2, 2], 0),
        (1, [1, 3], None),
    ],
)
def test_the_mean_over_prompts_of_the_sample_deviation(copies, values, expected):
    assert spread(copies, values) == (None if expected is None else pytest.approx(expected))


def test_every_iteration_has_it(labs):
    record = Run(labs("long_form_qa"), RunSpec("long_form_qa", "holistic_only", seed=1)).record()
    assert all(row["reward_spread"] > 0 for row in record.history)
    assert any(row["gold_spread"] > 0 for row in record.history), (
        "where all responses are as good as each other, it is 0"
    )
    # A group's sample deviation is at most that of values at both ends of [0, 1], two against two.
    assert max(row["gold_spread"] for row in record.history) <= math.sqrt(1 / 3)


def test_with_one_response_a_prompt_there_is_none(labs, micro_store):
    labs("wmt").sft  # noqa: B018  built once
    ppo = replace(micro_preset("wmt").ppo, responses_per_prompt=1)
    lab = micro_lab("wmt", micro_store, ppo=ppo)
    record = Run(lab, RunSpec("wmt", "holistic_only", seed=1)).record()
    assert [(row["reward_spread"], row["gold_spread"]) for row in record.history] == [(None, None)] * ppo.iterations
