"""COMET as a metric: the test responses on record, scored after the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from alarm.environment import environment
from alarm.files import sha256_of
from alarm.records import Generation, MetricRecord, sft_generations_path
from alarm.report.runs import TaskRuns
from alarm.scorers.comet import CometScorer
from alarm.tasks.base import Example

SFT = "sft"
SFT_SEED = "0"
Responses = Mapping[str, Generation]
"""Prompt id to response."""


def responses_on_record(groups: Sequence[TaskRuns]) -> dict[str, dict[str, Responses]]:
    """Run name to seed to responses, of all finished runs on whatever hardware and of the SFT policy."""
    found: dict[str, dict[str, Responses]] = {}
    for runs in groups:
        if runs.sft:
            found[SFT] = {SFT_SEED: runs.sft}
        for name, seeds in runs.finished.items():
            for seed in seeds:
                found.setdefault(name, {})[str(seed)] = runs.generations(name, seed)
    return found


def comet_record(
    groups: Sequence[TaskRuns],
    examples: Mapping[str, Example],
    scorer: CometScorer,
    *,
    results: Path,
    name: str,
    device: str,
) -> MetricRecord:
    """Scores of every response on record of one translation task.

    Args:
        groups: the task's runs, one entry per kind of hardware; at least one.
        examples: prompt id to prompt and reference, for every response.
        scorer: with the references of these prompts, if it needs any.
        results: where the responses lie.
        name: of the record and of the metric.
        device: where `scorer` works, for the record.
    """
    responses = responses_on_record(groups)
    pairs = [
        (run, seed, i, generation.response)
        for run, seeds in responses.items()
        for seed, generations in seeds.items()
        for i, generation in generations.items()
    ]
    # All at once, so that equal translations by several runs are read once.
    values = scorer.score([examples[i].prompt for *_, i, _ in pairs], [response for *_, response in pairs])
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for (run, seed, i, _), score in zip(pairs, values, strict=True):
        scores.setdefault(run, {}).setdefault(seed, {})[i] = score.value
    return MetricRecord(
        task=groups[0].task,
        scale=groups[0].scale,
        name=name,
        label=scorer.value_name,
        higher_is_better=scorer.higher_is_better,
        facts={
            "version": scorer.version,
            "reads_references": scorer.references is not None,
            "responses": _checksums(groups, results),
        },
        scores=scores,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(device),
    )


def _checksums(groups: Sequence[TaskRuns], results: Path) -> dict[str, dict[str, str]]:
    """Run to seed to the sha256 of its file of responses, which tells scores of these from scores of later ones."""
    found = {
        name: {str(seed): record.generations["sha256"] for seed, record in seeds.items()}
        for runs in groups
        for name, seeds in runs.finished.items()
    }
    before = sft_generations_path(results, groups[0].scale, groups[0].task)
    return found | ({SFT: {SFT_SEED: sha256_of(before)}} if before.is_file() else {})
