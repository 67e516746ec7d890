"""Resuming a policy with adapters: everything that learns survives, and what is frozen stays as it was, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.ppo.trainer import PPOTrainer
from alarm.settings import PolicySettings, PPOSettings
from tests import tiny_models

PROMPTS = ["the cat is red", "who is a big dog ? the bird", "fish", "what color , who", "good old dog"]
SETTINGS = PPOSettings(
    mini_batch_size=2, epochs=2, learning_rate=1e-2, value_learning_rate=3e-2, warmup_iterations=5, kl_horizon=20,
    early_stop_kl=1e9, max_ratio=1e9,
)  # fmt: skip
KINDS = {
    "adapters on bfloat16": PolicySettings(lora_rank=4, dtype="bfloat16"),
    "adapters on float32": PolicySettings(lora_rank=4),
    "norms": PolicySettings(tuned="norms"),
    "all": PolicySettings(),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tiny_models.checkpoint(tmp_path_factory.mktemp("checkpoint"), "t5")
    tiny_models.tokenizer().save_pretrained(path)
    return path


def trainer(checkpoint: Path, kind: str) -> PPOTrainer:
    return PPOTrainer(Policy.load(checkpoint, KINDS[kind], seed=0), SETTINGS, seed=0)


def learn(ppo: PPOTrainer, numbers: range) -> list[dict[str, float]]:
    """Sample and learn: a whole iteration per number."""
    history = []
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        drawn = rollout(ppo.policy, PROMPTS, max_prompt_tokens=16, max_new_tokens=8, generator=generator)
        metrics = ppo.step(drawn.batch, torch.randn(drawn.batch.response_mask.shape, generator=generator))
        history.append({name: value for name, value in metrics.items() if name != "seconds_update"})
    return history


def weights(policy: Policy) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in policy.named_parameters()}


def moments_of(ppo: PPOTrainer) -> list[Tensor]:
    """Step count and both moments of every parameter that learns."""
    return [value.clone() for of in ppo.optimizer.state_dict()["state"].values() for value in of.values()]


@each_kind
def test_adapters_head_optimiser_schedule_and_coefficient_survive(checkpoint, tmp_path, kind):
    unbroken = trainer(checkpoint, kind)
    learn(unbroken, range(3))
    unbroken.save(tmp_path)
    at_save, rate, moments = weights(unbroken.policy), unbroken.optimizer.param_groups[0]["lr"], moments_of(unbroken)
    resumed = trainer(checkpoint, kind)
    # Whatever the fresh trainer has of its own must be replaced.
    resumed.generator.manual_seed(99)
    with torch.no_grad():
        for parameter in resumed.parameters:
            parameter.fill_(0.5)
    resumed.load(tmp_path)
    assert resumed.iteration == 3
    assert resumed.kl_controller.coefficient == unbroken.kl_controller.coefficient != SETTINGS.initial_kl_coef
    for name, value in weights(resumed.policy).items():
        assert torch.equal(value, at_save[name]), name
    assert len(moments) == 3 * len(resumed.parameters)
    assert all(torch.equal(found, kept) for found, kept in zip(moments_of(resumed), moments, strict=True))
    assert learn(resumed, range(3, 5)) == learn(unbroken, range(3, 5))
    assert resumed.optimizer.param_groups[0]["lr"] == unbroken.optimizer.param_groups[0]["lr"] > rate
    for name, value in weights(unbroken.policy).items():
        assert torch.equal(weights(resumed.policy)[name], value), name


def test_the_base_stays_bfloat16_and_frozen_and_all_that_learns_is_float32(checkpoint):
    ppo = trainer(checkpoint, "adapters on bfloat16")
    before = weights(ppo.policy)
    seen: list[torch.dtype] = []
    ppo.policy.register_forward_hook(lambda module, inputs, outputs: seen.extend(part.dtype for part in outputs))
    history = learn(ppo, range(2))
    assert history[-1]["kl"] != 0
    assert set(seen) == {torch.float32}
    for name, parameter in ppo.policy.named_parameters():
        learns = "lora_" in name or "value_head" in name
        assert parameter.requires_grad == learns, name
        # T5 keeps one projection of each feed-forward block in float32, whatever it is loaded as.
        assert parameter.dtype == torch.float32 or (not learns and parameter.dtype == torch.bfloat16), name
        assert learns or torch.equal(parameter, before[name]), name
        assert not learns or not torch.equal(parameter, before[name]), name
    assert torch.bfloat16 in {parameter.dtype for parameter in ppo.policy.parameters()}
    assert {value.dtype for value in moments_of(ppo)} == {torch.float32}
