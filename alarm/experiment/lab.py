"""The artifacts of one task at one scale, built on demand and shared by all runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from alarm.evaluation.win_rates import win_rate
from alarm.experiment.code import POLICY_CODE, REWARD_CODE, code_fingerprint, library_versions
from alarm.experiment.constants import Constants
from alarm.experiment.generation import Sample, generate, read_samples, write_samples
from alarm.experiment.progress import Progress
from alarm.experiment.scoring import score_generations
from alarm.files import read_json, write_json
from alarm.records import Generation, read_generations, write_generations
from alarm.registry import Registry
from alarm.scorers.base import Scorer
from alarm.selection import inconsistency, select_aspect
from alarm.settings import Preset
from alarm.store import Store
from alarm.tasks.base import Example, Task

LABS: Registry[type[Lab]] = Registry("task")


class Lab(ABC):
    """Everything the runs of one task share: data, SFT policy, comparisons, reward models, constants, selection.

    Every artifact is a folder in the store, keyed by the settings, data, code and artifacts it depends on. A subclass
    says how its task gets data, comparisons and scorers.
    """

    task_name: str
    task_code: tuple[str, ...]
    """Sources of this task alone, for `alarm.experiment.code`."""
    learned: tuple[str, ...]
    """Scorers that are trained on the comparisons, `holistic` first."""

    def __init__(
        self,
        preset: Preset,
        store: Store,
        *,
        data: Path | None = None,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        self.preset = preset
        self.store = store
        self.device = device
        self.progress = progress or Progress(None)
        self._data = data

    # What a subclass provides.

    @abstractmethod
    def write_world(self, directory: Path) -> None:
        """Write the generated data of scale `tiny` in the task's public format."""

    @abstractmethod
    def read_task(self, directory: Path) -> Task:
        """The task over `directory`, generated or real."""

    @abstractmethod
    def write_comparisons(self, directory: Path, samples: Sequence[Sample]) -> dict[str, Any]:
        """Let simulated annotators compare sampled responses; returns what is known about their noise."""

    @abstractmethod
    def train_scorer(self, kind: str, directory: Path, report: Callable[[int, int, float], None]) -> dict[str, Any]:
        """Train one learned scorer on the comparisons into `directory`; returns its report."""

    @abstractmethod
    def aspect_scorers(self) -> dict[str, Scorer]:
        """The task's aspects, in the order of the paper's tables, without measured constants."""

    def corpus_metrics(self, examples: Sequence[Example], responses: Sequence[str]) -> dict[str, Any]:
        """Metrics of a whole set of responses (BLEU, chrF), each with its signature."""
        return {}

    # Artifacts, each built once.

    @cached_property
    def task(self) -> Task:
        if self._data is not None:
            return self.read_task(self._data)
        path = self.artifact(
            "world", POLICY_CODE, {"task": self.task_name, "scale": self.preset.scale}, self.write_world
        )
        return self.read_task(path)

    @cached_property
    def sft(self) -> Path:
        """The initial policy: a folder `policy` with its tokenizer, and `report.json`."""
        from alarm.experiment.initial_policy import build_initial_policy

        inputs = self.inputs("policy", "sft") | {"lengths": self._lengths()}
        return self.artifact("sft", POLICY_CODE, inputs, lambda path: build_initial_policy(self, path))

    @property
    def policy_directory(self) -> Path:
        return self.sft / "policy"

    @cached_property
    def comparison_samples(self) -> list[Sample]:
        settings = self.preset.reward_models
        examples = self.task.split("train")[: settings.comparison_prompts]
        return self.sft_samples("train", examples, count=settings.responses_per_prompt)

    @cached_property
    def comparisons(self) -> Path:
        """Annotated comparisons in the task's public format, true labels kept aside, and `report.json`."""

        def build(path: Path) -> None:
            write_json(path / "report.json", self.write_comparisons(path, self.comparison_samples))

        return self.artifact("comparisons", REWARD_CODE, self.inputs("policy", "sft", "reward_models"), build)

    def reward_model(self, kind: str) -> Path:
        """A learned scorer's folder, with `report.json`."""

        def build(path: Path) -> None:
            self.progress.start(f"{self.task_name} {kind} model")
            report = self.train_scorer(kind, path, lambda step, total, loss: self.progress.step(step, total, loss=loss))
            write_json(path / "report.json", report)

        return self.artifact(
            "reward_model", REWARD_CODE, self.inputs("policy", "sft", "reward_models") | {"kind": kind}, build
        )

    @cached_property
    def holistic_scorer(self) -> Scorer:
        from alarm.scorers.learned import HolisticScorer

        return HolisticScorer(self.reward_model("holistic"), device=self.device)

    @cached_property
    def scorers(self) -> dict[str, Scorer]:
        """All aspect scorers by name; the length reward is scaled by the SFT samples' mean length."""
        from alarm.scorers.length import LengthScorer

        scorers = self.aspect_scorers()
        scorers["length"] = LengthScorer(mean_length=self.constants["length"].mean)
        return scorers

    @cached_property
    def dev_samples(self) -> list[Sample]:
        """One sampled response of the SFT policy per dev prompt."""
        return self.sft_samples("dev", self._dev_examples(), count=1)

    @cached_property
    def constants(self) -> dict[str, Constants]:
        """z-constants of the holistic reward and of every per-response aspect, on SFT samples of the dev split."""

        def build(path: Path) -> None:
            prompts = [sample.prompt for sample in self.dev_samples]
            responses = [sample.response for sample in self.dev_samples]
            measured = {}
            for name, scorer in {"holistic": self.holistic_scorer, **self.aspect_scorers()}.items():
                if scorer.normalize or name == "length":
                    values = [score.value for score in scorer.score(prompts, responses)]
                    measured[name] = Constants.measure(name, values).to_dict()
            write_json(path / "constants.json", measured)

        inputs = self.inputs("policy", "sft", "reward_models", "evaluation")
        path = self.artifact("constants", REWARD_CODE, inputs, build)
        return {name: Constants(**values) for name, values in read_json(path / "constants.json").items()}

    @cached_property
    def selection(self) -> dict[str, Any]:
        """Proactive selection on the dev split: inconsistencies, greedy-against-sampling wins, the chosen aspect."""

        def build(path: Path) -> None:
            write_json(path / "selection.json", self._select())

        inputs = self.inputs("policy", "sft", "reward_models", "evaluation")
        return read_json(self.artifact("selection", REWARD_CODE, inputs, build) / "selection.json")

    @cached_property
    def sft_test_generations(self) -> list[Generation]:
        """The SFT policy's greedy test responses with all their scores."""

        def build(path: Path) -> None:
            examples = self.task.split("test")[: self.preset.evaluation.test_examples]
            samples = self.sft_samples("test", examples, count=0)
            write_generations(path / "generations.jsonl", score_generations(self, examples, samples))

        path = self.artifact(
            "sft_test", REWARD_CODE, self.inputs("policy", "sft", "reward_models", "evaluation"), build
        )
        return read_generations(path / "generations.jsonl")

    def sft_samples(self, split: str, examples: Sequence[Example], *, count: int) -> list[Sample]:
        """Responses of the SFT policy: `count` samples per example, or one greedy response where `count` is 0."""

        def build(path: Path) -> None:
            from alarm.ppo.policy import Policy

            self.progress.start(f"{self.task_name} {split} responses of the SFT policy")
            policy = Policy.load(self.policy_directory, self.preset.policy, device=self.device)
            write_samples(path / "samples.jsonl", generate(policy, examples, self.preset, count=count, seed=0))

        inputs = self.inputs("policy", "sft") | {
            "lengths": self._lengths(),
            "split": split,
            "examples": len(examples),
            "count": count,
        }
        return read_samples(self.artifact("samples", POLICY_CODE, inputs, build) / "samples.jsonl")

    def setup_facts(self) -> dict[str, Any]:
        """What came out before PPO: SFT quality, annotator noise, reward-model accuracy, constants."""
        return {
            "sft": read_json(self.sft / "report.json"),
            "comparisons": read_json(self.comparisons / "report.json"),
            "reward_models": {kind: read_json(self.reward_model(kind) / "report.json") for kind in self.learned},
            "holistic_against_gold": self._agreement_with_gold(),
            "constants": {name: constants.to_dict() for name, constants in self.constants.items()},
        }

    def _agreement_with_gold(self) -> dict[str, Any]:
        """How often the holistic reward and gold prefer the same of a greedy and a sampled dev response.

        The reward models' own held-out accuracies are against annotators' labels, noise included; this is not.
        """
        examples, greedy, sampled = self._dev_pairs()
        prompts = [example.prompt for example in examples]
        holistic = self._values(self.holistic_scorer, prompts, greedy, sampled)
        gold = [self.task.gold(examples, responses) for responses in (greedy, sampled)]
        counts = inconsistency(*holistic, *gold)
        percent = 100.0 - counts.rate if counts.both_decide else None
        return {"pairs_decided_by_both": counts.both_decide, "agreement_percent": percent}

    def _dev_pairs(self) -> tuple[Sequence[Example], list[str], list[str]]:
        """Dev examples with a greedy and a sampled response of the SFT policy each."""
        examples = self._dev_examples()
        greedy = [sample.response for sample in self.sft_samples("dev", examples, count=0)]
        return examples, greedy, [sample.response for sample in self.dev_samples]

    def _select(self) -> dict[str, Any]:
        examples, greedy, sampled = self._dev_pairs()
        prompts = [example.prompt for example in examples]
        holistic = self._values(self.holistic_scorer, prompts, greedy, sampled)
        candidates, greedy_wins = {}, {"holistic": asdict(win_rate(*holistic))}
        for name, scorer in self.scorers.items():
            values = self._values(scorer, prompts, greedy, sampled)
            candidates[name] = inconsistency(*values, *holistic, higher_is_better=scorer.higher_is_better)
            greedy_wins[name] = asdict(win_rate(*values, higher_is_better=scorer.higher_is_better))
        gold = [np.array(self.task.gold(examples, responses)) for responses in (greedy, sampled)]
        return {
            "selected": select_aspect(candidates),
            "inconsistency": {name: candidate.to_dict() for name, candidate in candidates.items()},
            "greedy_win_rate": greedy_wins,
            "gold_win_rate": asdict(win_rate(*gold)),
            "pairs": len(examples),
            "split": "dev",
        }

    @staticmethod
    def _values(scorer: Scorer, prompts: list[str], *responses: list[str]) -> list[list[float]]:
        return [[score.value for score in scorer.score(prompts, texts)] for texts in responses]

    def _dev_examples(self) -> Sequence[Example]:
        return self.task.split("dev")[: self.preset.evaluation.selection_examples]

    def _lengths(self) -> list[int]:
        return [self.preset.ppo.max_prompt_tokens, self.preset.ppo.max_new_tokens]

    def inputs(self, *concerns: str) -> dict[str, Any]:
        """The settings of the named concerns, with the data and the device they meet."""
        settings = self.preset.to_dict()
        return {"task": self.task_name, "data": self.task.fingerprint, "device": self.device.split(":")[0]} | {
            concern: settings[concern] for concern in concerns
        }

    def artifact(
        self, kind: str, code: tuple[str, ...], inputs: Mapping[str, Any], build: Callable[[Path], None]
    ) -> Path:
        """The stored artifact of this kind for these inputs, computed by the named code; built if it is not there."""
        inputs = {**inputs, "code": code_fingerprint((*code, *self.task_code)), "libraries": library_versions()}
        return self.store.get(kind, inputs, build)


def lab_class(task: str) -> type[Lab]:
    """The lab of a task by name; an unknown name raises `ValueError` listing the known ones."""
    from alarm.experiment import long_form_qa, wmt  # noqa: F401  each registers its lab

    return LABS[task]
