"""The policy: any Hugging Face encoder-decoder or causal language model with a value head and a frozen reference."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutput

from alarm.ppo.batch import TokenBatch
from alarm.ppo.networks import add_lora, freeze_all_but_norms, set_dropout
from alarm.settings import PolicySettings

VALUE_HEAD = "value_head.pt"
FORBIDDEN_LOGIT = -1e9
TUNED = ("all", "norms")
T5_FAMILY = ("t5", "mt5", "umt5", "longt5")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TokenOutputs(NamedTuple):
    """What the policy says of each response token; fp32, zero where the response mask is False."""

    log_probs: Tensor
    """[B, T], nats."""
    values: Tensor
    """[B, T], predicted return from the token on."""
    entropy: Tensor
    """[B, T], nats, of the distribution the token was drawn from; 0 if it was not asked for."""


class Policy(nn.Module):
    """A language model, its tokenizer, a value head on the last (decoder) hidden state, and the reference policy.

    The trunk is shared by policy and value. Without LoRA the reference is a frozen copy of the weights the policy is
    created with; with LoRA it is the same network with the adapter switched off. Dropout of the base model is off for
    good; the adapter's and the value head's act in `train()` mode only.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        seed: int,
        value_dropout: float = 0.1,
        lora: bool = False,
        tuned: str = "all",
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.config = model.config
        self.is_encoder_decoder = bool(self.config.is_encoder_decoder)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        set_dropout(model, 0.0, adapters=False)
        # Its usual initialisation would draw from torch's own random state.
        head = nn.utils.skip_init(nn.Linear, self.config.hidden_size, 1)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            head.weight.normal_(std=0.02, generator=generator)
            head.bias.zero_()
        self.value_head = nn.Sequential(nn.Dropout(value_dropout), head)
        self.lora = lora
        if tuned == "norms":
            freeze_all_but_norms(model)
        self._reference = [] if lora else [copy.deepcopy(model).eval().requires_grad_(False)]
        allowed = torch.zeros(self.config.vocab_size, dtype=torch.bool)
        allowed[: len(tokenizer)] = True
        allowed[[i for i in tokenizer.all_special_ids if i < len(allowed)]] = False
        allowed[tokenizer.eos_token_id] = True
        self.register_buffer("forbidden", ~allowed, persistent=False)

    @property
    def device(self) -> torch.device:
        return self.value_head[1].weight.device

    def _apply(self, function, *args, **kwargs):
        """Moves the reference too, which is kept out of `parameters()` and of `state_dict()`."""
        for reference in self._reference:
            reference._apply(function, *args, **kwargs)
        return super()._apply(function, *args, **kwargs)

    @property
    def _no_split_modules(self) -> list[str]:
        """The names of the layers' classes, which accelerate asks for to shard layer by layer."""
        return list(self.model._no_split_modules or ())

    def trainable_parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def forward(self, batch: TokenBatch, *, with_entropy: bool = True) -> TokenOutputs:
        """Log-probabilities, values and entropies of the batch's response tokens; no gradient flows to entropies."""
        logits, hidden = self._run(self.model, batch)
        log_probs, entropy = self._distribution(logits, batch, with_entropy=with_entropy)
        values = self.value_head(hidden.float()).squeeze(-1)
        return TokenOutputs(log_probs, torch.where(batch.response_mask, values, 0.0), entropy)

    def text_log_probs(self, batch: TokenBatch) -> Tensor:
        """[B, T] log-probabilities of any response text over the whole vocabulary, for supervised training."""
        logits, _ = self._run(self.model, batch)
        mask = batch.response_mask
        log_probs = logits[mask].float().log_softmax(-1)
        return _spread(log_probs.gather(1, batch.response_ids[mask].unsqueeze(1)).squeeze(1), mask)

    @torch.no_grad()
    def reference_log_probs(self, batch: TokenBatch) -> Tensor:
        """[B, T] log-probabilities under the reference policy."""
        if self.lora:
            with self._without_adapter():
                logits, _ = self._run(self.model, batch)
        else:
            logits, _ = self._run(self._reference[0], batch)
        return self._distribution(logits, batch, with_entropy=False)[0]

    def mask_forbidden(self, logits: Tensor) -> Tensor:
        """fp32 logits that give probability 0 to padding and to all ids that are no text, save the end token."""
        return logits.float().masked_fill(self.forbidden, FORBIDDEN_LOGIT)

    def _distribution(self, logits: Tensor, batch: TokenBatch, *, with_entropy: bool) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies [B, T] from logits [B, T, V]; padding, often a third, is never computed."""
        mask = batch.response_mask
        log_probs = self.mask_forbidden(logits[mask]).log_softmax(-1)
        chosen = _spread(log_probs.gather(1, batch.response_ids[mask].unsqueeze(1)).squeeze(1), mask)
        if not with_entropy:
            return chosen, torch.zeros_like(chosen)
        with torch.no_grad():
            entropies = -(log_probs.exp() * log_probs).sum(-1)
        return chosen, _spread(entropies, mask)

    def _run(self, model: PreTrainedModel, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """Logits [B, T, V] that predict each response token, and the hidden states [B, T, H] they come from."""
        if self.is_encoder_decoder:
            start = batch.response_ids.new_full((len(batch.response_ids), 1), self.config.decoder_start_token_id)
            # Right padding needs no decoder mask: a real token never looks at what follows it.
            out = model(
                encoder_outputs=encode_distinct(model, batch.prompt_ids, batch.prompt_mask),
                attention_mask=batch.prompt_mask.long(),
                decoder_input_ids=torch.cat([start, batch.response_ids[:, :-1]], dim=1),
                output_hidden_states=True,
                use_cache=False,
            )
            return out.logits, out.decoder_hidden_states[-1]
        prompt_ids, prompt_mask = left_padded(batch.prompt_ids, batch.prompt_mask)
        mask = torch.cat([prompt_mask, batch.response_mask], dim=1)
        predicting = batch.response_ids.shape[1] + 1
        out = model(
            input_ids=torch.cat([prompt_ids, batch.response_ids], dim=1),
            attention_mask=mask.long(),
            position_ids=positions(mask),
            output_hidden_states=True,
            use_cache=False,
            logits_to_keep=predicting,
        )
        return out.logits[:, -predicting:-1], out.hidden_states[-1][:, -predicting:-1]

    @contextmanager
    def _without_adapter(self) -> Iterator[None]:
        training = self.training
        self.model.eval()
        with self.model.disable_adapter():
            yield
        self.model.train(training)

    def save(self, directory: str | Path) -> None:
        """Write model, tokenizer and value head; any Hugging Face program can load the folder.

        An adapter is merged into the weights it adapts, so a policy loaded from here has this policy as its reference.
        Merged weights are written in float32, whatever the base weights were: bfloat16 would round small updates away.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        model = copy.deepcopy(self.model).float().merge_and_unload() if self.lora else self.model
        model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)
        torch.save(self.value_head.state_dict(), directory / VALUE_HEAD)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        settings: PolicySettings,
        *,
        seed: int = 0,
        value_dropout: float = 0.1,
        device: str = "cpu",
    ) -> Policy:
        """A policy from a checkpoint, by name or path; a fresh value head from `seed` unless the folder holds one.

        Raises:
            ValueError: the dtype is unknown, is float16 for a T5 (its activations overflow), or is not float32 for
                weights that are to be trained themselves (they round small updates away).
        """
        if settings.dtype not in DTYPES:
            raise ValueError(f"unknown dtype {settings.dtype!r}; known: {', '.join(DTYPES)}")
        if settings.dtype != "float32" and settings.lora_rank == 0:
            raise ValueError(
                f"{settings.dtype} weights round small updates away; train them in float32, or set lora_rank to train "
                "an adapter in float32 on top of them"
            )
        # A folder has no revisions: it is what was trained from the checkpoint that the settings name.
        of_hub = {} if Path(checkpoint).is_dir() else {"revision": settings.revision}
        config = AutoConfig.from_pretrained(checkpoint, **of_hub)
        if config.model_type in T5_FAMILY and settings.dtype == "float16":
            raise ValueError(
                f"{config.model_type} overflows in float16 (it was trained in bfloat16); use bfloat16 or float32"
            )
        auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = auto.from_pretrained(checkpoint, dtype=DTYPES[settings.dtype], **of_hub)
        if settings.tuned not in TUNED or (settings.tuned != "all" and settings.lora_rank):
            raise ValueError(
                f"tuned must be {' or '.join(TUNED)}, and 'all' with an adapter, got {settings.tuned!r} with lora_rank "
                f"{settings.lora_rank}"
            )
        lora = settings.lora_rank > 0
        if lora:
            model = add_lora(model, settings, seed)
        of_tokenizer = of_hub and {"revision": settings.tokenizer_revision or settings.revision}
        policy = cls(
            model,
            AutoTokenizer.from_pretrained(checkpoint, **of_tokenizer),
            seed=seed,
            value_dropout=value_dropout,
            lora=lora,
            tuned=settings.tuned,
        )
        head = Path(checkpoint) / VALUE_HEAD
        if head.is_file():
            policy.value_head.load_state_dict(torch.load(head, map_location="cpu", weights_only=True))
        return policy.to(device)


def encode_distinct(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> BaseModelOutput:
    """The encoder's states [B, S, H] of B prompts [B, S]; a prompt that several rows have is read once."""
    distinct, place = ids.masked_fill(~mask, -1).unique(dim=0, return_inverse=True)
    if len(distinct) == len(ids):
        return BaseModelOutput(model.get_encoder()(input_ids=ids, attention_mask=mask.long())[0])
    # What stands in padding is never looked at, and 0 is an id of every vocabulary.
    states = model.get_encoder()(input_ids=distinct.clamp(min=0), attention_mask=(distinct >= 0).long())[0]
    return BaseModelOutput(states[place])


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    """[B, T] with `values` [N] at the N places where `mask` [B, T] is True, in order, and 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def left_padded(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The same rows with their padding moved to the left, so that responses follow prompts directly."""
    order = mask.long().argsort(dim=1, stable=True)
    return ids.gather(1, order), mask.gather(1, order)


def positions(mask: Tensor) -> Tensor:
    """Position of each real token among its row's real tokens; 0 on padding."""
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)
