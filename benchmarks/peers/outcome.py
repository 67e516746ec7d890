"""What follows from the rounds of two workers: medians, ratios, and distances from the floor."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.throughput.floor import Shape, forward_flops, iteration_flops


def outcome(
    shape: Shape, ours: Sequence[Mapping[str, float]], peer: Sequence[Mapping[str, float]], *, matrix_rate: float
) -> dict[str, Any]:
    """Everything about the times of a comparison.

    Args:
        ours: `seconds` and `rollout_seconds` of our rounds.
        peer: of the peer's, each next to one of ours in time.
        matrix_rate: operations per second, with as many threads.
    Returns:
        `ours` and `peer`: what `_times` returns; `ratio`: of medians, peer to ours, with `ratio_min` and `ratio_max`
        over neighbouring rounds; `flops`, `floor_seconds` and `rollout_floor_seconds`.
    """
    flops, forward = iteration_flops(shape), forward_flops(shape)
    found = {
        "ours": _times(ours, flops / matrix_rate, forward / matrix_rate),
        "peer": _times(peer, flops / matrix_rate, forward / matrix_rate),
    }
    ratios = [theirs["seconds"] / own["seconds"] for own, theirs in zip(ours, peer, strict=True)]
    return found | {
        "ratio": found["peer"]["median"] / found["ours"]["median"],
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "flops": flops,
        "floor_seconds": flops / matrix_rate,
        "rollout_floor_seconds": forward / matrix_rate,
    }


def _times(rounds: Sequence[Mapping[str, float]], floor: float, rollout_floor: float) -> dict[str, Any]:
    """Seconds of one side by round, their median and range, and both medians as multiples of the floors."""
    seconds, rollout = ([found[key] for found in rounds] for key in ("seconds", "rollout_seconds"))
    return {
        "seconds": seconds,
        "rollout_seconds": rollout,
        "median": statistics.median(seconds),
        "min": min(seconds),
        "max": max(seconds),
        "rollout_median": statistics.median(rollout),
        "over_floor": statistics.median(seconds) / floor,
        "rollout_over_floor": statistics.median(rollout) / rollout_floor,
    }
