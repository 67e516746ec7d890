"""A small reward model without a checkpoint: a tokenizer trained on the comparisons, below it an untrained encoder.

Where no pretrained model is at hand this still tells whether comparisons can be learned from at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from alarm.scorers.reader import Reader

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from alarm.reward_modeling.pair_batches import Pair

PAD, START, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"


@dataclass(frozen=True)
class ScratchModel:
    """Sizes of an encoder that is trained from scratch."""

    vocabulary_size: int = 2000  # pieces
    hidden_size: int = 64
    feedforward_size: int = 128
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1  # of embeddings, layers and the head; attention weights keep all
    max_tokens: int = 1024  # of prompt and response together; the end of a longer prompt is cut


def train_pair_tokenizer(pairs: Sequence[Pair], *, vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Byte-pair encoding of lower-case words and punctuation, from the texts of `pairs`; deterministic.

    Encoded texts stand between the start token, whose state an encoder scores, and the end token. Characters that the
    texts lack become the unknown token.

    Raises:
        ValueError: no pairs, or a vocabulary that does not hold the characters of their texts.
    """
    # The trainer's merge counts are summed in parallel otherwise; ties could then fall differently.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if not pairs:
        raise ValueError("a tokenizer needs comparisons to learn from, got none")
    special = [PAD, START, END, UNKNOWN]
    # Each text once and in a fixed order: many pairs of one prompt must not decide what is frequent.
    texts = sorted({text for pair in pairs for text in (pair.prompt, pair.chosen, pair.rejected)})
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = {character for text in texts for character in tokenizer.normalizer.normalize_str(text)}
    if vocabulary_size < len(alphabet) + len(special):
        raise ValueError(
            f"a vocabulary of {vocabulary_size} pieces cannot hold the {len(alphabet)} characters of the comparisons; "
            "raise vocabulary_size"
        )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, special_tokens=special, min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(token, tokenizer.token_to_id(token)) for token in (START, END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, cls_token=START, eos_token=END, unk_token=UNKNOWN
    )


def scratch_readers(pairs: Sequence[Pair], model: ScratchModel, *, kind: str = "holistic") -> Callable[[int], Reader]:
    """A function from a seed to an untrained reader, all of whose weights are drawn from it.

    Args:
        pairs: the training comparisons and no others: the readers share a tokenizer that has read them.
        kind: of sequence score (`alarm.scorers.forms`).
    Raises:
        ValueError: as `train_pair_tokenizer`.
    """
    tokenizer = train_pair_tokenizer(pairs, vocabulary_size=model.vocabulary_size)

    def reader(seed: int) -> Reader:
        from transformers import DistilBertConfig, DistilBertForSequenceClassification

        config = DistilBertConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=model.max_tokens,
            dim=model.hidden_size,
            hidden_dim=model.feedforward_size,
            n_layers=model.layers,
            n_heads=model.heads,
            dropout=model.dropout,
            seq_classif_dropout=model.dropout,
            # Drawing a mask for every pair of tokens would take most of the time on a CPU.
            attention_dropout=0.0,
            num_labels=1,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = DistilBertForSequenceClassification(config)
        return Reader(network.eval(), tokenizer, kind, max_tokens=model.max_tokens)

    return reader
