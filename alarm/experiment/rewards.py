"""Rewards of a rollout: score the texts, transform, compose, and account for every component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alarm.compositions import last_token
from alarm.experiment.constants import Constants
from alarm.experiment.reference_levels import ReferenceLevels, score_distinct
from alarm.methods import Method, RewardInputs, contributions
from alarm.ppo.released import released_placement
from alarm.scorers.base import Score, Scorer
from alarm.settings import RewardSettings
from alarm.text.offsets import place_rewards
from alarm.transforms import z_normalize


@dataclass(frozen=True)
class Rewards:
    """The rewards of one batch and the numbers behind them."""

    per_token: Tensor
    """[B, T], what PPO receives, before the KL penalty (the released code then leaves out each row's first token)."""
    holistic: Tensor
    """[B], z-normalised holistic reward, before the rule for degenerate responses."""
    components: dict[str, Tensor]
    """[B, T] each; they sum to `composed`: `holistic`, `aspect` and `degenerate`."""
    composed: Tensor
    """[B, T], rewards where the method means them to be; `per_token` differs only under released defects."""
    metrics: dict[str, float | None]
    """Means over the batch: every component raw (None for an aspect that is not read), transformed and weighted; also
    `holistic_sd`, the standard deviation of the z-normalised holistic reward, and for each property read the share of
    responses that reach its reference."""


class RewardFunction:
    """Scores responses with one method's scorers and composes their per-token rewards."""

    def __init__(
        self,
        method: Method,
        settings: RewardSettings,
        holistic: Scorer,
        aspect: Scorer,
        constants: Mapping[str, Constants],
        *,
        properties: Mapping[str, Scorer] | None = None,
        references: ReferenceLevels | None = None,
    ) -> None:
        """`properties` are the scorers that a method which asks for properties reads, `references` their levels.

        Raises:
            ValueError: the method asks for properties and does not get them, each with its levels.
        """
        properties = dict(properties or {}) if method.properties != "none" else {}
        if method.properties != "none" and (
            not properties or references is None or not set(properties) <= set(references.properties)
        ):
            raise ValueError(
                f"method {method.name} reads rewards of properties; give it their scorers and their reference levels"
            )
        self.properties = properties
        self.references = references
        self.method = method
        self.settings = settings
        self.holistic_scorer = holistic
        self.aspect_scorer = aspect
        self.constants = constants

    def __call__(
        self,
        prompts: Sequence[str],
        responses: Sequence[str],
        offsets: Sequence[Sequence[tuple[int, int]]],
        response_mask: Tensor,
    ) -> Rewards:
        """Rewards of B responses whose generated tokens cover the characters `offsets`, padded to [B, T]."""
        raw = [score.value for score in self.holistic_scorer.score(prompts, responses)]
        constants = self.constants["holistic"]
        holistic = z_normalize(torch.tensor(raw), mean=constants.mean, std=constants.std)
        scores = self.aspect_scorer.score(prompts, responses) if self.method.reads_aspect else None
        aspect = torch.zeros(response_mask.shape) if scores is None else self._aspect(scores, offsets, response_mask)
        properties, references = self._properties(prompts, responses, raw, scores)
        inputs = RewardInputs(
            holistic=holistic,
            aspect=aspect,
            response_mask=response_mask,
            holistic_weight=self.settings.holistic_weight,
            aspect_weight=self.settings.aspect_weight,
            threshold=self.settings.threshold,
            properties=properties,
            references=references,
        )
        parts = contributions(self.method, inputs)
        short = response_mask.sum(dim=1) <= self.settings.too_short_tokens
        penalty = self.settings.holistic_weight * self.settings.too_short_reward
        components = {
            "holistic": torch.where(short.unsqueeze(1), 0.0, parts["holistic"]),
            "aspect": torch.where(short.unsqueeze(1), 0.0, parts["aspect"]),
            "degenerate": torch.where(short.unsqueeze(1) & last_token(response_mask), penalty, 0.0),
        }
        composed = components["holistic"] + components["aspect"] + components["degenerate"]
        per_token = released_placement(composed, response_mask) if self.method.released_defects else composed
        metrics = {
            "reward": _mean_total(per_token),
            "reward_intended": _mean_total(composed),
            "lost_to_placement": _mean_total(per_token) - _mean_total(composed),
            "holistic_raw": sum(raw) / len(raw),
            "holistic": holistic.mean().item(),
            "holistic_sd": holistic.std(correction=0).item(),
            "holistic_weighted": _mean_total(components["holistic"]),
            "aspect_raw": None if scores is None else sum(score.value for score in scores) / len(scores),
            "aspect_transformed": _mean_total(aspect),
            "aspect_weighted": _mean_total(components["aspect"]),
            "degenerate_weighted": _mean_total(components["degenerate"]),
            "degenerate_share": short.float().mean().item(),
            "above_threshold": (holistic >= self.settings.threshold).float().mean().item(),
        }
        for name, reward in properties.items():
            metrics[f"above_reference_{name}"] = (reward >= references[name]).float().mean().item()
        return Rewards(per_token, holistic, components, composed, metrics)

    def _properties(
        self, prompts: Sequence[str], responses: Sequence[str], holistic: list[float], aspect: list[Score] | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Rewards and reference levels of the properties, [B] each; the values given are not computed again."""
        rewards, levels = {}, {}
        for name, scorer in self.properties.items():
            if scorer is self.holistic_scorer:
                values = holistic
            elif scorer is self.aspect_scorer and aspect is not None:
                values = [score.value for score in aspect]
            else:
                values = score_distinct(scorer, prompts, responses)
            rewards[name] = self.references.rewards(name, values)
            levels[name] = self.references.levels(name, prompts)
        return rewards, levels

    def _aspect(self, scores: list[Score], offsets, response_mask: Tensor) -> Tensor:
        """The aspect's transformed values [B, T], zero where it is silent."""
        scorer = self.aspect_scorer
        scaled = [Score(reward_value(scorer, score.value, self.constants), score.spans) for score in scores]
        values, active = place_rewards(scaled, offsets, response_mask, scorer.placement)
        if self.method.transform is not None:
            values = self.method.transform(values)
        return torch.where(active, values, 0.0)


def reward_value(scorer: Scorer, value: float, constants: Mapping[str, Constants]) -> float:
    """A per-response value as a reward: z-normalised where the scorer asks for it, then scaled."""
    if scorer.normalize:
        measured = constants[scorer.name]
        value = (value - measured.mean) / measured.std
    return value * scorer.scale


def _mean_total(rewards: Tensor) -> float:
    return rewards.sum(dim=1).mean().item()
