"""The claims as a report shows them: verdicts, how each is measured, a forest plot, ALaRM's premise by decile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from alarm.records import RewardModelRecord
from alarm.report.captions import origin, origin_of
from alarm.report.claims.claims_figure import claims_figure
from alarm.report.claims.claims_table import claims_table, measured_table
from alarm.report.claims.evidence import evidence_of
from alarm.report.claims.judging import judge
from alarm.report.claims.premise import gold_pairs
from alarm.report.claims.premise_figure import premise_figure
from alarm.report.runs import TaskRuns
from alarm.report.scale_report import Picture
from alarm.report.tables import Table

CLAIMS_FIGURE = "claims"
"""How the forest plot's name begins."""


def claims_report(
    groups: Sequence[TaskRuns], studies: Sequence[RewardModelRecord]
) -> tuple[list[Table], list[Picture]]:
    """The claims of runs on one kind of hardware; nothing where nothing that they are about is on record."""
    evidence = [evidence_of(runs, studies) for runs in groups]
    findings = [judge(found) for found in evidence]
    table = claims_table(findings, groups)
    if table is None:
        return [], []
    scale = groups[0].scale
    sentences = origin(scale, [record for runs in groups for record in runs.records])
    pictures = [Picture(CLAIMS_FIGURE, partial(claims_figure, findings), sentences)]
    for found in evidence:
        pairs = gold_pairs(found.pool) if found.pool else None
        if pairs is not None:
            draw = partial(premise_figure, found.runs.task, pairs)
            sentences = origin_of(scale, [found.pool.environment])
            pictures.append(Picture(f"premise_{found.runs.task}", draw, sentences))
    return [table, measured_table(findings, groups)], pictures
