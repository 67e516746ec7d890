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

from alarm.ppo.batch import TokenBatch
from alarm.ppo.networks import add_lora, freeze_all_but_norms, set_dropout
from alarm.ppo.trunks import trunk_of
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
        self.trunk = trunk_of(model)
        self._reference = [] if lora else [copy.deepcopy(model).eval().requires_grad_(False)]
        self._reference_trunk = None if lora else trunk_of(self._reference[0])
        allowed = torch.zeros(self.config.vocab_size, dtype=torch.bool)
        allowed[: len(tokenizer)] = True
        allowed[[i for i in tokenizer.all_special_ids if i < len(allowed)]] = False
        allowed[tokenizer.eos_token_id] = True
        bias = torch.zeros(self.config.vocab_size).masked_fill_(~allowed, FORBIDDEN_LOGIT)
        self.register_buffer("logit_bias", bias, persistent=False)

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

    def forbid(self, token: int) -> None:
        """Never draw `token` from now on."""
        self.logit_bias[token] = FORBIDDEN_LOGIT

    def trainable_parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def forward(self, batch: TokenBatch, *, with_entropy: bool = True) -> TokenOutputs:
        """Log-probabilities, values and entropies of the batch's response tokens; no gradient flows to entropies."""
        logits, states = self.trunk.predict(batch, self.logit_bias)
        chosen, entropies = self.of_tokens(logits, batch.response_ids[batch.response_mask], with_entropy=with_entropy)
        parts = (chosen, self.values(states), entropies)
        return TokenOutputs(*(spread(part, batch.response_mask) for part in parts))

    def text_log_probs(self, batch: TokenBatch) -> Tensor:
        """[B, T] log-probabilities of any response text over the whole vocabulary, for supervised training."""
        logits, _ = self.trunk.predict(batch, None)
        chosen, _ = self.of_tokens(logits, batch.response_ids[batch.response_mask], with_entropy=False)
        return spread(chosen, batch.response_mask)

    @torch.no_grad()
    def reference_log_probs(self, batch: TokenBatch) -> Tensor:
        """[B, T] log-probabilities under the reference policy."""
        if self.lora:
            with self._without_adapter():
                logits, _ = self.trunk.predict(batch, self.logit_bias)
        else:
            logits, _ = self._reference_trunk.predict(batch, self.logit_bias)
        chosen, _ = self.of_tokens(logits, batch.response_ids[batch.response_mask], with_entropy=False)
        return spread(chosen, batch.response_mask)

    def values(self, states: Tensor) -> Tensor:
        """[N] predicted returns, fp32, from final hidden states [N, H]."""
        return self.value_head(states.float()).squeeze(-1)

    @staticmethod
    def of_tokens(logits: Tensor, ids: Tensor, *, with_entropy: bool) -> tuple[Tensor, Tensor]:
        """Log-probability [N] of each of `ids` [N], and entropies [N] (0 if not asked for), from logits [N, V]."""
        log_probs = logits.float().log_softmax(-1)
        chosen = log_probs.gather(1, ids.unsqueeze(1)).squeeze(1)
        if not with_entropy:
            return chosen, torch.zeros_like(chosen)
        with torch.no_grad():
            return chosen, -(log_probs.exp() * log_probs).sum(-1)

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


def spread(values: Tensor, mask: Tensor) -> Tensor:
    """[B, T] with `values` [N] at the N places where `mask` [B, T] is True, in order, and 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)
