"""How calmly each method trains: KL, falls of gold quality, the gap between proxy and gold, and runs that stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.seeds import SeedSpread, seed_spread
from alarm.evaluation.statistics import bootstrap_mean
from alarm.evaluation.win_rates import Spread, spread
from alarm.records import RunRecord
from alarm.report.captions import origin
from alarm.report.comparisons import BOOTSTRAP_SEED, correct
from alarm.report.curves_figure import curve
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import GOLD, INTERVALS, missing_runs

PROXY = "holistic"
LAST_SHARE = 0.1
"""Of the iterations, at least one, over which the final KL is averaged."""
COLUMNS = {
    "final_kl": "final KL, nats per response",
    "negative_kl": "steps with negative KL, %",
    "worst_drop": "worst drop of gold on dev",
    "proxy_gold_gap": "proxy–gold gap, sd",
    "gold_sd": "sd of gold over seeds",
    "stopped": "stopped runs",
}


def stability_table(runs: TaskRuns) -> Table:
    """Final KL, negative KL, worst drop of gold, proxy-gold gap, sd over seeds and stopped runs of every method."""
    rows = [*runs.methods, *runs.combinations]
    cells: dict[tuple[str, str], Cell] = {}
    gaps = {row: _gaps(runs, row) for row in rows}
    pooled = seed_spread([gap for gap in gaps.values() if gap is not None])
    for row in rows:
        records = list(runs.finished.get(row, {}).values())
        cells[row, "final_kl"] = _per_seed([final_kl(record) for record in records], "KL", digits=3)
        cells[row, "negative_kl"] = _per_seed([negative_kl_share(record) for record in records], "KL", digits=1)
        cells[row, "worst_drop"] = _drop_cell(runs, records)
        cells[row, "proxy_gold_gap"] = _gap_cell(gaps[row], pooled)
        cells[row, "gold_sd"] = _sd_cell(runs.means(row, GOLD))
        cells[row, "stopped"] = _stopped_cell(runs, row)
    (cells,) = correct([cells], null=0.0)
    return Table(
        name=f"stability_{runs.task}",
        title=f"Stability of training in {runs.task}",
        caption=[
            f"Final KL: mean over the last {LAST_SHARE:.0%} of the iterations (at least one). Steps: PPO iterations; "
            "a mean over sampled responses may be negative, KL itself cannot. Mean ± sd over n seeds (sample sd).",
            "Worst drop: along the mean over seeds of gold quality of greedy dev responses, from the SFT policy on "
            "where its value is on record, the largest fall from one value to any later one; 0 if it never falls. A "
            "large one speaks of reward hacking.",
            "Proxy–gold gap: gain in holistic reward over the SFT policy's greedy test responses, minus gain in gold "
            "quality, each in standard deviations over prompts of the SFT policy's score. The proxy is the plain "
            "reward model in all rows. Positive: the proxy rose more than gold did. "
            + INTERVALS.format(family="this column"),
            "Stopped runs: those that ended in an error, such as a reward or loss that is not finite; mini-batches "
            "skipped for their probability ratio are counted where there were any.",
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=[Block("", "method", rows, list(COLUMNS), cells, COLUMNS)],
        missing=missing_runs(runs, rows),
    )


def final_kl(record: RunRecord) -> float | None:
    """Mean KL over the last `LAST_SHARE` of the iterations; None without any."""
    values = _column(record, "kl")
    return float(np.mean(values[-max(1, round(LAST_SHARE * len(values))) :])) if values else None


def negative_kl_share(record: RunRecord) -> float | None:
    """Percent of iterations whose estimated KL is below 0 by more than rounding; None without any."""
    values = _column(record, "negative_kl")
    return 100 * float(np.mean(values)) if values else None


def worst_drop(values: Sequence[float]) -> tuple[float, int, int]:
    """The largest fall from a value to a later one, and the places of both; (0, 0, 0) if none falls.

    >>> worst_drop([0.5, 0.75, 0.625, 0.875, 0.25, 0.5])
    (0.625, 3, 4)
    """
    worst, peak = (0.0, 0, 0), 0
    for place, value in enumerate(values):
        if value > values[peak]:
            peak = place
        if values[peak] - value > worst[0]:
            worst = (values[peak] - value, peak, place)
    return worst


def sft_dev_gold(record: RunRecord) -> float | None:
    """Mean gold quality of the SFT policy's greedy dev responses, None where it is not on record."""
    golds = record.metrics.get("dev", {}).get("sft_golds")
    return float(np.mean(golds)) if golds else None


def _drop_cell(runs: TaskRuns, records: Sequence[RunRecord]) -> Cell:
    steps, mean, _ = curve(records, "dev_gold")
    if not len(steps):
        return Cell(missing="gold on dev")
    start = next((value for value in map(sft_dev_gold, records) if value is not None), None)
    names = ["SFT"] * (start is not None) + [f"iteration {step}" for step in steps]
    values = ([] if start is None else [start]) + mean.tolist()
    drop, peak, low = worst_drop(values)
    note = f"{values[peak]:.3f} ({names[peak]}) to {values[low]:.3f} ({names[low]})" if drop else None
    return Cell(Spread(drop, None, len(records)), digits=3, note=note)


def _gap_cell(gaps: NDArray | None, pooled: SeedSpread | None) -> Cell:
    if gaps is None:
        return Cell(missing="responses of the run or of the SFT policy")
    if not gaps.size:
        return Cell(missing="a common prompt")
    return Cell(spread(gaps.mean(axis=1)), bootstrap_mean(gaps, seed=BOOTSTRAP_SEED, spread=pooled))


def _gaps(runs: TaskRuns, row: str) -> NDArray | None:
    """[S, P], a run's gain in the proxy minus its gain in gold; None without responses to pair."""
    gains = [_standard_gains(runs, row, score) for score in (PROXY, GOLD)]
    if any(gain is None for gain in gains):
        return None
    shared = [name for name in gains[0] if name in gains[1]]
    return np.array([gains[0][name] - gains[1][name] for name in shared]).T


def _standard_gains(runs: TaskRuns, row: str, score: str) -> dict[str, np.ndarray] | None:
    """Prompt to the gain over the SFT policy per seed [S], in sd over prompts of the SFT policy's score."""
    before = {name: value for name, value in runs.sft_scores(score).items() if math.isfinite(value)}
    sd = float(np.std(list(before.values()))) if before else 0.0
    if not runs.finished.get(row) or not sd:
        return None
    aligned = runs.aligned([row], score)
    columns = zip(aligned.ids, aligned.scores[row].T, strict=True)
    return {name: (values - before[name]) / sd for name, values in columns if name in before}


def _sd_cell(means: Sequence[float]) -> Cell:
    if len(means) < 2:
        return Cell()  # one seed has no spread
    return Cell(Spread(float(np.std(means, ddof=1)), None, len(means)), digits=3)


def _stopped_cell(runs: TaskRuns, row: str) -> Cell:
    records = [record for record in runs.records if record.run_name == row]
    if not records:
        return Cell(missing=f"no run of {row}")
    stopped = sum(record.error is not None for record in records)
    skipped = int(sum(sum(_column(record, "skipped_mini_batches")) for record in records))
    note = f"of {len(records)}" + (f"; {skipped} mini-batches skipped" if skipped else "")
    return Cell(Spread(stopped, None, len(records)), digits=0, show_count=False, note=note)


def _per_seed(values: Sequence[float | None], what: str, digits: int) -> Cell:
    known = [value for value in values if value is not None]
    return Cell(spread(known), digits=digits) if known else Cell(missing=what)


def _column(record: RunRecord, key: str) -> list[float]:
    return [row[key] for row in record.history if row.get(key) is not None]
