"""What an experiment needs on one device, computed without one: the real networks run on torch's `meta` device.

Its tensors have shapes and no memory, so the bytes that would be alive at the worst moment can be counted.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PretrainedConfig

from alarm.ppo.networks import add_lora, freeze_all_but_norms
from alarm.ppo.policy import DTYPES
from alarm.settings import PolicySettings, PPOSettings

ADAM_STATES = 2
FLOAT = 4
READS_VALUES = ("longformer",)
OVERHEAD = 1.1
"""Allocators keep blocks that do not fit, and libraries have workspaces: a tenth on top."""


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that operations make inside it, and the most that were alive at once (`peak`)."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: weakref.WeakSet = weakref.WeakSet()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        # What came from outside, such as weights, is not ours, and nor are views of it.
        self._known.update(_storages((args, kwargs)))
        result = function(*args, **(kwargs or {}))
        for storage in _storages(result):
            self._count(storage)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.live -= size


def _storages(values: object) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


@contextmanager
def meta() -> Iterator[None]:
    """Networks and tensors made inside have no memory. Autocast, which rotary embeddings switch off, does not know
    that device, and is left out."""
    with torch.device("meta"), patch.object(torch, "autocast", lambda *_, **__: nullcontext()):
        yield


def peak_bytes(run: Callable[[], object]) -> int:
    """Bytes alive at the worst moment of `run`, beyond what was there before."""
    with LiveBytes() as counter:
        kept = run()
    del kept
    return counter.peak


@dataclass(frozen=True)
class Memory:
    """Bytes by what they are for. What is resident stays all the time; of the phases only one is there at a time."""

    resident: dict[str, int]
    phases: dict[str, int]

    @property
    def total(self) -> int:
        """The most that is needed at once, with allowance for the allocator."""
        return round(OVERHEAD * (sum(self.resident.values()) + max(self.phases.values())))


def policy_memory(config: PretrainedConfig, settings: PolicySettings, ppo: PPOSettings) -> Memory:
    """What a policy needs for PPO: weights, what trains them, and the peaks of a rollout and of an update.

    Responses are taken to be as long as they may be, and so are prompts.

    Args:
        config: of an encoder-decoder or causal language model of transformers.
        settings: adapter, dtype and which weights are tuned.
        ppo: batch and mini-batch sizes, lengths.
    """
    with meta():
        model = _language_model(config, DTYPES[settings.dtype])
        weights = _bytes(model.parameters())
        reference = 0 if settings.lora_rank else weights
        if settings.lora_rank:
            model = add_lora(model, settings, seed=0)
            _adapters_in_fp32(model)
        elif settings.tuned == "norms":
            freeze_all_but_norms(model)
        head = nn.Linear(config.hidden_size, 1)
        trained = [p for p in model.parameters() if p.requires_grad] + list(head.parameters())
        resident = {
            "policy weights": weights,
            "reference policy": reference,
            "adapters and value head": _bytes(trained) if settings.lora_rank else _bytes(head.parameters()),
            "Adam's moments": ADAM_STATES * FLOAT * sum(p.numel() for p in trained),
        }
        model.eval()
        phases = {
            "rollout": peak_bytes(lambda: _decode(model, config, ppo)),
            "update, gradients included": peak_bytes(lambda: _update(model, head, config, ppo)),
        }
    return Memory({name: size for name, size in resident.items() if size}, phases)


def sft_memory(config: PretrainedConfig, *, batch_size: int, prompt_tokens: int, response_tokens: int) -> Memory:
    """What supervised fine-tuning of all weights needs: it is done in fp32, before any reward model is there."""
    with meta():
        model = _language_model(config, torch.float32)
        weights = _bytes(model.parameters())
        head = nn.Linear(config.hidden_size, 1)
        shape = PPOSettings(mini_batch_size=batch_size, max_prompt_tokens=prompt_tokens, max_new_tokens=response_tokens)
        phase = peak_bytes(lambda: _update(model, head, config, shape))
    resident = {"weights": weights, "Adam's moments": ADAM_STATES * weights}
    return Memory(resident, {"step, gradients included": phase})


def scorer_memory(config: PretrainedConfig, *, dtype: str, batch_size: int, tokens: int) -> Memory:
    """What a reward model needs to score a batch of texts of `tokens` tokens each: weights and the forward pass."""
    with meta():
        weights = _bytes(AutoModel.from_config(config, dtype=DTYPES[dtype]).parameters())
    # Without gradients one layer's activations are alive at a time, so one layer tells; the Longformer reads values
    # that `meta` lacks, so its is a real forward pass, of one row.
    one = copy.deepcopy(config)
    one.num_hidden_layers = 1
    real = config.model_type in READS_VALUES
    if real:
        one.attention_window = list(config.attention_window)[:1]
    with nullcontext() if real else meta(), torch.no_grad():
        model = AutoModel.from_config(one, dtype=DTYPES[dtype]).eval()
        ids = torch.ones(1 if real else batch_size, tokens, dtype=torch.long)
        phase = peak_bytes(lambda: model(input_ids=ids)) * (batch_size if real else 1)
    return Memory({"weights": weights}, {"scoring": phase})


def _language_model(config: PretrainedConfig, dtype: torch.dtype) -> nn.Module:
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return auto.from_config(copy.deepcopy(config), dtype=dtype).eval()


def _adapters_in_fp32(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()


def _decode(model: nn.Module, config: PretrainedConfig, ppo: PPOSettings) -> object:
    """A rollout's first step, which reads the prompts, and its last, when the caches are full.

    No mask is given, here and below: newer transformers look into one, and on `meta` there is nothing to see.
    """
    from transformers import DynamicCache, EncoderDecoderCache

    rows, prompt = ppo.batch_size, ppo.max_prompt_tokens
    token = torch.ones(rows, 1, dtype=torch.long)
    ids = torch.ones(rows, prompt, dtype=torch.long)
    own = DynamicCache()
    with torch.no_grad():
        if config.is_encoder_decoder:
            encoded = model.get_encoder()(input_ids=ids)
            cache = EncoderDecoderCache(own, DynamicCache())
            common = {"encoder_outputs": encoded, "past_key_values": cache, "use_cache": True}
            model(decoder_input_ids=token, **common)
            _fill(own, ppo.max_new_tokens - 2)
            last = model(decoder_input_ids=token, **common)
        else:
            common = {"past_key_values": own, "use_cache": True, "logits_to_keep": 1}
            model(input_ids=ids, **common)
            _fill(own, ppo.max_new_tokens - 2)
            last = model(input_ids=token, **common)
        # The sampler's distribution function is held in double precision.
        return own, last.logits[:, -1].float().softmax(-1).cumsum(-1, dtype=torch.float64)


def _fill(cache, tokens: int) -> None:
    """Lengthen a cache as so many decoding steps would."""
    for number, layer in enumerate(cache.layers):
        rows, heads, _, width = layer.keys.shape
        more = layer.keys.new_zeros(rows, heads, tokens, width)
        cache.update(more, more, number)


def _update(model: nn.Module, head: nn.Module, config: PretrainedConfig, ppo: PPOSettings) -> None:
    """Forward and backward of one mini-batch: log-probabilities and values of every response token."""
    rows, prompt, response = ppo.mini_batch_size, ppo.max_prompt_tokens, ppo.max_new_tokens
    if config.is_encoder_decoder:
        ids = torch.ones(rows, prompt, dtype=torch.long)
        out = model(
            input_ids=ids,
            decoder_input_ids=torch.ones(rows, response, dtype=torch.long),
            output_hidden_states=True,
            use_cache=False,
        )
        hidden = out.decoder_hidden_states[-1]
    else:
        ids = torch.ones(rows, prompt + response, dtype=torch.long)
        out = model(
            input_ids=ids,
            output_hidden_states=True,
            use_cache=False,
            logits_to_keep=response + 1,
        )
        hidden = out.hidden_states[-1][:, -response - 1 : -1]
    logits = out.logits[:, -response:]
    log_probs = logits.reshape(-1, logits.shape[-1]).float().log_softmax(-1)
    entropy = -(log_probs.detach().exp() * log_probs.detach()).sum(-1)
    (log_probs[:, 0].sum() + entropy.sum() + head(hidden.float()).sum()).backward()


def _bytes(parameters) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)
