"""T5 for conditional generation, over real tokens only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import PreTrainedModel

from alarm.fused.attention import attend, by_head
from alarm.fused.layout import Packing, distinct_rows, rows_of
from alarm.fused.norms import rms_norm


@dataclass(frozen=True)
class Encoded:
    """What the encoder made of P prompts of at most S tokens."""

    states: Tensor
    """[N, H] of the real tokens."""
    packing: Packing
    prompt_of: Tensor | None
    """[B], which of the P each row to decode answers; None: each its own."""


class FusedT5:
    """Computes what a `T5ForConditionalGeneration` (or an mT5) does, dropout off."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.config = model.config
        self.heads = model.config.num_heads
        self._buckets: dict[tuple[int, bool, torch.device], Tensor] = {}

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Read B prompts [B, S], boolean `mask`; one that several rows have is read once."""
        return self.encode_rows(*distinct_rows(ids, mask))

    def encode_rows(self, ids: Tensor, mask: Tensor, prompt_of: Tensor | None) -> Encoded:
        """Read P prompts [P, S]; see `Encoded` for `prompt_of`."""
        stack, packing = self.model.encoder, Packing(mask)
        hidden = stack.embed_tokens(ids[mask])
        bias = self._position_bias(stack, ids.shape[1], bidirectional=True)
        if not packing.full:
            bias = bias + _hidden_keys(mask, bias.dtype)
        for block in stack.block:
            hidden = self._attend_to_self(block.layer[0], hidden, packing, bias)
            hidden = _feedforward(block.layer[1], hidden)
        return Encoded(_norm(stack.final_layer_norm, hidden), packing, prompt_of)

    def decode(self, ids: Tensor, mask: Tensor, encoded: Encoded) -> Tensor:
        """Final decoder states [N, H] at the real tokens of right-padded rows [B, T], start token first."""
        stack, packing = self.model.decoder, Packing(mask)
        hidden = stack.embed_tokens(ids[mask])
        width = ids.shape[1]
        later = hidden.new_full((width, width), torch.finfo(hidden.dtype).min).triu(1)
        bias = self._position_bias(stack, width, bidirectional=False) + later
        unseen = self._unseen_prompt(encoded, hidden.dtype)
        for block in stack.block:
            hidden = self._attend_to_self(block.layer[0], hidden, packing, bias)
            layer = block.layer[1]
            queries = packing.unpack(linear(_norm(layer.layer_norm, hidden), layer.EncDecAttention.q.weight))
            mixed = attend(queries, self._prompt_keys(layer, encoded), unseen, self.heads)
            hidden = torch.addmm(hidden, packing.pack(mixed), layer.EncDecAttention.o.weight.t())
            hidden = _feedforward(block.layer[2], hidden)
        return _norm(stack.final_layer_norm, hidden)

    def logits(self, states: Tensor, bias: Tensor | None) -> Tensor:
        """[N, V] from final decoder states [N, H]; `bias` [V] is added."""
        if self.config.tie_word_embeddings:
            states = states * self.config.d_model**-0.5
        return linear(states, self.model.lm_head.weight, bias)

    def sampler(self, ids: Tensor, mask: Tensor, tokens: int) -> T5Sampler:
        """Responds to prompts [B, S], right-padded with boolean `mask`, by up to `tokens` tokens."""
        return T5Sampler(self, ids, mask, tokens)

    def _attend_to_self(self, layer, hidden: Tensor, packing: Packing, bias: Tensor) -> Tensor:
        own = layer.SelfAttention
        projected = linear(_norm(layer.layer_norm, hidden), _joined(own.q, own.k, own.v))
        mixed = attend(packing.unpack(projected), None, bias, self.heads)
        return torch.addmm(hidden, packing.pack(mixed), own.o.weight.t())

    def _prompt_keys(self, layer, encoded: Encoded) -> Tensor:
        """Keys and values [B, S, 2 x heads x D] of the prompts in a decoder layer."""
        across = layer.EncDecAttention
        projected = encoded.packing.unpack(linear(encoded.states, _joined(across.k, across.v)))
        return projected if encoded.prompt_of is None else projected.index_select(0, encoded.prompt_of)

    def _unseen_prompt(self, encoded: Encoded, dtype: torch.dtype) -> Tensor | None:
        """[B, 1, 1, S], added to scores of prompt tokens; None where nothing is hidden."""
        if encoded.packing.full:
            return None
        hidden = _hidden_keys(encoded.packing.mask, dtype)
        return hidden if encoded.prompt_of is None else hidden[encoded.prompt_of]

    def _position_bias(self, stack, width: int, *, bidirectional: bool) -> Tensor:
        """[1, heads, T, T] of the relative positions, which all layers share."""
        own = stack.block[0].layer[0].SelfAttention
        weight = own.relative_attention_bias.weight
        key = (width, bidirectional, weight.device)
        if key not in self._buckets:
            # Kept for later calls with gradients, even where this one can have none.
            with torch.inference_mode(False):
                places = torch.arange(width, device=weight.device)
                self._buckets[key] = own._relative_position_bucket(
                    places[None, :] - places[:, None],
                    bidirectional=bidirectional,
                    num_buckets=own.relative_attention_num_buckets,
                    max_distance=own.relative_attention_max_distance,
                )
        return torch.nn.functional.embedding(self._buckets[key], weight).permute(2, 0, 1).unsqueeze(0)


class T5Sampler:
    """Keys and values of B rows in memory laid out once; one token for every row at a time.

    Keys are kept as [B x heads, D, S]: a single query reads them much faster so.
    """

    def __init__(self, network: FusedT5, ids: Tensor, mask: Tensor, tokens: int) -> None:
        self.network = network
        self.blocks = list(network.model.decoder.block)
        encoded = network.encode(ids, mask)
        self.prompts = []
        for block in self.blocks:
            keys, values = by_head(network._prompt_keys(block.layer[1], encoded), 2, network.heads)
            self.prompts.append((keys.transpose(1, 2).contiguous(), values))
        weight = network.model.decoder.embed_tokens.weight
        self.unseen = network._unseen_prompt(encoded, weight.dtype)
        several, width = self.prompts[0][0].shape[:2]
        self.memory = [
            (weight.new_empty(several, width, tokens), weight.new_empty(several, tokens, width)) for _ in self.blocks
        ]
        # [tokens, heads, 1, tokens]: what each new token adds to its scores of those before it.
        bias = network._position_bias(network.model.decoder, tokens, bidirectional=False)
        self.bias = bias[0].transpose(0, 1).unsqueeze(2).contiguous()
        self.projections = [
            _joined(own.q, own.k, own.v).t().contiguous() for own in (b.layer[0].SelfAttention for b in self.blocks)
        ]
        self._transposed: dict[Tensor, Tensor] = {}
        self.filled = 0
        self.start = ids.new_full((len(ids),), network.config.decoder_start_token_id)

    def step(self, token: Tensor | None) -> Tensor:
        """Final decoder states [B, H] that predict the next token, after reading `token` [B] (None: the start)."""
        token = self.start if token is None else token
        stack, heads = self.network.model.decoder, self.network.heads
        place, seen = self.filled, self.filled + 1
        hidden = stack.embed_tokens.weight[token]
        bias = self.bias[place, :, :, :seen]
        for number, block in enumerate(self.blocks):
            own, across, last = block.layer
            projected = torch.mm(_norm(own.layer_norm, hidden), self.projections[number])
            query, key, value = projected.view(len(token), 3, heads, -1).transpose(0, 1).flatten(1, 2)
            keys, values = self.memory[number]
            keys[:, :, place], values[:, place] = key, value
            mixed = _mix(query, keys[:, :, :seen], values[:, :seen], bias, heads)
            hidden = torch.addmm(hidden, mixed, self._transpose(own.SelfAttention.o.weight))
            query = torch.mm(_norm(across.layer_norm, hidden), self._transpose(across.EncDecAttention.q.weight))
            mixed = _mix(query.view(len(token) * heads, -1), *self.prompts[number], self.unseen, heads)
            hidden = torch.addmm(hidden, mixed, self._transpose(across.EncDecAttention.o.weight))
            hidden = _feedforward(last, hidden, self._transpose)
        self.filled = seen
        return _norm(stack.final_layer_norm, hidden)

    def _transpose(self, weight: Tensor) -> Tensor:
        """`weight` laid out anew, once for all steps: a product of few rows with it is a quarter faster so."""
        if weight not in self._transposed:
            self._transposed[weight] = weight.t().contiguous()
        return self._transposed[weight]

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows `rows` only, in that order."""
        heads = self.network.heads
        self.memory = [tuple(rows_of(part, rows, heads) for part in pair) for pair in self.memory]
        self.prompts = [tuple(rows_of(part, rows, heads) for part in pair) for pair in self.prompts]
        self.unseen = None if self.unseen is None else self.unseen[rows]


def _mix(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, heads: int) -> Tensor:
    """[B, heads x D] from one query per row and head [B x heads, D]; `bias` broadcasts to [B, heads, 1, S]."""
    scores = torch.bmm(query.unsqueeze(1), keys)
    if bias is not None:
        scores.unflatten(0, (-1, heads)).add_(bias)
    return torch.bmm(scores.softmax(-1), values).view(len(query) // heads, -1)


def _norm(module, states: Tensor) -> Tensor:
    return rms_norm(states, module.weight, module.variance_epsilon)


def _joined(*modules: torch.nn.Linear) -> Tensor:
    """One weight for several projections of the same states."""
    return torch.cat([module.weight for module in modules])


def _feedforward(layer, hidden: Tensor, transpose: Callable[[Tensor], Tensor] = Tensor.t) -> Tensor:
    dense, normed = layer.DenseReluDense, _norm(layer.layer_norm, hidden)
    if hasattr(dense, "wi"):
        inner = torch.mm(normed, transpose(dense.wi.weight))
        inner = inner.relu_() if isinstance(dense.act, torch.nn.ReLU) else dense.act(inner)
    else:
        gate = dense.act(torch.mm(normed, transpose(dense.wi_0.weight)))
        inner = gate * torch.mm(normed, transpose(dense.wi_1.weight))
    return torch.addmm(hidden, inner, transpose(dense.wo.weight))


def _hidden_keys(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, 1, 1, S] to add to scores: as good as minus infinity at padding."""
    unseen = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return unseen.masked_fill_(~mask, torch.finfo(dtype).min)[:, None, None, :]
