"""The papers' claims as one table: effect with interval per task and set of seeds, and what comes out in every set."""

from __future__ import annotations

from collections.abc import Sequence

from alarm.evaluation.win_rates import Spread
from alarm.report.captions import origin
from alarm.report.claims.definitions import CLAIMS
from alarm.report.claims.judging import (
    HOLDS,
    OPPOSITE,
    SEEDS_PER_SET,
    UNDECIDED,
    Finding,
    Outcome,
    TaskFindings,
    agreement,
    seeds_text,
)
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table

MEASURED = "claims_measured"
"""The table of definitions."""
AGREEMENT_BAR = 80
"""Percent of decided claims on which sets of seeds should agree."""
VERDICT, ALL = "verdict", "all seeds"
READING = (
    "An effect is positive where the claim is true, most in points of gold quality or of a percentage: what is "
    f"measured, and in which unit, is in the table `{MEASURED}`. Brackets: 95 % interval; bold: p < 0.05 after Holm's "
    "correction over all claims of a task and a set of seeds.",
    f"A set is {SEEDS_PER_SET} consecutive seeds, judged as if no others had been run. `{HOLDS}` and `opposite` need "
    f"the same verdict from every set on record; anything else is `{UNDECIDED}`, which is no evidence that there is no "
    "effect. Claims without seeds of PPO in them are judged once.",
    "Sampled: test responses sampled at temperature 1, paired by prompt and seed; intervals by a bootstrap over "
    "prompts with seeds as clusters, how much seeds differ being pooled over the set's runs. Where only one number "
    "per seed is on record: Student's t over seeds, with the variance pooled over runs (of studies: what is left "
    "over in the layout of recipes and training seeds; it says nothing about other validation pairs).",
)


def claims_table(tasks: Sequence[TaskFindings], groups: Sequence[TaskRuns]) -> Table | None:
    """All claims, all tasks side by side; None where nothing that a claim is about is on record.

    Args:
        groups: the runs that the claims were measured on.
    """
    if not any(finding.verdict for task in tasks for finding in task.findings):
        return None
    labels: dict[str, str] = {}
    cells: dict[tuple[str, str], Cell] = {}
    for task in tasks:
        labels |= {f"{task.task} {name}": f"{task.task}, {name}" for name in _columns(task)}
        for finding in task.findings:
            statement = finding.claim.statement
            cells |= {(statement, f"{task.task} {name}"): cell for name, cell in _cells(task, finding).items()}
    blocks = [
        Block(source, "claim", [claim.statement for claim in CLAIMS if claim.source == source], list(labels), cells)
        for source in dict.fromkeys(claim.source for claim in CLAIMS)
    ]
    for block in blocks:
        block.cells = {key: cell for key, cell in cells.items() if key[0] in block.rows}
        block.column_labels = labels
    return Table(
        name="claims",
        title="What the papers claim, and what came out",
        caption=[
            *READING,
            *origin(groups[0].scale, [record for runs in groups for record in runs.records]),
            *(sentence for runs in groups for sentence in mixtures(runs)),
        ],
        blocks=blocks,
        missing=failed_runs(groups),
        summary=[*map(counts_sentence, tasks), agreement_sentence(tasks)],
    )


def measured_table(tasks: Sequence[TaskFindings], groups: Sequence[TaskRuns]) -> Table:
    """What is measured for each claim, and what else to know of its effect in each task."""
    cells = {(claim.statement, "measured"): Cell(note=claim.definition) for claim in CLAIMS}
    for task in tasks:
        for finding in task.findings:
            effect = finding.everything.effect
            if effect is not None and effect.note:
                cells[finding.claim.statement, task.task] = Cell(note=effect.note)
    labels = {"measured": "effect", **{task.task: f"beside it in {task.task}" for task in tasks}}
    rows = [claim.statement for claim in CLAIMS]
    return Table(
        name=MEASURED,
        title="How each claim is measured",
        caption=[
            "Effect: what stands in the table of claims, positive where the claim is true. Beside it: what helps to "
            "read it, on all seeds together; brackets are 95 % intervals.",
            *origin(groups[0].scale, [record for runs in groups for record in runs.records]),
        ],
        blocks=[Block("", "claim", rows, list(labels), cells, labels)],
    )


def counts_sentence(task: TaskFindings) -> str:
    """How many claims hold, and how many do not."""
    verdicts = [finding.verdict for finding in task.findings]
    words = {HOLDS: "hold", OPPOSITE: "come out the other way", UNDECIDED: "are not distinguishable"}
    counts = [f"{verdicts.count(verdict)} {shown}" for verdict, shown in words.items()]
    sets = " and ".join(seeds_text(seeds) for seeds in task.sets)
    return f"{task.task}, {sets}: {', '.join(counts)}, {verdicts.count('')} are not on record."


def agreement_sentence(tasks: Sequence[TaskFindings]) -> str:
    """How well sets of seeds replicate each other."""
    alike, decided = agreement(tasks)
    if not decided:
        return "No claim is decided by any set of seeds that another set could confirm."
    return (
        f"Of {decided} claims that any set of seeds decides, {alike} come out alike in every set "
        f"({100 * alike / decided:.0f} %; {AGREEMENT_BAR} % are asked for)."
    )


def failed_runs(groups: Sequence[TaskRuns]) -> list[str]:
    """Runs that a claim reads and that failed, with their reasons."""
    read = {method for claim in CLAIMS for method in claim.methods}
    return [
        f"{runs.task} {record.run_name} seed {record.seed} (failed: {record.error})"
        for runs in groups
        for record in runs.failed
        if record.method in read
    ]


def _columns(task: TaskFindings) -> list[str]:
    sets = [seeds_text(seeds) for seeds in task.sets]
    return [*sets, *([ALL] if task.sets != (task.seeds,) else []), VERDICT]


def _cells(task: TaskFindings, finding: Finding) -> dict[str, Cell]:
    if not finding.verdict:
        return {VERDICT: Cell(missing=finding.missing)}
    found = {VERDICT: _verdict_cell(task, finding)}
    if not finding.claim.seeded:
        # The last column of effects: that of all seeds, or of the only set.
        return found | {_columns(task)[-2]: _effect_cell(finding.everything, None)}
    for seeds, outcome in zip(task.sets, finding.sets, strict=True):
        found[seeds_text(seeds)] = _effect_cell(outcome, len(seeds))
    return found | {ALL: _effect_cell(finding.everything, len(task.seeds))}


def _effect_cell(outcome: Outcome, seeds: int | None) -> Cell:
    """Effect and interval, with the number of seeds where it is not that of the column."""
    if outcome.effect is None:
        return Cell(missing=outcome.missing)
    effect = outcome.effect
    count = seeds is not None and effect.seeds != seeds
    return Cell(Spread(effect.estimate.value, None, effect.seeds), effect.estimate, digits=1, show_count=count)


def _verdict_cell(task: TaskFindings, finding: Finding) -> Cell:
    words = task.in_words(finding)
    note = words if finding.verdict == UNDECIDED else words.replace(finding.verdict, f"**{finding.verdict}**")
    reasons = {outcome.effect.undecidable for outcome in finding.sets if outcome.effect} - {""}
    return Cell(note="; ".join([note, *sorted(reasons)]), verdict=finding.verdict)
