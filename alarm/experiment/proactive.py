"""Proactive selection on a task's dev split: greedy against sampled responses of the SFT policy, by every reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from alarm.evaluation.win_rates import win_rate
from alarm.scorers.base import Scorer
from alarm.selection import inconsistency, select_aspect
from alarm.tasks.base import Example

if TYPE_CHECKING:
    from alarm.experiment.lab import Lab


def select(lab: Lab) -> dict[str, Any]:
    """Inconsistencies, greedy-against-sampling wins, and the chosen aspect."""
    examples, greedy, sampled = _dev_pairs(lab)
    prompts = [example.prompt for example in examples]
    holistic = _values(lab.holistic_scorer, prompts, greedy, sampled)
    candidates, greedy_wins = {}, {"holistic": asdict(win_rate(*holistic))}
    for name, scorer in lab.scorers.items():
        values = _values(scorer, prompts, greedy, sampled)
        candidates[name] = inconsistency(*values, *holistic, higher_is_better=scorer.higher_is_better)
        greedy_wins[name] = asdict(win_rate(*values, higher_is_better=scorer.higher_is_better))
    gold = [np.array(lab.task.gold(examples, responses)) for responses in (greedy, sampled)]
    return {
        "selected": select_aspect(candidates),
        "inconsistency": {name: candidate.to_dict() for name, candidate in candidates.items()},
        "greedy_win_rate": greedy_wins,
        "gold_win_rate": asdict(win_rate(*gold)),
        "pairs": len(examples),
        "split": "dev",
    }


def agreement_with_gold(lab: Lab) -> dict[str, Any]:
    """How often the holistic reward and gold prefer the same of a greedy and a sampled dev response.

    The reward models' own held-out accuracies are against annotators' labels, noise included; this is not.
    """
    examples, greedy, sampled = _dev_pairs(lab)
    prompts = [example.prompt for example in examples]
    holistic = _values(lab.holistic_scorer, prompts, greedy, sampled)
    gold = [lab.task.gold(examples, responses) for responses in (greedy, sampled)]
    counts = inconsistency(*holistic, *gold)
    percent = 100.0 - counts.rate if counts.both_decide else None
    return {"pairs_decided_by_both": counts.both_decide, "agreement_percent": percent}


def _dev_pairs(lab: Lab) -> tuple[Sequence[Example], list[str], list[str]]:
    """Dev examples with a greedy and a sampled response of the SFT policy each."""
    examples = lab.dev_examples
    greedy = [sample.response for sample in lab.sft_samples("dev", examples, count=0)]
    return examples, greedy, [sample.response for sample in lab.dev_samples]


def _values(scorer: Scorer, prompts: list[str], *responses: list[str]) -> list[list[float]]:
    return [[score.value for score in scorer.score(prompts, texts)] for texts in responses]
