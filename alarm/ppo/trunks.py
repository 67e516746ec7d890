"""The trunk of a policy: what turns token ids into logits and hidden states, in a pass over all tokens or one by one.

Two kinds compute the same: `HuggingFaceTrunk` calls any model as it is, `FusedTrunk` the faster computation that there
is for float32 models of T5's and GPT-2's kind.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from alarm.fused import drops_out, fuse_activations, fused
from alarm.fused.layout import distinct_rows
from alarm.fused.t5 import FusedT5
from alarm.ppo.batch import TokenBatch


class Sampler(Protocol):
    """Responds to B prompts, one token for all rows at a time."""

    def step(self, token: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits [B, V] of the next token and the states [B, H] they come from, after reading `token` [B].

        None at first: only the prompts are read.
        """

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows `rows` only, in that order."""


class Trunk(Protocol):
    def predict(self, batch: TokenBatch, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits [N, V] that predict each of the batch's N response tokens, row after row, and their states [N, H].

        `bias` [V] is added to the logits.
        """

    def sampler(self, ids: Tensor, mask: Tensor, tokens: int, bias: Tensor | None) -> Sampler:
        """Responds to prompts [B, S], right-padded with boolean `mask`, by up to `tokens` tokens each."""


def trunk_of(model: PreTrainedModel) -> Trunk:
    """The fastest there is for the model, whose activations are from now on computed in one pass."""
    fuse_activations(model)
    network = fused(model)
    return HuggingFaceTrunk(model) if network is None else FusedTrunk(network)


class HuggingFaceTrunk:
    """Calls the model itself, adapters, sharding and all."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.is_encoder_decoder = bool(model.config.is_encoder_decoder)

    def predict(self, batch: TokenBatch, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        run = self._encode_and_decode if self.is_encoder_decoder else self._continue
        logits, hidden = run(batch)
        return _biased(logits[batch.response_mask], bias), hidden[batch.response_mask]

    def _encode_and_decode(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        # Right padding needs no decoder mask: a real token never looks at what follows it.
        out = self.model(
            encoder_outputs=encode_distinct(self.model, batch.prompt_ids, batch.prompt_mask),
            attention_mask=batch.prompt_mask.long(),
            decoder_input_ids=decoder_input(batch.response_ids, self.model.config.decoder_start_token_id),
            output_hidden_states=True,
            use_cache=False,
        )
        return out.logits, out.decoder_hidden_states[-1]

    def _continue(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        prompt_ids, prompt_mask = left_padded(batch.prompt_ids, batch.prompt_mask)
        mask = torch.cat([prompt_mask, batch.response_mask], dim=1)
        predicting = batch.response_ids.shape[1] + 1
        out = self.model(
            input_ids=torch.cat([prompt_ids, batch.response_ids], dim=1),
            attention_mask=mask.long(),
            position_ids=positions(mask),
            output_hidden_states=True,
            use_cache=False,
            logits_to_keep=predicting,
        )
        return out.logits[:, -predicting:-1], out.hidden_states[-1][:, -predicting:-1]

    def sampler(self, ids: Tensor, mask: Tensor, tokens: int, bias: Tensor | None) -> Sampler:
        kind = _EncoderDecoderSampler if self.is_encoder_decoder else _CausalSampler
        return kind(self.model, ids, mask, bias)


class _EncoderDecoderSampler:
    def __init__(self, model: PreTrainedModel, ids: Tensor, mask: Tensor, bias: Tensor | None) -> None:
        self.model, self.mask, self.bias = model, mask.long(), bias
        self.states = encode_distinct(model, ids, mask)[0]
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.start = ids.new_full((len(ids),), model.config.decoder_start_token_id)

    def step(self, token: Tensor | None) -> tuple[Tensor, Tensor]:
        out = self.model(
            encoder_outputs=BaseModelOutput(self.states),
            attention_mask=self.mask,
            decoder_input_ids=(self.start if token is None else token).unsqueeze(1),
            past_key_values=self.cache,
            output_hidden_states=True,
            use_cache=True,
        )
        return _biased(out.logits[:, -1], self.bias), out.decoder_hidden_states[-1][:, -1]

    def keep(self, rows: Tensor) -> None:
        self.mask, self.states = self.mask[rows], self.states[rows]
        self.cache.batch_select_indices(rows)


class _CausalSampler:
    """One stream: prompts are left-padded and read at once."""

    def __init__(self, model: PreTrainedModel, ids: Tensor, mask: Tensor, bias: Tensor | None) -> None:
        self.model, self.bias = model, bias
        self.prompt, self.mask = left_padded(ids, mask)
        self.position, self.cache = positions(self.mask), DynamicCache()

    def step(self, token: Tensor | None) -> tuple[Tensor, Tensor]:
        if token is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
            self.position = self.position[:, -1:] + 1
        out = self.model(
            input_ids=self.prompt if token is None else token.unsqueeze(1),
            attention_mask=self.mask.long(),
            position_ids=self.position,
            past_key_values=self.cache,
            output_hidden_states=True,
            use_cache=True,
            logits_to_keep=1,
        )
        return _biased(out.logits[:, -1], self.bias), out.hidden_states[-1][:, -1]

    def keep(self, rows: Tensor) -> None:
        self.mask, self.position = self.mask[rows], self.position[rows]
        self.cache.batch_select_indices(rows)


class FusedTrunk:
    """Computes the same in fewer passes, and nothing for padding."""

    def __init__(self, network) -> None:
        self.network = network

    def predict(self, batch: TokenBatch, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        if drops_out(self.network.model):
            return HuggingFaceTrunk(self.network.model).predict(batch, bias)
        if isinstance(self.network, FusedT5):
            encoded = self.network.encode(batch.prompt_ids, batch.prompt_mask)
            ids = decoder_input(batch.response_ids, self.network.config.decoder_start_token_id)
            states = self.network.decode(ids, batch.response_mask, encoded)
        else:
            states = self.network.states(*_one_stream(batch))
        return self.network.logits(states, bias), states

    def sampler(self, ids: Tensor, mask: Tensor, tokens: int, bias: Tensor | None) -> Sampler:
        return _FusedSampler(self.network, self.network.sampler(ids, mask, tokens), bias)


class _FusedSampler:
    def __init__(self, network, states, bias: Tensor | None) -> None:
        self.network, self.states, self.bias = network, states, bias

    def step(self, token: Tensor | None) -> tuple[Tensor, Tensor]:
        states = self.states.step(token)
        return self.network.logits(states, self.bias), states

    def keep(self, rows: Tensor) -> None:
        self.states.keep(rows)


def _one_stream(batch: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts and responses without a gap between, right-padded, and the tokens whose states predict the responses.

    A response's last token predicts nothing and is left out. The third result counts real tokens row after row.
    """
    read = batch.response_mask[:, 1:]
    ids = torch.cat([batch.prompt_ids, batch.response_ids[:, :-1]], dim=1)
    mask = torch.cat([batch.prompt_mask, read], dim=1)
    order = (~mask).long().argsort(dim=1, stable=True)
    width = max(1, int(mask.sum(dim=1).max()))
    ids, mask = ids.gather(1, order)[:, :width], mask.gather(1, order)[:, :width]
    # A row's first prediction comes from its prompt's last token, the next from those that follow it.
    ends = mask.sum(dim=1).cumsum(0)
    first = ends - mask.sum(dim=1) + batch.prompt_mask.sum(dim=1) - 1
    places = first.unsqueeze(1) + torch.arange(batch.response_mask.shape[1], device=ids.device)
    return ids, mask, places[batch.response_mask]


def _biased(logits: Tensor, bias: Tensor | None) -> Tensor:
    return logits if bias is None else logits.float() + bias


def decoder_input(ids: Tensor, start: int) -> Tensor:
    """[B, T], what a decoder reads to predict `ids` [B, T]: the start token, then all but the last."""
    return torch.cat([ids.new_full((len(ids), 1), start), ids[:, :-1]], dim=1)


def encode_distinct(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> BaseModelOutput:
    """The encoder's states [B, S, H] of B prompts [B, S]; a prompt that several rows have is read once."""
    ids, mask, place = distinct_rows(ids, mask)
    states = model.get_encoder()(input_ids=ids, attention_mask=mask.long())[0]
    return BaseModelOutput(states if place is None else states[place])


def left_padded(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The same rows with their padding moved to the left, so that responses follow prompts directly."""
    order = mask.long().argsort(dim=1, stable=True)
    return ids.gather(1, order), mask.gather(1, order)


def positions(mask: Tensor) -> Tensor:
    """Position of each real token among its row's real tokens; 0 on padding."""
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)
