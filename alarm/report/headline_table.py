"""The first table a reader wants: what each method gained, and how often it wins, beside the published win rates."""

from __future__ import annotations

from alarm.report.gold_table import GAIN, SAMPLED_GAIN
from alarm.report.runs import TaskRuns
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import AVERAGE


def headline_table(runs: TaskRuns, gold: Table, wins: Table) -> Table:
    """Gold gain over the SFT policy and average win rates, cell by cell as the two tables of the task hold them.

    Args:
        gold: the task's gold-quality table.
        wins: its win-rate table; every block's column of averages is shown.
    """
    cells: dict[tuple[str, str], Cell] = {}
    sampled = {SAMPLED_GAIN: f"gain in {runs.label('gold')} over the SFT policy, sampled"} if runs.sampled else {}
    labels = {**sampled, GAIN: f"gain in {runs.label('gold')} over the SFT policy, greedy"}
    gains = tuple(labels)
    for block in wins.blocks:
        labels[block.title] = f"average win rate {block.title[:1].lower()}{block.title[1:]}, %"
        cells |= {(row, block.title): block.cells[row, AVERAGE] for row in block.rows}
    cells |= {key: cell for key, cell in gold.blocks[0].cells.items() if key[0] in runs.methods and key[1] in gains}
    return Table(
        name=f"headline_{runs.task}",
        title=f"At a glance: {runs.task}",
        caption=[
            f'Gain: from the table "{gold.title}". Average win rates over the paper\'s methods: from "{wins.title}". '
            "Each is corrected for its own table's comparisons.",
            *wins.caption,
        ],
        blocks=[Block("", "method", runs.methods, list(labels), cells, labels)],
        missing=wins.missing,
    )
