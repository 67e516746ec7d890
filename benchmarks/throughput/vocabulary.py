"""Texts of numbers and a tokenizer with one token a number, so that texts and ids turn into each other exactly.

A policy with random weights writes anything in its vocabulary. Numbers are words that every scorer takes: sentences end
among them, and a grammar checker, which would search its dictionary for each unknown word, lets them pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

FORM_WORDS = ("question:", "context:", "wikipage:", "text:", "answer:", "Human:", "Assistant:", "|")
"""Words of prompts and of the text forms of scorers."""
SENTENCE = 12
"""Every so many-th number ends a sentence."""
LAYOUTS = {
    "t5": ("<pad> </s> <unk>", "$A </s>"),
    "gpt2": ("<pad> </s> <unk>", "$A </s>"),
    "llama": ("<unk> <s> </s>", "<s> $A"),
    "longformer": ("<s> <pad> </s> <unk> <mask>", "<s> $A </s>"),
}
"""By kind of network: the special tokens in the order of their ids, and what stands around a text."""
ROLES = {
    "<pad>": "pad_token",
    "<s>": "bos_token",
    "</s>": "eos_token",
    "<unk>": "unk_token",
    "<mask>": "mask_token",
}


def word(number: int) -> str:
    """A number as a word.

    >>> word(11), word(12)
    ('11', '12.')
    """
    return f"{number}." if number % SENTENCE == 0 else str(number)


def word_tokenizer(size: int, kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of exactly `size` tokens laid out for a network of `kind`, one of `LAYOUTS`.

    A number beyond the vocabulary is one unknown token, so a text has as many tokens for every tokenizer.

    Raises:
        ValueError: `size` does not hold the special tokens and the words of the forms.
    """
    specials, around = LAYOUTS[kind]
    special = specials.split()
    fixed = [*special, *FORM_WORDS]
    if size <= len(fixed):
        raise ValueError(f"a vocabulary of {size} words holds no number beside {len(fixed)} fixed ones; raise its size")
    vocabulary = {token: i for i, token in enumerate([*fixed, *map(word, range(1, size - len(fixed) + 1))])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single=around, special_tokens=[(token, vocabulary[token]) for token in special]
    )
    names = {ROLES[token]: token for token in special}
    if kind == "longformer":
        names["sep_token"] = names["cls_token"] = "</s>"
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **names)


def texts(count: int, words: int, *, vocabulary_size: int, seed: int) -> list[str]:
    """`count` different texts of so many numbers, drawn from those of a vocabulary of this size."""
    highest = vocabulary_size - len(FORM_WORDS) - max(len(specials.split()) for specials, _ in LAYOUTS.values())
    rows = np.random.default_rng(seed).integers(1, highest, size=(count, words), endpoint=True)
    return [" ".join(word(number) for number in row) for row in rows.tolist()]


def question_prompts(plain: Sequence[str], *, question_words: int) -> list[str]:
    """The texts as question-answering prompts of as many words: a question and one passage."""
    prompts = []
    for text in plain:
        words = text.split()
        asked = min(question_words, len(words) // 2)
        passage = ["context:", "wikipage:", words[asked], "text:", *words[asked + 5 :]]
        prompts.append(" ".join(["question:", *words[:asked], *passage]))
    return prompts
