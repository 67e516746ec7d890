"""Where gold peaks while the learned reward is optimised, and where both end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.win_rates import Spread, spread
from alarm.report.captions import origin
from alarm.report.comparisons import correct, no_responses
from alarm.report.gold_over_kl import POINTS
from alarm.report.over_optimisation import (
    METHODS,
    BestOfKCurve,
    GreedyCurve,
    PPOCurve,
    best_of_k_curve,
    greedy_curve,
    ppo_curve,
)
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.studies import paired_by_seed
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import missing_runs

BEST_OF_K = "best-of-k by the learned reward"
COLUMNS = {
    "peak_kl": "KL at the peak of gold, nats",
    "peak_gold": "gold there",
    "peak_proxy": "proxy there",
    "end_kl": "KL at the end, nats",
    "end_gold": "gold at the end",
    "end_proxy": "proxy at the end",
    "change": "gold, end minus peak",
    "greedy_best": "greedy dev gold, best on the way",
    "greedy_end": "greedy dev gold at the end",
}


def over_optimisation_table(runs: TaskRuns) -> Table | None:
    """PPO on the learned reward with a low and with the default KL coefficient, and best-of-k; None without any."""
    curves = {method: ppo_curve(runs, method) for method in METHODS}
    chosen = best_of_k_curve(runs)
    if not any(curves.values()) and chosen is None:
        return None
    cells: dict[tuple[str, str], Cell] = {}
    for method, curve in curves.items():
        absent = "KL and gold during training" if runs.finished.get(method) else no_responses(runs, [method])
        found = _ppo_cells(curve) if curve else {"peak_kl": Cell(missing=absent)}
        found |= _greedy_cells(greedy_curve(runs, method))
        cells |= {(method, column): cell for column, cell in found.items()}
    found = _best_of_k_cells(chosen) if chosen else {"peak_kl": Cell(missing="best-of-k, or the SFT policy's spread")}
    cells |= {(BEST_OF_K, column): cell for column, cell in found.items()}
    (cells,) = correct([cells], null=0.0)
    return Table(
        name=f"over_optimisation_{runs.task}",
        title=f"Over-optimisation of the learned reward in {runs.task}",
        caption=[
            "Proxy: the holistic reward model that is optimised. Gold: gold quality of the same samples. Both are "
            "gains over the SFT policy, in standard deviations over its samples (after arXiv:2210.10760).",
            f"PPO: a run's iterations are pooled into {POINTS} points, and the SFT policy is the first point. The peak "
            "is the point with the highest gold on average over seeds. It is chosen on the same runs, which makes a "
            "fall after it look a little larger. Mean ± sd over n seeds (sample sd); brackets: 95 % interval by "
            "Student's t over seeds; bold: p < 0.05 after Holm's correction over this table.",
            "Greedy: gold of greedy dev responses at the evaluations during training, in the same units. A policy that "
            "only becomes surer gains in sampled gold, and not in this.",
            best_of_k_sentence(chosen),
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=[Block("", "optimiser", [*METHODS, BEST_OF_K], list(COLUMNS), cells, COLUMNS)],
        missing=missing_runs(runs, METHODS),
    )


def best_of_k_sentence(curve: BestOfKCurve | None) -> str:
    """Where the numbers of best-of-k come from."""
    if curve is None:
        return "Best-of-k by the learned reward is not on record."
    if not len(curve.proxy):
        return "Best-of-k: gold of test samples; its proxy is not on record."
    return "Best-of-k: gold of test samples; proxy of dev samples, as far as that pool reaches."


def _ppo_cells(curve: PPOCurve) -> dict[str, Cell]:
    peak = curve.peak
    cells = {
        f"{name}_{column}": _per_seed(values[:, place])
        for name, place in (("peak", peak), ("end", -1))
        for column, values in (("kl", curve.kl), ("gold", curve.gold), ("proxy", curve.proxy))
    }
    ends, peaks = (dict(zip(curve.seeds, curve.gold[:, place].tolist(), strict=True)) for place in (-1, peak))
    _, estimate = paired_by_seed(ends, peaks)
    cells["change"] = Cell(_per_seed(curve.gold[:, -1] - curve.gold[:, peak]).measured, estimate)
    return cells


def _greedy_cells(curve: GreedyCurve | None) -> dict[str, Cell]:
    if curve is None:
        return {}
    best = int(np.argmax(curve.gold.mean(axis=0)))
    return {"greedy_best": _per_seed(curve.gold[:, best]), "greedy_end": _per_seed(curve.gold[:, -1])}


def _best_of_k_cells(curve: BestOfKCurve) -> dict[str, Cell]:
    cells = {
        "peak_kl": _number(curve.kl[curve.peak]),
        "peak_gold": _number(curve.gold[curve.peak]),
        "end_kl": _number(curve.kl[-1]),
        "end_gold": _number(curve.gold[-1]),
        "change": _number(curve.gold[-1] - curve.gold[curve.peak]),
    }
    for name, kl in (("peak_proxy", curve.kl[curve.peak]), ("end_proxy", curve.kl[-1])):
        places = np.flatnonzero(np.isclose(curve.proxy_kl, kl))
        cells[name] = _number(curve.proxy[places[0]]) if len(places) else Cell(missing="samples for so large a k")
    return cells


def _per_seed(values: NDArray) -> Cell:
    return Cell(spread(values.tolist()))


def _number(value: float) -> Cell:
    return Cell(Spread(float(value), None, 1), show_count=False)
