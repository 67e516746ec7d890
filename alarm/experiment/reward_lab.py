"""The reward models of one task at one scale: comparisons, what is trained on them, and ready-made ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from alarm.experiment.code import REWARD_CODE
from alarm.experiment.generation import Sample
from alarm.experiment.policy_lab import PolicyLab
from alarm.files import read_json, write_json
from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.recipes import RECIPES
from alarm.scorers.base import Scorer
from alarm.scorers.external import (
    check_recipe,
    holistic_version,
    load_holistic,
    needs_references,
    token_limit,
)
from alarm.scorers.forms import FORMS
from alarm.settings import RewardModelSettings

if TYPE_CHECKING:
    from alarm.reward_modeling.validation import ComparisonSource
    from alarm.scorers.reader import Reader

T = TypeVar("T")
Pairs = tuple[list[Comparison], list[Comparison]]
"""Comparisons to learn from, and held out."""
Truths = tuple[list[int], list[int]]
"""For each of them 1 where gold agrees with the label, -1 where the label is wrong, 0 where gold finds both equal."""


class RewardLab(PolicyLab):
    """To the policy and its data come annotated comparisons and the models that judge responses.

    A subclass says how its task gets comparisons and trains aspect models.
    """

    learned: tuple[str, ...]
    """Scorers that are trained on the comparisons, `holistic` first."""

    def __init__(self, *arguments: Any, holistic_models: dict[str, Scorer] | None = None, **options: Any) -> None:
        """`holistic_models` are the ready-made ones loaded so far, by name; labs that share it share their networks."""
        super().__init__(*arguments, **options)
        self._holistic_models = {} if holistic_models is None else holistic_models
        self._known: dict[tuple[str, str], Any] = {}

    # What a subclass provides.

    @abstractmethod
    def write_comparisons(
        self, directory: Path, samples: Sequence[Sample], settings: RewardModelSettings
    ) -> dict[str, Any]:
        """Let simulated annotators compare sampled responses; returns what is known about their noise."""

    @abstractmethod
    def read_preferences(self, directory: Path) -> Pairs:
        """The holistic comparisons that `write_comparisons` left in `directory`."""

    @abstractmethod
    def read_truths(self, directory: Path) -> Truths:
        """What is true of them, kept aside for measuring; nothing that trains may ask for it."""

    def train_aspect(self, kind: str, directory: Path, **common: Any) -> dict[str, Any]:
        """Train the learned scorer of an aspect on the comparisons into `directory`; returns its report."""
        raise NotImplementedError(f"{self.task_name} has no learned scorer {kind}")

    # Artifacts, each built once.

    @cached_property
    def comparison_samples(self) -> list[Sample]:
        """Samples for the annotators, on the train prompts just before those that PPO learns from.

        Both come from the end of the split: where SFT read a part of it, the policy answers these as it does new ones.
        """
        settings, train = self.preset.reward_models, self.task.split("train")
        end = len(train) - (self.preset.ppo.train_prompts or 0)
        examples = train[max(0, end - settings.comparison_prompts) : end]
        return self.sft_samples("train", examples, count=settings.responses_per_prompt)

    @cached_property
    def comparisons(self) -> Path:
        """Annotated comparisons in the task's public format, true labels kept aside, and `report.json`."""
        return self.noisy_comparisons(self.preset.reward_models)

    def noisy_comparisons(self, settings: RewardModelSettings) -> Path:
        """The same comparisons by annotators with other habits."""

        def build(path: Path) -> None:
            write_json(path / "report.json", self.write_comparisons(path, self.comparison_samples, settings))

        return self.artifact("comparisons", REWARD_CODE, self.comparison_inputs(settings), build)

    def comparison_inputs(self, settings: RewardModelSettings) -> dict[str, Any]:
        """What the annotated comparisons depend on."""
        return self.inputs("policy", "sft") | {"reward_models": asdict(settings), "samples": self._sample_inputs()}

    @cached_property
    def preferences(self) -> Pairs:
        return self.read_preferences(self.comparisons)

    def reward_model(self, kind: str, recipe: str = "plain") -> Path:
        """A learned scorer's folder, with `report.json`; recipes are for the holistic model.

        An iterative recipe starts from the plain model.
        """
        entry = RECIPES[recipe]
        if kind == "holistic" and self.preset.reward_models.holistic_model is not None:
            check_recipe(recipe, self.preset.reward_models.holistic_model)
        of_its_own = kind != "holistic" and self.aspect_start is not None
        inputs = (self.aspect_inputs() if of_its_own else self._reward_inputs()) | {"kind": kind}
        if entry.iterative or recipe == "plain":
            entry, strength = RECIPES["plain"], None
        else:
            strength = self.strength if entry.needs_strength else None
            inputs |= {"recipe": recipe} | self.inputs("recipes")

        def build(path: Path) -> None:
            self.progress.start(f"{self.task_name} {kind} model" + (f", {recipe}" if recipe != "plain" else ""))
            common = {
                "settings": self.preset.reward_models,
                "max_tokens": self.preset.ppo.max_prompt_tokens,
                "device": self.device,
                "on_step": lambda step, total, loss: self.progress.step(step, total, loss=loss),
            }
            if kind == "holistic":
                report = train_recipe(
                    entry,
                    self.preferences[0],
                    path,
                    kind=kind,
                    held_out=self.preferences[1],
                    strength=strength,
                    recipes=self.preset.recipes,
                    **(common | self._policy_start()),
                ).to_dict()
            else:
                report = self.train_aspect(kind, path, **(common | self._aspect_start(kind)))
            write_json(path / "report.json", report)

        from alarm.reward_modeling.recipe_training import train_recipe

        return self.artifact("reward_model", REWARD_CODE, inputs, build)

    @cached_property
    def aspect_start(self) -> str | None:
        """Version of the checkpoint that aspect models start from; None where they start from the SFT policy or where
        ready-made ones are used. Raises `ValueError` if it is not to be had."""
        from alarm.scorers.checkpoints import find_checkpoint

        checkpoint = self.preset.aspect_training.checkpoint
        if checkpoint is None or self.preset.reward_models.aspect_models is not None:
            return None
        return find_checkpoint(checkpoint).version

    def aspect_inputs(self) -> dict[str, Any]:
        """What aspect models with a start of their own depend on: neither policy nor SFT, if people gave the feedback.

        The other reward models and tools that the settings name have no part in it.
        """
        settings = asdict(self.preset.reward_models)
        for name in ("holistic_model", "aspect_models", "grammar_checker"):
            del settings[name]
        return self.comparison_inputs(self.preset.reward_models) | {
            "task": self.task_name,
            "device": self.device.split(":")[0],
            "reward_models": settings,
            "aspect_training": asdict(self.preset.aspect_training),
            "aspect_start": self.aspect_start,
        }

    @property
    def model_start(self) -> Path:
        """What reward models start from: the world's base model, or the SFT policy where there is none."""
        return self.policy_directory if self.base is None else self.base

    def _policy_start(self) -> dict[str, Any]:
        return {"checkpoint": self.model_start, "tokenizer": self.tokenizer}

    def _aspect_start(self, kind: str) -> dict[str, Any]:
        """Where the training of an aspect model starts, and how it goes where that is not the SFT policy."""
        from transformers import AutoTokenizer

        training = self.preset.aspect_training
        if training.checkpoint is None:
            return self._policy_start()
        of_units = {"steps": training.unit_steps, "learning_rate": training.unit_learning_rate}
        # A step of unit models has half as many responses as it would have pairs.
        of_units["batch_size"] = 2 * training.unit_responses
        of_pairs = {
            "steps": training.pair_steps,
            "learning_rate": training.pair_learning_rate,
            "batch_size": training.pairs,
        }
        chosen = of_units if FORMS[kind].labels else of_pairs
        chosen["gradient_checkpointing"] = training.gradient_checkpointing
        return {
            "checkpoint": training.checkpoint,
            # Units are read word by word, which a RoBERTa-like tokenizer does only with a space before each.
            "tokenizer": AutoTokenizer.from_pretrained(training.checkpoint, add_prefix_space=bool(FORMS[kind].labels)),
            "settings": replace(self.preset.reward_models, **chosen),
            "max_tokens": training.max_tokens,
        }

    def untrained_reader(self, seed: int) -> Reader:
        """A holistic model before training: the weights of `model_start` below a new head."""
        from alarm.scorers.reader import Reader

        return Reader.from_checkpoint(
            self.model_start,
            self.tokenizer,
            "holistic",
            seed=seed,
            max_tokens=self.preset.ppo.max_prompt_tokens,
            likelihoods=self.preset.reward_models.likelihoods,
        )

    @cached_property
    def strength(self) -> list[float]:
        """Preference strength of every training comparison, as the preset's recipes read it."""
        return self.strengths(self.preset.recipes.strength)["mean"]

    def strengths(self, way: str) -> dict[str, Any]:
        """Preference strength of the training comparisons, `in_sample` or `cross_fitted`: see `study_strength`."""
        from alarm.reward_modeling.study import study_strength

        def build(path: Path) -> None:
            self.progress.start(f"{self.task_name} preference strength, {way.replace('_', ' ')}")
            strength = study_strength(
                self.comparison_source(),
                way,
                settings=self.preset.reward_models,
                recipes=self.preset.recipes,
                device=self.device,
                on_step=lambda step, total, loss: self.progress.step(step, total, loss=loss),
            )
            write_json(path / "strength.json", strength)

        inputs = self._reward_inputs() | self.inputs("recipes") | {"way": way}
        return read_json(self.artifact("strength", REWARD_CODE, inputs, build) / "strength.json")

    def comparison_source(self, comparisons: Path | None = None) -> ComparisonSource:
        """The holistic comparisons, or others of `noisy_comparisons`, with the model that is trained on them.

        What is true of them is left out: nothing that trains may read it.
        """
        from alarm.reward_modeling.validation import ComparisonSource

        directory = comparisons or self.comparisons
        report = read_json(directory / "report.json")
        train, held_out = self.read_preferences(directory)
        shown = ("prompts", "error_rate", "temperature")
        return ComparisonSource(
            name=self.task_name,
            scale=self.preset.scale,
            train=train,
            held_out=held_out,
            make_reader=self.untrained_reader,
            facts={name: report[name] for name in shown},
        )

    def holistic(self, recipe: str = "plain") -> Scorer:
        """The holistic reward model of a recipe; that of an iterative one as it is before the first round.

        Raises:
            ValueError: a recipe is asked for while the settings name a ready-made model, or that model cannot be read.
        """
        from alarm.scorers.learned import HolisticScorer

        spec = self.preset.reward_models.holistic_model
        if spec is not None:
            check_recipe(recipe, spec)
            return self._once("holistic", spec, lambda: self._ready_made(spec))
        model = self.reward_model("holistic", recipe)
        return self._once("holistic", str(model), lambda: HolisticScorer(model, device=self.device))

    def inputs(self, *concerns: str) -> dict[str, Any]:
        """As for any lab; settings name ready-made models, and their weights decide numbers too."""
        found = super().inputs(*concerns)
        if "reward_models" in concerns and self.ready_made:
            found["ready_made"] = self.ready_made
        if "aspect_training" in concerns and self.aspect_start:
            found["aspect_start"] = self.aspect_start
        return found

    @cached_property
    def ready_made(self) -> dict[str, str]:
        """Versions of the scorers of `learned` that are ready-made, by kind; no model is loaded to tell them."""
        spec = self.preset.reward_models.holistic_model
        return {} if spec is None else {"holistic": holistic_version(spec)}

    @property
    def trained(self) -> tuple[str, ...]:
        """The scorers of `learned` that are trained here."""
        return tuple(kind for kind in self.learned if kind not in self.ready_made)

    def _ready_made(self, spec: str) -> Scorer:
        """The holistic scorer over a ready-made model, loaded unless another task's lab has done so."""
        from alarm.scorers.ready_made import ReadyMadeScorer

        max_tokens, loaded = token_limit(sum(self.lengths)), self._holistic_models.get(spec)
        if isinstance(loaded, ReadyMadeScorer):
            return loaded.limited(max_tokens)
        self.progress.start(f"{self.task_name}: loading {spec}")
        splits = ("train", "dev", "test") if needs_references(spec) else ()
        self._holistic_models[spec] = load_holistic(
            spec,
            device=self.device,
            max_tokens=max_tokens,
            references={example.prompt: example.reference for name in splits for example in self.task.split(name)},
            prefix=self.preset.data.prompt_prefix,
        )
        return self._holistic_models[spec]

    def _once(self, kind: str, key: str, make: Callable[[], T]) -> T:
        """What `make` returns for a key, called once."""
        if (kind, key) not in self._known:
            self._known[kind, key] = make()
        return self._known[kind, key]

    def _reward_inputs(self) -> dict[str, Any]:
        """What the reward models and all that they judge depend on."""
        return self.inputs("policy", "sft", "reward_models", "aspect_training") | {"samples": self._sample_inputs()}

    def _sample_inputs(self) -> list[int | None]:
        """What decides, besides the settings of reward models, which responses are compared."""
        return [*self.lengths, self.generation_batch, self.preset.ppo.train_prompts]
