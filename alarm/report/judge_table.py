"""Win rates by the language-model judges on record, with every verdict that is no win or loss counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.effects import sign_test
from alarm.evaluation.judges.base import Choice, Verdict, first_choice_share
from alarm.evaluation.ranking import mean_outcomes
from alarm.evaluation.seeds import SeedSpread, seed_spread
from alarm.evaluation.statistics import bootstrap_win_rate
from alarm.evaluation.win_rates import Spread, spread
from alarm.records import JudgeRecord
from alarm.report.captions import compared_with_paper, origin_of
from alarm.report.comparisons import BOOTSTRAP_SEED, correct, detectable
from alarm.report.published import PAPER_METHODS, Published
from alarm.report.runs import TaskRuns
from alarm.report.tables import Block, Cell, Table
from alarm.report.verdicts import SFT, Verdicts, is_current, model_verdicts
from alarm.report.win_tables import INTERVALS, VERDICT

COUNTS = {
    "win": "first of the pair wins",
    "lose": "second wins",
    "tie": "orders disagree, or a tie in both",
    "equal": "equal responses, never asked",
    "invalid": "invalid",
    "first_place": "first place chosen, %",
}
NO_CHOICE = (Choice.REFUSAL, Choice.UNPARSABLE, Choice.MISSING)


def judge_table(runs: TaskRuns, published: Published) -> Table | None:
    """Win rates between the judged runs, one block per language model; None where none judged these runs."""
    judged = [(record, verdicts) for record in runs.judges if (verdicts := model_verdicts(runs, record))]
    if not judged:
        return None
    blocks = [_wins_block(runs, record, verdicts, published) for record, verdicts in judged]
    for block, cells in zip(blocks, correct([block.cells for block in blocks], mirrored=True), strict=True):
        block.cells = cells
    counts = {judge_title(record): _counts(runs, record) for record, _ in judged}
    rows = list(counts)
    cells = {(row, column): cell for row, found in counts.items() for column, cell in found.items()}
    return Table(
        name=f"judge_{runs.task}",
        title=f"Win rates by language models in {runs.task}",
        caption=[
            "Row against column: each pair of responses is shown in both orders; the response chosen in both wins, "
            "orders that disagree are a tie, and an order without a choice (a refusal, an answer that names no one, "
            "none at all) makes the pair invalid. 100 wins / (wins + losses) per seed; ties and invalid pairs are left "
            "out and counted. Mean ± sd over n seeds (sample sd).",
            INTERVALS.format(family="this table's pairs").replace("the task's runs", "the judged runs"),
            VERDICT,
            *detectable([block.cells for block in blocks]),
            "First place chosen: over both orders of all pairs, of the places chosen; 50 % for a judge that reads the "
            "texts alone.",
            *compared_with_paper(runs.task, runs.scale, "a language model, named above each block,"),
            *(sentence for record, _ in judged for sentence in judge_origin(record)),
            *origin_of(runs.scale, [record.environment for record, _ in judged]),
        ],
        blocks=[*blocks, Block("All verdicts", "judge", rows, list(COUNTS), cells, COUNTS)],
        missing=outdated(runs),
    )


def judge_title(record: JudgeRecord) -> str:
    return record.judge


def judge_origin(record: JudgeRecord) -> list[str]:
    """What the verdicts of a language model depend on, in a sentence."""
    facts = record.facts
    served = ", ".join(facts.get("served_models", {})) or "no model named by the server"
    prompt = facts.get("prompt", {})
    version = f"prompt {prompt.get('name', 'unknown')} {prompt.get('version', '')}".rstrip()
    return [
        f"{judge_title(record)}: answered by {served} at {facts.get('server', 'a server not on record')}; {version} "
        f"(sha256 {str(prompt.get('sha256', 'unknown'))[:12]}), temperature {facts.get('temperature', 'unknown')}; "
        f"{facts.get('items', 'all')} prompts; {record.finished[:10]}."
    ]


def outdated(runs: TaskRuns) -> list[str]:
    """Judges whose verdicts are on other responses than those of these runs."""
    found = []
    for record in runs.judges:
        old = sum(not is_current(runs, record, row) for row in record.comparisons)
        if old:
            found.append(
                f"{judge_title(record)}: {old} of {len(record.comparisons)} comparisons are of responses made anew "
                "since (judge them again) or on other hardware"
            )
    return found


def _wins_block(runs: TaskRuns, record: JudgeRecord, verdicts: Verdicts, published: Published) -> Block:
    names = {name for pair in verdicts.outcomes for name in pair}
    rows = [*(m for m in PAPER_METHODS if m in names), *sorted(names - {*PAPER_METHODS, SFT})]
    rows += [SFT] if SFT in names else []
    columns = [name for name in rows if name in PAPER_METHODS or name == SFT] or rows
    pooled = seed_spread(list(mean_outcomes(verdicts.outcomes).values()))
    cells = {}
    for (a, b), table in verdicts.outcomes.items():
        for row, column, outcome in ((a, b, table), (b, a, -table)):
            number = published.win_rate(runs.task, "judge", row, column) if column in PAPER_METHODS else None
            cells[row, column] = _win_cell(outcome, pooled, number)
    shown = {(row, column): cell for (row, column), cell in cells.items() if row in rows and column in columns}
    return Block(f"By {judge_title(record)}", "method", rows, columns, shown)


def _win_cell(outcome: NDArray, pooled: SeedSpread | None, number) -> Cell:
    """Win rate of a pair's first run, from its outcomes [S, P]."""
    known = ~np.isnan(outcome)
    wins, losses = (outcome > 0).sum(axis=1), (outcome < 0).sum(axis=1)
    rates = np.where(wins + losses > 0, 100 * wins / np.maximum(wins + losses, 1), 50.0)
    ties = 100 * float((outcome[known] == 0).mean()) if known.any() else 0.0
    # Neither a win nor a loss, which is all that a win rate asks.
    estimate = bootstrap_win_rate([np.nan_to_num(outcome)], seed=BOOTSTRAP_SEED, spread=pooled)
    note = f"{ties:.1f} % ties, {int((~known).sum())} invalid"
    sign_p = sign_test(np.nan_to_num(outcome)).p
    return Cell(spread(rates), estimate, published=number, note=note, sign_p=sign_p)


def _counts(runs: TaskRuns, record: JudgeRecord) -> dict[str, Cell]:
    """How many verdicts of each kind a judge gave on all pairs that it judged, and how often it chose the first."""
    rows = [row for row in record.comparisons if is_current(runs, record, row)]
    verdicts = Counter(verdict for row in rows for verdict in row["verdicts"])
    choices = [tuple(pair) for row in rows for pair in row["choices"]]
    equal = sum(pair == (Choice.EQUAL, Choice.EQUAL) for pair in choices)
    reasons = Counter(choice for pair in choices for choice in pair)
    counted = {
        "win": verdicts[Verdict.WIN],
        "lose": verdicts[Verdict.LOSE],
        "tie": verdicts[Verdict.TIE] - equal,
        "equal": equal,
        "invalid": verdicts[Verdict.INVALID],
    }
    cells = {name: _count_cell(count, len(choices)) for name, count in counted.items()}
    why = [f"{reasons[choice]} {choice.value}" for choice in NO_CHOICE if reasons[choice]]
    cells["invalid"] = _count_cell(counted["invalid"], len(choices), why)
    share = first_choice_share(choice for pair in choices for choice in pair)
    if share is not None:
        placed = sum(reasons[place] for place in (Choice.FIRST, Choice.SECOND))
        cells["first_place"] = Cell(Spread(100 * share, None, placed), digits=1)
    return cells


def _count_cell(count: int, pairs: int, reasons: Sequence[str] = ()) -> Cell:
    note = f"{100 * count / pairs:.1f} % of {pairs} pairs" + (f"; orders: {', '.join(reasons)}" if reasons else "")
    return Cell(Spread(count, None, pairs), note=note, digits=0, show_count=False)
