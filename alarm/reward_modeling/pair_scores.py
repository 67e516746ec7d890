"""Scores of comparisons: every distinct response is read once, however many pairs it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from alarm.scorers.networks import collate, marked_logits

if TYPE_CHECKING:
    from alarm.reward_modeling.pair_batches import Pair
    from alarm.scorers.reader import Reader

BATCH_SIZE = 64
"""Responses scored together."""


@dataclass(frozen=True)
class DistinctResponses:
    """The R distinct responses of P comparisons, prompt by prompt, and where each pair finds its own."""

    prompts: list[str]
    """[R]"""
    responses: list[str]
    """[R]"""
    chosen: NDArray[np.int64]
    """[P], rows of the lists above."""
    rejected: NDArray[np.int64]
    """[P]"""

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> DistinctResponses:
        """Prompts and responses in the order in which they first occur, a prompt's responses together."""
        of_prompt: dict[str, dict[str, None]] = {}
        for pair in pairs:
            of_prompt.setdefault(pair.prompt, {}).update({pair.chosen: None, pair.rejected: None})
        texts = [(prompt, response) for prompt, responses in of_prompt.items() for response in responses]
        row = {text: i for i, text in enumerate(texts)}
        return cls(
            [prompt for prompt, _ in texts],
            [response for _, response in texts],
            np.array([row[pair.prompt, pair.chosen] for pair in pairs], dtype=np.int64),
            np.array([row[pair.prompt, pair.rejected] for pair in pairs], dtype=np.int64),
        )

    def differences(self, scores: ArrayLike) -> NDArray[np.float64]:
        """score(chosen) - score(rejected), [P], of scores [R]."""
        scores = np.asarray(scores, dtype=np.float64)
        return scores[self.chosen] - scores[self.rejected]


class PairScorer:
    """Scores the same comparisons again and again, as the network in `reader` learns; texts are encoded once."""

    def __init__(self, reader: Reader, pairs: Sequence[Pair]) -> None:
        self._network, self._texts = reader.network, DistinctResponses.of(pairs)
        encoded = reader.encode(self._texts.prompts, [[response] for response in self._texts.responses])
        # In this order the responses to one prompt share its encoding.
        self._batches = [
            collate(encoded[start : start + BATCH_SIZE], pad_id=reader.tokenizer.pad_token_id)
            for start in range(0, len(encoded), BATCH_SIZE)
        ]

    @torch.inference_mode()
    def differences(self) -> NDArray[np.float64]:
        """r(chosen) - r(rejected), [P], by the network as it is; it should be in evaluation mode."""
        device = self._network.device
        scores = [marked_logits(self._network, batch.to(device)).squeeze(1).cpu() for batch in self._batches]
        return self._texts.differences(torch.cat(scores).double().numpy() if scores else [])


def share_right(differences: ArrayLike) -> float:
    """Share of pairs whose chosen response scores higher, a tie counting half; NaN without pairs."""
    differences = np.asarray(differences, dtype=np.float64)
    return float(np.mean((differences > 0) + 0.5 * (differences == 0))) if len(differences) else float("nan")
