"""Training labels of the QA reward models, made from feedback.

Source: Fine-Grained RLHF (arXiv:2306.01693), sections 4.2 and 4.3, appendix D, and its released label scripts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alarm.tasks.qa_feedback import FACTUALITY_ERRORS, PAIRS, RELEVANCE_ERRORS, ErrorSpan, Feedback
from alarm.text.splitting import (
    SentenceSplitter,
    sentence_spans,
    split_sentences,
    sub_sentence_spans,
)

GOOD, IGNORED, RELEVANCE_ERROR, FACTUALITY_ERROR = "O", "Ignore", "NF-ERR", "F-ERR"
MIN_ERROR_WORDS = 5
MIN_SIMILARITY = 0.85


def relevance_labels(record: Feedback, *, sentence_splitter: SentenceSplitter = split_sentences) -> tuple[str, ...]:
    """One label per sub-sentence of the first prediction (`sub_sentence_spans`): "NF-ERR" if an error of relevance
    type touches it, else "O". Such errors of fewer than five words are overlooked. No units, no labels."""
    text = record.predictions[0]
    errors = _long_relevance_errors(record)
    units = sub_sentence_spans(text, sentence_splitter=sentence_splitter)
    return tuple(RELEVANCE_ERROR if _touched(text, unit, errors) else GOOD for unit in units)


def factuality_labels(record: Feedback, *, sentence_splitter: SentenceSplitter = split_sentences) -> tuple[str, ...]:
    """One label per sentence of the first prediction (`sentence_spans`): "F-ERR" if a factual error touches it, else
    "Ignore" if an error of relevance type does (annotators check no facts there), else "O".

    Empty where there is nothing to learn: no units, or only "Ignore".
    """
    text = record.predictions[0]
    factual = [error for error in record.errors if error.type in FACTUALITY_ERRORS]
    unchecked = _long_relevance_errors(record)
    labels = []
    for unit in sentence_spans(text, sentence_splitter=sentence_splitter):
        if _touched(text, unit, factual):
            labels.append(FACTUALITY_ERROR)
        else:
            labels.append(IGNORED if _touched(text, unit, unchecked) else GOOD)
    return () if set(labels) <= {IGNORED} else tuple(labels)


def preferred_pairs(preference: Sequence[int]) -> list[tuple[int, int]]:
    """(better, worse) positions among the four predictions, in the order of `PAIRS`; undecided pairs are left out.

    >>> preferred_pairs([1, 0, 2, 0, 0, 1])
    [(0, 1), (3, 0), (2, 3)]
    """
    return [
        (first, second) if choice == 1 else (second, first)
        for (first, second), choice in zip(PAIRS, preference, strict=True)
        if choice
    ]


def coverages(
    record: Feedback, *, sentence_splitter: SentenceSplitter = split_sentences
) -> tuple[float, float, float, float] | None:
    """Share of the needed information that each prediction covers, or None where none is needed.

    Information is counted in passage sentences. Needed are those matched by a sub-sentence of the corrected answer,
    less those marked only as minor missing information, unless the first prediction has that sub-sentence.
    """
    passages = _Sentences(record)
    minor = {
        (info.passage, sentence)
        for info in record.missing
        if info.type == "Missing-Minor-Auxiliary"
        for sentence in info.sentences
    }
    first = record.predictions[0].lower()
    needed, dropped = set(), set()
    for unit in _units(record.corrected, sentence_splitter):
        match = passages.best_match(unit)
        if match is None:
            continue
        needed.add(match)
        if match in minor and unit.lower() not in first:
            dropped.add(match)
        else:
            dropped.discard(match)
    needed -= dropped
    if not needed:
        return None
    return tuple(
        len(needed & {passages.best_match(unit) for unit in _units(prediction, sentence_splitter)}) / len(needed)
        for prediction in record.predictions
    )


def completeness_preference(
    record: Feedback, *, sentence_splitter: SentenceSplitter = split_sentences
) -> tuple[int, ...]:
    """Which prediction of each of `PAIRS` covers more, as in `Feedback.preference`; all 0 if nothing is needed."""
    shares = coverages(record, sentence_splitter=sentence_splitter)
    if shares is None:
        return (0,) * len(PAIRS)
    return tuple(0 if shares[i] == shares[j] else 1 if shares[i] > shares[j] else 2 for i, j in PAIRS)


def _long_relevance_errors(record: Feedback) -> list[ErrorSpan]:
    text = record.predictions[0]
    return [
        error
        for error in record.errors
        if error.type in RELEVANCE_ERRORS and len(text[error.start : error.end].split()) >= MIN_ERROR_WORDS
    ]


def _touched(text: str, unit: tuple[int, int], errors: Sequence[ErrorSpan]) -> bool:
    """Whether an error covers a character of the unit other than white space."""
    return any(text[max(unit[0], error.start) : min(unit[1], error.end)].strip() for error in errors)


def _units(text: str, sentence_splitter: SentenceSplitter) -> list[str]:
    text = " ".join(text.split())
    return [text[start:end].strip() for start, end in sub_sentence_spans(text, sentence_splitter=sentence_splitter)]


class _Sentences:
    """The passage sentences of a record, ready to be matched to the units of an answer.

    The similarity of a unit to a sentence is 1 if the sentence contains it, else the best unordered character overlap
    2 m / (a + b) (m common characters of texts with a and b characters) over the sentence's word n-grams of the unit's
    length plus 5 percent, rounded down. A shorter sentence is filled up with "#" words. Counts of characters are sums
    over words, so all n-grams of all sentences are compared at once.
    """

    def __init__(self, record: Feedback) -> None:
        self.ids = [(i, j) for i, page in enumerate(record.passages, start=1) for j in range(1, len(page))]
        self.texts = [" ".join(record.passages[i - 1][j].split()) for i, j in self.ids]
        self.words = [text.split(" ") if text else [] for text in self.texts]
        self.columns = {character: k for k, character in enumerate(sorted({"#", *"".join(self.texts)} - {" "}))}
        rows = [np.stack([self._count(word) for word in words]) if words else self._none() for words in self.words]
        self.running = [np.concatenate([self._none(1), np.cumsum(row, axis=0)]) for row in rows]

    def best_match(self, unit: str) -> tuple[int, int] | None:
        """The (passage, sentence) most similar to the unit, the first of equals; None below `MIN_SIMILARITY`."""
        for identity, text in zip(self.ids, self.texts, strict=True):
            if unit in text:
                return identity
        if not self.ids:
            return None
        length = len(unit.split())
        width = length + int(0.05 * length)
        grams, owners = [], []
        for k, running in enumerate(self.running):
            count = len(running) - 1
            # A sentence shorter than the n-gram gets one "#" word more than it lacks, hence two n-grams.
            fill = max(0, width - count + 1)
            if fill:
                steps = np.arange(1, fill + 1, dtype=np.int32)[:, None] * self._count("#")
                running = np.concatenate([running, running[-1:] + steps])
            grams.append(running[width:] - running[:-width])
            owners.append(np.full(len(grams[-1]), k))
        counts, owner = np.concatenate(grams), np.concatenate(owners)
        target = self._count(unit)
        common = np.minimum(counts, target).sum(axis=1) + min(width - 1, unit.count(" "))
        similarity = 2.0 * common / (counts.sum(axis=1) + width - 1 + len(unit))
        best = int(similarity.argmax())
        return self.ids[owner[best]] if similarity[best] >= MIN_SIMILARITY else None

    def _count(self, text: str) -> np.ndarray:
        """How often each known character occurs; spaces and characters of no sentence are left out."""
        columns = [self.columns[character] for character in text if character in self.columns]
        return np.bincount(columns, minlength=len(self.columns)).astype(np.int32)

    def _none(self, rows: int = 0) -> np.ndarray:
        return np.zeros((rows, len(self.columns)), dtype=np.int32)
