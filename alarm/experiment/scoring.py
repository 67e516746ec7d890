"""Scores of finished responses, as records keep them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from alarm.experiment.generation import Sample
from alarm.records import Generation
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
        )
        for i, sample in enumerate(samples)
    ]


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
