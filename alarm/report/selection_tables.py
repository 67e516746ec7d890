"""Figures 3 and 4 of arXiv:2403.06754 as tables, and what came out before PPO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from alarm.evaluation.statistics import Estimate
from alarm.evaluation.win_rates import Spread
from alarm.records import SelectionRecord, SetupRecord
from alarm.report.captions import compared_with_paper, origin_of
from alarm.report.comparisons import correct
from alarm.report.published import PAPER_TASKS, Published
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import VERDICT

HOLISTIC = "holistic"
INCONSISTENCY, GREEDY = "inconsistency", "greedy_vs_sampling"


def selection_table(record: SelectionRecord, published: Published, dates: str) -> Table:
    """Per aspect: inconsistency with the holistic reward, and win rate of greedy over sampled responses."""
    paper = PAPER_TASKS.get(record.task)
    cells: dict[tuple[str, str], Cell] = {}
    for aspect, counts in record.inconsistency.items():
        cells[aspect, INCONSISTENCY] = replace(
            _share(counts["conflicts"], counts["both_decide"]),
            published=published.inconsistency(record.task, aspect),
            note=f"{counts['conflicts']} of {counts['both_decide']} pairs; {counts['rate_released']:.2f} as released",
        )
    for score, counts in selection_win_rates(record).items():
        cells[score, GREEDY] = replace(
            _share(counts["wins"], counts["wins"] + counts["losses"]),
            published=published.greedy_win_rate(record.task, score),
            note=f"{counts['wins']} wins, {counts['losses']} losses, {counts['ties']} ties",
        )
    rows = list(dict.fromkeys(key[0] for key in cells))
    (cells,) = correct([cells])
    paper_aspect = f"; the paper selected {paper.aspect}" if paper else ""
    caption = [
        f"{record.pairs} pairs of a greedy and a sampled response of the SFT policy to {record.split} prompts. "
        f"Selected, with the lowest inconsistency: {record.selected}{paper_aspect}.",
        "Inconsistency: share of pairs on which aspect and holistic reward prefer different responses, among those on "
        'which both decide; "as released": among those on which the holistic reward decides, as in the released code.',
        "Brackets: exact 95 % interval; bold: p < 0.05 in a binomial test against 50 after Holm's correction over this "
        "table. Published values are read off bars, to about 0.5.",
        VERDICT,
    ]
    if paper:
        caption += compared_with_paper(record.task, record.scale)
    labels = {INCONSISTENCY: "inconsistency with the holistic reward, %", GREEDY: "win rate of greedy over sampling, %"}
    return Table(
        name=f"{figure_stem(record.task)}_selection",
        title=(f"Figure {paper.figure_number} in numbers: p" if paper else "P")
        + f"roactive selection in {record.task}",
        caption=[*caption, *origin_of(record.scale, [record.environment], dates)],
        blocks=[Block("", "score", rows, [INCONSISTENCY, GREEDY], cells, labels)],
    )


def setup_table(record: SetupRecord, dates: str) -> Table:
    """Every fact about what the runs share, one per line."""
    return Table(
        name=f"setup_{record.task}",
        title=f"Before PPO: what all runs of {record.task} share",
        caption=origin_of(record.scale, [record.environment], dates),
        blocks=[facts_block(record.facts)],
    )


def facts_block(facts: Mapping[str, Any], title: str = "") -> Block:
    """Nested facts, one per line; None is said to be not measured."""
    cells = {}
    for path, value in _leaves(facts):
        name = " / ".join(path)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            digits = 0 if isinstance(value, int) else 4
            cells[name, "value"] = Cell(Spread(value, None, 1), digits=digits, show_count=False)
        else:
            cells[name, "value"] = Cell(note=str(value)) if value is not None else Cell(missing="not measured")
    return Block(title, "fact", [name for name, _ in cells], ["value"], cells)


def selection_win_rates(record: SelectionRecord) -> dict[str, Mapping[str, Any]]:
    """Counts of greedy against sampled responses by every aspect, by the holistic reward and by gold quality."""
    rates = {name: record.greedy_win_rate[name] for name in record.inconsistency if name in record.greedy_win_rate}
    if HOLISTIC in record.greedy_win_rate:
        rates[HOLISTIC] = record.greedy_win_rate[HOLISTIC]
    if record.gold_win_rate:
        rates["gold"] = record.gold_win_rate
    return rates


def figure_stem(task: str) -> str:
    """`figure3_long_form_qa`, or the task's name where the paper has no such figure."""
    paper = PAPER_TASKS.get(task)
    return f"figure{paper.figure_number}_{task}" if paper else task


def _share(count: int, total: int) -> Cell:
    """A share in percent with its exact interval and binomial test against one half."""
    from scipy.stats import binomtest

    if not total:
        return Cell(missing="no pair is decided")
    test = binomtest(int(count), int(total))
    interval = test.proportion_ci(0.95)
    value = 100.0 * count / total
    estimate = Estimate(value, 100 * interval.low, 100 * interval.high, float(test.pvalue))
    return Cell(Spread(value, None, int(total)), estimate, show_count=False)


def _leaves(facts: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
