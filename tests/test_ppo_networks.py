"""PPO on tiny T5 and GPT-2 networks, with and without LoRA: first ratio and KL, resuming, padding, learning."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from alarm.ppo import trainer as trainer_module
from alarm.ppo.batch import TokenBatch
from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.ppo.trainer import PPOTrainer
from alarm.settings import PolicySettings, PPOSettings
from tests import tiny_models

WHOLE = PPOSettings(mini_batch_size=64, epochs=1, learning_rate=1e-3, early_stop_kl=math.inf)


def weights(policy: Policy) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.trainable_parameters()])


def without_time(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "seconds_update"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    paths = {name: tiny_models.checkpoint(folder / name, name) for name in ("t5", "gpt2")}
    for path in paths.values():
        tiny_models.tokenizer().save_pretrained(path)
    return paths


def network(path: Path, lora_rank: int) -> Policy:
    return Policy.load(path, PolicySettings(lora_rank=lora_rank, lora_dropout=0.5), seed=0, value_dropout=0.5)


QUESTIONS = ["the cat is red", "who is a big dog ? the bird", "fish", "what color , who", "good old dog", "very"]


def sample(policy: Policy, seed: int, prompts: list[str] = QUESTIONS):
    generator = torch.Generator().manual_seed(seed)
    return rollout(policy, prompts, max_prompt_tokens=16, max_new_tokens=10, generator=generator)


@pytest.mark.parametrize("lora_rank", [0, 4])
@pytest.mark.parametrize("architecture", ["t5", "gpt2"])
def test_the_first_ratio_is_one_and_the_first_divergence_zero(checkpoints, architecture, lora_rank, monkeypatch):
    policy = network(checkpoints[architecture], lora_rank).train()
    ratios = []

    def recording(*args, **kwargs):
        result = policy_losses(*args, **kwargs)
        ratios.append(result.ratios.detach())
        return result

    policy_losses = trainer_module.policy_losses
    monkeypatch.setattr(trainer_module, "policy_losses", recording)
    ppo = PPOTrainer(policy, replace(WHOLE, epochs=2), seed=0)
    batch = sample(policy, seed=0).batch
    rewards = torch.randn(batch.response_mask.shape, generator=torch.Generator().manual_seed(0))
    first = ppo.step(batch, rewards)
    assert first["kl"] == 0.0
    assert torch.equal(ratios[0], torch.ones_like(ratios[0]))
    assert not torch.equal(ratios[1], torch.ones_like(ratios[1]))
    ratios.clear()
    batch = sample(policy, seed=1).batch
    second = ppo.step(batch, torch.randn(batch.response_mask.shape))
    assert second["kl"] != 0.0
    assert torch.equal(ratios[0], torch.ones_like(ratios[0]))


@pytest.mark.parametrize("lora_rank", [0, 4])
@pytest.mark.parametrize("architecture", ["t5", "gpt2"])
def test_a_resumed_network_is_the_unbroken_one(checkpoints, architecture, lora_rank, tmp_path):
    settings = replace(WHOLE, mini_batch_size=2, epochs=2)

    def trained(ppo: PPOTrainer, seeds: range) -> list[dict[str, float]]:
        history = []
        for seed in seeds:
            batch = sample(ppo.policy, seed).batch
            history.append(without_time(ppo.step(batch, (batch.response_ids == 5).float())))
        return history

    unbroken = PPOTrainer(network(checkpoints[architecture], lora_rank), settings, seed=0)
    trained(unbroken, range(1))
    unbroken.save(tmp_path)
    expected = trained(unbroken, range(1, 3))
    resumed = PPOTrainer(network(checkpoints[architecture], lora_rank), settings, seed=0)
    resumed.load(tmp_path)
    assert trained(resumed, range(1, 3)) == expected
    assert torch.equal(weights(resumed.policy), weights(unbroken.policy))


@pytest.mark.parametrize("architecture", ["t5", "gpt2"])
def test_padded_batches_update_a_network_alike(checkpoints, architecture):
    policy = network(checkpoints[architecture], 0)
    batch = sample(policy, seed=0).batch
    rewards = (batch.response_ids == 5).float()
    wide = TokenBatch(
        *(nn.functional.pad(part, (0, 3)) for part in (batch.prompt_ids, batch.prompt_mask)),
        *(nn.functional.pad(part, (0, 4)) for part in (batch.response_ids, batch.response_mask)),
    )
    results = []
    for tokens, values in ((batch, rewards), (wide, nn.functional.pad(rewards, (0, 4)))):
        ppo = PPOTrainer(copy.deepcopy(policy), replace(WHOLE, mini_batch_size=3), seed=0)
        ppo.step(tokens, values)
        results.append(weights(ppo.policy))
    assert torch.equal(*results)


def test_a_network_learns_the_rewarded_token(checkpoints):
    policy = network(checkpoints["t5"], 0)
    settings = replace(WHOLE, epochs=4, learning_rate=2e-3, initial_kl_coef=0.0)
    ppo = PPOTrainer(policy, settings, seed=0)
    wanted = policy.tokenizer.convert_tokens_to_ids("cat")
    shares = []
    for iteration in range(8):
        batch = sample(policy, iteration, QUESTIONS * 4).batch
        hits = (batch.response_ids == wanted) & batch.response_mask
        shares.append(hits.sum().item() / batch.response_mask.sum().item())
        ppo.step(batch, hits.float())
    assert shares[0] < 0.1
    assert shares[-1] > 0.5
