"""Tables 2 and 4 of arXiv:2403.06754: means on the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alarm.evaluation.win_rates import Spread, spread
from alarm.report.captions import compared_with_paper, origin, samples_sentence
from alarm.report.comparisons import correct, difference, no_responses
from alarm.report.published import PAPER_TASKS, Number, Published
from alarm.report.runs import LENGTH, TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import GOLD, INTERVALS, missing_runs

SFT_ROW = "SFT policy"
SAMPLED = "gold_sampled"
BASELINE = "holistic_only"
"""What the differences of the means tables are taken against."""


def means_table(runs: TaskRuns, published: Published) -> Table:
    """Table 2 or 4: mean holistic reward, selected aspect, gold quality, length and corpus metrics per method."""
    paper = PAPER_TASKS.get(runs.task)
    columns = {"holistic": "holistic", "aspect": runs.aspect, "gold": GOLD, "length": LENGTH}
    columns = {column: score for column, score in columns.items() if score and _recorded(runs, score)}
    cells: dict[tuple[str, str], Cell] = {}
    for column, score in columns.items():
        digits = 1 if column == "length" else 4 if column == "aspect" else 3
        comparable = column != "aspect" or (paper is not None and runs.aspect == paper.aspect)
        for row in runs.methods:
            cells[row, column] = _mean_cell(runs, row, column, score, digits, published if comparable else None)
        before = runs.sft_mean(score)
        if before is not None:
            cells[SFT_ROW, column] = Cell(Spread(before, None, 1), digits=digits, show_count=False)
    (cells,) = correct([cells], null=0.0)
    labels = {column: _label(runs, score) for column, score in columns.items()}
    if runs.sampled and "gold" in columns:
        cells |= _sampled_gold(runs.sampled, runs.methods)
        labels[SAMPLED] = f"{runs.label(GOLD)}, sampled"
    metrics = corpus_metrics(runs)
    for metric in metrics:
        for row in runs.methods:
            stated = [r.metrics.get("corpus", {}).get(metric, {}) for r in runs.finished.get(row, {}).values()]
            scores = [entry["value"] for entry in stated if entry.get("value") is not None]
            cells[row, metric] = Cell(spread(scores)) if scores else Cell(missing=f"no {metric} of {row}")
        before = [r.metrics["sft_corpus"][metric]["value"] for r in runs.records if "sft_corpus" in r.metrics]
        if before:
            cells[SFT_ROW, metric] = Cell(Spread(before[0], None, 1), show_count=False)
    labels |= {metric: entry["name"] for metric, entry in metrics.items()}
    caption = [
        "Means over the test prompts, of greedy responses unless a column says otherwise; mean ± sd over n seeds "
        "(sample sd). The holistic reward is z-normalised over samples of the SFT policy.",
        samples_sentence(runs),
        f"Second line: difference from {BASELINE} on the same prompts. "
        + INTERVALS.format(family="this table (of samples: over their column)"),
        f"Verdict: the difference's direction from {BASELINE}; `not distinguishable` where ours is not significant or "
        "the published difference is 0.",
        *(f"{entry['name']}, over the whole test set: `{entry['signature']}`." for entry in metrics.values()),
        *compared_with_paper(runs.task, runs.scale, runs.label(GOLD)),
    ]
    if runs.aspect == "grammar":
        caption.append("Grammar errors are counted per whitespace word here, per token in the paper.")
    number = f"Table {paper.table_numbers[1]}: means" if paper else "Means"
    return Table(
        name=f"table{paper.table_numbers[1]}_{runs.task}_means" if paper else f"{runs.task}_means",
        title=f"{number} in {runs.task}",
        caption=[*caption, *origin(runs.scale, runs.records), *mixtures(runs)],
        blocks=[Block("", "method", [SFT_ROW, *runs.methods], list(labels), cells, labels)],
        missing=missing_runs(runs, runs.methods),
    )


def _sampled_gold(samples: TaskRuns, methods: Sequence[str]) -> dict[tuple[str, str], Cell]:
    """The column of gold quality of samples, corrected on its own; the paper has no such numbers."""
    cells = {(row, SAMPLED): _mean_cell(samples, row, "gold", GOLD, 3, None) for row in methods}
    (cells,) = correct([cells], null=0.0)
    before = samples.sft_mean(GOLD)
    if before is not None:
        cells[SFT_ROW, SAMPLED] = Cell(Spread(before, None, 1), digits=3, show_count=False)
    return cells


def _mean_cell(runs: TaskRuns, row: str, column: str, score: str, digits: int, published: Published | None) -> Cell:
    number = published.mean(runs.task, row, column) if published else None
    values = runs.means(row, score)
    if not values:
        return Cell(published=number, missing=no_responses(runs, [row]), digits=digits)
    base = published.mean(runs.task, BASELINE, column) if published else None
    gaps = [f"seed {seed}" for seed in runs.missing_seeds(row)]
    return Cell(
        spread(values),
        difference(runs, row, BASELINE, score),
        effect_name=f"against {BASELINE}",
        published=number,
        published_effect=Number(number.mean - base.mean) if number and base else None,
        missing=", ".join(gaps) or None,
        digits=digits,
    )


def _recorded(runs: TaskRuns, score: str) -> bool:
    return score == LENGTH or any(score in record.directions for record in runs.records)


def _label(runs: TaskRuns, score: str) -> str:
    return "length in tokens" if score == LENGTH else runs.label(score)


def corpus_metrics(runs: TaskRuns) -> dict[str, Mapping[str, Any]]:
    """Metrics of whole sets of responses on record: key to an entry with their name and signature."""
    found: dict[str, Mapping[str, Any]] = {}
    for record in runs.records:
        for metric, entry in record.metrics.get("corpus", {}).items():
            found.setdefault(metric, entry)
    return found
