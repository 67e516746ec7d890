"""The records of one task, aligned: the same prompts and seeds for every method that is compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.seeds import SeedSpread, seed_spread
from alarm.records import (
    BestOfKRecord,
    Generation,
    JudgeRecord,
    MetricRecord,
    PoolRecord,
    PromptRow,
    RunRecord,
    SelectionRecord,
    SetupRecord,
    best_of_k_path,
    generations_of,
    pool_path,
    prompts_path,
    read_best_of_k,
    read_generations,
    read_judge,
    read_metric,
    read_pool,
    read_prompts,
    read_records,
    read_selection,
    read_setup,
    records_folder,
    samples_of,
    selection_path,
    setup_path,
    sft_generations_path,
    sft_samples_path,
)
from alarm.report.current import current_metric, of_kind
from alarm.report.published import PAPER_METHODS

VARIED_METHOD = "alarm"
"""The method whose choice of aspect Table 5 varies."""
WITH_RECIPE = "@"
"""Stands between a method and its recipe in the name of a run."""
LENGTH = "tokens"
"""The response's length in tokens, as a score; the aspect `length` is another, counted in words."""
GOLD_PART = "gold_"
"""Begins the names of gold quality by property."""
ALL_GOOD = "all_good"
"""100 for a response that gold finds without fault in every property, else 0, as a score."""
FAULTLESS = 1 - 1e-9


@dataclass(frozen=True)
class Aligned:
    """Scores [S, P] per run on the seeds and prompts that all of these runs have."""

    scores: dict[str, NDArray]
    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    undefined: int
    """Prompts left out because a score is NaN in one of the runs."""


@dataclass
class TaskRuns:
    """All runs of one task at one scale on one kind of hardware, and their greedy test responses.

    `sampled` is the same with samples in place of greedy responses, so whatever compares the one compares the other.

    Tables ask for the same things thousands of times, so what follows from the records is kept; they do not change.
    """

    task: str
    scale: str
    hardware_kind: str
    records: list[RunRecord]
    selection: SelectionRecord | None = None
    setup: SetupRecord | None = None
    best_of_k: BestOfKRecord | None = None
    sft: dict[str, Generation] | None = None
    """The SFT policy's test responses by prompt id: greedy, or samples in `sampled`."""
    sft_samples: dict[str, Generation] | None = None
    """Its test responses sampled at temperature 1, one per prompt."""
    pool: PoolRecord | None = None
    """Scored samples of the SFT policy on dev prompts."""
    prompts: dict[str, PromptRow] | None = None
    """Test prompts with references by id; None where the data may not be copied into records."""
    judges: list[JudgeRecord] = field(default_factory=list)
    """Verdicts of language-model judges on these runs' responses."""
    metrics: list[MetricRecord] = field(default_factory=list)
    """Scores of metrics computed after the runs, such as COMET."""
    are_samples: bool = False
    """Whether the responses are samples at temperature 1 rather than greedy."""
    _generations: dict[tuple[str, int], dict[str, Generation]] = field(default_factory=dict)
    _scores: dict[tuple[str, int, str], dict[str, float]] = field(default_factory=dict)
    _seed_spreads: dict[str, SeedSpread | None] = field(default_factory=dict)

    @cached_property
    def finished(self) -> dict[str, dict[int, RunRecord]]:
        """Run name to seed to record, without the runs that failed."""
        runs: dict[str, dict[int, RunRecord]] = {}
        for record in self.records:
            if record.error is None:
                runs.setdefault(record.run_name, {})[record.seed] = record
        return runs

    @cached_property
    def sampled(self) -> TaskRuns | None:
        """The runs whose sampled test responses are on record, with these as their responses; None without any.

        Judges and later metrics saw greedy responses, so they are left out.
        """
        having = [record for record in self.records if record.samples or record.error is not None]
        if all(record.error is not None for record in having):
            return None
        return TaskRuns(
            self.task,
            self.scale,
            self.hardware_kind,
            having,
            selection=self.selection,
            setup=self.setup,
            best_of_k=self.best_of_k,
            sft=self.sft_samples,
            pool=self.pool,
            prompts=self.prompts,
            are_samples=True,
        )

    @property
    def failed(self) -> list[RunRecord]:
        return [record for record in self.records if record.error is not None]

    @cached_property
    def seeds(self) -> list[int]:
        return sorted({record.seed for record in self.records})

    @cached_property
    def methods(self) -> list[str]:
        """Rows of the method tables: the paper's four, present or not, then all others.

        Neither Table 5's variants nor methods with another recipe by name: these have tables of their own.
        """
        others = {r.run_name for r in self.records if not (r.method == VARIED_METHOD and r.aspect_given)}
        return [*PAPER_METHODS, *sorted(others - set(PAPER_METHODS) - set(self.combinations))]

    @cached_property
    def combinations(self) -> list[str]:
        """Runs of a method with a recipe by name, such as `alarm@soft_label_margin`."""
        return sorted({record.run_name for record in self.records if WITH_RECIPE in record.method})

    @property
    def variants(self) -> dict[str, str]:
        """Aspect to the run of ALaRM that uses it."""
        found = {}
        for record in self.records:
            if record.method == VARIED_METHOD and record.error is None:
                found.setdefault(record.aspect, record.run_name)
        order = list(self.selection.inconsistency) if self.selection else []
        return {aspect: found[aspect] for aspect in [*order, *sorted(found.keys() - set(order))] if aspect in found}

    @property
    def aspect(self) -> str | None:
        """The selected aspect."""
        if self.selection:
            return self.selection.selected
        return next((r.aspect for r in self.records if r.method == VARIED_METHOD and not r.aspect_given), None)

    def label(self, score: str) -> str:
        """What a score is, as tables print it."""
        for record in self.records:
            if score in record.score_labels:
                return record.score_labels[score]
        return score.replace("_", " ")

    @property
    def gold_parts(self) -> list[str]:
        """Properties whose gold quality is on record, in its order."""
        named = [name for record in self.records for name in record.directions if name.startswith(GOLD_PART)]
        return list(dict.fromkeys(named))

    def higher_is_better(self, score: str) -> bool:
        for record in self.records:
            if score in record.directions:
                return record.directions[score]
        raise ValueError(f"no record of {self.task} says which direction of {score} is better")

    def missing_seeds(self, run: str) -> list[int]:
        """Seeds that the run lacks; a method with a recipe by name is expected to have those of the other such runs."""
        combined = self.combinations
        expected = {r.seed for r in self.records if r.run_name in combined} if run in combined else self.seeds
        return [seed for seed in sorted(expected) if seed not in self.finished.get(run, {})]

    def aligned(self, runs: Iterable[str], score: str) -> Aligned:
        """Scores of these runs on their common seeds and prompts; both may turn out empty.

        Prompts with a NaN score in any of the runs are left out of all, and counted.
        """
        runs = list(runs)
        seeds = sorted(set.intersection(*(set(self.finished.get(run, {})) for run in runs)))
        tables = [self.scores(run, seed, score) for run in runs for seed in seeds]
        common = set.intersection(*map(set, tables)) if tables else set()
        order = sorted(common)
        values = np.array([[table[i] for i in order] for table in tables], dtype=np.float64)
        values = values.reshape(len(tables), len(order))
        defined = np.isfinite(values).all(axis=0)
        ids = tuple(compress(order, defined))
        values = values.compress(defined, axis=1).reshape(len(runs), len(seeds), len(ids))
        return Aligned(dict(zip(runs, values, strict=True)), tuple(seeds), ids, len(order) - len(ids))

    def means(self, run: str, score: str) -> list[float]:
        """Per finished seed, the mean score over the prompts on which it is defined."""
        values = [list(self.scores(run, seed, score).values()) for seed in sorted(self.finished.get(run, {}))]
        return [float(np.nanmean(scores)) for scores in values if np.isfinite(scores).any()]

    def seed_spread(self, score: str) -> SeedSpread | None:
        """How much runs that differ in their seed alone differ in a score, pooled over the task's runs.

        None where no run with several seeds has the score.
        """
        if score not in self._seed_spreads:
            tables = [self.aligned([run], score).scores[run] for run in self.finished]
            self._seed_spreads[score] = seed_spread(tables)
        return self._seed_spreads[score]

    def sft_mean(self, score: str) -> float | None:
        """The SFT policy's mean: of its responses where they are on record, else as a run's record states it."""
        scores = [value for value in self.sft_scores(score).values() if np.isfinite(value)]
        if scores:
            return float(np.mean(scores))
        key = "sft_sampled" if self.are_samples else "sft"
        stated = [record.metrics.get(key, {}).get(score) for record in self.records]
        return next((value for value in stated if value is not None), None)

    def sft_scores(self, score: str) -> dict[str, float]:
        """The SFT policy's score of each prompt, empty where its responses are not on record."""
        return _values((self.sft or {}).values(), score)

    def scores(self, run: str, seed: int, score: str) -> dict[str, float]:
        """A finished run's score of each test prompt that has it."""
        if (run, seed, score) not in self._scores:
            self._scores[run, seed, score] = _values(self.generations(run, seed).values(), score)
        return self._scores[run, seed, score]

    def generations(self, run: str, seed: int) -> dict[str, Generation]:
        """A finished run's test responses by prompt id, checked against its record."""
        if (run, seed) not in self._generations:
            read = samples_of if self.are_samples else generations_of
            self._generations[run, seed] = {g.id: g for g in read(self.finished[run][seed])}
        return self._generations[run, seed]


def read_runs(results: Path, scale: str) -> list[TaskRuns]:
    """Every task's runs at a scale, one entry per task and kind of hardware.

    Raises:
        RecordError: there are no records, or one of them cannot be read.
    """
    records = read_records(records_folder(results, scale))
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        groups.setdefault((record.task, record.hardware_kind), []).append(record)
    return [_task_runs(results, scale, task, kind, group) for (task, kind), group in sorted(groups.items())]


def mixtures(runs: TaskRuns) -> list[str]:
    """What differs between runs that ought to be alike, in sentences; such runs are not strictly comparable."""
    found = []
    for what, values in (
        ("data", {r.data_fingerprint for r in runs.records}),
        ("settings", {repr(_sorted(r.settings)) for r in runs.records}),
    ):
        if len(values) > 1:
            found.append(f"The {runs.task} runs rest on {len(values)} different {what}; rerun the older ones.")
    return found


def _task_runs(results: Path, scale: str, task: str, kind: str, records: Sequence[RunRecord]) -> TaskRuns:
    folder = records_folder(results, scale, task)
    selection, setup = selection_path(results, scale, task), setup_path(results, scale, task)
    sft, samples = sft_generations_path(results, scale, task), sft_samples_path(results, scale, task)
    best_of_k, pool = best_of_k_path(results, scale, task), pool_path(results, scale, task)
    prompts = prompts_path(results, scale, task)
    return TaskRuns(
        task,
        scale,
        kind,
        list(records),
        selection=read_selection(selection) if selection.is_file() else None,
        setup=read_setup(setup) if setup.is_file() else None,
        best_of_k=of_kind(read_best_of_k(best_of_k), kind) if best_of_k.is_file() else None,
        sft={g.id: g for g in read_generations(sft)} if sft.is_file() else None,
        sft_samples={g.id: g for g in read_generations(samples)} if samples.is_file() else None,
        pool=of_kind(read_pool(pool), kind) if pool.is_file() else None,
        prompts={row.id: row for row in read_prompts(prompts)} if prompts.is_file() else None,
        judges=[read_judge(path) for path in sorted(folder.glob("judge_*.json"))],
        metrics=[current_metric(read_metric(path), records, sft) for path in sorted(folder.glob("metric_*.json"))],
    )


def _values(generations: Iterable[Generation], score: str) -> dict[str, float]:
    """Prompt id to the score, without the responses that lack it."""
    if score == LENGTH:
        return {g.id: float(g.length) for g in generations}
    if score == ALL_GOOD:
        parts = {g.id: _gold_parts(g) for g in generations}
        return {name: _all_good(found) for name, found in parts.items() if found}
    return {g.id: g.scores[score] for g in generations if score in g.scores}


def _all_good(parts: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, parts)) else 100.0 * all(part >= FAULTLESS for part in parts)


def _gold_parts(generation: Generation) -> list[float]:
    return [value for name, value in generation.scores.items() if name.startswith(GOLD_PART)]


def _sorted(value: object) -> object:
    return sorted((k, repr(_sorted(v))) for k, v in value.items()) if isinstance(value, dict) else value
