"""The artifacts of one task that precede every reward: its data, the SFT policy, and samples of that policy."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alarm.experiment.code import POLICY_CODE, code_fingerprint, library_versions
from alarm.experiment.generation import Sample, generate, read_samples, write_samples
from alarm.experiment.progress import Progress
from alarm.settings import Preset
from alarm.store import Store
from alarm.tasks.base import Example, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from alarm.scorers.checkpoints import Checkpoint


class PolicyLab(ABC):
    """Data, SFT policy and its samples. Each is a folder in the store, built on demand and once, keyed by the settings,
    data, code and artifacts it depends on."""

    task_name: str
    task_code: tuple[str, ...]
    """Sources of this task alone, for `alarm.experiment.code`."""
    own_world_seed: int
    """Of the generated world whose base model the package holds."""

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

    @abstractmethod
    def write_world(self, directory: Path) -> None:
        """Write the generated data of scale `tiny` in the task's public format."""

    @abstractmethod
    def base_text(self, count: int) -> list[tuple[str, str]]:
        """`count` train prompts of the generated world with responses of mixed quality, for its base model."""

    @abstractmethod
    def read_task(self, directory: Path) -> Task:
        """The task over `directory`, generated or real."""

    def data_files(self) -> dict[str, str]:
        """sha256 by name of the real files that the task reads, for records; none of a generated world."""
        return {}

    def corpus_metrics(self, examples: Sequence[Example], responses: Sequence[str]) -> dict[str, Any]:
        """Metrics of a whole set of responses (BLEU, chrF), each with its signature."""
        return {}

    @cached_property
    def task(self) -> Task:
        return self.read_task(self.data_directory())

    def data_directory(self) -> Path:
        """Where the task's data lie: a generated world, or the user's folder."""
        if self.preset.data.corpus != "world":
            return self._data
        inputs = {"task": self.task_name, "scale": self.preset.scale, "seed": self.world_seed}
        return self.artifact("world", POLICY_CODE, inputs, self.write_world)

    @property
    def world_seed(self) -> int:
        """What decides the generated world."""
        seed = self.preset.data.world_seed
        return self.own_world_seed if seed is None else seed

    @property
    def base_folder(self) -> Path:
        """Where the world's base model is, or will be."""
        from alarm.experiment.base import base_folder

        return base_folder(self.task_name, self.world_seed, self.own_world_seed, self.store.root)

    @cached_property
    def base(self) -> Path | None:
        """The base model that the policy and the reward models start from; None where they start otherwise.

        Raises:
            ValueError: it is missing, damaged or belongs to another text; the message names the command that makes it.
        """
        from alarm.experiment.base import check_base

        return None if self.preset.base is None or self.preset.policy.checkpoint else check_base(self)

    @cached_property
    def policy_start(self) -> Checkpoint | None:
        """The checkpoint that the SFT policy starts from, at one commit of the hub; None where it has none.

        Raises:
            ValueError: it is not to be had.
        """
        from alarm.scorers.checkpoints import find_checkpoint

        settings = self.preset.policy
        return None if settings.checkpoint is None else find_checkpoint(settings.checkpoint, settings.revision)

    @cached_property
    def _policy_versions(self) -> dict[str, str]:
        """What tells the weights and the tokenizer of `policy_start` from others of the same name."""
        from alarm.experiment.base import WEIGHTS
        from alarm.files import sha256_of
        from alarm.scorers.checkpoints import hub_commit

        if self.base is not None:
            return {"base": sha256_of(self.base / WEIGHTS)}
        start, tokenizer_revision = self.policy_start, self.preset.policy.tokenizer_revision
        if start is None:
            return {}
        found = {"policy_start": start.version}
        if tokenizer_revision is not None and start.revision is not None:
            found["policy_tokenizer"] = hub_commit(start.name, tokenizer_revision)
        return found

    @cached_property
    def sft(self) -> Path:
        """The initial policy: a folder `policy` with its tokenizer, and `report.json`."""
        from alarm.experiment.initial_policy import build_initial_policy

        inputs = self.inputs("policy", "sft") | {"lengths": self.lengths, "batch_size": self.generation_batch}
        return self.artifact("sft", POLICY_CODE, inputs, lambda path: build_initial_policy(self, path))

    @property
    def policy_directory(self) -> Path:
        return self.sft / "policy"

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The policy's, which the small reward models share."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.policy_directory)

    @cached_property
    def ppo_examples(self) -> Sequence[Example]:
        """The prompts that PPO learns from: the last of the train split, or all of it."""
        train, count = self.task.split("train"), self.preset.ppo.train_prompts
        if count is None:
            return train
        unseen = len(train) - self.preset.reward_models.comparison_prompts
        if not 0 < count <= unseen:
            raise ValueError(
                f"{self.task_name}: train_prompts is {count}, but {unseen} of the train split's {len(train)} prompts "
                "are left beside the compared ones; choose fewer"
            )
        return train[-count:]

    @cached_property
    def reference_samples(self) -> list[Sample]:
        """Some samples of the SFT policy for each prompt of PPO, which new responses are set beside."""
        return self.sft_samples("train", self.ppo_examples, count=self.preset.references.samples)

    @cached_property
    def reference_golds(self) -> dict[str, list[float]]:
        """Gold quality of these samples by the prompt's id."""
        by_id = {example.id: example for example in self.ppo_examples}
        samples = self.reference_samples
        golds: dict[str, list[float]] = {}
        values = self.task.gold([by_id[s.id] for s in samples], [s.response for s in samples])
        for sample, value in zip(samples, values, strict=True):
            golds.setdefault(sample.id, []).append(value)
        return golds

    @cached_property
    def dev_samples(self) -> list[Sample]:
        """One sampled response of the SFT policy per dev prompt."""
        return self.sft_samples("dev", self.dev_examples, count=1)

    @cached_property
    def sft_dev_golds(self) -> list[float]:
        """Gold quality of the SFT policy's greedy responses to the dev prompts that runs are evaluated on."""
        examples = self.task.split("dev")[: self.preset.evaluation.dev_examples]
        return self.task.gold(examples, [s.response for s in self.sft_samples("dev", examples, count=0)])

    def sft_samples(self, split: str, examples: Sequence[Example], *, count: int) -> list[Sample]:
        """Responses of the SFT policy: `count` samples per example, or one greedy response where `count` is 0."""

        def build(path: Path) -> None:
            from alarm.ppo.policy import Policy

            self.progress.start(f"{self.task_name} {split} responses of the SFT policy")
            policy = Policy.load(self.policy_directory, self.preset.policy, device=self.device)
            write_samples(path / "samples.jsonl", generate(policy, examples, self.preset, count=count, seed=0))

        inputs = self.inputs("policy", "sft") | {
            "lengths": self.lengths,
            "batch_size": self.generation_batch,
            "split": split,
            "examples": hashlib.sha256("\n".join(example.id for example in examples).encode()).hexdigest(),
            "count": count,
        }
        return read_samples(self.artifact("samples", POLICY_CODE, inputs, build) / "samples.jsonl")

    @property
    def dev_examples(self) -> Sequence[Example]:
        return self.task.split("dev")[: self.preset.evaluation.selection_examples]

    @property
    def lengths(self) -> list[int]:
        return [self.preset.ppo.max_prompt_tokens, self.preset.ppo.max_new_tokens]

    @property
    def generation_batch(self) -> int:
        """How many responses are generated at once, which decides what is sampled."""
        return self.preset.evaluation.batch_size

    def inputs(self, *concerns: str) -> dict[str, Any]:
        """The settings of the named concerns, with the data, the device and the checkpoints they meet."""
        settings = self.preset.to_dict()
        found = {"task": self.task_name, "data": self.task.fingerprint, "device": self.device.split(":")[0]}
        found |= {concern: settings[concern] for concern in concerns}
        return found | (self._policy_versions if "policy" in concerns else {})

    def artifact(
        self, kind: str, code: tuple[str, ...], inputs: Mapping[str, Any], build: Callable[[Path], None]
    ) -> Path:
        """The stored artifact of this kind for these inputs, computed by the named code; built if it is not there."""
        inputs = {**inputs, "code": code_fingerprint((*code, *self.task_code)), "libraries": library_versions()}

        def build_within(path: Path) -> None:
            with self.progress.nested():
                build(path)

        return self.store.get(kind, inputs, build_within)
