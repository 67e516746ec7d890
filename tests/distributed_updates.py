"""Worker of test_distributed.py: the same PPO steps in any number of processes, whose main one keeps what came out.

Called by a launcher as `distributed_updates.py OUT CASE`, or in the test's own process for comparison.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from alarm.ppo import engine, processes
from alarm.ppo.batch import TokenBatch
from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.ppo.trainer import PPOTrainer
from alarm.settings import PolicySettings, PPOSettings
from tests import tiny_models

PROMPTS = ["the cat is red", "who is a big dog ? the bird", "fish", "what color , who", "good old dog", "very", "a dog"]
STEPS = 3
PPO = {
    "mini_batch_size": 4,
    "accumulation_steps": 1,
    "epochs": 2,
    "learning_rate": 1e-2,
    "value_dropout": 0.0,
    "early_stop_kl": 1e9,
    "max_grad_norm": 0.5,
    "warmup_iterations": 2,
    "kl_horizon": 50,
}
CASES: dict[str, tuple[str, dict, dict]] = {
    # Seven rows in mini-batches of four and three: no two processes ever have equally many rows or tokens.
    "t5": ("t5", {}, {}),
    "gpt2": ("gpt2", {}, {}),
    "accumulated": ("t5", {}, {"mini_batch_size": 2, "accumulation_steps": 2}),
    # Mini-batches of one row leave the other processes none.
    "single rows": ("t5", {}, {"mini_batch_size": 1}),
    "norms": ("t5", {"tuned": "norms"}, {}),
    "adapters on bfloat16": ("t5", {"lora_rank": 4, "dtype": "bfloat16"}, {}),
    "skipped": ("t5", {}, {"max_ratio": 0.999999, "accumulation_steps": 2}),
    "stopped early": ("t5", {}, {"early_stop_kl": 1e-4, "epochs": 4}),
}


def checkpoint(folder: Path, architecture: str) -> Path:
    """A tiny network that every process finds equal, with its tokenizer."""
    path = tiny_models.checkpoint(folder / architecture, architecture)
    tiny_models.tokenizer().save_pretrained(path)
    return path


def build(folder: Path, case: str) -> PPOTrainer:
    architecture, policy, ppo = CASES[case]
    loaded = Policy.load(folder / architecture, PolicySettings(**policy), seed=0, value_dropout=0.0)
    return PPOTrainer(loaded, PPOSettings(**{**PPO, **ppo}), seed=0)


def batch_of(step: int, policy: Policy) -> tuple[TokenBatch, torch.Tensor]:
    """A batch that was made up rather than sampled: rows of unlike lengths, one of them empty."""
    generator = torch.Generator().manual_seed(step)
    lengths = torch.tensor([6, 1, 9, 0, 3, 7, 2]).roll(step)

    def part(lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        return torch.randint(3, len(tiny_models.WORDS), mask.shape, generator=generator) * mask, mask

    batch = TokenBatch(*part(torch.tensor([4, 1, 6, 2, 3, 5, 2])), *part(lengths))
    return batch, torch.randn(batch.response_mask.shape, generator=generator)


def run(trainer: PPOTrainer, steps: range) -> list[dict[str, float]]:
    history = []
    for step in steps:
        metrics = trainer.step(*batch_of(step, trainer.policy))
        history.append({name: value for name, value in metrics.items() if name != "seconds_update"})
    return history


def outcome(trainer: PPOTrainer, history: list[dict[str, float]]) -> dict:
    """History, final weights and the responses that the policy then samples: twice from one generator."""
    generator = torch.Generator().manual_seed(0)
    drawn = [
        rollout(trainer.policy, prompts, max_prompt_tokens=16, max_new_tokens=8, generator=generator)
        for prompts in (PROMPTS, PROMPTS[:1], PROMPTS[:3])
    ]
    return {
        "history": history,
        "weights": {name: value.float() for name, value in engine.whole_weights(trainer.policy).items()},
        "responses": [part.responses for part in drawn],
        "kl_coef": trainer.kl_controller.coefficient,
    }


def main(out: Path, name: str, cases: list[str]) -> None:
    engine.join(engine.own_device("cpu"))
    for case in cases:
        trainer = build(out, case)
        result = outcome(trainer, run(trainer, range(STEPS)))
        trainer.save(out / f"{name} {case}")
        if processes.is_main():
            kind = type(trainer.parameters[0]).__name__
            torch.save(result | {"processes": processes.count(), "kind": kind}, out / f"{name} {case}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:] or list(CASES))
