"""Corpus metrics of translations: BLEU, chrF and TER by sacreBLEU, each with the signature that makes it comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from alarm.text.chrf import sentence_chrf

__all__ = ["CorpusScore", "corpus_scores", "sentence_chrf"]


@dataclass(frozen=True)
class CorpusScore:
    """One metric over a whole set of translations, on the scale 0 to 100 (TER may exceed it)."""

    name: str
    value: float
    higher_is_better: bool
    signature: str
    """sacreBLEU's: tokenisation, smoothing, version."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def corpus_scores(responses: Sequence[str], references: Sequence[str]) -> dict[str, CorpusScore]:
    """BLEU, chrF and TER by lower-case name, one reference for each response.

    These are corpus scores: counts are added up over all sentences, they are not means of sentence scores.

    Raises:
        ValueError: no responses, or lists of different lengths.
    """
    from sacrebleu.metrics import BLEU, CHRF, TER

    if not responses or len(responses) != len(references):
        raise ValueError(
            f"{len(responses)} responses and {len(references)} references; corpus scores need at least one and "
            "one reference for each"
        )
    scores = {}
    for metric, higher_is_better in ((BLEU(), True), (CHRF(), True), (TER(), False)):
        value = metric.corpus_score(list(responses), [list(references)])
        scores[value.name.lower().rstrip("2")] = CorpusScore(
            value.name, value.score, higher_is_better, str(metric.get_signature())
        )
    return scores
