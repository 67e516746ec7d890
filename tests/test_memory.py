"""The computed need of memory: exact for weights, close to what a real step on a small network holds at its worst."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoModel, AutoModelForSeq2SeqLM, LlamaConfig, LlamaModel

from alarm.architectures import PUBLISHED, configuration, llama_13b, longformer_base, mt5_base, t5_large
from alarm.memory import LiveBytes, meta, policy_memory, scorer_memory, sft_memory
from alarm.paper_presets import LONG_FORM_QA
from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.ppo.trainer import PPOTrainer
from alarm.settings import PolicySettings, PPOSettings
from tests import tiny_models

MIB = 2**20


@pytest.mark.parametrize(
    ("make", "auto", "weights"),
    [
        (t5_large, AutoModelForSeq2SeqLM, 737_668_096),
        (mt5_base, AutoModelForSeq2SeqLM, 582_401_280),
        (longformer_base, AutoModel, 148_659_456),
        (llama_13b, AutoModel, 12_852_029_440),
    ],
)
def test_the_papers_networks_have_their_published_sizes(make, auto, weights):
    with meta():
        assert auto.from_config(make()).num_parameters() == weights


def test_an_unknown_checkpoint_that_is_not_at_hand_is_named():
    assert configuration("t5-large").d_model == PUBLISHED["t5-large"]().d_model
    with pytest.raises(ValueError, match=r"configuration of nobody/nothing cannot be read .*name a folder"):
        configuration("nobody/nothing")


def test_live_bytes_sees_what_is_held_and_what_is_freed():
    with LiveBytes() as counter:
        kept = torch.ones(1000)
        for _ in range(3):
            torch.ones(500).sum()
        view = kept[:10]
    # One of the three is alive with its sum at a time; a view holds nothing of its own.
    assert 4 * 1500 <= counter.peak <= 4 * 1500 + 16
    del kept, view


@pytest.fixture(scope="module", params=["t5", "gpt2"])
def policy_folder(request, tmp_path_factory):
    """A network whose activations outweigh everything else."""
    folder = tmp_path_factory.mktemp(request.param)
    tiny_models.checkpoint(folder, request.param)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_the_estimate_is_close_to_a_real_rollout_and_update(policy_folder, lora_rank):
    settings = PolicySettings(lora_rank=lora_rank)
    ppo = PPOSettings(batch_size=16, mini_batch_size=16, epochs=1, max_prompt_tokens=40, max_new_tokens=24)
    policy = Policy.load(policy_folder, settings)
    policy.forbid(policy.tokenizer.eos_token_id)  # nobody stops: responses are as long as they may be
    trainer = PPOTrainer(policy, ppo, seed=0)
    with LiveBytes() as rolling:
        drawn = rollout(
            policy,
            [f"{word} the cat " * 40 for word in tiny_models.WORDS[-ppo.batch_size :]],  # each prompt is read once
            max_prompt_tokens=ppo.max_prompt_tokens,
            max_new_tokens=ppo.max_new_tokens,
            generator=torch.Generator().manual_seed(0),
        )
    assert drawn.batch.response_mask.all() and drawn.batch.prompt_mask.shape[1] == ppo.max_prompt_tokens
    with LiveBytes() as updating:
        trainer.step(drawn.batch, torch.randn(drawn.batch.response_mask.shape))
    estimate = policy_memory(policy.config, settings, ppo)
    states = estimate.resident["Adam's moments"]
    update = estimate.phases["update, gradients included"] + states  # Adam makes its moments at the first step
    assert estimate.resident["policy weights"] == sum(
        4 * p.numel() for name, p in policy.model.named_parameters() if "lora_" not in name
    )
    assert update == pytest.approx(updating.peak, rel=0.35)
    assert estimate.phases["rollout"] == pytest.approx(rolling.peak, rel=0.5)


def test_a_reward_models_estimate_is_close_to_a_real_forward_pass():
    config = LlamaConfig(
        vocab_size=100, hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4
    )
    model = LlamaModel(config).eval()
    with torch.no_grad(), LiveBytes() as counter:
        model(input_ids=torch.ones(4, 50, dtype=torch.long), use_cache=False)
    estimate = scorer_memory(config, dtype="float32", batch_size=4, tokens=50)
    assert estimate.resident["weights"] == sum(4 * p.numel() for p in model.parameters())
    assert estimate.phases["scoring"] == pytest.approx(counter.peak, rel=0.25)


def test_larger_batches_and_longer_texts_need_more():
    settings, ppo = LONG_FORM_QA.policy, replace(LONG_FORM_QA.ppo, max_prompt_tokens=64, max_new_tokens=16)
    config = t5_large()
    config.num_layers = config.num_decoder_layers = 2
    small = policy_memory(config, settings, ppo)
    large = policy_memory(config, settings, replace(ppo, mini_batch_size=2 * ppo.mini_batch_size))
    ratio = large.phases["update, gradients included"] / small.phases["update, gradients included"]
    assert 1.5 < ratio <= 2.0 and large.resident == small.resident
    whole = sft_memory(config, batch_size=4, prompt_tokens=64, response_tokens=16)
    assert whole.resident["Adam's moments"] == 2 * whole.resident["weights"]
    assert whole.total > small.total > MIB
