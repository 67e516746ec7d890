"""Records of an experiment, copied from the store to the results folder."""

from __future__ import annotations

from pathlib import Path

from alarm.environment import environment
from alarm.experiment.lab import Lab
from alarm.experiment.scoring import score_labels
from alarm.records import (
    RunRecord,
    SelectionRecord,
    SetupRecord,
    generations_of,
    sft_generations_path,
    write_generations,
    write_record,
    write_selection,
    write_setup,
)


def publish_run(results: Path, record: RunRecord) -> Path:
    """Copy a run's record and generations to `results`; returns the record's path there."""
    return write_record(results, record, generations_of(record) if record.generations else None)


def publish_setup(results: Path, lab: Lab) -> list[Path]:
    """Write what the runs of a task share: setup facts, selection, the SFT policy's test responses."""
    scale, task = lab.preset.scale, lab.task_name
    labels, _ = score_labels(lab)
    where = environment(lab.device)
    return [
        write_setup(results, SetupRecord(task, scale, lab.setup_facts(), where)),
        write_selection(results, SelectionRecord(task, scale, score_labels=labels, environment=where, **lab.selection)),
        write_generations(sft_generations_path(results, scale, task), lab.sft_test_generations),
    ]
