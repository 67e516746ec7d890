"""Fine-Grained RLHF's aspect models (arXiv:2306.01693), read by the stock Longformer: the aspects of arXiv:2403.06754.

Their networks are Longformer classes of their own, which differ from the stock ones in bfloat16 arithmetic alone and
have the same weights by the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import LongformerForSequenceClassification, LongformerForTokenClassification, PretrainedConfig

from alarm.scorers.base import Score
from alarm.scorers.checkpoints import Checkpoint, find_checkpoint
from alarm.scorers.forms import FORMS
from alarm.scorers.learned import CompletenessScorer, FactualityScorer, LearnedScorer, RelevanceScorer
from alarm.scorers.reader import Reader

FOLDERS = {"factuality": "fact_rm", "relevance": "rel_rm", "completeness": "comp_rm"}
"""Where the training scripts of Fine-Grained RLHF leave the three models in one folder; ours may be named by kind."""

BATCH_SIZE = 16
"""Texts that such a model, which may be thousands of tokens long, reads at once."""


class LongformerScorer(LearnedScorer):
    """A learned scorer whose network is one of the published checkpoints.

    It reads what the checkpoints were trained on: single spaces, and passages without the " | " that policies read
    between them. (The released inference leaves the bars in.) Labels are read at the separator before each unit. Where
    a text is too long the end of the prompt is cut, as for any learned scorer.
    """

    def __init__(
        self, checkpoint: str | Path, *, device: str = "cpu", batch_size: int = BATCH_SIZE, splitter: str = "rules"
    ) -> None:
        """Raises `ValueError` if `checkpoint` is not found, or is not a Longformer with this aspect's labels.

        `splitter` names the sentence splitter; the checkpoints were trained on the units that `spacy` finds.
        """
        self._found, self._splitter = find_checkpoint(str(checkpoint)), splitter
        super().__init__(self._found.name, device=device, batch_size=batch_size)

    @property
    def version(self) -> str:
        return f"longformer {self._found.version}"

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Score]:
        return super().score([training_form(prompt) for prompt in prompts], responses)

    def count_cut(self, prompts: Sequence[str], responses: Sequence[str]) -> int:
        return super().count_cut([training_form(prompt) for prompt in prompts], responses)

    def _read(self, device: str, dtype: torch.dtype | None) -> Reader:
        form, config = FORMS[self.name], self._found.config()
        check_labels(self._found, config, self.name)
        kind = LongformerForTokenClassification if form.labels else LongformerForSequenceClassification
        # Words are tokenised one by one, each as in the middle of a text.
        tokenizer = self._found.tokenizer(**({"add_prefix_space": True} if form.labels else {}))
        # The first positions belong to padding.
        limit = config.max_position_embeddings - config.pad_token_id - 1
        network = self._found.network(kind, config, device=device)
        max_tokens = min(limit, tokenizer.model_max_length)
        return Reader(network, tokenizer, self.name, max_tokens=max_tokens, splitter=self._splitter)


class LongformerFactuality(LongformerScorer, FactualityScorer):
    """Sentences that the passages support; reads question and passages, labels F-ERR, Ignore, O."""


class LongformerRelevance(LongformerScorer, RelevanceScorer):
    """Sub-sentences that answer the question without repetition; reads the question, labels Ignore, NF-ERR, O."""


class LongformerCompleteness(LongformerScorer, CompletenessScorer):
    """How much of the asked information the response holds; one logit read at the first token."""


SCORERS: tuple[type[LongformerScorer], ...] = (LongformerFactuality, LongformerRelevance, LongformerCompleteness)


def find_aspect(folder: str | Path, kind: str) -> Checkpoint:
    """The checkpoint of one aspect in a folder with all of them, each in a folder of its own (see `FOLDERS`).

    Raises:
        ValueError: it is missing, not complete, or no Longformer with this aspect's labels.
    """
    places = [Path(folder).expanduser() / name for name in (FOLDERS[kind], kind)]
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        raise ValueError(
            f"{folder} has no folder {FOLDERS[kind]} or {kind} with the {kind} model of Fine-Grained RLHF; copy it "
            "there"
        )
    found = find_checkpoint(str(place))
    try:
        config = found.config()
    except OSError as problem:
        raise ValueError(f"{place} has a config.json that cannot be read; copy it there again") from problem
    check_labels(found, config, kind)
    return found


def find_aspects(folder: str | Path) -> dict[str, Checkpoint]:
    """The checkpoints of all three aspects in a folder by kind; raises as `find_aspect`."""
    return {scorer.name: find_aspect(folder, scorer.name) for scorer in SCORERS}


def load_aspects(folder: str | Path, *, device: str = "cpu", splitter: str = "rules") -> dict[str, LongformerScorer]:
    """The three aspects of long-form question answering over ready-made models; raises as `find_aspect`."""
    found = find_aspects(folder)
    return {scorer.name: scorer(found[scorer.name].name, device=device, splitter=splitter) for scorer in SCORERS}


def check_labels(found: Checkpoint, config: PretrainedConfig, kind: str) -> None:
    """Raise `ValueError` unless this is a Longformer with the labels of an aspect, in the order of its logits.

    Labels without names are taken to be in alphabetical order, as the released code takes them.
    """
    if config.model_type != "longformer":
        raise ValueError(f"{found.name} is a {config.model_type} model, not a longformer")
    expected = FORMS[kind].labels
    labels = tuple(config.id2label[i] for i in range(config.num_labels))
    unnamed = tuple(f"LABEL_{i}" for i in range(len(expected) or 1))
    if labels not in (expected or unnamed, unnamed):
        raise ValueError(
            f"{found.name} has the labels {', '.join(labels)}, but a {kind} model has "
            f"{', '.join(expected) or 'one output'}; is it another aspect's?"
        )


def training_form(prompt: str) -> str:
    """A policy's prompt as the published aspect models were trained to read it.

    >>> training_form("question: Who? context: wikipage: A text: B.  | wikipage: C text: D. ")
    'question: Who? context: wikipage: A text: B. wikipage: C text: D.'
    """
    return " ".join(prompt.split()).replace(" | wikipage: ", " wikipage: ")
