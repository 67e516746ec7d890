"""Sentence chrF: character n-gram overlap of one translation with its reference, through sacreBLEU."""

from __future__ import annotations

from collections.abc import Sequence


def sentence_chrf(responses: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF2 of every response, in [0, 100] with 100 for the reference itself; an empty response has 0.

    Raises:
        ValueError: lists of different lengths.
    """
    from sacrebleu.metrics import CHRF

    if len(responses) != len(references):
        raise ValueError(f"{len(responses)} responses but {len(references)} references; give one reference for each")
    metric = CHRF()
    return [
        metric.sentence_score(response, [reference]).score
        for response, reference in zip(responses, references, strict=True)
    ]
