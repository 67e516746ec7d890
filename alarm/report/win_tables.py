"""Tables 1, 3 and 5 of arXiv:2403.06754: win rates between methods, and between ALaRM's choices of aspect."""

from __future__ import annotations

from collections.abc import Sequence

from alarm.report.captions import compared_with_paper, origin, samples_sentence
from alarm.report.comparisons import correct, detectable, win_cell
from alarm.report.published import BLOCKS, PAPER_METHODS, PAPER_TASKS, Published
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table

AVERAGE = "average"
GOLD = "gold"
READING = (
    "Row against column: 100 wins / (wins + losses) per seed, ties (equal scores; their share stands below) left out, "
    "50 where a seed decides nothing; mean ± sd over n seeds (sample sd); "
    "seed k meets seed k on the same prompts."
)
INTERVALS = (
    "Brackets: 95 % interval of a paired bootstrap over prompts, seeds as clusters; how much seeds differ is pooled "
    "over the task's runs (with n=1, over prompts only: it says nothing about other seeds). "
    "Bold: p < 0.05 after Holm's correction over {family}."
)
VERDICT = (
    "Verdict: direction from 50; `not distinguishable` where ours is not significant or the published value is within "
    "its own sd of 50."
)


def win_rate_table(runs: TaskRuns, published: Published) -> Table:
    """Table 1 or 3: every method against the paper's four by holistic reward, by the selected aspect, by the judge."""
    paper = PAPER_TASKS.get(runs.task)
    scores = {"holistic": "holistic", "aspect": runs.aspect, "judge": GOLD}
    present = [block for block in BLOCKS if scores[block] and _known(runs, scores[block])]
    # The paper's numbers by an aspect hold for its own selected aspect only.
    same_aspect = paper is not None and runs.aspect == paper.aspect
    sources = [published if same_aspect or block != "aspect" else None for block in present]
    pairs = [_pairs(runs, scores[b], b, source) for b, source in zip(present, sources, strict=True)]
    averages = [_averages(runs, scores[b], b, source) for b, source in zip(present, sources, strict=True)]
    blocks = [
        Block(
            f"By {_directed(runs, scores[block])}",
            "method",
            runs.methods,
            [*PAPER_METHODS, AVERAGE],
            {**pair_cells, **average_cells},
            {AVERAGE: "average against the paper's methods"},
        )
        for block, pair_cells, average_cells in zip(
            present, correct(pairs, mirrored=True), correct(averages), strict=True
        )
    ]
    if runs.sampled and _known(runs, GOLD):
        blocks.append(_sampled_block(runs.sampled))
    family = "this table's pairs, and over its averages (those of samples apart)"
    caption = [READING, samples_sentence(runs), INTERVALS.format(family=family), VERDICT]
    caption += detectable(pairs)
    if runs.aspect:
        other = f"; the paper selected {paper.aspect}, whose win rates are not set beside" if paper else ""
        caption.append(f"The selected aspect is {runs.aspect}{'' if same_aspect else other}.")
    gaps = [f"no {scores[b] or 'selected aspect'} scores in the records" for b in BLOCKS if b not in present]
    return Table(
        name=f"table{paper.table_numbers[0]}_{runs.task}_win_rates" if paper else f"{runs.task}_win_rates",
        title=(f"Table {paper.table_numbers[0]}: win" if paper else "Win") + f" rates in {runs.task}",
        caption=[
            *caption,
            *compared_with_paper(runs.task, runs.scale, runs.label(GOLD)),
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=blocks,
        missing=missing_runs(runs, runs.methods) + gaps,
    )


def _sampled_block(samples: TaskRuns) -> Block:
    """Win rates by gold of sampled responses, which the paper does not have."""
    pairs, averages = _pairs(samples, GOLD, "judge", None), _averages(samples, GOLD, "judge", None)
    (pairs,), (averages,) = correct([pairs], mirrored=True), correct([averages])
    return Block(
        f"By {_directed(samples, GOLD)}, sampled",
        "method",
        samples.methods,
        [*PAPER_METHODS, AVERAGE],
        {**pairs, **averages},
        {AVERAGE: "average against the paper's methods"},
    )


def ablation_table(tasks: Sequence[TaskRuns], published: Published) -> Table:
    """Table 5: ALaRM with each aspect in turn, its average win rate over ALaRM with the other aspects."""
    blocks = [_ablation_block(runs, published) for runs in tasks]
    for block, cells in zip(blocks, correct([block.cells for block in blocks]), strict=True):
        block.cells = cells
    caption = [
        "Average win rate over ALaRM with each of the task's other aspects; everything else as in the win-rate tables.",
        INTERVALS.format(family="this table"),
        VERDICT,
    ]
    for runs in tasks:
        paper = PAPER_TASKS.get(runs.task)
        theirs = f" (paper: {paper.aspect})" if paper else ""
        caption.append(f"Selected in {runs.task}: {runs.aspect or 'not on record'}{theirs}.")
        caption += compared_with_paper(runs.task, runs.scale, runs.label(GOLD))
    return Table(
        name="table5_selection_ablation",
        title="Table 5: ALaRM with each aspect",
        caption=[*caption, *origin(tasks[0].scale, [record for runs in tasks for record in runs.records])],
        blocks=blocks,
        missing=[
            gap
            for runs in tasks
            for gap in [
                *(f"{runs.task} ALaRM with {aspect}" for aspect in _aspects(runs) if aspect not in runs.variants),
                *missing_runs(runs, list(runs.variants.values())),
            ]
        ],
    )


def missing_runs(runs: TaskRuns, names: Sequence[str]) -> list[str]:
    """Runs that a table expects and the records lack, failed runs with their reason."""
    failed = {(r.run_name, r.seed): r.error for r in runs.failed}
    gaps = []
    for name in names:
        for seed in runs.missing_seeds(name):
            reason = f" (failed: {failed[name, seed]})" if (name, seed) in failed else ""
            gaps.append(f"{runs.task} {name} seed {seed}{reason}")
    return gaps


def _pairs(runs: TaskRuns, score: str, block: str, published: Published | None) -> dict[tuple[str, str], Cell]:
    return {
        (row, column): win_cell(
            runs, row, [column], score, published.win_rate(runs.task, block, row, column) if published else None
        )
        for row in runs.methods
        for column in PAPER_METHODS
        if row != column
    }


def _averages(runs: TaskRuns, score: str, block: str, published: Published | None) -> dict[tuple[str, str], Cell]:
    """Against the paper's methods only, so that further methods leave the paper's averages comparable."""
    cells = {}
    for row in runs.methods:
        number = published.win_rate(runs.task, block, row, AVERAGE) if published else None
        cells[row, AVERAGE] = win_cell(runs, row, [m for m in PAPER_METHODS if m != row], score, number)
    return cells


def _ablation_block(runs: TaskRuns, published: Published) -> Block:
    aspects = _aspects(runs)
    columns = {"holistic": "holistic", "judge": GOLD}
    columns = {column: score for column, score in columns.items() if _known(runs, score)}
    cells = {}
    for aspect in aspects:
        for column, score in columns.items():
            number = published.ablation(runs.task, aspect, column)
            if aspect in runs.variants:
                others = [run for other, run in runs.variants.items() if other != aspect]
                cells[aspect, column] = win_cell(runs, runs.variants[aspect], others, score, number)
            else:
                cells[aspect, column] = Cell(published=number, missing=f"no run of ALaRM with {aspect}")
    labels = {"holistic": "average by holistic reward", "judge": f"average by {runs.label(GOLD)}"}
    return Block(runs.task, "aspect in ALaRM", aspects, list(columns), cells, labels)


def _aspects(runs: TaskRuns) -> list[str]:
    """The task's aspects in the order of the paper's tables, as far as the records tell."""
    known = list(runs.selection.inconsistency) if runs.selection else []
    return list(dict.fromkeys([*known, *runs.variants]))


def _known(runs: TaskRuns, score: str) -> bool:
    return any(score in record.directions for record in runs.records)


def _directed(runs: TaskRuns, score: str) -> str:
    return runs.label(score) + ("" if runs.higher_is_better(score) else " (lower wins)")
