"""Networks behind the learned scorers: one for encoder-decoder models, and Hugging Face's own heads for all others.

`marked_logits` reads a `Batch` with either kind, so that training and scoring share every line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from alarm.fused import WHOLE, drops_out, fused
from alarm.fused.gpt2 import FusedGPT2
from alarm.fused.layout import Packing, take

WEIGHTS = "model.safetensors"
LIKELIHOODS = 4
"""Features of `segment_likelihoods`."""


@dataclass(frozen=True)
class Encoded:
    """One (prompt, response) as token ids.

    `response_ids` is what the decoder reads (start token first) and `marks` are positions in it; where one network
    reads both texts in one stream, `prompt_ids` is empty and `response_ids` holds everything.
    """

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    marks: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.response_ids)


@dataclass(frozen=True)
class Batch:
    """N responses to P distinct prompts, right-padded, with M marks in all."""

    prompt_ids: Tensor
    """[P, S]; each distinct prompt is encoded once, however many responses it has."""
    prompt_mask: Tensor
    """[P, S] boolean, True on real tokens."""
    prompt_of: Tensor
    """[N], the row of `prompt_ids` that each response answers."""
    response_ids: Tensor
    """[N, T]"""
    response_mask: Tensor
    """[N, T] boolean, True on real tokens."""
    mark_rows: Tensor
    """[M], the response of each mark, non-decreasing."""
    mark_columns: Tensor
    """[M], its position in that response."""

    def to(self, device: torch.device | str) -> Batch:
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def collate(encoded: list[Encoded], *, pad_id: int) -> Batch:
    """Pad a batch to its longest prompt and response."""
    prompts: dict[tuple[int, ...], int] = {}
    prompt_of = [prompts.setdefault(item.prompt_ids, len(prompts)) for item in encoded]
    prompt_ids, prompt_mask = _pad(list(prompts), pad_id)
    response_ids, response_mask = _pad([item.response_ids for item in encoded], pad_id)
    marks = [(row, column) for row, item in enumerate(encoded) for column in item.marks]
    mark_rows, mark_columns = torch.tensor(marks, dtype=torch.long).reshape(-1, 2).unbind(1)
    return Batch(prompt_ids, prompt_mask, torch.tensor(prompt_of), response_ids, response_mask, mark_rows, mark_columns)


def _pad(rows: list[tuple[int, ...]], pad_id: int) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    ids = torch.tensor([[*row, *[pad_id] * (width - len(row))] for row in rows], dtype=torch.long)
    return ids, torch.arange(width) < lengths.unsqueeze(1)


class EncoderDecoderReader(PreTrainedModel):
    """The encoder reads the prompt, the decoder reads the response; a linear head judges each mark.

    The head sees the decoder's state at the mark. Where the configuration says `reads_likelihoods`, it also sees how
    likely the network's own language model finds the tokens from the previous mark on: their mean and lowest
    log-probability, absolute and relative to the likeliest token. A network that starts from the SFT policy, and has
    little to learn from, starts far above chance with them; one that starts from a base model and learns with all its
    weights from many comparisons still gains ten points of accuracy.
    (Hugging Face's encoder-decoder classifiers feed one text to both stacks and lose most of that start.)
    """

    main_input_name = "response_ids"

    def __init__(self, config: PretrainedConfig, body: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        # Part of the configuration that is saved; networks saved before it was there read likelihoods.
        config.reads_likelihoods = getattr(config, "reads_likelihoods", True)
        likelihoods = LIKELIHOODS if config.reads_likelihoods else 0
        self.body = AutoModelForSeq2SeqLM.from_config(config) if body is None else body
        self._fused = fused(self.body)
        self.head = nn.Linear(config.hidden_size + likelihoods, config.num_labels)
        self.register_buffer("likelihood_mean", torch.zeros(likelihoods))
        self.register_buffer("likelihood_std", torch.ones(likelihoods))
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.weight.normal_(std=1 / config.hidden_size)
            # The last label is "no error"; a lone score is its own last label.
            self.head.weight[-1, config.hidden_size :] = 1 / LIKELIHOODS

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [M, labels], fp32, and decoder states [M, H] at the batch's marks."""
        states, likelihoods = self._read(batch)
        if likelihoods is None:
            return self.head(states).float(), states
        features = (likelihoods - self.likelihood_mean) / self.likelihood_std
        return self.head(torch.cat([states, features.to(states.dtype)], dim=1)).float(), states

    @torch.no_grad()
    def calibrate(self, batch: Batch) -> None:
        """Measure mean and standard deviation of the likelihood features, in which the head then reads them."""
        likelihoods = self._read(batch)[1]
        self.likelihood_mean.copy_(likelihoods.mean(0))
        self.likelihood_std.copy_(likelihoods.std(0, correction=0).clamp(min=0.01))  # a single mark has none

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Decoder states [M, H] and likelihood features [M, 4] at the marks; None where these are not read."""
        network = self._fused
        if network is None or self.dtype not in WHOLE or drops_out(self.body):
            return self._read_as_it_is(batch)
        distinct = len(batch.prompt_ids) == len(batch.prompt_of)
        prompt_of = None if distinct and (batch.prompt_of.diff() == 1).all() else batch.prompt_of
        encoded = network.encode_rows(batch.prompt_ids, batch.prompt_mask, prompt_of)
        packing = Packing(batch.response_mask)
        states = network.decode(batch.response_ids, batch.response_mask, encoded)
        if not self.config.reads_likelihoods:
            return take(states, _places(batch)), None
        following = torch.nn.functional.pad(batch.response_ids[:, 1:], (0, 1))
        found = token_likelihoods(network.logits(states, None), following[batch.response_mask])
        chosen, gap = packing.unpack(torch.stack(found, dim=1)).unbind(2)
        at_marks = packing.unpack(states)[batch.mark_rows, batch.mark_columns]
        return at_marks, segment_likelihoods(chosen[:, :-1], gap[:, :-1], batch)

    def _read_as_it_is(self, batch: Batch) -> tuple[Tensor, Tensor]:
        # Padding lies right of every mark and the decoder looks left only, so it needs no mask.
        prompt_states = self.body.get_encoder()(input_ids=batch.prompt_ids, attention_mask=batch.prompt_mask.long())[0]
        output = self.body(
            encoder_outputs=(prompt_states[batch.prompt_of],),
            attention_mask=batch.prompt_mask[batch.prompt_of].long(),
            decoder_input_ids=batch.response_ids,
            output_hidden_states=True,
            use_cache=False,
        )
        states = output.decoder_hidden_states[-1][batch.mark_rows, batch.mark_columns]
        if not self.config.reads_likelihoods:
            return states, None
        return states, segment_likelihoods(*token_likelihoods(output.logits[:, :-1], batch.response_ids[:, 1:]), batch)

    def save(self, directory: Path) -> None:
        from safetensors.torch import save_model

        self.config.save_pretrained(directory)
        save_model(self, str(directory / WEIGHTS))

    @classmethod
    def load(cls, directory: Path) -> EncoderDecoderReader:
        from safetensors.torch import load_model

        with torch.random.fork_rng(devices=[]):  # weights are drawn before they are read
            network = cls(AutoConfig.from_pretrained(directory))
        load_model(network, str(directory / WEIGHTS))
        return network


def token_likelihoods(logits: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """log p(token) and log p(token) - max log p, fp32, in nats, of tokens `ids` [...] from logits [..., V]."""
    log_probs = logits.float().log_softmax(-1)
    chosen = log_probs.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    return chosen, chosen - log_probs.amax(-1)


def segment_likelihoods(chosen: Tensor, gap: Tensor, batch: Batch) -> Tensor:
    """How likely a language model finds the response tokens of each mark's segment.

    The segment of a mark holds the tokens after the row's previous mark (or after the start token) up to the mark.

    Args:
        chosen, gap: [N, T - 1], `token_likelihoods` of all response tokens but the start token.
    Returns:
        [M, 4], fp32, in nats: mean and lowest of log p(token), then mean and lowest of log p(token) - max log p.
    """
    columns = torch.arange(1, batch.response_ids.shape[1], device=chosen.device)
    same_row = batch.mark_rows[1:] == batch.mark_rows[:-1]
    previous = torch.zeros_like(batch.mark_columns)
    previous[1:] = torch.where(same_row, batch.mark_columns[:-1], 0)
    inside = (columns > previous.unsqueeze(1)) & (columns <= batch.mark_columns.unsqueeze(1))
    features = []
    for values in (chosen, gap):
        values = torch.where(inside, values[batch.mark_rows], 0.0)  # log-probabilities are never above 0
        features += [values.sum(1) / inside.sum(1), values.amin(1)]
    return torch.stack(features, dim=1)


def marked_logits(network: nn.Module, batch: Batch) -> Tensor:
    """Logits [M, labels], fp32, at the batch's marks; a sequence classifier's score is at its response's mark."""
    if _is_encoder_decoder(network):
        return network(batch)[0]
    states = _states_at_marks(network, batch)
    if states is not None:
        return _head(network)(states).float()
    logits = network(input_ids=batch.response_ids, attention_mask=batch.response_mask.long()).logits.float()
    return logits if logits.dim() == 2 else logits[batch.mark_rows, batch.mark_columns]


def marked_scores_and_states(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits [N, 1], fp32, of N responses with one mark each, and the last hidden states [N, H] they were read from.

    A network that looks back only scores a response at its mark, a bidirectional classifier at its first token.
    """
    if _is_encoder_decoder(network):
        return network(batch)
    states = _states_at_marks(network, batch)
    if states is not None:
        return _head(network)(states).float(), states
    output = network(input_ids=batch.response_ids, attention_mask=batch.response_mask.long(), output_hidden_states=True)
    config = getattr(network, "module", network).config
    columns = batch.mark_columns if looks_back_only(config) else torch.zeros_like(batch.mark_columns)
    return output.logits.float(), output.hidden_states[-1][batch.mark_rows, columns]


def _states_at_marks(network: nn.Module, batch: Batch) -> Tensor | None:
    """The last hidden states [M, H] of a network that looks back only and is computed faster; None for all others."""
    faster = fused(network) if isinstance(network, PreTrainedModel) and not drops_out(network) else None
    if not isinstance(faster, FusedGPT2):
        return None
    return faster.states(batch.response_ids, batch.response_mask, _places(batch))


def _places(batch: Batch) -> Tensor:
    """[M], where the batch's marks are among its real response tokens, counted row after row."""
    lengths = batch.response_mask.sum(1)
    return (lengths.cumsum(0) - lengths)[batch.mark_rows] + batch.mark_columns


def _head(network: PreTrainedModel) -> nn.Module:
    return network.score if hasattr(network, "score") else network.classifier


def _is_encoder_decoder(network: nn.Module) -> bool:
    return isinstance(getattr(network, "module", network), EncoderDecoderReader)  # `module` where a launcher wraps it


def looks_back_only(config: PretrainedConfig) -> bool:
    """True for networks whose tokens see only those before them."""
    model_type = config.model_type
    return model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
