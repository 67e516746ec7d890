"""Rounds of a run: how well its reward model still judges the current policy's samples, and MetaRM's updates between.

Every run is cut into the same rounds and measured at their ends, so that a method with a frozen reward model is the
control of an iterative one: the same policy updates, the same samples to be judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from alarm.experiment.generation import Sample, generate
from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.recipes import RECIPES
from alarm.scorers.learned import HolisticScorer

if TYPE_CHECKING:
    from alarm.experiment.lab import Lab
    from alarm.ppo.policy import Policy

T = TypeVar("T")
JUDGED, SPREAD = 1, 2
"""Purposes of a round's samples: their random streams differ."""


def round_ends(iterations: int, rounds: int) -> list[int]:
    """How many iterations are done when each round ends; rounds differ by one iteration at most, none is empty.

    >>> round_ends(10, 4)
    [2, 5, 7, 10]
    """
    return sorted({iterations * (i + 1) // rounds for i in range(rounds)} - {0})


class RoundRewardModel:
    """A run's holistic reward model: the recipe's, and for an iterative recipe a copy that changes between rounds."""

    def __init__(self, lab: Lab, recipe: str, *, seed: int) -> None:
        self.lab = lab
        self.seed = seed
        self.iterative = RECIPES[recipe].iterative
        self.constants = lab.holistic_constants(recipe)
        if self.iterative:
            self.scorer = HolisticScorer(lab.reward_model("holistic", recipe), device=lab.device)
        else:
            self.scorer = lab.holistic(recipe)

    def update(self, policy: Policy, number: int) -> dict[str, float]:
        """MetaRM's updates after round `number`: spread the scores of the policy's samples, keep to the comparisons.

        The z-constants are measured again on the SFT samples, so that the reward keeps its scale.
        """
        from alarm.reward_modeling.meta import meta_update

        settings, train = self.lab.preset.recipes, self.lab.ppo_examples
        chosen = np.random.default_rng([self.seed, number, SPREAD]).permutation(len(train))[: settings.meta_pool]
        samples = self._samples(policy, [train[i] for i in sorted(chosen)], number, SPREAD)
        outcome = meta_update(
            self.scorer.reader,
            self.lab.preferences[0],
            list(_by_prompt(samples, [sample.response for sample in samples]).items()),
            settings=self.lab.preset.reward_models,
            recipes=settings,
            seed=_stream(self.seed, number, SPREAD),
            device=self.lab.device,
        )
        self.constants = self.lab.measure_constants(self.scorer)
        return {f"meta_{name}": value for name, value in outcome.items()}

    def judge(self, samples: Sequence[Sample]) -> dict[str, float]:
        """How the model scores samples of the current policy.

        Returns:
            current_accuracy: share of a prompt's pairs of samples, of those that gold decides, which the model orders
            as gold does (a tie counts half), None without such pairs; current_pairs: their number; current_spread: mean
            over prompts of the standard deviation of its samples' scores, in raw reward.
        """
        scores = self.scorer.score([s.prompt for s in samples], [s.response for s in samples])
        judged = [(score.value, gold) for score, gold in zip(scores, _golds(self.lab, samples), strict=True)]
        right, pairs, spreads = 0.0, 0, []
        for values in _by_prompt(samples, judged).values():
            spreads.append(np.std([score for score, _ in values]))
            for (score_a, gold_a), (score_b, gold_b) in itertools.combinations(values, 2):
                if gold_a != gold_b:
                    pairs += 1
                    right += 0.5 if score_a == score_b else float((score_a > score_b) == (gold_a > gold_b))
        return {
            "current_accuracy": right / pairs if pairs else None,
            "current_pairs": pairs,
            "current_spread": float(np.mean(spreads)),
        }

    def samples(self, policy: Policy, number: int) -> list[Sample]:
        """Samples of the current policy on dev prompts, for `judge`."""
        dev = self.lab.task.split("dev")[: self.lab.preset.recipes.round_prompts]
        return self._samples(policy, dev, number, JUDGED)

    def save(self, directory: Path) -> None:
        """Keep the changed model for a resumed run; an unchanged one needs no keeping."""
        if self.iterative:
            self.scorer.reader.save(directory)

    def load(self, directory: Path) -> None:
        if self.iterative:
            self.scorer = HolisticScorer(directory, device=self.lab.device)
            self.constants = self.lab.measure_constants(self.scorer)

    def _samples(self, policy: Policy, examples, number: int, purpose: int) -> list[Sample]:
        return generate(
            policy,
            examples,
            self.lab.preset,
            count=self.lab.preset.recipes.round_samples,
            seed=_stream(self.seed, number, purpose),
        )


def gold_comparisons(lab: Lab, samples: Sequence[Sample]) -> list[Comparison]:
    """The pairs of a prompt's samples that gold decides, labelled by it: what a shifted policy asks of a model."""
    judged = [(sample.response, gold) for sample, gold in zip(samples, _golds(lab, samples), strict=True)]
    comparisons = []
    for prompt, group in _by_prompt(samples, judged).items():
        for (a, gold_a), (b, gold_b) in itertools.combinations(dict(group).items(), 2):
            if gold_a != gold_b:
                comparisons.append(Comparison(prompt, *((a, b) if gold_a > gold_b else (b, a))))
    return comparisons


def _golds(lab: Lab, samples: Sequence[Sample]) -> list[float]:
    """Gold quality of responses to dev prompts."""
    by_id = {example.id: example for example in lab.task.split("dev")}
    return lab.task.gold([by_id[s.id] for s in samples], [s.response for s in samples])


def _by_prompt(samples: Sequence[Sample], values: Sequence[T]) -> dict[str, list[T]]:
    """What is known of each sample, by its prompt; samples of one prompt need not lie together."""
    groups: dict[str, list[T]] = {}
    for sample, value in zip(samples, values, strict=True):
        groups.setdefault(sample.prompt, []).append(value)
    return groups


def _stream(*numbers: int) -> int:
    """A seed of its own for each (seed, round, purpose)."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
