"""Reference levels of a task: measured once on the SFT policy's samples for PPO's prompts, and stored."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from alarm.experiment.code import REWARD_CODE
from alarm.files import read_json, write_json
from alarm.references import check, levels_of
from alarm.scorers.base import Scorer
from alarm.scorers.learned import LearnedScorer

if TYPE_CHECKING:
    from alarm.experiment.generation import Sample
    from alarm.experiment.lab import Lab

REFERENCE_CODE = (*REWARD_CODE, "references.py", "experiment/reference_levels.py")


@dataclass(frozen=True)
class PropertyLevels:
    """One property's scale, and its reference level for every prompt."""

    scale: float
    """What a score is divided by to be a reward in log-odds: see `measure_scale`."""
    levels: Mapping[str, float]
    """Prompt to r_ref, in log-odds."""


@dataclass(frozen=True)
class ReferenceLevels:
    """Scale and reference levels of every property, by the scorer's name."""

    properties: Mapping[str, PropertyLevels]

    def rewards(self, name: str, values: Sequence[float]) -> Tensor:
        """r of property `name`, [B] float64, from the scores of B responses."""
        return torch.tensor(values, dtype=torch.float64) / self.properties[name].scale

    def levels(self, name: str, prompts: Sequence[str]) -> Tensor:
        """r_ref of property `name`, [B] float64, for B prompts.

        Raises:
            ValueError: a prompt whose level was not measured.
        """
        known = self.properties[name].levels
        unknown = next((prompt for prompt in prompts if prompt not in known), None)
        if unknown is not None:
            raise ValueError(
                f"there is no reference level of {name} for the prompt {unknown[:60]!r}; levels are measured for the "
                "prompts that PPO learns from"
            )
        return torch.tensor([known[prompt] for prompt in prompts], dtype=torch.float64)


def reference_levels(lab: Lab, properties: Mapping[str, Scorer]) -> ReferenceLevels:
    """Scale and levels of the named properties over `lab.reference_samples`, by the preset's strategy.

    Each property is an artifact of its own: methods share them, and another reward model measures only itself anew.

    Raises:
        ValueError: the settings of references are not valid, said before anything is scored; or a score is not finite.
    """
    check(lab.preset.references)

    def measured(name: str, scorer: Scorer) -> PropertyLevels:
        def build(path: Path) -> None:
            lab.progress.start(f"{lab.task_name} reference levels of {name}")
            samples = lab.reference_samples
            values = score_distinct(scorer, [s.prompt for s in samples], [s.response for s in samples])
            scale = measure_scale(scorer, values)
            levels = levels_by_prompt(lab, scorer, samples, [value / scale for value in values], scale=scale)
            write_json(path / "levels.json", asdict(PropertyLevels(scale, levels)))

        inputs = lab.inputs("policy", "sft", "references") | {
            "samples": [*lab.lengths, lab.preset.ppo.train_prompts],
            "property": name,
            "scorer": _identity(scorer),
        }
        return PropertyLevels(**read_json(lab.artifact("references", REFERENCE_CODE, inputs, build) / "levels.json"))

    return ReferenceLevels({name: measured(name, scorer) for name, scorer in properties.items()})


def measure_scale(scorer: Scorer, values: Sequence[float]) -> float:
    """What divides a score to make it a reward in log-odds (see `alarm.references`).

    1 for a Bradley-Terry model. Else the standard deviation (n - 1) of `values`, scores of SFT samples, negative where
    lower is better. A score that never varies there has no scale: it is left undivided, with a warning, and counts once
    the policy makes it vary.

    Raises:
        ValueError: fewer than two values, or one that is NaN or infinite.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"the scale of {scorer.name} needs at least two finite values, got {len(values)} values")
    if scorer.log_odds:
        return 1.0
    sd = float(np.std(values, ddof=1))
    if sd < 1e-9:
        warnings.warn(
            f"{scorer.name} gives all {len(values)} SFT samples the same score; its reward is that score, undivided",
            stacklevel=2,
        )
        sd = 1.0
    return sd if scorer.higher_is_better else -sd


def levels_by_prompt(
    lab: Lab, scorer: Scorer, samples: Sequence[Sample], rewards: Sequence[float], *, scale: float
) -> dict[str, float]:
    """Prompt to its level, by the preset's strategy, from the rewards of its samples (as many for every prompt)."""
    settings = lab.preset.references
    groups: dict[str, list[float]] = {}
    for sample, reward in zip(samples, rewards, strict=True):
        groups.setdefault(sample.prompt, []).append(reward)
    canned = None
    if settings.strategy == "canned":
        scores = scorer.score(list(groups), [settings.canned_response] * len(groups))
        canned = [score.value / scale for score in scores]
    levels = levels_of(list(groups.values()), settings, canned=canned)
    return dict(zip(groups, levels.tolist(), strict=True))


def score_distinct(scorer: Scorer, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """Values of B responses; a text that a prompt has several times is scored once."""
    pairs = list(zip(prompts, responses, strict=True))
    distinct = list(dict.fromkeys(pairs))
    scores = scorer.score([prompt for prompt, _ in distinct], [response for _, response in distinct])
    value = {pair: score.value for pair, score in zip(distinct, scores, strict=True)}
    return [value[pair] for pair in pairs]


def _identity(scorer: Scorer) -> str:
    """What tells a scorer's numbers from another's: its version, for a network its weights as they are in memory.

    A reward model that is adapted between rounds changes in place and keeps the version of the folder it came from.
    """
    if not isinstance(scorer, LearnedScorer):
        return scorer.version
    digest = hashlib.sha256()
    for name, tensor in sorted(scorer.reader.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
