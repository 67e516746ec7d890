"""What claims are measured on: one task's runs, their sampled responses, samples of the SFT policy, and the study."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from alarm.evaluation.statistics import Estimate
from alarm.records import PoolRecord, RewardModelRecord
from alarm.report.runs import TaskRuns


class NotOnRecord(ValueError):
    """Why a claim has no effect: what the records lack, and what adds it."""


@dataclass(frozen=True)
class Effect:
    """How far a claim is true, in its own unit: positive is as claimed, negative the opposite."""

    estimate: Estimate
    """With an uncorrected p value of 0."""
    seeds: int = 0
    """Of PPO, or of the study's trainings; 0 where there are none in it."""
    note: str = ""
    """What to read beside it."""
    undecidable: str = ""
    """Why it decides nothing, whatever its interval."""


@dataclass(frozen=True)
class Evidence:
    """All that the claims read of one task."""

    runs: TaskRuns
    sampled: TaskRuns
    """Those of the runs that have test responses sampled at temperature 1, by these."""
    pool: PoolRecord | None = None
    study: RewardModelRecord | None = None
    """Of the task's own comparisons."""

    def of_seeds(self, seeds: Collection[int]) -> Evidence:
        """What there would be if only these seeds had been run: even the spread between seeds is theirs alone."""
        return replace(self, runs=_only(self.runs, seeds), sampled=_only(self.sampled, seeds))

    def require(self, *methods: str) -> None:
        """Raises `NotOnRecord` unless each of these methods has a finished run."""
        absent = [name for name in methods if name not in self.runs.finished]
        if absent:
            failed = {record.run_name for record in self.runs.failed}
            options = " ".join(f"--method {name}" for name in absent)
            remedy = "every run failed" if failed >= set(absent) else f"add `{options}`"
            raise NotOnRecord(f"no run of {' and '.join(absent)}: {remedy}")

    def require_samples(self, *methods: str) -> None:
        """The same for their sampled test responses."""
        self.require(*methods)
        absent = [name for name in methods if name not in self.sampled.finished]
        if absent:
            raise NotOnRecord(f"no sampled test responses of {' and '.join(absent)}: run them again")


def evidence_of(runs: TaskRuns, studies: Sequence[RewardModelRecord]) -> Evidence:
    """A task's evidence, as far as it is on record."""
    # Without any samples: the same task without runs.
    sampled = runs.sampled or replace(runs, records=[], sft=None, are_samples=True)
    return Evidence(runs, sampled, runs.pool, next((study for study in studies if study.source == runs.task), None))


def _only(runs: TaskRuns, seeds: Collection[int]) -> TaskRuns:
    # Responses once read are shared; how much seeds differ is not.
    return replace(runs, records=[record for record in runs.records if record.seed in seeds], _seed_spreads={})
