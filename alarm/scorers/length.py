"""Length of the response, the reward of the length ablation (arXiv:2403.06754, section 4.4)."""

from __future__ import annotations

from alarm.scorers.base import Placement, Score
from alarm.scorers.text_scorer import TextScorer


class LengthScorer(TextScorer):
    """Number of whitespace-separated words; an empty response has length 0.

    The ablation's reward is length / mean length, so with `mean_length` given (the mean of the initial policy's
    samples, in words) `scale` is 1 / mean_length and `value * scale` is the reward. It is never z-normalised.
    The authors count generated tokens; words are what a scorer of text can count for any policy's tokenizer.
    """

    name = "length"
    value_name = "length in words"
    placement = Placement.LAST
    higher_is_better = True

    def __init__(self, *, mean_length: float | None = None) -> None:
        super().__init__()
        if mean_length is not None:
            if not mean_length > 0:
                raise ValueError(f"mean_length must be positive, got {mean_length}; measure it on non-empty responses")
            self.scale = 1.0 / mean_length

    def measure(self, response: str) -> Score:
        return Score(float(len(response.split())))
