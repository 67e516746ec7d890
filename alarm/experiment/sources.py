"""Real comparisons to study reward-model recipes on: HH-RLHF and WMT22's human scores, with small from-scratch models.

Sizes, learning rates and steps were chosen by cross-validation within the training side, with seeds that no study
uses. Two choices are less clean, and may flatter the held-out accuracies. An encoder was preferred to a causal network
on an earlier split, whose training side holds 342 of the 453 held-out HH pairs and 411 of the 500 of WMT22. And the tie
margin of WMT22 was set with all of its scores in view.

Nobody's labels are known to be right or wrong here, so a study has the annotators' validation set only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alarm.registry import Registry
from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.direct_assessment import Segment, compare_assessments, read_assessments, read_segments
from alarm.reward_modeling.from_scratch import ScratchModel, scratch_readers
from alarm.reward_modeling.hh import opening, read_hh, recent_turns
from alarm.reward_modeling.strength import folds
from alarm.reward_modeling.validation import VALIDATION_PAIRS, ComparisonSource, Heuristic, word_counts
from alarm.settings import RecipeSettings, RewardModelSettings
from alarm.text.chrf import sentence_chrf

SCALE = "small"
SPLIT_SEED = 0
HELD_OUT_FOLDS = 4
"""One of so many parts of the dialogues, or of the documents, is held out."""


@dataclass(frozen=True)
class SourceEntry:
    """A data set of comparisons, and how reward models are trained on it."""

    name: str
    files: tuple[str, ...]
    """Relative to the folder of real data."""
    read: Callable[[Path, ScratchModel], ComparisonSource]
    model: ScratchModel
    settings: RewardModelSettings
    """`batch_size` and `learning_rate`; a study sets steps and seed."""
    recipes: RecipeSettings

    def require(self, data: Path) -> None:
        """Raise `ValueError` if a file is not in the folder of real data."""
        missing = [file for file in self.files if not (data / file).is_file()]
        if missing:
            raise ValueError(f"the study of {self.name} reads {', '.join(missing)}, which --data {data} lacks")

    def source(self, data: Path | str) -> ComparisonSource:
        """The comparisons, split, with readers to train on them.

        Args:
            data: the folder of real data.
        Raises:
            ValueError: a file is missing or malformed; the message names it.
        """
        return self.read(Path(data), self.model)


SOURCES: Registry[SourceEntry] = Registry("comparison source")

HH_FILE = "hh/harmless-base/test.jsonl.gz"
PROMPT_WORDS = 40
"""Of a dialogue, the last turns with at most so many words are read, at least the last human turn.

In four-fold cross-validation on the training side 0.617, against 0.595 with the last human turn alone. The two were
compared after one look at the held-out side, with the last turn alone: 0.552 to 0.567, three seeds."""


def hh_harmless(data: Path, model: ScratchModel) -> ComparisonSource:
    """HH-RLHF harmless-base; dialogues that open alike are on one side, as rows may be cut from one dialogue."""
    found = read_hh(data / HH_FILE)
    held_out_rows = _held_out([opening(pair.prompt) for pair in found.pairs])
    pairs = [Comparison(recent_turns(p.prompt, PROMPT_WORDS), p.chosen, p.rejected) for p in found.pairs]
    shortened = sum(pair.prompt != original.prompt for pair, original in zip(pairs, found.pairs, strict=True))
    train, held_out = _sides(pairs, held_out_rows)
    return ComparisonSource(
        name="hh_harmless",
        scale=SCALE,
        train=train,
        held_out=held_out,
        make_reader=scratch_readers(train, model),
        heuristics={"length": word_counts, "brevity": _brevity},
        facts={**found.facts, "dialogues cut to their last turns": shortened, **_model_facts(model)},
    )


WMT22_FILES = ("wmt22_deen/segments.jsonl.gz", "wmt22_deen/human_da.jsonl.gz")


def wmt22_da(data: Path, model: ScratchModel) -> ComparisonSource:
    """WMT22 German to English by human z-scores; the reader sees source and translation, the heuristics a reference.

    Documents are on one side. Reference A was not rated, so chrF and BLEU can be measured against it; a training
    comparison whose source text is held out too is left out.
    """
    segments = read_segments(data / WMT22_FILES[0])
    assessed = compare_assessments(segments, read_assessments(data / WMT22_FILES[1]))
    train, held_out = _sides(assessed.pairs, _held_out(assessed.documents))
    held_out_texts = {pair.prompt for pair in held_out}
    distinct = [pair for pair in train if pair.prompt not in held_out_texts]
    # A study validates on the first ones, and the file goes document by document.
    random.Random(SPLIT_SEED).shuffle(held_out)
    return ComparisonSource(
        name="wmt22_da",
        scale=SCALE,
        train=distinct,
        held_out=held_out[:VALIDATION_PAIRS],
        make_reader=scratch_readers(distinct, model),
        heuristics={"length": word_counts, **reference_heuristics(segments.values())},
        facts={
            **assessed.facts,
            "training pairs with a held-out source text skipped": len(train) - len(distinct),
            "held-out pairs before sampling": len(held_out),
            **_model_facts(model),
        },
    )


def reference_heuristics(segments: Sequence[Segment], reference: str = "A") -> dict[str, Heuristic]:
    """Sentence chrF and sentence BLEU against a human reference, looked up by source text.

    Where a source text occurs twice, its first reference counts.
    """
    from sacrebleu.metrics import BLEU

    references: dict[str, str] = {}
    for segment in segments:
        references.setdefault(segment.source, segment.references[reference])
    metric = BLEU(effective_order=True)

    def chrf(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        return sentence_chrf(responses, [references[prompt] for prompt in prompts])

    def bleu(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        pairs = zip(prompts, responses, strict=True)
        return [metric.sentence_score(response, [references[prompt]]).score for prompt, response in pairs]

    return {"chrf": chrf, "bleu": bleu}


def _brevity(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """Shorter is better: refusals are short, and longer answers say more that can do harm."""
    return [-count for count in word_counts(prompts, responses)]


def _held_out(keys: Sequence[str]) -> np.ndarray:
    """[P] bool; what shares a key is on one side."""
    return folds(keys, HELD_OUT_FOLDS, SPLIT_SEED) == 0


def _sides(pairs: Sequence[Comparison], held_out: np.ndarray) -> tuple[list[Comparison], list[Comparison]]:
    return [pairs[i] for i in np.flatnonzero(~held_out)], [pairs[i] for i in np.flatnonzero(held_out)]


def _model_facts(model: ScratchModel) -> dict[str, Any]:
    return {
        "model": f"encoder from scratch, {model.layers} layers of {model.hidden_size}, dropout {model.dropout:g}",
        "vocabulary": f"{model.vocabulary_size} pieces, from the training pairs",
    }


# Cross-validated accuracy at the end of training. HH: 0.617 on four folds with these settings; six others, on two or
# four folds and but for one with the last human turn alone, 0.56 to 0.59. WMT22: 0.54 on two folds, the best of four
# settings (0.48 to 0.54), so that it flatters. A fold's standard error is about 0.03 for HH, at least 0.02 for WMT22.
for _entry in (
    SourceEntry(
        "hh_harmless",
        (HH_FILE,),
        hh_harmless,
        ScratchModel(vocabulary_size=4000, hidden_size=128, feedforward_size=128, layers=1, dropout=0.3),
        RewardModelSettings(batch_size=32, learning_rate=2e-3),
        RecipeSettings(ensemble_size=5, ensemble_steps=60, left_out_folds=2, study_steps=60),
    ),
    SourceEntry(
        "wmt22_da",
        WMT22_FILES,
        wmt22_da,
        ScratchModel(vocabulary_size=1000, hidden_size=64, feedforward_size=128, layers=3, dropout=0.1),
        RewardModelSettings(batch_size=64, learning_rate=1e-3),
        RecipeSettings(ensemble_size=5, ensemble_steps=200, left_out_folds=2, study_steps=200),
    ),
):
    SOURCES.add(_entry.name, _entry)
