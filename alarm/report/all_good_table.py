"""The AND claim of arXiv:2402.00742: how many responses gold finds without fault in every property."""

from __future__ import annotations

from alarm.evaluation.win_rates import Spread, spread
from alarm.report.best_of_k_blocks import READING, best_of_k_block
from alarm.report.captions import origin
from alarm.report.comparisons import correct, difference, gain_over_sft
from alarm.report.gold_over_kl import PAIRS
from alarm.report.mean_tables import SFT_ROW
from alarm.report.runs import ALL_GOOD, GOLD_PART, TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import INTERVALS, missing_runs

SHOWN_KS = (1, 4, 16, 64)


def all_good_table(runs: TaskRuns) -> Table | None:
    """Share of faultless test responses per method beside the SFT policy's, and of best-of-k; None without gold."""
    parts = runs.gold_parts
    if not parts:
        return None
    cells: dict[tuple[str, str], Cell] = {}
    for score in (ALL_GOOD, *parts):
        cells[SFT_ROW, score] = _sft_cell(runs, score)
        for row in runs.methods:
            cells[row, score] = _cell(runs, row, score)
    changes = {
        (_named(raw, transformed), score): _difference_cell(runs, raw, transformed, score)
        for raw, transformed in PAIRS
        for score in (ALL_GOOD, *parts)
    }
    cells, changes = correct([cells, changes], null=0.0)
    names = [part.removeprefix(GOLD_PART) for part in parts]
    labels = {ALL_GOOD: "good in all, %"} | {part: f"mean gold {name}" for part, name in zip(parts, names, strict=True)}
    columns, pairs = [ALL_GOOD, *parts], [_named(*pair) for pair in PAIRS]
    blocks = [
        Block("Greedy test responses", "method", [SFT_ROW, *runs.methods], columns, cells, labels),
        Block("Transformed minus raw", "pair", pairs, columns, changes, labels),
    ]
    caption = [
        f"Good in all: share of responses that gold finds without fault in {', '.join(names)}, each on its own. "
        "Mean ± sd over n seeds (sample sd).",
        "Second line: paired difference from the SFT policy; below: of transformed from raw rewards. "
        + INTERVALS.format(family="this table"),
    ]
    missing = missing_runs(runs, runs.methods)
    if runs.best_of_k:
        ks = [k for k in SHOWN_KS if k in runs.best_of_k.ks]
        blocks.append(
            best_of_k_block(runs.best_of_k, "all_good", "Best-of-k, good in all, %", ks, factor=100.0, digits=1)
        )
        caption.append(READING)
    else:
        missing.append(f"{runs.task} best-of-k")
    return Table(
        name=f"all_good_{runs.task}",
        title=f"Responses good in all properties in {runs.task}",
        caption=[*caption, *origin(runs.scale, runs.records), *mixtures(runs)],
        blocks=blocks,
        missing=missing,
    )


def _sft_cell(runs: TaskRuns, score: str) -> Cell:
    value = runs.sft_mean(score)
    if value is None:
        return Cell(missing="responses of the SFT policy")
    return Cell(Spread(value, None, 1), digits=_digits(score), show_count=False)


def _difference_cell(runs: TaskRuns, raw: str, transformed: str, score: str) -> Cell:
    """Paired difference of the transformed method from the raw one."""
    change = difference(runs, transformed, raw, score)
    if change is None:
        return Cell(missing=f"a common seed of {transformed} and {raw}")
    seeds = len(set(runs.finished[raw]) & set(runs.finished[transformed]))
    return Cell(Spread(change.value, None, seeds), change, digits=_digits(score))


def _named(raw: str, transformed: str) -> str:
    return f"{transformed} minus {raw}"


def _digits(score: str) -> int:
    return 1 if score == ALL_GOOD else 3


def _cell(runs: TaskRuns, row: str, score: str) -> Cell:
    values = runs.means(row, score)
    if not values:
        reason = "gold by property" if runs.finished.get(row) else f"no run of {row}"
        return Cell(missing=reason)
    gain = gain_over_sft(runs, row, score)
    return Cell(spread(values), gain[1] if gain else None, effect_name=f"against {SFT_ROW}", digits=_digits(score))
