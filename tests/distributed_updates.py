"""Worker of test_distributed.py: the same PPO steps in any number of processes; the main one keeps what came out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from alarm.ppo import engine, processes
from alarm.ppo.batch import TokenBatch
from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.ppo.trainer import PPOTrainer
from alarm.settings import PolicySettings, PPOSettings
from tests import tiny_models

PROMPTS = ["the cat is red", "who is a big dog ? the bird", "fish", "what color , who", "good old dog", "very", "a dog"]
ALONE = "checkpoint of one process"
STEPS = 2
PPO = {
    "mini_batch_size": 4,
    "epochs": 2,
    "learning_rate": 1e-2,
    "value_dropout": 0.0,
    "early_stop_kl": 1e9,
    "max_grad_norm": 0.5,
    "warmup_iterations": 2,
    "kl_horizon": 50,
}
# Seven rows in mini-batches of four and three or less: two processes never have equally many tokens.
CASES: dict[str, tuple[str, dict, dict]] = {
    "t5": ("t5", {}, {}),
    # The last mini-batch has one row, and the other process none.
    "accumulated": ("gpt2", {}, {"mini_batch_size": 3, "accumulation_steps": 2}),
    "single rows": ("t5", {"lora_rank": 4}, {"mini_batch_size": 1}),
    "bfloat16": ("t5", {"lora_rank": 4, "dtype": "bfloat16"}, {}),
    # Some mini-batches have too large a ratio, and some epochs are not made.
    "guarded": ("t5", {}, {"max_ratio": 1.05, "accumulation_steps": 2, "early_stop_kl": 0.1, "epochs": 4}),
}


def write_checkpoints(folder: Path) -> None:
    """Tiny networks that every process reads alike, with their tokenizer."""
    for architecture in ("t5", "gpt2"):
        path = tiny_models.checkpoint(folder / architecture, architecture)
        tiny_models.tokenizer().save_pretrained(path)


def build(folder: Path, case: str) -> PPOTrainer:
    architecture, policy, ppo = CASES[case]
    loaded = Policy.load(folder / architecture, PolicySettings(**policy), seed=0, value_dropout=0.0)
    return PPOTrainer(loaded, PPOSettings(**{**PPO, **ppo}), seed=0)


def made_up_batch(step: int) -> tuple[TokenBatch, torch.Tensor]:
    """Rows of unlike lengths, one of them empty, and a reward on every token."""
    generator = torch.Generator().manual_seed(step)

    def part(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
        mask = torch.arange(max(lengths)) < torch.tensor(lengths).roll(step).unsqueeze(1)
        return torch.randint(3, len(tiny_models.WORDS), mask.shape, generator=generator) * mask, mask

    batch = TokenBatch(*part(4, 1, 6, 2, 3, 5, 2), *part(6, 1, 9, 0, 3, 7, 2))
    return batch, torch.randn(batch.response_mask.shape, generator=generator)


def steps(trainer: PPOTrainer, numbers: range) -> list[dict[str, float]]:
    history = []
    for number in numbers:
        metrics = trainer.step(*made_up_batch(number))
        history.append({name: value for name, value in metrics.items() if name != "seconds_update"})
    return history


def outcome(trainer: PPOTrainer, numbers: range = range(STEPS)) -> dict[str, Any]:
    """What the steps leave: metrics, all weights, and the responses sampled then, several times from one generator."""
    history = steps(trainer, numbers)
    generator = torch.Generator().manual_seed(0)
    drawn = [
        rollout(trainer.policy, prompts, max_prompt_tokens=16, max_new_tokens=8, generator=generator)
        for prompts in (PROMPTS, PROMPTS[:1], PROMPTS[:3])
    ]
    return {
        "history": history,
        "weights": engine.whole_weights(trainer.policy),
        "responses": [part.responses for part in drawn],
        "kl_coef": trainer.kl_controller.coefficient,
        "processes": processes.count(),
        "kind": type(trainer.parameters[0]).__name__,
    }


def collectives() -> dict[str, Any]:
    """What the functions of `alarm.ppo.processes` return here; the gathered values show each process's."""
    place = processes.index()
    values = torch.tensor([[1.0, 1.0, 1.0, 9.0], [5.0, 9.0, 9.0, 9.0]][place : place + 1])
    mask = values < 9

    def refuse_second(mine: slice) -> list[int]:
        if mine.start > 0:
            raise ValueError("the second shard is not to my taste")
        return [0]

    try:
        refused = processes.in_shards(refuse_second, 4)
    except ValueError as error:
        refused = str(error)
    return {
        "shards": [list(processes.gather(processes.shard(rows))) for rows in (7, 1, 0)],
        "mean": processes.gather([float(processes.global_mean(values, mask))]),
        "sum": processes.gather([float(processes.global_sum(torch.tensor(float(place + 1))))]),
        "nan": processes.gather([float(processes.global_sum(torch.tensor([0.5, float("nan")][place])))]),
        "broadcast": processes.gather([processes.broadcast(place)]),
        "main": processes.gather([processes.is_main()]),
        "squares": processes.in_shards(lambda mine: [i * i for i in range(5)[mine]], 5),
        "refused": processes.gather([refused]),
    }


def main(out: Path, name: str, cases: list[str]) -> None:
    engine.join(engine.own_device("cpu"))
    results = {"collectives": collectives()}
    for case in cases:
        trainer = build(out, case)
        results[case] = outcome(trainer)
        trainer.save(out / f"{name} {case}")
    resumed = build(out, "t5")
    resumed.load(out / ALONE)
    results["resumed"] = outcome(resumed, range(STEPS, STEPS + 1))
    if processes.is_main():
        torch.save(results, out / f"{name}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
