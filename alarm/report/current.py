"""What of a task's other records still belongs to the runs that are on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from alarm.files import sha256_of
from alarm.records import BestOfKRecord, MetricRecord, PoolRecord, RunRecord, hardware_kind

OfMachine = TypeVar("OfMachine", BestOfKRecord, PoolRecord)


def current_metric(metric: MetricRecord, records: Sequence[RunRecord], sft: Path) -> MetricRecord:
    """The metric without its scores of responses that later runs have replaced since."""
    now = {(r.run_name, str(r.seed)): r.generations["sha256"] for r in records if r.generations}
    if sft.is_file():
        now["sft", "0"] = sha256_of(sft)
    scored = metric.facts.get("responses", {})
    kept = {
        name: {seed: found for seed, found in seeds.items() if scored.get(name, {}).get(seed) == now.get((name, seed))}
        for name, seeds in metric.scores.items()
    }
    return replace(metric, scores={name: seeds for name, seeds in kept.items() if seeds}) if scored else metric


def of_kind(record: OfMachine, kind: str) -> OfMachine | None:
    """The record if it was made on that kind of hardware, since it stands in a table with runs."""
    return record if hardware_kind(record.environment) == kind else None
