"""Simulated people who judge answers in the QA world: feedback in QA-Feedback's form, with known mistakes.

What is true of every answer goes to a file of its own, for measuring the annotators and what is learned from them;
nothing that trains may read it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from alarm.reward_modeling.annotators import choose
from alarm.tasks.base import Example
from alarm.tasks.qa_feedback import PAIRS, PREDICTIONS, ErrorSpan, Feedback, MissingInfo
from alarm.tasks.worlds.qa_facts import OPENINGS, Claim, Verdict, facts_of, judge, passage_facts, quality
from alarm.text.splitting import sentence_spans


@dataclass(frozen=True)
class TrueLabels:
    """What is true of the four predictions of one question, in the order of the feedback records.

    `qualities` are gold qualities; `preference` follows from them (0 where they are equal); `errors` and `missing` are
    what annotators without mistakes would have marked in the first prediction.
    """

    prompt: str
    qualities: tuple[float, ...]
    preference: tuple[int, ...]
    errors: tuple[ErrorSpan, ...]
    missing: tuple[MissingInfo, ...]


def annotate(
    examples: Sequence[Example],
    predictions: Sequence[Sequence[str]],
    *,
    temperature: float,
    error_rate: float,
    span_error_rate: float,
    taste_share: float = 0.0,
    seed: int,
) -> tuple[list[Feedback], list[TrueLabels]]:
    """Let simulated people give feedback on four predictions for each question.

    Preference: as `alarm.reward_modeling.annotators.choose`; an answer that sounds sure of itself, as a bluffer's does,
    is the more appealing one. Where qualities are equal there is none.
    Marks: every claim of the first prediction is misjudged with probability `span_error_rate`, when an
    error is overlooked, or a right claim marked as irrelevant or unverifiable. With the same probability each missing
    fact is overlooked, and each sentence but the first left out of the corrected answer, which is otherwise the ideal
    one.

    Args:
        examples: questions of the generated world.
        predictions: four responses to each.
        temperature: of choices, in units of gold quality; > 0.
        error_rate: share of choices that are swapped, in [0, 0.5].
        taste_share: share of choices by tone alone, in [0, 1].
        span_error_rate: share of wrong marks, in [0, 1].
        seed: decides all of the annotators' chances.
    Returns:
        Feedback and true labels, one of each per question.
    """
    _check(examples, predictions, temperature, error_rate, span_error_rate)
    rng = np.random.default_rng(seed)
    chances = {"temperature": temperature, "error_rate": error_rate, "taste_share": taste_share}
    records, truths = [], []
    for example, texts in zip(examples, predictions, strict=True):
        reference, passages = example.reference, example.fields["passages"]
        qualities = tuple(quality(reference, passages, text).overall for text in texts)
        judged = judge(reference, passages, texts[0])
        errors = [_mark(texts[0], judged, i, verdict, passages) for i, (_, verdict) in enumerate(judged)]
        missing = _missing(reference, passages, judged)
        truths.append(
            TrueLabels(
                prompt=example.prompt,
                qualities=qualities,
                preference=tuple(
                    0 if qualities[i] == qualities[j] else 1 if qualities[i] > qualities[j] else 2 for i, j in PAIRS
                ),
                errors=tuple(error for error in errors if error),
                missing=missing,
            )
        )
        wrong_marks = rng.random(len(judged)) < span_error_rate
        spurious = [(Verdict.IRRELEVANT, Verdict.UNVERIFIABLE)[k] for k in rng.integers(2, size=len(judged))]
        marks = [
            error if not wrong else _mark(texts[0], judged, i, spurious[i], passages) if error is None else None
            for i, (error, wrong) in enumerate(zip(errors, wrong_marks, strict=True))
        ]
        noticed = rng.random(len(missing)) >= span_error_rate
        records.append(
            Feedback(
                question=example.fields["question"],
                passages=tuple((page["wikipage"], *_sentences(page["content"])) for page in passages),
                gold=reference,
                predictions=tuple(texts),
                errors=tuple(mark for mark in marks if mark),
                missing=tuple(info for info, seen in zip(missing, noticed, strict=True) if seen),
                corrected=_corrected(reference, span_error_rate, rng),
                preference=_choices(texts, qualities, rng, **chances),
            )
        )
    return records, truths


def write_true_labels(path: Path | str, labels: Sequence[TrueLabels]) -> None:
    """Write true labels as JSON lines."""
    lines = (json.dumps(asdict(label), ensure_ascii=False) for label in labels)
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_true_labels(path: Path | str) -> list[TrueLabels]:
    """Read back what `write_true_labels` wrote."""
    labels = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        labels.append(
            TrueLabels(
                row["prompt"],
                tuple(row["qualities"]),
                tuple(row["preference"]),
                tuple(ErrorSpan(**error) for error in row["errors"]),
                tuple(MissingInfo(m["type"], m["passage"], tuple(m["sentences"])) for m in row["missing"]),
            )
        )
    return labels


def _check(examples, predictions, temperature: float, error_rate: float, span_error_rate: float) -> None:
    if len(examples) != len(predictions):
        raise ValueError(f"{len(examples)} questions but predictions for {len(predictions)}; give four for each")
    for example, texts in zip(examples, predictions, strict=True):
        if len(texts) != PREDICTIONS:
            raise ValueError(f"question {example.id} has {len(texts)} predictions; feedback compares {PREDICTIONS}")
    if temperature <= 0 or not 0 <= error_rate <= 0.5 or not 0 <= span_error_rate <= 1:
        raise ValueError(
            "annotators need temperature > 0, error_rate in [0, 0.5] and span_error_rate in [0, 1]; "
            f"got {temperature}, {error_rate} and {span_error_rate}"
        )


def _choices(texts: Sequence[str], qualities: Sequence[float], rng: np.random.Generator, **chances: float):
    """1 or 2, which of each of `PAIRS` is preferred; 0 where their qualities are equal."""
    first, second = np.array([[qualities[i], qualities[j]] for i, j in PAIRS]).T
    sure = [text.startswith(OPENINGS["bluffer"]) for text in texts]
    appeal_a, appeal_b = np.array([[sure[i], sure[j]] for i, j in PAIRS]).T
    chosen = choose(first, second, generator=rng, appeal_a=appeal_a, appeal_b=appeal_b, **chances)
    return tuple(np.where(chosen.truth == 0, 0, np.where(chosen.prefers_a, 1, 2)).tolist())


def _mark(text: str, judged: Sequence[tuple[Claim, Verdict]], i: int, verdict: Verdict, passages) -> ErrorSpan | None:
    """The error span for claim `i` under a verdict, with the explanation the published data give for its type."""
    claim = judged[i][0]
    if verdict is Verdict.CORRECT:
        return None
    explanation = ""
    if verdict is Verdict.REDUNDANT:
        earlier = next((c for c, _ in judged[:i] if c.fact == claim.fact), claim)
        explanation = text[earlier.start : earlier.end]
    elif verdict is Verdict.WRONG:
        places = {fact.topic: place for fact, place in passage_facts(passages).items()}
        passage, sentence = places[claim.fact.topic]
        explanation = json.dumps({"passage_id": passage, "sentence_id": [sentence]}, separators=(",", ":"))
    return ErrorSpan(verdict.value, claim.start, claim.end, explanation)


def _missing(reference: str, passages, judged: Sequence[tuple[Claim, Verdict]]) -> tuple[MissingInfo, ...]:
    stated = {claim.fact for claim, _ in judged}
    places = passage_facts(passages)
    return tuple(
        MissingInfo("Missing-Answer", places[fact][0], (places[fact][1],))
        for fact in facts_of(reference)
        if fact not in stated
    )


def _corrected(reference: str, omission_rate: float, rng: np.random.Generator) -> str:
    first, *others = _sentences(reference)
    kept = rng.random(len(others)) >= omission_rate
    return " ".join([first, *(sentence for sentence, keep in zip(others, kept, strict=True) if keep)])


def _sentences(text: str) -> list[str]:
    return [text[start:end].strip() for start, end in sentence_spans(text)]
