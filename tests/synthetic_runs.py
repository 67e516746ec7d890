"""Made-up records of a whole experiment, with known effects, for tests of the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alarm.evaluation.win_rates import WinRate
from alarm.records import (
    Generation,
    RunRecord,
    SelectionRecord,
    SetupRecord,
    run_name,
    sft_generations_path,
    write_generations,
    write_record,
    write_selection,
    write_setup,
)
from alarm.selection import Inconsistency

ASPECTS = {
    "long_form_qa": ("factuality", "relevance", "completeness", "length"),
    "wmt": ("grammar", "confidence", "readability", "length"),
    "poems": ("rhyme",),
}
PAPER_TASK_NAMES = ("long_form_qa", "wmt")
ENVIRONMENT = {
    "python": "3.11.7",
    "platform": "Linux",
    "versions": {"alarm": "0.1.0", "torch": "2.13.0", "harper-py": "0.2.0"},
    "commit": "0123456789abcdef",
    "dirty": False,
    "device": "cpu",
    "hardware": "CPU: Test Processor, 1 thread",
}
EFFECTS = {"holistic_only": 0.3, "aspect_only": 0.0, "weighted_sum": 0.3, "alarm": 0.8, "mine": 0.5}
"""Shift of the holistic reward and of gold quality, in standard deviations over prompts."""


def directions(task: str) -> dict[str, bool]:
    scores = ("holistic", "holistic_raw", "gold", *ASPECTS[task])
    return {name: name != "grammar" for name in scores}


def labels(task: str) -> dict[str, str]:
    names = {name: f"{name} score" for name in directions(task)}
    return {**names, "holistic": "holistic reward", "gold": "gold quality", "grammar": "grammar error rate"}


def generations(task: str, shift: float, seed: int, prompts: int) -> list[Generation]:
    common = np.random.default_rng(0).standard_normal(prompts)
    own = np.random.default_rng([seed, int(100 * abs(shift))]).standard_normal((len(directions(task)), prompts))
    rows = []
    for p in range(prompts):
        scores = {}
        for k, (name, higher) in enumerate(directions(task).items()):
            value = common[p] + (shift if higher else -shift) + 0.5 * own[k, p]
            scores[name] = float(1 / (1 + np.exp(-value))) if name in ("gold", "grammar") else float(value)
        rows.append(Generation(f"{task}-{p}", "A dog runs.", 10 + p % 7, scores))
    return rows


def run(task: str, method: str, seed: int, *, aspect: str | None = None, scale: str = "tiny", **changes) -> RunRecord:
    name = run_name(method, aspect)
    shift = EFFECTS.get(name, 0.1 * len(name) / 10)
    history = [
        {
            "iteration": i,
            "reward": shift * i + 0.1 * seed,
            "holistic": shift * i / 5 + 0.05 * seed,
            "gold": 0.4 + 0.02 * shift * i + 0.01 * seed,
            "dev_gold": 0.5 + 0.02 * shift * i + 0.01 * seed if i % 5 == 0 else None,
            "kl": 0.1 * i,
            "entropy": 2 - 0.02 * i,
            "length": 12.0 + shift * i,
        }
        for i in range(21)
    ]
    corpus = {"bleu": {"name": "BLEU", "value": 30 + shift, "signature": "nrefs:1|tok:13a"}} if task == "wmt" else {}
    values = {
        "task": task,
        "method": method,
        "aspect": aspect or ASPECTS[task][0],
        "aspect_given": aspect is not None,
        "recipe": "plain",
        "scale": scale,
        "seed": seed,
        "settings": {"ppo": {"iterations": 21}},
        "environment": ENVIRONMENT,
        "data_fingerprint": "abc",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": f"2026-01-0{1 + seed % 3}T00:01:00+00:00",
        "durations": {"total": 60.0},
        "history": history,
        "metrics": {"test": {}, "sft": {"gold": 0.45}, "corpus": corpus},
        "directions": directions(task),
        "score_labels": labels(task),
    }
    return RunRecord(**{**values, **changes})


def write_run(results: Path, record: RunRecord, prompts: int = 60) -> Path:
    shift = EFFECTS.get(record.run_name, 0.1 * len(record.run_name) / 10)
    responses = generations(record.task, shift, record.seed, prompts) if record.error is None else None
    return write_record(results, record, responses)


def write_shared(results: Path, task: str, scale: str = "tiny", prompts: int = 60) -> None:
    """Selection, setup and the SFT policy's responses."""
    counts = {a: Inconsistency(20 + 10 * i, 100, 110, 120).to_dict() for i, a in enumerate(ASPECTS[task])}
    wins = {name: WinRate(60 - 5 * i, 40, 20).to_dict() for i, name in enumerate(("holistic", *ASPECTS[task]))}
    selected = ASPECTS[task][0]
    write_selection(
        results,
        SelectionRecord(
            task, scale, selected, counts, wins, WinRate(70, 30, 20).to_dict(), 120, "dev", labels(task), ENVIRONMENT
        ),
    )
    facts = {"sft": {"gold": 0.45}, "reward_models": {"holistic": {"accuracy": 0.71, "pairs": 900}}}
    write_setup(results, SetupRecord(task, scale, facts, ENVIRONMENT))
    write_generations(sft_generations_path(results, scale, task), generations(task, -0.3, 0, prompts))


def write_experiment(results: Path, *, scale: str = "tiny", methods=tuple(EFFECTS), seeds=(1, 2, 3)) -> None:
    """Every method and every aspect of ALaRM for both tasks."""
    for task in PAPER_TASK_NAMES:
        for seed in seeds:
            for method in methods:
                write_run(results, run(task, method, seed, scale=scale))
            for aspect in ASPECTS[task][1:]:
                write_run(results, run(task, "alarm", seed, aspect=aspect, scale=scale))
        write_shared(results, task, scale)
