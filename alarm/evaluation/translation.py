"""Corpus metrics of translations: BLEU, chrF and TER by sacreBLEU, with signatures and its paired bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from alarm.registry import unknown_name
from alarm.text.chrf import sentence_chrf

__all__ = ["CorpusScore", "PairedScore", "corpus_scores", "paired_bootstrap", "sentence_chrf"]

RESAMPLES = 1000
"""sacreBLEU's own default."""


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


@dataclass(frozen=True)
class PairedScore:
    """One metric of one system, compared with the baseline's over the same resamples of the sentences."""

    score: CorpusScore
    """Its signature names the number of resamples and their seed too."""
    mean: float
    """Over the resamples."""
    half_width: float
    """Of the 95 % interval around that mean."""
    p: float | None
    """That the system and the baseline score alike; None for the baseline. sacreBLEU compares how far resampled
    differences exceed their own mean with the difference itself, so for clear differences this is the one-sided p
    value, and half of the two-sided. With R resamples it is at least 1 / (R + 1)."""


def corpus_scores(responses: Sequence[str], references: Sequence[str]) -> dict[str, CorpusScore]:
    """BLEU, chrF and TER by lower-case name, one reference for each response.

    These are corpus scores: counts are added up over all sentences, they are not means of sentence scores.

    Raises:
        ValueError: no responses, or lists of different lengths.
    """
    if not responses or len(responses) != len(references):
        raise ValueError(
            f"{len(responses)} responses and {len(references)} references; corpus scores need at least one and "
            "one reference for each"
        )
    scores = {}
    for metric, higher_is_better in _metrics():
        value = metric.corpus_score(list(responses), [list(references)])
        scores[_key(value.name)] = CorpusScore(value.name, value.score, higher_is_better, str(metric.get_signature()))
    return scores


def paired_bootstrap(
    systems: Mapping[str, Sequence[str]], references: Sequence[str], baseline: str, *, resamples: int = RESAMPLES
) -> dict[str, dict[str, PairedScore]]:
    """sacreBLEU's paired bootstrap of BLEU, chrF and TER: every system against the baseline on the same sentences.

    Args:
        systems: name to translations, one for each reference and in their order; the baseline is one of them.
        references: one per sentence.
        baseline: its name among the systems.
        resamples: how many sets of sentences are drawn; all systems and metrics see the same ones.
    Returns:
        System to metric (`bleu`, `chrf`, `ter`) to its score and p value; p values are not corrected for their number.
        p is 1 where both score exactly alike (sacreBLEU itself says 1 / (R + 1) of a copy of the baseline).
    Raises:
        ValueError: the baseline is no system, there is no sentence, or lists differ in length.
    Source: Koehn (2004); `sacrebleu.significance`, which is what `sacrebleu --paired-bs` runs.
    """
    if baseline not in systems:
        raise ValueError(unknown_name("baseline", baseline, systems))
    for name, responses in systems.items():
        if not references or len(responses) != len(references):
            raise ValueError(
                f"{name} has {len(responses)} responses and there are {len(references)} references; a paired "
                "bootstrap needs at least one and one reference for each"
            )
    from sacrebleu.significance import PairedTest

    names = [baseline, *(name for name in systems if name != baseline)]
    named = [(name, list(systems[name])) for name in names]
    metrics, directions = zip(*_metrics([list(references)]), strict=True)
    test = PairedTest(named, dict(enumerate(metrics)), None, test_type="bs", n_samples=resamples)
    signatures, columns = test()
    found: dict[str, dict[str, PairedScore]] = {name: {} for name in names}
    # PairedTest keeps the order of the metrics, and names each by its score.
    for (metric, signature), higher_is_better in zip(signatures.items(), directions, strict=True):
        for name, result in zip(names, columns[metric], strict=True):
            score = CorpusScore(metric, float(result.score), higher_is_better, str(signature))
            # sacreBLEU counts resamples that differ by more than the systems do: none do where both are the same text.
            alike = name != baseline and result.score == columns[metric][0].score
            p = 1.0 if alike else result.p_value
            found[name][_key(metric)] = PairedScore(score, float(result.mean), float(result.ci), p)
    return found


def _metrics(references: Sequence[Sequence[str]] | None = None) -> tuple[tuple[Any, bool], ...]:
    """sacreBLEU's metrics with its defaults, each with whether higher is better; `references` are counted once then."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    return (BLEU(references=references), True), (CHRF(references=references), True), (TER(references=references), False)


def _key(name: str) -> str:
    """`chrf` for sacreBLEU's `chrF2`."""
    return name.lower().rstrip("2")
