"""What an experiment needs on one device, computed without one: the real networks run on torch's `meta` device.

Its tensors have shapes and no memory, so the bytes that would be alive at the worst moment can be counted.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForTokenClassification,
    PretrainedConfig,
)

from alarm.fused import fuse_activations
from alarm.ppo.networks import add_lora, freeze_all_but_norms, set_dropout
from alarm.ppo.policy import DTYPES
from alarm.settings import PolicySettings, PPOSettings, SFTSettings

ADAM_STATES = 2
FLOAT = 4
GENERATION = "generation for evaluation"
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
    """Networks and tensors made inside have no memory, and what that device lacks is put in its place.

    Autocast, which rotary embeddings switch off, is left out; a question about a value (the Longformer's, whether any
    token sees all others) is answered by no; dropout keeps one byte a number, as it does on a GPU.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.device("meta"))
        stack.enter_context(patch.object(torch, "autocast", lambda *_, **__: nullcontext()))
        stack.enter_context(patch.object(torch.Tensor, "item", lambda _: False))
        stack.enter_context(patch.object(nn.functional, "dropout", _fused_dropout))
        yield


def _fused_dropout(values: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    return torch.native_dropout(values, p, True)[0] if training and p else values


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


def policy_memory(
    config: PretrainedConfig, settings: PolicySettings, ppo: PPOSettings, *, generated: int = 0
) -> Memory:
    """What a policy needs for PPO: weights, what trains them, and the peaks of a rollout and of an update.

    Responses are taken to be as long as they may be, and so are prompts.

    Args:
        config: of an encoder-decoder or causal language model of transformers.
        settings: adapter, dtype and which weights are tuned.
        ppo: batch and mini-batch sizes, lengths.
        generated: responses that are generated at once for evaluation; 0: none are.
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
            "rollout": peak_bytes(lambda: _decode(model, config, ppo, ppo.batch_size)),
            "update, gradients included": peak_bytes(lambda: _update(model, head, config, ppo)),
        }
        if generated:
            phases[GENERATION] = peak_bytes(lambda: _decode(model, config, ppo, generated))
    return Memory({name: size for name, size in resident.items() if size}, phases)


def sft_memory(config: PretrainedConfig, sft: SFTSettings, ppo: PPOSettings, *, generated: int) -> Memory:
    """What supervised fine-tuning of all weights needs: it is done in fp32, before any reward model is there.

    The policy holds its reference, a copy, from the start.

    Args:
        config: as for `policy_memory`.
        sft: batch size, in how many parts a batch is read, dropout; 0 steps take the policy as it is.
        ppo: lengths of prompts and responses.
        generated: responses that are generated at once for the evaluation after it.
    """
    with meta():
        model = _language_model(config, torch.float32)
        weights = _bytes(model.parameters())
        phases = {GENERATION: peak_bytes(lambda: _decode(model, config, ppo, generated))}
        resident = {"weights": weights, "reference policy": weights}
        if sft.steps == 0:
            return Memory(resident, phases)
        set_dropout(model, sft.dropout, adapters=False)
        model.train()
        phases["step, gradients included"] = peak_bytes(lambda: _sft_step(model, config, sft, ppo))
    return Memory(resident | {"Adam's moments": ADAM_STATES * weights}, phases)


def scorer_memory(config: PretrainedConfig, *, dtype: str, batch_size: int, tokens: int) -> Memory:
    """What a reward model needs to score a batch of texts of `tokens` tokens each: weights and the forward pass."""
    # Without gradients one layer's activations are alive at a time, so one layer tells.
    one = copy.deepcopy(config)
    one.num_hidden_layers = 1
    if config.model_type == "longformer":
        one.attention_window = max(_windows(config))
    with meta(), torch.no_grad():
        weights = _bytes(AutoModel.from_config(copy.deepcopy(config), dtype=DTYPES[dtype]).parameters())
        model = AutoModel.from_config(one, dtype=DTYPES[dtype]).eval()
        ids = torch.ones(batch_size, tokens, dtype=torch.long)
        phase = peak_bytes(lambda: model(input_ids=ids))
    return Memory({"weights": weights}, {"scoring": phase})


def unit_training_memory(
    config: PretrainedConfig, *, batch_size: int, tokens: int, gradient_checkpointing: bool
) -> Memory:
    """What a token classifier needs to be trained in fp32 on batches of texts of `tokens` tokens each.

    Args:
        config: of an encoder that transformers has a token classifier for.
        batch_size: texts that are read at once.
        gradient_checkpointing: activations are computed again, a layer at a time, in the backward pass.
    """
    with meta():
        model = AutoModelForTokenClassification.from_config(copy.deepcopy(config), dtype=torch.float32).train()
        weights = _bytes(model.parameters())
        if gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        ids = torch.ones(batch_size, tokens, dtype=torch.long)
        mask = torch.ones(batch_size, tokens, dtype=torch.long)
        phase = peak_bytes(lambda: model(input_ids=ids, attention_mask=mask).logits.float().sum().backward())
    resident = {"weights": weights, "Adam's moments": ADAM_STATES * weights}
    return Memory(resident, {"step, gradients included": phase})


def _windows(config: PretrainedConfig) -> list[int]:
    """The attention windows of a Longformer's layers, which may be given as one number."""
    return [config.attention_window] if isinstance(config.attention_window, int) else config.attention_window


def _language_model(config: PretrainedConfig, dtype: torch.dtype) -> nn.Module:
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = auto.from_config(copy.deepcopy(config), dtype=dtype).eval()
    fuse_activations(model)
    return model


def _adapters_in_fp32(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()


def _decode(model: nn.Module, config: PretrainedConfig, ppo: PPOSettings, rows: int) -> object:
    """A rollout's first step, which reads the prompts, and its last, when the caches are full.

    No mask is given, here and below: newer transformers look into one, and on `meta` there is nothing to see.
    """
    from transformers import DynamicCache, EncoderDecoderCache

    prompt = ppo.max_prompt_tokens
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
    logits, hidden = _forward(model, config, ppo, ppo.mini_batch_size)
    log_probs = logits.reshape(-1, logits.shape[-1]).float().log_softmax(-1)
    entropy = -(log_probs.detach().exp() * log_probs.detach()).sum(-1)
    (log_probs[:, 0].sum() + entropy.sum() + head(hidden.float()).sum()).backward()


def _sft_step(model: nn.Module, config: PretrainedConfig, sft: SFTSettings, ppo: PPOSettings) -> None:
    """Forward and backward of a batch in its parts, of which the second meets the gradients of the first."""
    rows = -(-sft.batch_size // sft.accumulation_steps)
    for _ in range(min(sft.accumulation_steps, 2)):
        logits, _ = _forward(model, config, ppo, rows)
        flat = logits.reshape(-1, logits.shape[-1])
        tokens = torch.ones(len(flat), dtype=torch.long)
        log_probs = flat[tokens].log_softmax(-1)  # padding is left out, which takes a copy
        log_probs.gather(1, tokens.unsqueeze(1)).sum().backward()


def _forward(
    model: nn.Module, config: PretrainedConfig, ppo: PPOSettings, rows: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [B, T, V] and the last hidden states [B, T, H] at responses of full length to prompts of full length."""
    prompt, response = ppo.max_prompt_tokens, ppo.max_new_tokens
    if config.is_encoder_decoder:
        out = model(
            input_ids=torch.ones(rows, prompt, dtype=torch.long),
            decoder_input_ids=torch.ones(rows, response, dtype=torch.long),
            output_hidden_states=True,
            use_cache=False,
        )
        return out.logits, out.decoder_hidden_states[-1]
    out = model(
        input_ids=torch.ones(rows, prompt + response, dtype=torch.long),
        output_hidden_states=True,
        use_cache=False,
        logits_to_keep=response + 1,
    )
    return out.logits[:, -response - 1 : -1], out.hidden_states[-1][:, -response - 1 : -1]


def _bytes(parameters) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)
