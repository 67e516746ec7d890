"""Which models are computed faster, and activations in one pass for all."""

from __future__ import annotations

import torch
from torch import nn
from transformers import (
    GPT2ForSequenceClassification,
    GPT2ForTokenClassification,
    GPT2LMHeadModel,
    MT5ForConditionalGeneration,
    PreTrainedModel,
    T5ForConditionalGeneration,
)
from transformers.activations import NewGELUActivation

from alarm.fused.gpt2 import FusedGPT2
from alarm.fused.t5 import FusedT5

WHOLE = (torch.float32, torch.float64)
"""Dtypes that need no casts in between."""


T5 = (T5ForConditionalGeneration, MT5ForConditionalGeneration)
GPT2 = (GPT2LMHeadModel, GPT2ForSequenceClassification, GPT2ForTokenClassification)


def fused(model: nn.Module) -> FusedT5 | FusedGPT2 | None:
    """The model computed faster, reading the same weights; None for one that has to run as it is."""
    # A subclass may compute something else, an adapter replaces linear layers, and half precision casts between.
    if type(model) not in T5 + GPT2 or hasattr(model, "peft_config"):
        return None
    if any(parameter.dtype not in WHOLE for parameter in model.parameters()):
        return None
    if type(model) in T5:
        return FusedT5(model)
    return FusedGPT2(model) if _is_plain(model) else None


def drops_out(model: nn.Module) -> bool:
    """Whether the model drops out activations as it is now; what computes it faster does not."""
    return model.training and any(module.p > 0 for module in model.modules() if isinstance(module, nn.Dropout))


def fuse_activations(model: nn.Module) -> None:
    """Replace GELU's approximation by tanh, seven passes over memory in transformers, by torch's in one."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))


def _is_plain(model: PreTrainedModel) -> bool:
    config = model.config
    odd = ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention")
    return config.scale_attn_weights and not any(getattr(config, name) for name in odd)
