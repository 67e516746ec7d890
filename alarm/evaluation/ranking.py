"""A Bradley-Terry ranking of methods from pairwise verdicts, with intervals, on the scale of Elo ratings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from alarm.evaluation.errors import LEVEL
from alarm.evaluation.seeds import seed_spread
from alarm.evaluation.statistics import Estimate, draws, estimate_of, holm

ELO = 400 / math.log(10)
"""Points per unit of log strength: 400 points are odds of 10 to 1, 100 points a win rate of 64 %."""
PRIOR = 1.0
"""Ties added to every pair that met, per seed; strengths stay finite where one side won everything."""
RESAMPLES = 1_000
ITERATIONS, TOLERANCE = 100, 1e-9
LARGEST_STEP = 2.0
CHUNK = 2**15
"""Numbers of all tables that are worked on at once: so few stay in a processor's cache."""

Outcomes = Mapping[tuple[str, str], NDArray]
"""(row, column) to [S, P]: 1 where row wins, -1 where column does, 0 for a tie, NaN where there is no verdict."""


@dataclass(frozen=True)
class Standing:
    """A method's place in a ranking."""

    name: str
    elo: Estimate
    """Points above the anchor; its p value is that of a difference from the anchor, not corrected."""
    rank: int
    best: int
    worst: int
    """The ranks that are compatible with all pairs of methods whose difference is significant (5 %, Holm)."""


def bradley_terry(wins: NDArray, *, start: NDArray | None = None) -> NDArray:
    """Maximum-likelihood strengths: `P(i beats j) = 1 / (1 + exp(strength_j - strength_i))`.

    Newton's method on the concave log-likelihood, for any number of tables of wins at once.

    Args:
        wins: [..., M, M], how often i won over j; a tie counts half on both sides. The diagonal is ignored.
        start: [..., M], strengths to start from.
    Returns:
        [..., M], natural logarithms, mean 0 over methods.
    Raises:
        ValueError: no finite strengths fit: some methods never met the others, or won or lost everything against them.
    Source: Bradley and Terry (1952); finite strengths by the condition of Ford (1957).

    >>> strengths = bradley_terry(np.array([[0, 30], [10, 0]]))
    >>> round(float(np.exp(strengths[0] - strengths[1])), 6)
    3.0
    """
    size = np.shape(wins)[-1]
    counts = np.array(wins, dtype=np.float64)
    counts[..., range(size), range(size)] = 0.0
    _check_finite(counts)
    games = counts + np.swapaxes(counts, -1, -2)
    strengths = np.zeros(counts.shape[:-1])
    if start is not None:
        strengths += start
    flat = [array.reshape(-1, *array.shape[first:]) for array, first in ((counts, -2), (games, -2), (strengths, -1))]
    chunk = max(1, CHUNK // size**2)
    parts = [[array[i : i + chunk] for array in flat] for i in range(0, len(flat[0]), chunk)]
    enough = TOLERANCE * games.max()
    for _ in range(ITERATIONS):
        found = [_newton_step(*part) for part in parts]
        if max(slope for _, slope in found) <= enough:
            break
        for (*_, strength), (step, _) in zip(parts, found, strict=True):
            strength += step
    return strengths - strengths.mean(axis=-1, keepdims=True)


def _newton_step(wins: NDArray, games: NDArray, strengths: NDArray) -> tuple[NDArray, float]:
    """[R, M], by which strengths [R, M] change in one step, and the largest slope of the log-likelihood before it."""
    size = strengths.shape[-1]
    chances = strengths[..., :, None] - strengths[..., None, :]
    expit(chances, out=chances)
    expected = games * chances
    gradient = (wins - expected).sum(axis=-1)
    weights = np.multiply(expected, 1 - chances, out=expected)
    # The curvature is flat along a shift of all strengths, which the added constant holds in place.
    curvature = np.subtract(1 / size, weights, out=chances)
    curvature[:, range(size), range(size)] += weights.sum(axis=-1)
    step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
    longest = np.abs(step).max(axis=-1, keepdims=True)
    return step * (LARGEST_STEP / np.maximum(longest, LARGEST_STEP)), float(np.abs(gradient).max())


def rank(
    outcomes: Outcomes, *, anchor: str | None = None, seed: int, resamples: int = RESAMPLES, prior: float = PRIOR
) -> list[Standing]:
    """Rank all methods that met, from every verdict of one judge.

    Strengths are fitted per seed and averaged. Intervals are those of all comparisons: prompts are resampled, the same
    for all pairs; seeds are clusters whose spread is pooled over the methods.

    Args:
        outcomes: of each pair of methods once, all [S, P] over the same seeds and prompts.
        anchor: the method at 0 points; the mean of all methods unless given.
        seed: of the resampling.
        resamples: number R of resamples.
        prior: ties added to every pair that met, per seed, so that who won or lost everything stays finite.
    Returns:
        From the strongest to the weakest.
    Raises:
        ValueError: no outcomes, arrays of several shapes, an anchor that never met anyone, or methods that no chain of
            verdicts connects in some seed.
    """
    names, tables = _checked(outcomes)
    if anchor is not None and anchor not in names:
        raise ValueError(f"the anchor {anchor!r} has no verdicts; choose one of {', '.join(names)}")
    prompts = next(iter(tables.values())).shape[1]
    counts = _counts(names, tables, np.ones((1, prompts)))
    _check_connected(names, counts[0])
    ties = 0.5 * prior * (counts + np.swapaxes(counts, -1, -2) > 0)
    strengths = bradley_terry(counts + ties)
    resampled = bradley_terry(_counts(names, tables, draws(prompts, seed, resamples)) + ties, start=strengths)
    values, samples = ELO * strengths[0], ELO * resampled
    spread = seed_spread(list(mean_outcomes(tables).values()))

    def difference(m: int, other: int | None) -> Estimate:
        base, drawn = (0.0, 0.0) if other is None else (values[:, other], samples[..., other])
        return estimate_of(values[:, m] - base, samples[..., m] - drawn, null=0.0, prompts=prompts, spread=spread)

    zero = names.index(anchor) if anchor is not None else None
    beats = _beats(len(names), difference)
    order = np.argsort(-values.mean(axis=0), kind="stable").tolist()
    return [
        Standing(
            names[m],
            difference(m, zero),
            rank=place,
            best=1 + int(beats[:, m].sum()),
            worst=len(names) - int(beats[m].sum()),
        )
        for place, m in enumerate(order, start=1)
    ]


def mean_outcomes(outcomes: Outcomes) -> dict[str, NDArray]:
    """Each method's mean outcome over its opponents [S, P], without the prompts on which a seed has no verdict."""
    found = {}
    for name in dict.fromkeys(name for pair in outcomes for name in pair):
        own = [table if row == name else -table for (row, column), table in outcomes.items() if name in (row, column)]
        known = ~np.isnan(own)
        complete = known.any(axis=0).all(axis=0)
        found[name] = np.nansum(own, axis=0)[:, complete] / known.sum(axis=0)[:, complete]
    return found


def _checked(outcomes: Outcomes) -> tuple[list[str], dict[tuple[str, str], NDArray]]:
    """All names in order of appearance, and the outcomes as floats."""
    tables = {pair: np.asarray(table, dtype=np.float64) for pair, table in outcomes.items()}
    shapes = {table.shape for table in tables.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"a ranking needs outcomes [seeds, prompts] of one shape for every pair, got {sorted(shapes)}")
    twice = [pair for pair in tables if pair[0] == pair[1] or pair[::-1] in tables]
    if twice:
        raise ValueError(f"a ranking counts each pair of two methods once; {' and '.join(twice[0])} are there twice")
    return list(dict.fromkeys(name for pair in tables for name in pair)), tables


def _counts(names: Sequence[str], tables: Outcomes, drawn: NDArray) -> NDArray:
    """[R, S, M, M] wins of row over column over the drawn prompts [R, P], a tie half for both."""
    seeds = next(iter(tables.values())).shape[0]
    counts = np.zeros((len(drawn), seeds, len(names), len(names)))
    places = {name: place for place, name in enumerate(names)}
    for row in dict.fromkeys(row for row, _ in tables):
        others = [column for first, column in tables if first == row]
        own = np.concatenate([tables[row, column] for column in others])
        i, j = places[row], [places[column] for column in others]
        by_pair = (len(drawn), len(others), seeds)
        counts[..., i, j] = (drawn @ _points(own).T).reshape(by_pair).swapaxes(1, 2)
        counts[..., j, i] = (drawn @ _points(-own).T).reshape(by_pair).swapaxes(1, 2)
    return counts


def _points(table: NDArray) -> NDArray:
    """1 for a win, half for a tie, 0 for a loss and where there is no verdict."""
    return np.where(np.isnan(table), 0.0, (np.nan_to_num(table) + 1) / 2)


def _beats(size: int, difference: Callable[[int, int], Estimate]) -> NDArray:
    """[M, M], whether row is significantly stronger than column, corrected over all pairs."""
    pairs = list(combinations(range(size), 2))
    estimates = [difference(i, j) for i, j in pairs]
    beats = np.zeros((size, size), dtype=bool)
    for (i, j), found, p in zip(pairs, estimates, holm([e.p for e in estimates]), strict=True):
        if p < LEVEL:
            beats[(i, j) if found.value > 0 else (j, i)] = True
    return beats


def _check_connected(names: Sequence[str], counts: NDArray) -> None:
    """Some chain of verdicts leads from every method to every other in each seed."""
    for games in counts + np.swapaxes(counts, -1, -2):
        parts, part = connected_components(games > 0, directed=False)
        if parts > 1:
            apart = [name for name, number in zip(names, part, strict=True) if number != part[0]]
            raise ValueError(
                f"no verdict connects {', '.join(apart)} with {names[0]}, so they cannot be ranked together; "
                "leave them out, or judge a pair of them"
            )


def _check_finite(counts: NDArray) -> None:
    """In each table every method has won over every other, directly or through further ones."""
    won = counts.reshape(-1, *counts.shape[-2:]) > 0
    # Where the wins that all tables share suffice, which they nearly always do, one look is enough.
    if not _is_strong(won.all(axis=0)) and not all(map(_is_strong, won)):
        raise ValueError(
            "no finite strengths fit: some methods won or lost everything against the others, or never met them; "
            "add ties or leave these out"
        )


def _is_strong(won: NDArray) -> bool:
    return connected_components(won, directed=True, connection="strong")[0] == 1
