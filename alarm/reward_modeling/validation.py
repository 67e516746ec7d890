"""Comparisons to study reward models on, and the sets of comparisons that they are judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.pair_scores import DistinctResponses, PairScorer, share_right

if TYPE_CHECKING:
    from alarm.reward_modeling.pair_batches import Pair
    from alarm.scorers.reader import Reader

VALIDATION_PAIRS = 500
"""At most so many held-out comparisons, the first ones, are scored at every checkpoint; as many shifted ones."""
Heuristic = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""From N prompts and their responses to N scores that need no training."""


def word_counts(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """The number of words of each response: "longer is better"."""
    return [float(len(response.split())) for response in responses]


@dataclass(frozen=True)
class ComparisonSource:
    """Comparisons of one task or data set, what is true of them, and a reward model to train on them.

    Raises:
        ValueError: nothing to train on, or not one truth per comparison.
    """

    name: str
    """A task's name, or a data set's, such as `hh_harmless`."""
    scale: str
    train: Sequence[Pair]
    """[P], as the annotators labelled them."""
    held_out: Sequence[Pair]
    """[V], on other prompts."""
    make_reader: Callable[[int], Reader]
    """From a seed to an untrained reader whose head is drawn from it."""
    train_truth: Sequence[int] | None = None
    """[P], 1 where the label is right, -1 where it is wrong, 0 where gold is equal; None where gold is unknown."""
    held_out_truth: Sequence[int] | None = None
    """[V], likewise."""
    shifted: Sequence[Pair] | None = None
    """Samples of a PPO-trained policy, the better one by gold chosen; None where there are none."""
    heuristics: Mapping[str, Heuristic] = field(default_factory=lambda: {"length": word_counts})
    """What a reward model should beat."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """How the comparisons came about; printed first."""

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError(f"{self.name} has no comparisons to train on")
        for name, pairs, truth in (
            ("train", self.train, self.train_truth),
            ("held-out", self.held_out, self.held_out_truth),
        ):
            if truth is not None and (len(truth) != len(pairs) or not set(truth) <= {-1, 0, 1}):
                raise ValueError(f"{self.name} needs one truth of -1, 0 or 1 per {name} comparison ({len(pairs)})")

    @property
    def wrong(self) -> list[bool | None] | None:
        """[P], whether a training label is wrong; None where gold is equal, or for all where it is unknown."""
        return None if self.train_truth is None else [None if sign == 0 else sign < 0 for sign in self.train_truth]

    @property
    def wrong_label_share(self) -> float | None:
        """Of the training labels that gold decides; None where it decides none."""
        decided = [label for label in self.wrong or () if label is not None]
        return sum(decided) / len(decided) if decided else None


@dataclass(frozen=True)
class ValidationSet:
    """Comparisons that a reward model should order as they are labelled."""

    label: str
    """How tables print the set."""
    pairs: Sequence[Pair]


def validation_sets(source: ComparisonSource, limit: int = VALIDATION_PAIRS) -> dict[str, ValidationSet]:
    """The non-empty sets among `noisy`, `gold`, `agreeing` and `shifted`, as `RewardModelRecord` names them.

    `gold` has no pairs that gold finds equal; `agreeing` are those of `noisy` whose label is right.

    Args:
        limit: held-out and shifted comparisons that are used, the first ones.
    Raises:
        ValueError: the source has no held-out comparisons.
    """
    if not source.held_out:
        raise ValueError(f"{source.name} has no held-out comparisons; a study judges its models by them")
    held_out = list(source.held_out[:limit])
    sets = {"noisy": ValidationSet("annotators' labels", held_out)}
    if source.held_out_truth is not None:
        truth = source.held_out_truth[:limit]
        decided = [_turned(pair, sign) for pair, sign in zip(held_out, truth, strict=True) if sign != 0]
        sets["gold"] = ValidationSet("gold labels", decided)
        right = [pair for pair, sign in zip(held_out, truth, strict=True) if sign > 0]
        sets["agreeing"] = ValidationSet("pairs where both agree", right)
    if source.shifted is not None:
        sets["shifted"] = ValidationSet("gold labels on a PPO-trained policy's samples", source.shifted[:limit])
    return {name: entry for name, entry in sets.items() if entry.pairs}


class Validation:
    """Accuracy on several validation sets at once; a response in several of them is scored once."""

    def __init__(self, sets: Mapping[str, ValidationSet]) -> None:
        self._names = list(sets)
        self._ends = np.cumsum([len(entry.pairs) for entry in sets.values()])[:-1]
        self._pairs = [pair for entry in sets.values() for pair in entry.pairs]

    def of(self, reader: Reader) -> Callable[[], dict[str, float]]:
        """A function that measures the accuracies, [set name], of the reader's network as it then is."""
        scorer = PairScorer(reader, self._pairs)
        return lambda: self._accuracies(scorer.differences())

    def of_heuristic(self, heuristic: Heuristic) -> dict[str, float]:
        """The accuracies of a score that needs no training."""
        texts = DistinctResponses.of(self._pairs)
        return self._accuracies(texts.differences(heuristic(texts.prompts, texts.responses)))

    def _accuracies(self, differences: ArrayLike) -> dict[str, float]:
        parts = np.split(np.asarray(differences), self._ends)
        return {name: share_right(part) for name, part in zip(self._names, parts, strict=True)}


def _turned(pair: Pair, sign: int) -> Pair:
    """The pair as gold labels it."""
    return pair if sign > 0 else Comparison(pair.prompt, chosen=pair.rejected, rejected=pair.chosen)
