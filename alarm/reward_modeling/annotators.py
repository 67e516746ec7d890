"""Simulated annotators: people who compare two responses by their gold quality, with taste and with mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alarm.reward_modeling.comparisons import Comparison, TrueQuality


@dataclass(frozen=True)
class Choices:
    """Judgements of N pairs of responses (a, b), and the truth about them.

    `prefers_a`: [N] bool, what the annotator says. `truth`: [N] int, 1 where a is truly better, -1 where b is, 0 where
    they are equal; kept aside, for measuring only.
    """

    prefers_a: NDArray[np.bool_]
    truth: NDArray[np.int64]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """[N] True where the worse response was preferred; equal responses cannot be judged wrongly."""
        return (self.truth != 0) & ((self.truth > 0) != self.prefers_a)


def choose(
    quality_a: ArrayLike,
    quality_b: ArrayLike,
    *,
    temperature: float,
    error_rate: float,
    generator: np.random.Generator,
    taste_share: float = 0.0,
    appeal_a: ArrayLike | None = None,
    appeal_b: ArrayLike | None = None,
) -> Choices:
    """Which of two responses simulated annotators prefer.

    P(a is preferred) = (1 - e) p + e (1 - p) with p = sigmoid((q_a - q_b) / temperature) and e = error_rate: first a
    Bradley-Terry choice, which is harder the closer the qualities are, then a slip that swaps it. Equal qualities come
    out as a fair coin. With probability `taste_share` the choice is one of taste instead: the more appealing response
    is preferred, whatever it says; of two equally appealing ones, quality decides as before.

    Args:
        quality_a: [N] gold qualities of the first responses.
        quality_b: [N] of the second ones.
        temperature: in units of quality, > 0; small means that the smallest difference decides.
        error_rate: share of swapped choices, in [0, 0.5].
        generator: three numbers per pair are drawn from it, so the first judgements do not depend on how many follow.
        taste_share: share of choices by appeal alone, in [0, 1].
        appeal_a: [N] how appealing the first responses are, such as their length; needed with a `taste_share` above 0.
        appeal_b: [N] the same of the second ones.
    Raises:
        ValueError: qualities or appeals of different shapes or not finite, or a setting out of its range.
    Source: the Bradley-Terry model that reward models are fitted with (arXiv:2403.06754, section 3.1).
    """
    a, b = np.asarray(quality_a, dtype=np.float64), np.asarray(quality_b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"qualities must be two lists of one length, got shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("gold qualities must be finite numbers; leave out pairs whose quality is unknown")
    if not temperature > 0 or not 0 <= error_rate <= 0.5 or not 0 <= taste_share <= 1:
        raise ValueError(
            "annotators need temperature > 0, error_rate in [0, 0.5] and taste_share in [0, 1]; "
            f"got {temperature}, {error_rate} and {taste_share}"
        )
    appealing = np.zeros(len(a))
    if taste_share:
        if appeal_a is None or appeal_b is None or np.shape(appeal_a) != a.shape or np.shape(appeal_b) != a.shape:
            raise ValueError("annotators with a taste need the appeal of every response")
        appealing = np.sign(np.asarray(appeal_a, dtype=np.float64) - np.asarray(appeal_b, dtype=np.float64))
    difference = a - b
    # sigmoid is 0 or 1 to double precision beyond +-40; the bounds keep exp from overflowing.
    probability = 1.0 / (1.0 + np.exp(-np.clip(difference / temperature, -40.0, 40.0)))
    draw, slip, mood = generator.random((len(a), 3)).T
    by_quality = (draw < probability) ^ (slip < error_rate)
    by_taste = (mood < taste_share) & (appealing != 0)
    return Choices(np.where(by_taste, appealing > 0, by_quality), np.sign(difference).astype(np.int64))


def compare(
    prompts: Sequence[str],
    responses: Sequence[Sequence[str]],
    qualities: Sequence[Sequence[float]],
    *,
    temperature: float,
    error_rate: float,
    taste_share: float = 0.0,
    seed: int,
) -> tuple[list[Comparison], list[TrueQuality]]:
    """Let annotators compare every two different responses to each prompt; two equal texts are not worth a judgement.

    Args:
        prompts: [P].
        responses: [P], the responses to each prompt.
        qualities: [P], the gold quality of each of these responses.
        temperature: see `choose`.
        error_rate: see `choose`.
        taste_share: see `choose`; the longer response, in words, is the more appealing one.
        seed: decides all of the annotators' chances.
    Returns:
        Comparisons, prompt by prompt, and the gold qualities behind each.
    Raises:
        ValueError: lists of different lengths, or as `choose`.
    """
    pairs: list[tuple[str, str, str]] = []
    values: list[tuple[float, float]] = []
    for prompt, texts, scores in zip(prompts, responses, qualities, strict=True):
        for (a, quality_a), (b, quality_b) in itertools.combinations(zip(texts, scores, strict=True), 2):
            if a != b:
                pairs.append((prompt, a, b))
                values.append((quality_a, quality_b))
    first, second = np.array(values, dtype=np.float64).reshape(-1, 2).T
    choices = choose(
        first,
        second,
        temperature=temperature,
        error_rate=error_rate,
        generator=np.random.default_rng(seed),
        taste_share=taste_share,
        appeal_a=[len(a.split()) for _, a, _ in pairs],
        appeal_b=[len(b.split()) for _, _, b in pairs],
    )
    comparisons, truths = [], []
    for (prompt, a, b), (quality_a, quality_b), prefers_a in zip(pairs, values, choices.prefers_a, strict=True):
        comparisons.append(Comparison(prompt, a, b) if prefers_a else Comparison(prompt, b, a))
        truths.append(TrueQuality(quality_a, quality_b) if prefers_a else TrueQuality(quality_b, quality_a))
    return comparisons, truths
