"""The networks behind a policy: built from scratch, and what of one learns: adapters, norms, dropout."""

from __future__ import annotations

import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)

from alarm.settings import PolicySettings


def build_model(
    settings: PolicySettings, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int, seed: int
) -> PreTrainedModel:
    """A randomly initialised T5 (`seq2seq`) or GPT-2 (`causal`) of the settings' size, over the tokenizer's pieces."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.architecture == "seq2seq":
            config = T5Config(
                vocab_size=len(tokenizer),
                d_model=settings.hidden_size,
                d_kv=settings.hidden_size // settings.heads,
                d_ff=settings.feedforward_size,
                num_layers=settings.layers,
                num_heads=settings.heads,
                dropout_rate=0.0,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                decoder_start_token_id=tokenizer.pad_token_id,
                tie_word_embeddings=False,
            )
            model = T5ForConditionalGeneration(config)
            with torch.no_grad():
                # Unit variance, T5's default, starts far too sure; tied weights instead stay far too unsure to sample.
                model.lm_head.weight.mul_(settings.hidden_size**-0.5)
            return model
        if settings.architecture == "causal":
            config = GPT2Config(
                vocab_size=len(tokenizer),
                n_positions=max_tokens,
                n_embd=settings.hidden_size,
                n_inner=settings.feedforward_size,
                n_layer=settings.layers,
                n_head=settings.heads,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=tokenizer.eos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
            return GPT2LMHeadModel(config)
    raise ValueError(f"unknown architecture {settings.architecture!r}; known: causal, seq2seq")


def freeze_all_but_norms(model: nn.Module) -> None:
    """Let only the normalisation layers' weights (and biases) learn.

    Of a small from-scratch policy's weights these few hundred have by far the clearest policy gradient: that of two
    batches agrees with cosine 0.7 in the last layer's, and 0.02 over all weights, where a step is noise and costs KL.

    Raises:
        ValueError: the model has no normalisation layer by name.
    """
    norms = {
        id(parameter)
        for name, module in model.named_modules()
        if "norm" in name.rsplit(".", 1)[-1] or name.rsplit(".", 1)[-1].startswith("ln_")
        for parameter in module.parameters(recurse=False)
    }
    if not norms:
        raise ValueError("the policy has no normalisation layers to tune; set tuned to 'all'")
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in norms)


def add_lora(model: PreTrainedModel, settings: PolicySettings, seed: int) -> nn.Module:
    """Low-rank adapters, in fp32, on the query and value projections of all attentions; the base is frozen."""
    from peft import LoraConfig, get_peft_model

    targets = {"t5": ["q", "v"], "mt5": ["q", "v"], "umt5": ["q", "v"], "gpt2": ["c_attn"]}
    kind = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    config = LoraConfig(
        task_type=kind,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        bias="none",
        target_modules=targets.get(model.config.model_type, ["q_proj", "v_proj"]),
        fan_in_fan_out=model.config.model_type == "gpt2",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def set_dropout(model: nn.Module, rate: float, *, adapters: bool) -> None:
    """Set every dropout rate of the base model, and of its adapters too if asked.

    Some attentions (T5's, BART's, Llama's) keep their rate as a plain number instead of in a module.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and (adapters or "lora_" not in name):
            module.p = rate
        for attribute in ("dropout", "attention_dropout", "activation_dropout"):
            if isinstance(getattr(module, attribute, None), float):
                setattr(module, attribute, rate)
