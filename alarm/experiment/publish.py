"""Records of an experiment, copied from the store to the results folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from alarm.environment import environment
from alarm.experiment.lab import Lab
from alarm.experiment.scoring import score_labels
from alarm.records import (
    PoolRecord,
    PromptRow,
    RunRecord,
    SelectionRecord,
    SetupRecord,
    generations_of,
    samples_of,
    sft_generations_path,
    sft_samples_path,
    write_generations,
    write_pool,
    write_prompts,
    write_record,
    write_selection,
    write_setup,
)


def publish_run(results: Path, record: RunRecord) -> Path:
    """Copy a run's record and generations to `results`; returns the record's path there."""
    return write_record(
        results,
        record,
        generations_of(record) if record.generations else None,
        samples_of(record) if record.samples else None,
    )


def publish_setup(results: Path, lab: Lab) -> list[Path]:
    """Write what the runs of a task share: setup facts, selection, the SFT policy's responses, and the prompts.

    Prompts and references of real data stay where they are: their licences may not let records hold them.
    """
    scale, task = lab.preset.scale, lab.task_name
    labels, _ = score_labels(lab)
    where = environment(lab.device)
    paths = [
        write_setup(results, SetupRecord(task, scale, lab.setup_facts(), where)),
        write_selection(results, SelectionRecord(task, scale, score_labels=labels, environment=where, **lab.selection)),
        write_generations(sft_generations_path(results, scale, task), lab.sft_test_generations),
        write_generations(sft_samples_path(results, scale, task), lab.sft_test_samples),
        write_pool(results, _pool_record(lab, where)),
    ]
    if lab.preset.data.corpus == "world":
        examples = lab.task.split("test")[: lab.preset.evaluation.test_examples]
        rows = [PromptRow(e.id, e.prompt, e.reference, e.fields) for e in examples]
        paths.append(write_prompts(results, scale, task, rows))
    return paths


def _pool_record(lab: Lab, where: dict) -> PoolRecord:
    labels, directions = score_labels(lab)
    return PoolRecord(
        task=lab.task_name,
        scale=lab.preset.scale,
        demonstrators=[asdict(habit) for habit in lab.task.habits],
        score_labels=labels,
        directions=directions,
        environment=where,
        **lab.pool,
    )
