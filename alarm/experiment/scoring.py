"""Scores of finished responses, as records keep them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alarm.experiment.generation import Sample
from alarm.records import Generation
from alarm.reward_modeling.comparisons import Comparison
from alarm.scorers.base import Placement
from alarm.tasks.base import Example

if TYPE_CHECKING:
    from alarm.experiment.lab import Lab


def score_generations(lab: Lab, examples: Sequence[Example], samples: Sequence[Sample]) -> list[Generation]:
    """Every score of every response: holistic raw and normalised, all aspects (with their spans), gold."""
    prompts = [example.prompt for example in examples]
    responses = [sample.response for sample in samples]
    raw = [score.value for score in lab.holistic_scorer.score(prompts, responses)]
    constants = lab.constants["holistic"]
    aspects = {name: scorer.score(prompts, responses) for name, scorer in lab.scorers.items()}
    parts = [name for name, scorer in lab.scorers.items() if scorer.placement is not Placement.LAST]
    columns = {
        "holistic": [(value - constants.mean) / constants.std for value in raw],
        "holistic_raw": raw,
        **{name: [score.value for score in scores] for name, scores in aspects.items()},
        "gold": lab.task.gold(examples, responses),
        **{f"gold_{name}": values for name, values in lab.task.gold_parts(examples, responses).items()},
    }
    return [
        Generation(
            sample.id,
            sample.response,
            sample.length,
            {name: values[i] for name, values in columns.items()},
            {name: [(span.start, span.end, span.value) for span in aspects[name][i].spans] for name in parts},
            lab.task.habit(examples[i], sample.response),
        )
        for i, sample in enumerate(samples)
    ]


def scored_pool(lab: Lab) -> dict[str, Any]:
    """What a `PoolRecord` holds of the task's scored SFT samples, and of the holistic model on held-out pairs."""
    from alarm.reward_modeling.preferences import accuracy

    count = lab.preset.evaluation.pool_samples
    examples = lab.dev_examples[: lab.preset.evaluation.pool_prompts]
    samples = lab.sft_samples("dev", examples, count=count)
    rows = score_generations(lab, [example for example in examples for _ in range(count)], samples)
    held_out: dict[str, Any] = {"pairs": 0, "accuracy": None}
    if "holistic" in lab.trained:
        pairs = gold_labelled(lab.preferences[1], lab.read_truths(lab.comparisons)[1])
        share = accuracy(lab.holistic_scorer.reader, pairs)
        held_out = {"pairs": len(pairs), "accuracy": 100 * share if pairs else None}
    return {
        "samples": count,
        "scores": {name: _by_prompt([row.scores[name] for row in rows], count) for name in rows[0].scores},
        "habits": _by_prompt([row.habit for row in rows], count) if lab.task.habits else [],
        "held_out": held_out,
    }


def gold_labelled(pairs: Sequence[Comparison], truths: Sequence[int]) -> list[Comparison]:
    """The pairs that gold decides, the truly better response first."""
    return [
        pair if truth > 0 else Comparison(pair.prompt, pair.rejected, pair.chosen)
        for pair, truth in zip(pairs, truths, strict=True)
        if truth
    ]


def _by_prompt(values: Sequence[Any], count: int) -> list[list[Any]]:
    """[P][count] of values that lie prompt by prompt."""
    return [list(values[i : i + count]) for i in range(0, len(values), count)]


def score_labels(lab: Lab) -> tuple[dict[str, str], dict[str, bool]]:
    """How tables print every score of `score_generations` but the raw one, and whether higher is better."""
    scorers = {"holistic": lab.holistic_scorer, **lab.scorers}
    labels = {name: scorer.value_name for name, scorer in scorers.items()} | {"gold": lab.task.gold_name}
    directions = {name: scorer.higher_is_better for name, scorer in scorers.items()} | {"gold": True}
    parts = [name.removeprefix("gold_") for name in lab.sft_test_generations[0].scores if name.startswith("gold_")]
    labels |= {f"gold_{name}": f"gold {name}" for name in parts}
    return labels, directions | {f"gold_{name}": True for name in parts}


def score_means(generations: Sequence[Generation]) -> dict[str, float]:
    """Mean of every score, and of the length in generated tokens as `tokens`."""
    names = generations[0].scores
    means = {name: float(np.mean([g.scores[name] for g in generations])) for name in names}
    return means | {"tokens": float(np.mean([g.length for g in generations]))}
