"""The artifacts of one task at one scale, built on demand and shared by all runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from alarm.experiment.code import REWARD_CODE
from alarm.experiment.constants import Constants, paper_constants
from alarm.experiment.proactive import agreement_with_gold, select
from alarm.experiment.reward_lab import RewardLab
from alarm.experiment.scoring import score_generations, scored_pool
from alarm.files import read_json, write_json
from alarm.records import Generation, read_generations, write_generations
from alarm.registry import Registry
from alarm.reward_modeling.recipes import RECIPES
from alarm.scorers.base import Scorer
from alarm.scorers.gold import GoldScorer
from alarm.tasks.base import Example

LABS: Registry[type[Lab]] = Registry("task")


class Lab(RewardLab):
    """Everything the runs of one task share: to its reward models come aspects, constants, selection and SFT scores.

    A subclass says how its task gets data, comparisons and scorers.
    """

    @abstractmethod
    def aspect_scorers(self) -> dict[str, Scorer]:
        """The task's aspects, in the order of the paper's tables, without measured constants."""

    def holistic(self, recipe: str = "plain") -> Scorer:
        """As for any reward lab; gold quality itself for the recipe that trains nothing."""
        if not RECIPES[recipe].trained:
            return self._once("holistic", recipe, lambda: GoldScorer(self.gold_of_prompts, self.task.gold_name))
        return super().holistic(recipe)

    def gold_of_prompts(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """Gold quality of responses to prompts of the train, dev or test split.

        Raises:
            ValueError: a prompt that none of them has.
        """
        unknown = next((prompt for prompt in prompts if prompt not in self._by_prompt), None)
        if unknown is not None:
            raise ValueError(f"gold quality of {unknown[:60]!r} is not known: it is no prompt of {self.task_name}")
        return self.task.gold([self._by_prompt[prompt] for prompt in prompts], responses)

    @cached_property
    def _by_prompt(self) -> dict[str, Example]:
        return {example.prompt: example for split in ("train", "dev", "test") for example in self.task.split(split)}

    def tools(self) -> dict[str, Scorer]:
        """The aspects that need no trained model."""
        return {}

    @property
    def holistic_scorer(self) -> Scorer:
        """The plain holistic model, which every method's responses are judged by."""
        return self.holistic()

    def holistic_constants(self, recipe: str = "plain") -> Constants:
        """z-constants of a recipe's holistic reward."""
        if recipe == "plain" or RECIPES[recipe].iterative:
            return self.constants["holistic"]
        return self._once("constants", recipe, lambda: self.measure_constants(self.holistic(recipe)))

    def measure_constants(self, scorer: Scorer) -> Constants:
        """Mean and standard deviation of a scorer's values over SFT samples of the dev split."""
        prompts = [sample.prompt for sample in self.dev_samples]
        values = [score.value for score in scorer.score(prompts, [sample.response for sample in self.dev_samples])]
        return Constants.measure(scorer.name, values)

    @cached_property
    def scorers(self) -> dict[str, Scorer]:
        """All aspect scorers by name; the length reward is scaled by the SFT samples' mean length."""
        from alarm.scorers.length import LengthScorer

        scorers = self.aspect_scorers()
        scorers["length"] = LengthScorer(mean_length=self.constants["length"].mean)
        return scorers

    @cached_property
    def constants(self) -> dict[str, Constants]:
        """z-constants of the holistic reward and every per-response aspect: measured on SFT samples of the dev split,
        or, where the settings say so, the paper's own of the scores that it normalised."""
        own = paper_constants(self.preset)

        def build(path: Path) -> None:
            measured = {
                name: self.measure_constants(scorer).to_dict()
                for name, scorer in {"holistic": self.holistic_scorer, **self.aspect_scorers()}.items()
                if scorer.normalize or name == "length"
            }
            write_json(path / "constants.json", measured)

        inputs = self._reward_inputs() | self.inputs("evaluation")
        path = self.artifact("constants", REWARD_CODE, inputs, build)
        measured = {name: Constants(**values) for name, values in read_json(path / "constants.json").items()}
        return {**measured, **own}

    @cached_property
    def selection(self) -> dict[str, Any]:
        """Proactive selection on the dev split: inconsistencies, greedy-against-sampling wins, the chosen aspect."""

        def build(path: Path) -> None:
            write_json(path / "selection.json", select(self))

        inputs = self._reward_inputs() | self.inputs("evaluation")
        return read_json(self.artifact("selection", REWARD_CODE, inputs, build) / "selection.json")

    @cached_property
    def sft_test_generations(self) -> list[Generation]:
        """The SFT policy's greedy test responses with all their scores."""
        return self._sft_test(count=0)

    @cached_property
    def sft_test_samples(self) -> list[Generation]:
        """One sampled test response of the SFT policy per prompt, with all its scores."""
        return self._sft_test(count=1)

    def _sft_test(self, *, count: int) -> list[Generation]:
        def build(path: Path) -> None:
            examples = self.task.split("test")[: self.preset.evaluation.test_examples]
            samples = self.sft_samples("test", examples, count=count)
            write_generations(path / "generations.jsonl", score_generations(self, examples, samples))

        inputs = self._reward_inputs() | self.inputs("evaluation") | {"count": count}
        return read_generations(self.artifact("sft_test", REWARD_CODE, inputs, build) / "generations.jsonl")

    @cached_property
    def pool(self) -> dict[str, Any]:
        """Samples of the SFT policy on dev prompts with all their scores: what `PoolRecord` holds of them."""

        def build(path: Path) -> None:
            write_json(path / "pool.json", scored_pool(self))

        inputs = self._reward_inputs() | self.inputs("evaluation")
        return read_json(self.artifact("sft_pool", REWARD_CODE, inputs, build) / "pool.json")

    def setup_facts(self) -> dict[str, Any]:
        """What came out before PPO: SFT quality, annotator noise, reward-model accuracy, constants.

        Where every reward model is ready-made there are no comparisons; of those that are, what their scores depend on.
        """
        facts: dict[str, Any] = {"data_files": self.data_files(), "sft": read_json(self.sft / "report.json")}
        if self.trained:
            facts["comparisons"] = read_json(self.comparisons / "report.json")
            facts["reward_models"] = {kind: read_json(self.reward_model(kind) / "report.json") for kind in self.trained}
        facts["holistic_against_gold"] = agreement_with_gold(self)
        facts["constants"] = {name: constants.to_dict() for name, constants in self.constants.items()}
        scorers = {"holistic": self.holistic_scorer, **self.scorers}
        prompts, responses = zip(*((sample.prompt, sample.response) for sample in self.dev_samples), strict=True)
        facts["ready_made_models"] = {
            kind: scorers[kind].facts() | {"dev_prompts_cut": scorers[kind].count_cut(prompts, responses)}
            for kind in self.ready_made
        }
        return facts


def lab_class(task: str) -> type[Lab]:
    """The lab of a task by name; an unknown name raises `ValueError` listing the known ones."""
    from alarm.experiment import long_form_qa, wmt  # noqa: F401  each registers its lab

    return LABS[task]
