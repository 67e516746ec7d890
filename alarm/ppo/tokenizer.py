"""A tokenizer trained on a task's own text, for policies that are built from scratch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from transformers import PreTrainedTokenizerFast

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def train_tokenizer(texts: Iterable[str], *, vocabulary_size: int, directory: str | Path) -> PreTrainedTokenizerFast:
    """Train byte-pair encoding over words and save it to `directory`; deterministic for the same texts.

    Encoded texts end with the end token, as T5's do. Characters that `texts` lack become the unknown token.

    Raises:
        ValueError: `vocabulary_size` does not even hold the special tokens and characters of `texts`.
    """
    # The trainer's merge counts are summed in parallel otherwise; ties could then fall differently.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    texts = list(texts)
    alphabet = sorted({character for text in texts for character in text})
    if vocabulary_size < len(alphabet) + 3:
        raise ValueError(
            f"a vocabulary of {vocabulary_size} pieces cannot hold the {len(alphabet)} characters of the text; "
            "raise vocabulary_size"
        )
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[PAD, END, UNKNOWN],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(directory)
    return fast
