"""The base model of a generated world: trained long on its text, shipped with the package, made again by command.

The policy (by supervised fine-tuning) and every reward model start from it. The text holds responses of mixed quality
to train prompts only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alarm
from alarm.files import read_json, sha256_of, write_json

if TYPE_CHECKING:
    from alarm.experiment.policy_lab import PolicyLab

PROVENANCE, WEIGHTS, CHECKPOINT = "provenance.json", "model.safetensors", "checkpoint"
TOKENIZER = "tokenizer.json"
CHECKED_PAIRS = 500
"""Of the text, how many pairs are written again to see whether a stored base still fits its world."""
CHECKPOINT_EVERY = 250

Pairs = Sequence[tuple[str, str]]


def base_folder(task: str, seed: int, own_seed: int, store: Path) -> Path:
    """Where the base of a world is looked for: in the package for the task's own world, else below the store."""
    if seed == own_seed:
        return Path(alarm.__file__).parent / "bases" / task
    return store / "bases" / f"{task}-world{seed}"


def check_base(lab: PolicyLab) -> Path:
    """The folder of the lab's base model, which is whole and fits the world's text.

    Raises:
        ValueError: it is missing, damaged, or was trained on another text; the message names the command that makes it.
    """
    folder, remedy = lab.base_folder, f"make it with `{command(lab)}`"
    try:
        provenance = read_json(folder / PROVENANCE)
        checksums = {WEIGHTS: provenance["weights_sha256"], TOKENIZER: provenance["tokenizer_sha256"]}
        expected = provenance["first_pairs_sha256"], provenance["network"]
        checked = min(CHECKED_PAIRS, provenance["settings"]["texts"])
    except FileNotFoundError:
        raise ValueError(f"the base model of {lab.task_name} is not in {folder}; {remedy}") from None
    except (ValueError, KeyError, TypeError) as problem:
        raise ValueError(f"{folder / PROVENANCE} is damaged ({problem}); {remedy}") from None
    for name, checksum in checksums.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != checksum:
            raise ValueError(
                f"the base model of {lab.task_name} in {folder} is damaged ({name} and {PROVENANCE} differ); {remedy}"
            )
    if expected != (fingerprint(lab.base_text(checked)), network(lab)):
        raise ValueError(
            f"the base model of {lab.task_name} in {folder} was trained on another text or with another architecture "
            f"than this world's; {remedy}"
        )
    return folder


def command(lab: PolicyLab) -> str:
    """What a user types to make the lab's base model."""
    seed = "" if lab.world_seed == lab.own_world_seed else f" --world-seed {lab.world_seed}"
    return f"python -m alarm pretrain --task {lab.task_name}{seed}"


def pretrain(
    lab: PolicyLab, folder: Path, *, on_step: Callable[[int, int, float], None] | None = None
) -> dict[str, Any]:
    """Train the lab's base model into `folder` and return its provenance; an interrupted call goes on where it was.

    `seconds` in the provenance are those of the last call. Held-out quality is that of responses to dev prompts, greedy
    and sampled; the ceiling is 1, the ideal response's.
    """
    from alarm.environment import environment
    from alarm.experiment.code import POLICY_CODE, code_fingerprint
    from alarm.experiment.generation import generate
    from alarm.ppo.networks import build_model
    from alarm.ppo.policy import Policy
    from alarm.ppo.sft import train_sft
    from alarm.ppo.tokenizer import train_tokenizer
    from alarm.settings import SFTSettings

    settings, preset, started = lab.preset.base, lab.preset, time.perf_counter()
    text = lab.base_text(settings.texts)
    prompts, responses = zip(*text, strict=True)
    work = folder / CHECKPOINT
    tokenizer = train_tokenizer(
        [*prompts, *responses], vocabulary_size=preset.policy.vocabulary_size, directory=work / "tokenizer"
    )
    longest = preset.ppo.max_prompt_tokens + preset.ppo.max_new_tokens
    model = build_model(preset.policy, tokenizer, max_tokens=longest, seed=settings.seed)
    policy = Policy(model, tokenizer, seed=settings.seed).to(lab.device)
    losses = train_sft(
        policy,
        prompts,
        responses,
        replace(
            SFTSettings(),
            steps=settings.steps,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
        ),
        max_prompt_tokens=preset.ppo.max_prompt_tokens,
        max_new_tokens=preset.ppo.max_new_tokens,
        on_step=on_step,
        checkpoint=work / "training",
        checkpoint_every=CHECKPOINT_EVERY,
    )
    dev = lab.task.split("dev")
    quality = {}
    for decoding, count in (("greedy", 0), ("sampled", 1)):
        golds = lab.task.gold(dev, [sample.response for sample in generate(policy, dev, preset, count=count)])
        quality[decoding] = sum(golds) / len(golds)
    policy.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes files that only their owner may read
    found = environment(lab.device)
    provenance = {
        "task": lab.task_name,
        "world_seed": lab.world_seed,
        "settings": asdict(settings),
        "network": network(lab),
        "parameters": sum(parameter.numel() for parameter in policy.model.parameters()),
        "corpus_sha256": fingerprint(text),
        "first_pairs_sha256": fingerprint(text[:CHECKED_PAIRS]),
        "code": code_fingerprint((*POLICY_CODE, *lab.task_code)),
        "commit": found.get("commit"),
        "hardware": found.get("hardware"),
        "versions": found.get("versions"),
        "loss": sum(losses[-100:]) / len(losses[-100:]),
        "held_out": {"prompts": len(dev), "ceiling": 1.0} | quality,
        "seconds": round(time.perf_counter() - started, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "weights_sha256": sha256_of(folder / WEIGHTS),
        "tokenizer_sha256": sha256_of(folder / TOKENIZER),
    }
    write_json(folder / PROVENANCE, provenance)
    shutil.rmtree(work)
    return provenance


def network(lab: PolicyLab) -> dict[str, int]:
    """What the base's architecture and tokenizer are made of."""
    names = ("vocabulary_size", "hidden_size", "feedforward_size", "layers", "heads")
    return {name: getattr(lab.preset.policy, name) for name in names}


def fingerprint(pairs: Pairs) -> str:
    """sha256 of prompts with responses."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(json.dumps(pair, ensure_ascii=False).encode())
    return digest.hexdigest()
