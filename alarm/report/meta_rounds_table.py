"""MetaRM's rounds as a table: the adapting reward model beside the frozen control."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.seeds import SeedSpread, seed_spread
from alarm.evaluation.statistics import bootstrap_mean, bootstrap_win_rate
from alarm.evaluation.win_rates import outcomes, spread, win_rate
from alarm.report.captions import origin
from alarm.report.comparisons import BOOTSTRAP_SEED, correct
from alarm.report.meta_rounds import (
    ADAPTED,
    FROZEN,
    METHODS,
    Round,
    common_golds,
    has_rounds,
    rounds_of,
    sft_golds,
    sft_rates,
)
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import GOLD, INTERVALS, missing_runs

AGAINST_FROZEN = f"against {FROZEN}"
Rounds = dict[str, dict[int, Round]]
"""Method to round number to the round."""


def meta_rounds_table(runs: TaskRuns) -> Table | None:
    """Per round: gold quality, win rates over SFT and over the frozen control, the model's accuracy and spread.

    None where no run was made in rounds.
    """
    if not has_rounds(runs):
        return None
    rounds = {method: rounds_of(runs, method) for method in METHODS}
    before = sft_golds(runs)
    blocks = [
        _block(rounds, f"{runs.label(GOLD)}, greedy on dev", _gold_cell, null=0.0),
        _block(rounds, "Win rate by gold over the SFT policy, %", lambda *at: _over_sft(*at, before), null=50.0),
        _block(rounds, f"Win rate by gold over {FROZEN}, %", _over_frozen, null=50.0, methods=METHODS[:1]),
        _block(
            rounds,
            "Accuracy of the reward model on samples of the current policy, %",
            lambda *at: _model_cell(*at, "accuracy", factor=100.0),
        ),
        _block(rounds, "Spread of its scores on them, raw reward", lambda *at: _model_cell(*at, "spread")),
    ]
    return Table(
        name=f"meta_rounds_{runs.task}",
        title=f"MetaRM: rounds of iterative RLHF in {runs.task}",
        caption=[
            f"{ADAPTED} updates its reward model on the current policy's samples after each round but the last; "
            f"{FROZEN} is the frozen control with the same seeds and the same number of policy updates. Every cell "
            "is taken at the end of its round, before the update. Mean ± sd over n seeds (sample sd).",
            "Win rates: 100 wins / (wins + losses) per seed over the dev prompts, ties left out (50 where a seed "
            "decides nothing). " + INTERVALS.format(family="each block"),
            "Accuracy: share of a dev prompt's pairs of samples, of those that gold decides, which the run's reward "
            "model orders as gold does. Spread: mean over prompts of the standard deviation of its samples' scores. "
            f"Second line: mean difference from {FROZEN} over common seeds.",
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=blocks,
        missing=missing_runs(runs, METHODS) + ([] if before is not None else [f"{runs.task} SFT golds on dev"]),
    )


def _block(rounds: Rounds, title: str, make, *, null: float | None = None, methods=METHODS) -> Block:
    """Methods x rounds; with `null`, p values are corrected over the block."""
    numbers = sorted({number for found in rounds.values() for number in found})
    cells = {(method, str(number)): make(rounds, method, number) for method in methods for number in numbers}
    if null is not None:
        (cells,) = correct([cells], null=null)
    labels = {str(number): f"round {number}" for number in numbers}
    return Block(title, "method", methods, [str(number) for number in numbers], cells, labels)


def _gold_cell(rounds: Rounds, method: str, number: int) -> Cell:
    end = rounds[method].get(number)
    if end is None or not end.golds.size:
        return Cell(missing="gold of the dev prompts")
    both = common_golds(rounds, number) if method == ADAPTED else None
    effect = None
    if both:
        effect = bootstrap_mean(both[0] - both[1], seed=BOOTSTRAP_SEED, spread=_seed_spread(rounds, number))
    return Cell(spread(end.golds.mean(axis=1)), effect, effect_name=AGAINST_FROZEN, digits=3)


def _over_sft(rounds: Rounds, method: str, number: int, before: NDArray | None) -> Cell:
    end = rounds[method].get(number)
    rates = sft_rates(end, before) if end else []
    if not rates:
        return Cell(missing="gold of the run or of the SFT policy on dev")
    table = outcomes(end.golds, np.broadcast_to(before, end.golds.shape))
    return Cell(spread(rates), bootstrap_win_rate([table], seed=BOOTSTRAP_SEED, spread=_seed_spread(rounds, number)))


def _over_frozen(rounds: Rounds, method: str, number: int) -> Cell:
    both = common_golds(rounds, number)
    if both is None:
        return Cell(missing="a common seed")
    rates = [win_rate(a, b).rate for a, b in zip(*both, strict=True)]
    return Cell(
        spread(rates),
        bootstrap_win_rate([outcomes(*both)], seed=BOOTSTRAP_SEED, spread=_seed_spread(rounds, number)),
    )


def _seed_spread(rounds: Rounds, number: int) -> SeedSpread | None:
    """Of gold between seeds at the end of a round, pooled over the methods."""
    return seed_spread([ends[number].golds for ends in rounds.values() if number in ends])


def _model_cell(rounds: Rounds, method: str, number: int, key: str, *, factor: float = 1.0) -> Cell:
    end, frozen = rounds[method].get(number), rounds[FROZEN].get(number)
    values = {seed: factor * value for seed, value in getattr(end, key).items()} if end else {}
    if not values:
        return Cell(missing=f"{key} on the current policy's samples")
    notes = [f"{end.pairs} pairs"] if key == "accuracy" else []
    controls = getattr(frozen, key) if frozen and method == ADAPTED else {}
    differences = [values[seed] - factor * controls[seed] for seed in values if seed in controls]
    if differences:
        notes.append(f"{AGAINST_FROZEN} {np.mean(differences):+.2f}")
    return Cell(spread(list(values.values())), note="; ".join(notes) or None)
