"""Best-of-k from one pool of SFT samples (arXiv:2402.00742) as blocks of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.statistics import bootstrap_mean
from alarm.evaluation.win_rates import Spread
from alarm.records import BestOfKRecord
from alarm.report.comparisons import BOOTSTRAP_SEED, correct
from alarm.report.tables import Block, Cell

RAW, TRANSFORMED = "raw_sum", "log_sigmoid_sum"
DIFFERENCE = f"{TRANSFORMED} minus {RAW}"
READING = (
    "Best-of-k: the expectation over all subsets of k of one pool of SFT samples per prompt; KL = log k − (k−1)/k. "
    "`gold` selects by gold itself and is the ceiling. n prompts; brackets: 95 % interval of a bootstrap over prompts; "
    "bold: a difference with p < 0.05 after Holm's correction over its block."
)


def values_at(record: BestOfKRecord, selector: str, quantity: str, k: int) -> NDArray | None:
    """[P], one value per prompt; None where the selector or the quantity is not on record."""
    rows = record.selectors.get(selector, {}).get(quantity)
    if not rows or k not in record.ks:
        return None
    values = np.array(rows[list(record.ks).index(k)], dtype=np.float64)
    return values if len(values) and np.isfinite(values).all() else None


def best_of_k_block(
    record: BestOfKRecord, quantity: str, title: str, ks: Sequence[int], *, factor: float = 1.0, digits: int = 2
) -> Block:
    """Selectors x k, with the paired difference of the transformed from the raw sum below."""
    cells: dict[tuple[str, str], Cell] = {}
    differences: dict[tuple[str, str], Cell] = {}
    for k in ks:
        for selector in record.selectors:
            values = values_at(record, selector, quantity, k)
            cells[selector, str(k)] = (
                Cell(missing=quantity.replace("_", " "))
                if values is None
                else Cell(_mean(factor * values), replace(_estimate(factor * values), p=math.nan), digits=digits)
            )
        raw, transformed = (values_at(record, selector, quantity, k) for selector in (RAW, TRANSFORMED))
        if raw is not None and transformed is not None:
            values = factor * (transformed - raw)
            differences[DIFFERENCE, str(k)] = Cell(_mean(values), _estimate(values), digits=digits)
    (differences,) = correct([differences], null=0.0)
    kl = dict(zip(record.ks, record.kl, strict=True))
    labels = {str(k): f"k = {k}, KL {kl[k]:.2f}" for k in ks}
    rows = [*record.selectors, *([DIFFERENCE] if differences else [])]
    return Block(title, "selector", rows, [str(k) for k in ks], {**cells, **differences}, labels)


def _mean(values: NDArray) -> Spread:
    return Spread(float(values.mean()), None, len(values))


def _estimate(values: NDArray):
    return bootstrap_mean(values[None], seed=BOOTSTRAP_SEED)
