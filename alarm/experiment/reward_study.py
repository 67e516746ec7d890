"""The study of reward-model recipes on one source of comparisons: its parts as artifacts, and its record."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alarm.environment import environment
from alarm.experiment.code import STUDY_CODE, code_fingerprint, library_versions
from alarm.experiment.matrix import RunSpec
from alarm.experiment.rounds import gold_comparisons
from alarm.experiment.sources import SOURCES
from alarm.files import read_json, sha256_of, write_json
from alarm.records import RewardModelRecord
from alarm.reward_modeling.study import (
    DECILES,
    SWEEP_ERROR_RATES,
    WAYS,
    Part,
    curve_plan,
    study_curve,
    study_decile,
    study_strength,
    study_sweep,
)
from alarm.reward_modeling.study_record import assemble
from alarm.reward_modeling.validation import ComparisonSource

if TYPE_CHECKING:
    from alarm.experiment.lab import Lab
    from alarm.experiment.progress import Progress
    from alarm.settings import RecipeSettings, RewardModelSettings
    from alarm.store import Store

SOURCE_CODE = ("experiment/sources.py", "text/chrf.py")
"""What the data sets' studies depend on besides."""
SHIFTED_METHOD = "holistic_only"
"""The method whose trained policy writes the shifted pairs."""
MANY_WRONG = 0.3
"""Error rate of annotators from which a sweep has all of the study's seeds: denoising is claimed to help there."""
SHARP = 1e-3
"""Temperature of annotators in the sweep: they err at random alone, so that the error rate is the noise."""


@dataclass(frozen=True)
class StudyPart:
    """One training or a few that belong together; parts run in any order, each once."""

    kind: str
    """`strength`, `curve_strength` (of the curves' fewer pairs), `curve`, `decile` or `sweep`."""
    options: tuple[Any, ...]

    def __str__(self) -> str:
        return "-".join([self.kind, *(str(option) for option in self.options if option is not None)])


def study_parts(recipes: RecipeSettings, *, sweep: bool = False) -> list[StudyPart]:
    """All parts of a study."""
    plan = [("strength", (way,)) for way in WAYS]
    plan += [("curve_strength", ())] if recipes.study_pairs is not None else []
    plan += [("curve", options) for options in curve_plan(recipes)]
    plan += [("decile", (decile,)) for decile in range(DECILES)]
    plan += [("sweep", (error_rate,)) for error_rate in SWEEP_ERROR_RATES if sweep]
    return [StudyPart(kind, options) for kind, options in plan]


class RewardStudy:
    """Trains each part once, keeps it in the store, and puts the record together.

    Args:
        source: makes the comparisons with all that is known about them, on first use.
        artifact: the store's folder for (kind, code, inputs, build), as `Lab.artifact`.
        inputs: what the source depends on.
        strength: the strength of the source's training pairs by `way`; None measures it as a part of its own.
        relabel: from an error rate to the same comparisons by other annotators; None leaves out the sweep.
    """

    def __init__(
        self,
        source: Callable[[], ComparisonSource],
        *,
        settings: RewardModelSettings,
        recipes: RecipeSettings,
        artifact: Callable[..., Path],
        inputs: Mapping[str, Any],
        progress: Progress,
        device: str = "cpu",
        strength: Callable[[str], Part] | None = None,
        relabel: Callable[[float], ComparisonSource] | None = None,
    ) -> None:
        self._make_source = source
        self._artifact = artifact
        self._inputs = dict(inputs)
        self._progress = progress
        self._strength = strength
        self._relabel = relabel
        self.settings = settings
        self.recipes = recipes
        self.device = device

    @cached_property
    def source(self) -> ComparisonSource:
        return self._make_source()

    def parts(self) -> list[StudyPart]:
        return study_parts(self.recipes, sweep=self._relabel is not None)

    def part(self, part: StudyPart) -> Part:
        """Train a part, or take it from the store."""
        if part.kind == "strength" and self._strength is not None:
            return self._strength(*part.options)

        def build(path: Path) -> None:
            self._progress.start(f"{self.source.name} reward-model study, {part}")
            common = {
                "settings": self.settings,
                "recipes": self.recipes,
                "device": self.device,
                "on_step": lambda step, total, loss: self._progress.step(step, total, loss=loss),
            }
            write_json(path / "part.json", self._train(part, **common))

        inputs = {**self._inputs, "kind": part.kind, "options": list(part.options)}
        return read_json(self._artifact("study", STUDY_CODE, inputs, build) / "part.json")

    def record(self) -> RewardModelRecord:
        """All parts together."""
        done: dict[str, list[Part]] = defaultdict(list)
        for part in self.parts():
            done[part.kind].append(self.part(part))
        return assemble(
            self.source,
            strength=dict(zip(WAYS, done["strength"], strict=True)),
            curves=done["curve"],
            deciles=done["decile"],
            sweep=done["sweep"],
            settings=self.settings,
            recipes=self.recipes,
            environment=environment(self.device),
            seconds=sum(part["seconds"] for parts in done.values() for part in parts),
        )

    def _train(self, part: StudyPart, **common: Any) -> Part:
        source, few = self.source, first_pairs(self.source, self.recipes.study_pairs)
        match part.kind, part.options:
            case "strength", (way,):
                return study_strength(source, way, **common)
            case "curve_strength", ():
                return study_strength(few, self.recipes.strength, **common)
            case "curve", (recipe, target, seed):
                # From the pairs that the curves learn from and no others, or recipes would know more than `plain`.
                measured = (
                    StudyPart("strength", (self.recipes.strength,))
                    if self.recipes.study_pairs is None
                    else StudyPart("curve_strength", ())
                )
                return study_curve(few, recipe, seed, strength=self.part(measured)["mean"], target=target, **common)
            case "decile", (decile,):
                strength = self.part(StudyPart("strength", ("cross_fitted",)))["mean"]
                return study_decile(source, decile, strength=strength, **common)
            case "sweep", (error_rate,):
                relabelled = first_pairs(self._relabel(error_rate), self.recipes.study_pairs)
                seeds = self.recipes.study_seeds if error_rate >= MANY_WRONG else None
                return study_sweep(relabelled, error_rate, seeds=seeds, **common)
        raise ValueError(f"a study has no part {part}")


def task_study(lab: Lab, *, shifted_seeds: Sequence[int], sweep: bool) -> RewardStudy:
    """The study of a task's holistic comparisons; shifted pairs come from runs of `SHIFTED_METHOD` with these seeds."""
    from alarm.experiment.run import Run

    def source() -> ComparisonSource:
        runs = [Run(lab, RunSpec(lab.task_name, SHIFTED_METHOD, seed)) for seed in shifted_seeds]
        samples = [sample for run in runs for sample in run.final_samples()]
        shifted = gold_comparisons(lab, samples)
        random.Random(0).shuffle(shifted)  # validation reads the first ones, and they go prompt by prompt
        return replace(_measured(lab, lab.comparisons), shifted=shifted or None)

    def relabel(error_rate: float) -> ComparisonSource:
        settings = replace(lab.preset.reward_models, error_rate=error_rate, temperature=SHARP)
        return _measured(lab, lab.noisy_comparisons(settings))

    concerns = ("policy", "sft", "reward_models", "recipes", "references", "reward", "ppo", "evaluation")
    return RewardStudy(
        source,
        settings=lab.preset.reward_models,
        recipes=lab.preset.recipes,
        artifact=lab.artifact,
        inputs=lab.inputs(*concerns) | {"shifted_seeds": list(shifted_seeds)},
        progress=lab.progress,
        device=lab.device,
        strength=lab.strengths,
        relabel=relabel if sweep else None,
    )


def data_study(name: str, data: Path, store: Store, *, progress: Progress, device: str = "cpu") -> RewardStudy:
    """The study of a data set's comparisons (`alarm.experiment.sources`).

    Raises:
        ValueError: an unknown data set, or a file that is not in the folder of real data.
    """
    entry = SOURCES[name]
    entry.require(data)

    def artifact(kind: str, code: tuple[str, ...], inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        inputs = {**inputs, "code": code_fingerprint((*code, *SOURCE_CODE)), "libraries": library_versions()}
        return store.get(kind, inputs, build)

    return RewardStudy(
        lambda: entry.source(data),
        settings=entry.settings,
        recipes=entry.recipes,
        artifact=artifact,
        inputs={
            "source": name,
            "files": {file: sha256_of(data / file) for file in entry.files},
            "model": asdict(entry.model),
            "reward_models": asdict(entry.settings),
            "recipes": asdict(entry.recipes),
            "device": device.split(":")[0],
        },
        progress=progress,
        device=device,
    )


def _measured(lab: Lab, comparisons: Path) -> ComparisonSource:
    """The comparisons with what is true of them."""
    train, held_out = lab.read_truths(comparisons)
    return replace(lab.comparison_source(comparisons), train_truth=train, held_out_truth=held_out)


def first_pairs(source: ComparisonSource, count: int | None) -> ComparisonSource:
    """A source with the first `count` training pairs, up to the end of the last one's prompt; None for all.

    Raises:
        ValueError: fewer than one pair asked for.
    """
    if count is None or count >= len(source.train):
        return source
    if count < 1:
        raise ValueError(f"study_pairs must be at least 1 or None for all, got {count}")
    train = list(source.train)
    while count < len(train) and train[count].prompt == train[count - 1].prompt:
        count += 1
    truth = None if source.train_truth is None else source.train_truth[:count]
    return replace(source, train=train[:count], train_truth=truth)
