"""Networks of a workload with random weights, made where they run; nothing is downloaded."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    LongformerForSequenceClassification,
    LongformerForTokenClassification,
    PretrainedConfig,
)

from alarm.ppo.networks import add_lora, build_model
from alarm.ppo.policy import DTYPES, Policy
from alarm.scorers.base import Scorer
from alarm.scorers.forms import FORMS
from alarm.scorers.learned import CompletenessScorer, FactualityScorer, HolisticScorer, RelevanceScorer
from alarm.scorers.longformer import FOLDERS, load_aspects
from alarm.scorers.networks import EncoderDecoderReader
from alarm.scorers.reader import Reader
from alarm.scorers.ready_made import ReadyMadeScorer
from alarm.scorers.ultra_rm import UltraRM, UltraRMScorer
from benchmarks.throughput.vocabulary import word_tokenizer
from benchmarks.throughput.workloads import Workload

READERS = (HolisticScorer, FactualityScorer, RelevanceScorer, CompletenessScorer)
FORM_TOKENS = 64
"""More than the words around prompt and response in any text form."""


@contextmanager
def random_weights(device: str, dtype: torch.dtype, *, seed: int = 0) -> Iterator[None]:
    """Networks made inside have their weights drawn on `device` in `dtype` at once; random states are put back."""
    default = torch.get_default_dtype()
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.set_default_dtype(dtype)
        try:
            with torch.device(device):
                yield
        finally:
            torch.set_default_dtype(default)


def reward_model_dtype(device: str) -> torch.dtype:
    """Of ready-made reward models, as `alarm.scorers.checkpoints` loads them."""
    return torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32


def make_policy(workload: Workload, device: str) -> Policy:
    """The workload's policy, which never ends a response."""
    settings = workload.policy
    if workload.network is None:
        tokenizer = word_tokenizer(settings.vocabulary_size, "t5")
        model = build_model(settings, tokenizer, max_tokens=_longest(workload), seed=0)
    else:
        tokenizer = word_tokenizer(workload.network.vocab_size, "t5")
        auto = AutoModelForSeq2SeqLM if workload.network.is_encoder_decoder else AutoModelForCausalLM
        with random_weights(device, DTYPES[settings.dtype]):
            model = auto.from_config(copy.deepcopy(workload.network), dtype=DTYPES[settings.dtype])
    if settings.lora_rank:
        model = add_lora(model, settings, seed=0)
    policy = Policy(
        model,
        tokenizer,
        seed=0,
        value_dropout=workload.ppo.value_dropout,
        lora=settings.lora_rank > 0,
        tuned=settings.tuned,
    ).to(device)
    policy.forbid(tokenizer.eos_token_id)
    return policy


def make_reader(workload: Workload, kind: str, policy: PretrainedConfig, *, device: str, seed: int = 0) -> Reader:
    """An untrained reader of one kind in fp32: a Longformer, or a network of the policy's shape."""
    base = workload.aspects or policy
    config = copy.deepcopy(base)
    config.num_labels = max(1, len(FORMS[kind].labels))
    layout = "longformer" if workload.aspects else "t5"
    with random_weights(device, torch.float32, seed=seed):
        if config.is_encoder_decoder:
            network = EncoderDecoderReader(config)
        else:
            auto = AutoModelForTokenClassification if FORMS[kind].labels else AutoModelForSequenceClassification
            network = auto.from_config(config)
    return Reader(network, word_tokenizer(config.vocab_size, layout), kind, max_tokens=_longest(workload))


def make_readers(workload: Workload, policy: PretrainedConfig, folder: Path, device: str) -> dict[str, Scorer]:
    """The learned scorers of the workload but for a ready-made holistic one, by name."""
    if workload.aspects:
        save_aspects(workload.aspects, folder, device)
        return load_aspects(folder, device=device)
    found = {}
    for scorer in READERS:
        ready_made = scorer.name == "holistic" and workload.holistic is not None
        if scorer.name in workload.scorers and not ready_made:
            make_reader(workload, scorer.name, policy, device="cpu").save(folder / scorer.name)
            found[scorer.name] = scorer(folder / scorer.name, device=device)
    return found


def save_aspects(config: PretrainedConfig, folder: Path, device: str) -> None:
    """Random checkpoints in the layout in which Fine-Grained RLHF's aspect models are kept."""
    tokenizer = word_tokenizer(config.vocab_size, "longformer")
    for name, place in FOLDERS.items():
        own = copy.deepcopy(config)
        own.num_labels = max(1, len(FORMS[name].labels))
        kind = LongformerForTokenClassification if FORMS[name].labels else LongformerForSequenceClassification
        with random_weights(device, reward_model_dtype(device)):
            network = kind(own)
        network.save_pretrained(folder / place)
        tokenizer.save_pretrained(folder / place)


class RandomUltraRM(UltraRMScorer):
    """UltraRM's network of any size with random weights, never on disk."""

    def __init__(self, config: PretrainedConfig, *, device: str, max_tokens: int) -> None:
        with random_weights(device, reward_model_dtype(device)):
            network = UltraRM(copy.deepcopy(config)).eval()
        tokenizer = word_tokenizer(config.vocab_size, "llama")
        ReadyMadeScorer.__init__(self, network, tokenizer, version="random weights", max_tokens=max_tokens)


def _longest(workload: Workload) -> int:
    """Tokens of prompt and response together, were every token of the response followed by a separator."""
    return workload.ppo.max_prompt_tokens + 2 * workload.ppo.max_new_tokens + FORM_TOKENS
