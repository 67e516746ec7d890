"""Where records lie below the results folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path


def records_folder(results: Path, scale: str, task: str | None = None) -> Path:
    folder = Path(results) / scale / "records"
    return folder / task if task else folder


def record_path(results: Path, scale: str, task: str, name: str, seed: int) -> Path:
    return records_folder(results, scale, task) / name / f"seed{seed}.json"


def selection_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "selection.json"


def setup_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "setup.json"


def best_of_k_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "best_of_k.json"


def reward_models_path(results: Path, scale: str, source: str) -> Path:
    return records_folder(results, scale, source) / "reward_models.json"


def sft_generations_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "sft.generations.jsonl"


def sft_samples_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "sft.samples.jsonl"


def pool_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "sft_pool.json"


def prompts_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "prompts.jsonl"


def judge_path(results: Path, scale: str, task: str, judge: str) -> Path:
    return records_folder(results, scale, task) / f"judge_{_file_name(judge)}.json"


def metric_path(results: Path, scale: str, task: str, name: str) -> Path:
    return records_folder(results, scale, task) / f"metric_{_file_name(name)}.json"


def _file_name(name: str) -> str:
    """Letters, digits, dots and dashes of a name, such as that of a model; where others are lost, a hash tells it from
    names that would look alike."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
