"""Proactive selection: which aspect contradicts the holistic reward least (arXiv:2403.06754, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Inconsistency:
    """How often an aspect and the holistic reward prefer different responses.

    `both_decide` and `holistic_decides` count pairs. `rate` is the paper's share of conflicts, in percent, among pairs
    on which both decide; `rate_released` divides by the pairs on which the holistic reward decides, as the released
    code does. Both are 0 where nothing is decided.
    """

    conflicts: int
    both_decide: int
    holistic_decides: int
    pairs: int

    @property
    def rate(self) -> float:
        return 100.0 * self.conflicts / self.both_decide if self.both_decide else 0.0

    @property
    def rate_released(self) -> float:
        return 100.0 * self.conflicts / self.holistic_decides if self.holistic_decides else 0.0

    def to_dict(self) -> dict[str, float]:
        return {**asdict(self), "rate": self.rate, "rate_released": self.rate_released}


def inconsistency(
    aspect_a: Sequence[float],
    aspect_b: Sequence[float],
    holistic_a: Sequence[float],
    holistic_b: Sequence[float],
    *,
    higher_is_better: bool = True,
) -> Inconsistency:
    """Compare an aspect with the holistic reward over pairs (a, b) of responses to the same prompts.

    Args:
        aspect_a, aspect_b: the aspect's value of each response, [N].
        holistic_a, holistic_b: the holistic reward of each response, [N]; higher is better.
        higher_is_better: False for aspects such as an error rate.
    Returns:
        The counts; ties on either side are no conflict.
    Raises:
        ValueError: lengths differ, or a value is NaN.
    """
    arrays = [np.asarray(x, dtype=np.float64) for x in (aspect_a, aspect_b, holistic_a, holistic_b)]
    if len({a.shape for a in arrays}) != 1:
        raise ValueError(f"inconsistency needs four sequences of one length, got {[a.shape for a in arrays]}")
    if any(np.isnan(a).any() for a in arrays):
        raise ValueError("inconsistency: a score is NaN; drop the pair or mend the scorer first")
    aspect = np.sign(arrays[0] - arrays[1]) * (1 if higher_is_better else -1)
    holistic = np.sign(arrays[2] - arrays[3])
    return Inconsistency(
        conflicts=int(np.sum(aspect * holistic < 0)),
        both_decide=int(np.sum(aspect * holistic != 0)),
        holistic_decides=int(np.sum(holistic != 0)),
        pairs=len(holistic),
    )


def select_aspect(candidates: Mapping[str, Inconsistency]) -> str:
    """The aspect with the lowest inconsistency; on equal rates the one that decides more pairs, then the first listed.

    An aspect that decides no pair at all tells nothing and is chosen only if no candidate decides any.
    """
    if not candidates:
        raise ValueError("select_aspect needs at least one candidate aspect")
    names = list(candidates)

    def rank(name: str) -> tuple[bool, float, int, int]:
        c = candidates[name]
        return (c.both_decide == 0, c.rate, -c.both_decide, names.index(name))

    return min(names, key=rank)
