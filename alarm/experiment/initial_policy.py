"""The initial policy of a task: built from scratch or loaded, then fine-tuned on reference responses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alarm.experiment.generation import generate
from alarm.files import write_json
from alarm.ppo.networks import build_model
from alarm.ppo.policy import Policy
from alarm.ppo.sft import train_sft
from alarm.ppo.tokenizer import train_tokenizer

if TYPE_CHECKING:
    from alarm.experiment.lab import Lab


def build_initial_policy(lab: Lab, directory: Path) -> None:
    """Train the SFT policy into `directory/policy`, with its dev quality, greedy and sampled, in `report.json`."""
    preset, task = lab.preset, lab.task
    examples = task.split("sft")
    prompts = [example.prompt for example in examples]
    references = [example.reference for example in examples]
    lab.progress.start(f"{task.name} SFT policy")
    if lab.base is not None:
        policy = Policy.load(lab.base, replace(preset.policy, tuned="all"), seed=preset.sft.seed, device=lab.device)
    elif preset.policy.checkpoint is None:
        policy = _from_scratch(lab, directory / "policy", [*prompts, *references])
    else:
        # All weights are tuned; PPO then adapts them by LoRA if the settings say so. The commit is that of the key.
        whole = replace(preset.policy, revision=lab.policy_start.revision, lora_rank=0, tuned="all", dtype="float32")
        policy = Policy.load(preset.policy.checkpoint, whole, device=lab.device)
    losses = _fine_tune(lab, policy, prompts, references)
    policy.model.save_pretrained(directory / "policy")
    policy.tokenizer.save_pretrained(directory / "policy")
    dev = task.split("dev")[: preset.evaluation.dev_examples]
    report: dict[str, Any] = {"steps": len(losses)}
    if losses:
        report |= {"first_loss": losses[0], "last_loss": sum(losses[-20:]) / len(losses[-20:])}
    report["parameters"] = sum(parameter.numel() for parameter in policy.model.parameters())
    report["dev_examples"] = len(dev)
    for decoding, count in (("greedy", 0), ("sampled", 1)):
        responses = [sample.response for sample in generate(policy, dev, preset, count=count)]
        gold = task.gold(dev, responses)
        report[f"dev_gold_{decoding}"] = sum(gold) / len(gold)
    write_json(directory / "report.json", report)


def _fine_tune(lab: Lab, policy: Policy, prompts: list[str], references: list[str]) -> list[float]:
    """Losses of the fine-tuning; none where the settings take a checkpoint as it is, by 0 steps.

    Raises:
        ValueError: 0 steps of a policy built from scratch.
    """
    preset = lab.preset
    if preset.sft.steps == 0:
        if preset.policy.checkpoint is None and lab.base is None:
            raise ValueError("a policy built from scratch must be fine-tuned; set sft.steps above 0")
        return []
    return train_sft(
        policy,
        prompts,
        references,
        preset.sft,
        max_prompt_tokens=preset.ppo.max_prompt_tokens,
        max_new_tokens=preset.ppo.max_new_tokens,
        on_step=lambda step, total, loss: lab.progress.step(step, total, loss=loss),
    )


def _from_scratch(lab: Lab, directory: Path, texts: list[str]) -> Policy:
    settings, ppo = lab.preset.policy, lab.preset.ppo
    tokenizer = train_tokenizer(texts, vocabulary_size=settings.vocabulary_size, directory=directory)
    longest = ppo.max_prompt_tokens + ppo.max_new_tokens
    model = build_model(settings, tokenizer, max_tokens=longest, seed=lab.preset.sft.seed)
    return Policy(model, tokenizer, seed=lab.preset.sft.seed).to(lab.device)
