"""What a user may choose instead of a preset's own: models, tools and constants, by one set of options everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alarm.scorers.external import TRAINED
from alarm.settings import Preset


@dataclass(frozen=True)
class Choice:
    """An option, and the field of the preset that it replaces."""

    concern: str
    field: str
    help: str
    counts: bool = False
    """Whether its value is a whole number from 0."""
    corpora: tuple[str, ...] = ()
    """Of data settings: the corpora that have such a choice."""

    def value(self, given: str) -> str | int:
        """What the field becomes; folders are named absolutely, since they end up in records.

        Raises:
            ValueError: a count is not a whole number from 0.
        """
        if not self.counts:
            return str(Path(given).resolve()) if Path(given).is_dir() else given
        if not given.isdecimal():
            raise ValueError(f"{self.option} takes a whole number from 0, got {given!r}")
        return int(given)

    @property
    def option(self) -> str:
        """How it is given on the command line."""
        return _option(next(name for name, choice in CHOICES.items() if choice is self))


REAL = ("europarl", "qa_feedback")

CHOICES = {
    "world_seed": Choice(
        "data",
        "world_seed",
        "another generated world (names, facts, sentences); make its base model first: python -m alarm pretrain",
        counts=True,
        corpora=("world",),
    ),
    "source_language": Choice(
        "data",
        "source_language",
        "language that Europarl is translated from, e.g. de (default: the scale's)",
        corpora=REAL,
    ),
    "prompt_prefix": Choice("data", "prompt_prefix", "what stands before the source sentence in prompts", corpora=REAL),
    "policy": Choice("policy", "checkpoint", "policy to start from, a hub name or a folder (default: the scale's)"),
    "policy_revision": Choice("policy", "revision", "revision of the policy on the hub (default: the newest)"),
    "tokenizer_revision": Choice("policy", "tokenizer_revision", "revision of its tokenizer (default: the same)"),
    "sft_steps": Choice("sft", "steps", "steps of supervised fine-tuning; 0 takes --policy as it is", counts=True),
    "holistic_model": Choice(
        "reward_models",
        "holistic_model",
        "ready-made holistic reward: ultrarm:NAME_OR_PATH, classifier:NAME_OR_PATH or comet:CHECKPOINT; "
        f"or {TRAINED} (default: the scale's, {TRAINED} below paper)",
    ),
    "aspect_models": Choice(
        "reward_models",
        "aspect_models",
        "folder with Fine-Grained RLHF's fact_rm, rel_rm and comp_rm (default: trained on feedback)",
    ),
    "grammar_checker": Choice(
        "reward_models", "grammar_checker", "harper or languagetool (default: the scale's, harper below paper)"
    ),
    "sentence_splitter": Choice(
        "reward_models",
        "sentence_splitter",
        "of factuality and relevance: rules or spacy (default: the scale's, rules below paper)",
    ),
    "constants": Choice(
        "reward", "constants", "z-constants: measured (default), or paper, those of UltraRM-13B and the authors' policy"
    ),
}


def default_device(scale: str) -> str:
    """Where an experiment runs unless the user says otherwise: the paper's models need a GPU."""
    return "cuda" if scale == "paper" else "cpu"


def add_choices(add: Callable[..., Any]) -> None:
    """Add an option for every choice by `add`, which takes what argparse's `add_argument` takes."""
    for name, choice in CHOICES.items():
        add(_option(name), default=None, help=choice.help)


def chosen(options: Any) -> dict[str, str]:
    """The choices among parsed options."""
    return {name: getattr(options, name) for name in CHOICES if getattr(options, name) is not None}


def with_choices(preset: Preset, choices: Mapping[str, str]) -> Preset:
    """The preset with these choices in place of its own.

    Raises:
        KeyError: a choice of another name.
        ValueError: data settings for a corpus that has no such choice.
    """
    for name, given in choices.items():
        choice = CHOICES[name]
        if choice.concern == "data" and preset.data.corpus not in choice.corpora:
            place = "generated worlds, at scale tiny" if "world" in choice.corpora else "Europarl, at scale paper"
            raise ValueError(
                f"{choice.option} is for {place}; {preset.task} at scale {preset.scale} reads {preset.data.corpus}"
            )
        value = None if given == TRAINED else choice.value(str(given))
        concern = replace(getattr(preset, choice.concern), **{choice.field: value})
        preset = replace(preset, **{choice.concern: concern})
    return preset


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
