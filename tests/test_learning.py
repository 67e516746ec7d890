"""PPO with gold quality as its reward improves a small translation policy's samples, in seconds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from alarm.compositions import holistic_rewards
from alarm.experiment.generation import generate
from alarm.ppo.networks import build_model
from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.ppo.sft import train_sft
from alarm.ppo.tokenizer import train_tokenizer
from alarm.ppo.trainer import PPOTrainer
from alarm.presets import preset
from alarm.tasks.wmt import WMT
from alarm.tasks.worlds.captions import write_world


@pytest.mark.slow
def test_gold_quality_of_samples_rises(tmp_path):
    settings = preset("tiny", "wmt")
    write_world(tmp_path, seed=5, sizes={"train": 1200, "val": 50, "test_2016_flickr": 50})
    task = WMT(tmp_path)
    examples = task.split("sft")
    prompts, references = [e.prompt for e in examples], [e.reference for e in examples]
    tokenizer = train_tokenizer([*prompts, *references], vocabulary_size=768, directory=tmp_path / "tokenizer")
    model = build_model(settings.policy, tokenizer, max_tokens=96, seed=0)
    sft = replace(settings.sft, steps=120, batch_size=48, learning_rate=4e-3)
    lengths = {"max_prompt_tokens": 48, "max_new_tokens": 32}
    start = Policy(model, tokenizer, seed=0)
    train_sft(start, prompts, references, sft, **lengths)

    # A new policy, so that its reference is the fine-tuned network and not the random one.
    policy = Policy(start.model, tokenizer, seed=0)
    ppo = replace(
        settings.ppo, epochs=6, batch_size=192, mini_batch_size=192, learning_rate=3e-4, early_stop_kl=10.0, **lengths
    )
    trainer = PPOTrainer(policy, ppo, seed=0)
    train = [example for example in examples[:24] for _ in range(8)]

    def gold_of_samples(seed: int) -> float:
        samples = generate(policy, train, replace(settings, ppo=ppo), count=3, seed=seed)
        return float(np.mean(task.gold([e for e in train for _ in range(3)], [s.response for s in samples])))

    before = gold_of_samples(100)
    for iteration in range(6):
        drawn = rollout(
            policy,
            [example.prompt for example in train],
            generator=torch.Generator().manual_seed(iteration),
            **lengths,
        )
        gold = torch.tensor(task.gold(train, drawn.responses))
        reward = (gold - gold.mean()) / gold.std()
        trainer.step(drawn.batch, holistic_rewards(reward, drawn.batch.response_mask, holistic_weight=5.0))
    after = gold_of_samples(100)
    # 576 samples each: the standard error of a difference is about 0.02.
    assert after > before + 0.05, (before, after)
