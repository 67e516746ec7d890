"""Made-up records of a whole experiment, with known effects, for tests of the report."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from alarm.evaluation.win_rates import WinRate
from alarm.records import (
    BestOfKRecord,
    Generation,
    JudgeRecord,
    RewardModelRecord,
    RunRecord,
    SelectionRecord,
    SetupRecord,
    generations_of,
    read_record,
    record_path,
    run_name,
    sft_generations_path,
    write_best_of_k,
    write_generations,
    write_judge,
    write_record,
    write_reward_models,
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
GOLD_PARTS = {"long_form_qa": ("factuality", "relevance", "completeness"), "wmt": ("adequacy", "fluency"), "poems": ()}
COMPOSITIONS = {"denoised_rm": "holistic_only", "meta_rm": "holistic_only", "alarm_as_released": "alarm"}
"""Methods that share another's composition."""
RECIPES = {"denoised_rm": "soft_label_margin", "meta_rm": "meta"}
EXTENDED = ("alarm_as_released", "denoised_rm", "log_sigmoid", "log_sigmoid_sum", "meta_rm", "raw_sum")
COMBINATIONS = ("alarm@soft_label_margin", "weighted_sum@simcse", "log_sigmoid@meta")
COMPOSED = ("alarm", "weighted_sum", "log_sigmoid", "holistic_only")
DEV_PROMPTS, ROUNDS = 30, 4
EFFECTS = {"holistic_only": 0.3, "aspect_only": 0.0, "weighted_sum": 0.3, "alarm": 0.8, "mine": 0.5}
"""Shift of the holistic reward and of gold quality, in standard deviations over prompts."""


def directions(task: str) -> dict[str, bool]:
    scores = ("holistic", "holistic_raw", "gold", *ASPECTS[task])
    return {name: name != "grammar" for name in scores}


def labels(task: str) -> dict[str, str]:
    names = {name: f"{name} score" for name in directions(task)}
    return {**names, "holistic": "holistic reward", "gold": "gold quality", "grammar": "grammar error rate"}


def generations(task: str, shift: float, seed: int, prompts: int, parts=()) -> list[Generation]:
    common = np.random.default_rng(0).standard_normal(prompts)
    own = np.random.default_rng([seed, int(100 * abs(shift))]).standard_normal((len(directions(task)), prompts))
    rows = []
    for p in range(prompts):
        scores = {}
        for k, (name, higher) in enumerate(directions(task).items()):
            value = common[p] + (shift if higher else -shift) + 0.5 * own[k, p]
            scores[name] = float(1 / (1 + np.exp(-value))) if name in ("gold", "grammar") else float(value)
        for k, part in enumerate(parts):
            scores[f"gold_{part}"] = 1.0 if common[p] + shift + own[k, p] > -0.5 else 0.5
        rows.append(Generation(f"{task}-{p}", "A dog runs.", 10 + p % 7, scores))
    return rows


def run(task: str, method: str, seed: int, *, aspect: str | None = None, scale: str = "tiny", **changes) -> RunRecord:
    name = run_name(method, aspect)
    shift = _shift(name)
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
        "recipe": RECIPES.get(method) or method.partition("@")[2] or "plain",
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


def extended(record: RunRecord) -> RunRecord:
    """The same run as newer code records it: with rounds, score spread, win rates over SFT and golds of dev prompts."""
    generator = np.random.default_rng([record.seed, len(record.run_name)])
    shift = _shift(record.run_name)
    adapts = record.recipe == "meta"
    history = []
    for i, row in enumerate(record.history):
        row = {
            **row,
            "kl": 0.1 * i * (1 + shift) - (0.02 if i < 2 else 0.0),
            "negative_kl": float(i == 0),
            "holistic_sd": 1.0 - 0.01 * i,
            "gold_win_rate": 50 + 10 * shift * np.log1p(i) + float(generator.normal(0, 3)),
            "skipped_mini_batches": int(i == 3),
        }
        number, rest = divmod((i + 1) * ROUNDS, len(record.history))
        if rest < ROUNDS:
            row["dev_golds"] = _dev_golds(record.task, shift * number / ROUNDS, generator)
            row["dev_gold"] = float(np.mean(row["dev_golds"]))
            row |= {
                "round": number,
                "current_accuracy": 0.7 - (0.01 if adapts else 0.04) * number + 0.01 * record.seed,
                "current_pairs": 100 + record.seed,
                "current_spread": 1.0 - (0.02 if adapts else 0.1) * number,
            }
        history.append(row)
    before = _dev_golds(record.task, -0.3, np.random.default_rng(0))
    composition = COMPOSITIONS.get(record.method, record.method.partition("@")[0])
    return replace(
        record,
        history=history,
        metrics={**record.metrics, "dev": {"sft_golds": before}},
        method_settings={"composition": f"baselines.{composition}.compose"},
        directions={**record.directions, **{f"gold_{part}": True for part in GOLD_PARTS[record.task]}},
        score_labels={**record.score_labels, **{f"gold_{p}": f"gold {p}" for p in GOLD_PARTS[record.task]}},
    )


def _dev_golds(task: str, shift: float, generator: np.random.Generator) -> list[float]:
    common = np.random.default_rng(len(task)).standard_normal(DEV_PROMPTS)
    return (1 / (1 + np.exp(-common - shift - 0.3 * generator.standard_normal(DEV_PROMPTS)))).tolist()


def _shift(name: str) -> float:
    return EFFECTS.get(name, 0.1 * len(name) / 10)


def write_run(results: Path, record: RunRecord, prompts: int = 60, parts=()) -> Path:
    shift = _shift(record.run_name)
    responses = generations(record.task, shift, record.seed, prompts, parts) if record.error is None else None
    return write_record(results, record, responses)


def write_shared(results: Path, task: str, scale: str = "tiny", prompts: int = 60, parts=()) -> None:
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
    write_generations(sft_generations_path(results, scale, task), generations(task, -0.3, 0, prompts, parts))


def write_experiment(results: Path, *, scale: str = "tiny", methods=tuple(EFFECTS), seeds=(1, 2, 3)) -> None:
    """Every method and every aspect of ALaRM for both tasks."""
    for task in PAPER_TASK_NAMES:
        for seed in seeds:
            for method in methods:
                write_run(results, run(task, method, seed, scale=scale))
            for aspect in ASPECTS[task][1:]:
                write_run(results, run(task, "alarm", seed, aspect=aspect, scale=scale))
        write_shared(results, task, scale)


def write_many(results: Path, *, runs: int, scale: str = "tiny", tasks=PAPER_TASK_NAMES) -> int:
    """About so many runs of as many seeds as that takes: methods, ALaRM's variants and combinations, as in a full grid.

    Returns:
        How many were written, never fewer than `runs`.
    """
    grid = [f"{method}@{recipe}" for method in COMPOSED for recipe in ("meta", "simcse", "soft_label_margin")]
    written = seed = 0
    while written < runs:
        seed += 1
        for task in tasks:
            named = [(method, None) for method in (*EFFECTS, *EXTENDED, *grid)]
            for method, aspect in (*named, *(("alarm", aspect) for aspect in ASPECTS[task][1:])):
                record = extended(run(task, method, seed, aspect=aspect, scale=scale))
                write_run(results, record, parts=GOLD_PARTS[task])
                written += 1
    for task in tasks:
        write_shared(results, task, scale, parts=GOLD_PARTS[task])
    return written


def best_of_k_record(task: str, scale: str = "tiny", prompts: int = 40, pool: int = 64) -> BestOfKRecord:
    """Win rates that rise with k, fastest for gold, then for the transformed sum."""
    ks = [2**i for i in range(int(np.log2(pool)) + 1)]
    common = np.random.default_rng(1).uniform(0.8, 1.2, prompts)
    selectors = {}
    for name, gain in {"holistic": 0.3, "raw_sum": 0.4, "log_sigmoid_sum": 0.6, "gold": 1.0}.items():
        own = common + 0.1 * np.random.default_rng(len(name)).standard_normal(prompts)
        rise = np.outer(1 - 1 / np.sqrt(ks), gain * own)
        selectors[name] = {
            "description": f"the highest {name}",
            "gold": (0.5 + 0.4 * rise).tolist(),
            "win_rate": np.clip(50 + 45 * rise, 0, 100).tolist(),
            **({"all_good": np.clip(0.2 + 0.6 * rise, 0, 1).tolist()} if GOLD_PARTS[task] else {}),
        }
    return BestOfKRecord(
        task=task,
        scale=scale,
        pool=pool,
        split="test",
        ks=ks,
        kl=[float(np.log(k) - (k - 1) / k) for k in ks],
        selectors=selectors,
        properties=("holistic", *ASPECTS[task][:-1]),
        gold_name="gold quality",
        finished="2026-01-02T00:00:00+00:00",
        environment=ENVIRONMENT,
    )


def study_record(source: str, scale: str = "tiny", pairs: int = 400, gold: bool = True) -> RewardModelRecord:
    """A quarter of wrong labels, found better by cross-fitted strength; recipes gain on gold and agreeing pairs."""
    generator = np.random.default_rng(3)
    wrong = generator.random(pairs) < 0.25
    sets = {"noisy": "annotators' labels", "gold": "gold labels", "agreeing": "both agree", "shifted": "PPO samples"}
    sets = sets if gold else {"noisy": sets["noisy"]}
    ways = {"in_sample": (1.6, 5), "cross_fitted": (2.2, 2)}
    gains = {"plain": 0.0, "flip": 0.02, "margin": 0.005, "flip_margin": 0.025, "soft_label_margin": 0.03}
    variants = [(recipe, None, gain) for recipe, gain in gains.items()]
    variants += [(recipe, target, 0.01) for recipe in ("simcse", "swav") for target in ("pair", "difference")]
    steps = [0, 10, 20, 30, 40, 50]
    curves = [
        {
            "recipe": recipe,
            "target": target,
            "seed": seed,
            "steps": steps,
            "accuracy": {
                name: [0.5 + (0.15 + 0.03 * k + gain) * (s / 50) ** 0.5 + 0.004 * seed * gain for s in steps]
                for k, name in enumerate(sets)
            },
        }
        for recipe, target, gain in variants
        for seed in ((1,) if target == "difference" else (1, 2, 3))
    ]
    sweep = [
        {
            "error_rate": rate,
            "wrong_label_share": rate + 0.05 if gold else None,
            "recipe": recipe,
            "seed": 1,
            "accuracy": {name: 0.72 - 0.3 * rate + gain * rate * 5 for name in sets},
        }
        for rate in (0.0, 0.4)
        for recipe, gain in gains.items()
    ]
    return RewardModelRecord(
        source=source,
        scale=scale,
        facts={"train_pairs": pairs, "steps": 50, "wrong_label_share": float(wrong.mean()) if gold else None},
        validation_sets={name: {"label": label, "pairs": 200} for name, label in sets.items()},
        heuristics={"length": {name: 0.53 for name in sets}},
        strength={
            way: {
                "mean": (generator.normal(0.7, 0.8, pairs) - shift * wrong).tolist(),
                "sd": [None if models < 2 else 0.3] * pairs,
                "models": models,
            }
            for way, (shift, models) in ways.items()
        },
        wrong=wrong.tolist() if gold else None,
        deciles=[
            {
                "decile": d,
                "seed": 1,
                "accuracy": {name: 0.35 + 0.03 * min(d, 7) + 0.02 * k for k, name in enumerate(sets)},
            }
            for d in range(10)
        ],
        curves=curves,
        sweep=sweep if gold else [],
        finished="2026-01-02T00:00:00+00:00",
        seconds=100.0,
        environment=ENVIRONMENT,
    )


def write_distinct_responses(results: Path, task: str, methods, seeds, *, equal: int, scale: str = "tiny") -> None:
    """Give every run responses of its own, but for the first `equal` prompts, on which all runs say the same."""
    for method in methods:
        for seed in seeds:
            record = read_record(record_path(results, scale, task, method, seed))
            rows = [
                g if place < equal else replace(g, response=f"A dog of {method} runs {seed} miles from {g.id}.")
                for place, g in enumerate(generations_of(record))
            ]
            write_record(results, record, rows)


def judge_record(
    results: Path, task: str, methods, seeds, *, judge: str = "openai:made-up", noise: float = 0.0, scale: str = "tiny"
) -> JudgeRecord:
    """A judge that follows gold, its choice overturned with a probability of `noise`; equal responses are ties.

    Of every pair of runs, one verdict each is a tie by disagreement (the first place chosen in both orders), a refusal
    in one order, and an answer that never came.
    """
    generator = np.random.default_rng(0)
    records = {(m, s): read_record(record_path(results, scale, task, m, s)) for m in methods for s in seeds}
    responses = {key: {g.id: g for g in generations_of(record)} for key, record in records.items()}
    comparisons = []
    for (row, column), seed in [(pair, seed) for pair in combinations(methods, 2) for seed in seeds]:
        ours, theirs = responses[row, seed], responses[column, seed]
        choices = []
        for i in ours:
            better = ours[i].scores["gold"] > theirs[i].scores["gold"]
            better = not better if generator.random() < noise else better
            equal = ours[i].response == theirs[i].response
            choices.append(["equal", "equal"] if equal else ["first", "second"] if better else ["second", "first"])
        choices[-3:] = ["first", "first"], ["refusal", "second"], ["first", "missing"]
        verdicts = {("first", "second"): "win", ("second", "first"): "lose", ("first", "first"): "tie"}
        verdicts |= {("equal", "equal"): "tie"}
        comparisons.append(
            {
                "row": row,
                "column": column,
                "seed": seed,
                "ids": list(ours),
                "verdicts": [verdicts.get(tuple(pair), "invalid") for pair in choices],
                "choices": choices,
            }
        )
    facts = {
        "items": len(comparisons[0]["ids"]),
        "served_models": {"made-up-2026-01-01": 100},
        "server": "http://localhost",
        "prompt": {"name": task, "version": "v1", "sha256": "f" * 64},
        "temperature": 0.0,
        "responses": {m: {str(s): records[m, s].generations["sha256"] for s in seeds} for m in methods},
    }
    return JudgeRecord(task, scale, judge, facts, comparisons, "2026-01-03T00:00:00+00:00", ENVIRONMENT)


def write_judged(results: Path, task: str, *, methods=tuple(EFFECTS)[:4], seeds=(1, 2, 3), noise: float = 0.1) -> None:
    """Runs whose responses differ on all but ten prompts, and a judge's verdicts on all pairs of them."""
    for method in methods:
        for seed in seeds:
            write_run(results, run(task, method, seed))
    write_distinct_responses(results, task, methods, seeds, equal=10)
    write_shared(results, task)
    write_judge(results, judge_record(results, task, methods, seeds, noise=noise))


def write_everything(results: Path, *, scale: str = "tiny", tasks=PAPER_TASK_NAMES, seeds=(1, 2, 3)) -> None:
    """All methods as newer code records them, with combinations of methods and recipes for the first seed."""
    for task in tasks:
        for seed in seeds:
            for method in (*list(EFFECTS)[:4], *EXTENDED):
                write_run(results, extended(run(task, method, seed, scale=scale)), parts=GOLD_PARTS[task])
        for method in COMBINATIONS:
            write_run(results, extended(run(task, method, seeds[0], scale=scale)), parts=GOLD_PARTS[task])
        write_shared(results, task, scale, parts=GOLD_PARTS[task])
        write_best_of_k(results, best_of_k_record(task, scale))
        write_reward_models(results, study_record(task, scale))
    write_reward_models(results, study_record("hh_harmless", scale, gold=False))
