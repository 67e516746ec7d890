"""GPT-2 over real tokens only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, scaled_dot_product_attention
from transformers import PreTrainedModel

from alarm.fused.layout import Packing, heads_of, merged, rows_of, take


class FusedGPT2:
    """Computes what a GPT-2 does, dropout off; logits and samples if it has a language model head."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        config = model.config
        self.heads = config.num_attention_heads
        self.scale = (config.hidden_size // self.heads) ** -0.5

    def states(self, ids: Tensor, mask: Tensor, wanted: Tensor) -> Tensor:
        """Final hidden states [M, H] at the places `wanted` among the real tokens of right-padded rows.

        Args:
            ids: [B, T]. mask: boolean, [B, T].
            wanted: [M], without repeats, counted over the real tokens row by row.
        """
        trunk, packing = self.model.transformer, Packing(mask)
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        hidden = trunk.wte(ids[mask]) + trunk.wpe(places[mask])
        for number, block in enumerate(trunk.h):
            projected = _linear(block.attn.c_attn, _norm(block.ln_1, hidden))
            parts = heads_of(packing.unpack(projected), 3, self.heads)
            mixed = packing.pack(merged(scaled_dot_product_attention(*parts, is_causal=True, scale=self.scale)))
            if number == len(trunk.h) - 1:
                # No later token looks at what the last layer makes of the others.
                hidden, mixed = take(hidden, wanted), take(mixed, wanted)
            hidden = hidden + _linear(block.attn.c_proj, mixed)
            hidden = hidden + _feedforward(block, hidden)
        return _norm(trunk.ln_f, hidden)

    def logits(self, states: Tensor, bias: Tensor | None) -> Tensor:
        """[M, V] from final states [M, H]; `bias` [V] is added."""
        return torch.nn.functional.linear(states, self.model.lm_head.weight, bias)

    def sampler(self, ids: Tensor, mask: Tensor, tokens: int) -> GPT2Sampler:
        """Continues prompts [B, S], right-padded with boolean `mask`, by up to `tokens` tokens."""
        return GPT2Sampler(self, ids, mask, tokens)


class GPT2Sampler:
    """Keys and values of B rows in memory laid out once; one token for every row at a time.

    Keys are kept as [B x heads, D, S]: a single query reads them much faster so.
    """

    def __init__(self, network: FusedGPT2, ids: Tensor, mask: Tensor, tokens: int) -> None:
        self.network, self.blocks = network, list(network.model.transformer.h)
        self.filled = 0
        self.lengths = mask.sum(1)
        # Prompts end at the same column, so that every row's next token goes to the same place.
        order = mask.long().argsort(dim=1, stable=True)
        self.prompt, real = ids.gather(1, order), mask.gather(1, order)
        rows, width = ids.shape
        several, longest = rows * network.heads, width + tokens
        size = network.model.config.hidden_size // network.heads
        weight = network.model.transformer.wte.weight
        self.memory = [
            (weight.new_empty(several, size, longest), weight.new_empty(several, longest, size)) for _ in self.blocks
        ]
        self.bias = None
        if not mask.all():
            self.bias = weight.new_zeros(rows, 1, longest)
            self.bias[:, 0, :width].masked_fill_(~real, torch.finfo(weight.dtype).min)

    def step(self, token: Tensor | None) -> Tensor:
        """Final states [B, H] that predict the next token, after reading `token` [B], or the prompts where None."""
        if token is None:
            return self._read_prompts()
        trunk, heads = self.network.model.transformer, self.network.heads
        rows, start = len(token), self.filled
        hidden = trunk.wte.weight[token] + trunk.wpe.weight[self.lengths + (start - self.prompt.shape[1])]
        bias = None if self.bias is None else self._bias_of_heads(start + 1)
        nothing = hidden.new_empty(1, 1, 1)
        for block, (keys, values) in zip(self.blocks, self.memory, strict=True):
            projected = _linear(block.attn.c_attn, _norm(block.ln_1, hidden))
            query, key, value = projected.view(rows, 3, heads, -1).transpose(0, 1).flatten(1, 2)
            keys[:, :, start], values[:, start] = key, value
            scores = torch.baddbmm(
                nothing if bias is None else bias,
                query.unsqueeze(1),
                keys[:, :, : start + 1],
                beta=0.0 if bias is None else 1.0,
                alpha=self.network.scale,
            )
            mixed = torch.bmm(scores.softmax(-1), values[:, : start + 1]).view(rows, -1)
            hidden = hidden + _linear(block.attn.c_proj, mixed)
            hidden = hidden + _feedforward(block, hidden)
        self.filled += 1
        return _norm(trunk.ln_f, hidden)

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows `rows` only, in that order."""
        heads = self.network.heads
        self.lengths = self.lengths[rows]
        self.bias = None if self.bias is None else self.bias[rows]
        self.memory = [tuple(rows_of(part, rows, heads) for part in pair) for pair in self.memory]

    def _read_prompts(self) -> Tensor:
        trunk, heads = self.network.model.transformer, self.network.heads
        rows, width = self.prompt.shape
        places = torch.arange(width, device=self.prompt.device) - (width - self.lengths).unsqueeze(1)
        hidden = trunk.wte(self.prompt) + trunk.wpe(places.clamp(min=0))
        bias = None
        if self.bias is not None:
            causal = hidden.new_full((width, width), torch.finfo(hidden.dtype).min).triu(1)
            bias = torch.minimum(causal, self.bias[:, :, :width]).unsqueeze(1)
        for number, (block, memory) in enumerate(zip(self.blocks, self.memory, strict=True)):
            projected = _linear(block.attn.c_attn, _norm(block.ln_1, hidden).flatten(0, 1)).view(rows, width, -1)
            query, key, value = heads_of(projected, 3, heads)
            keys, values = memory
            keys[:, :, :width], values[:, :width] = key.flatten(0, 1).transpose(1, 2), value.flatten(0, 1)
            mixed = merged(
                scaled_dot_product_attention(
                    query, key, value, attn_mask=bias, is_causal=bias is None, scale=self.network.scale
                )
            )
            if number == len(self.blocks) - 1:
                hidden, mixed = hidden[:, -1], mixed[:, -1]
            hidden = hidden + _linear(block.attn.c_proj, mixed.flatten(0, -2)).view_as(hidden)
            hidden = hidden + _feedforward(block, hidden.flatten(0, -2)).view_as(hidden)
        self.filled = width
        return _norm(trunk.ln_f, hidden)

    def _bias_of_heads(self, width: int) -> Tensor:
        return self.bias[:, :, :width].repeat_interleave(self.network.heads, dim=0)


def _norm(module: torch.nn.LayerNorm, states: Tensor) -> Tensor:
    return layer_norm(states, module.normalized_shape, module.weight, module.bias, module.eps)


def _linear(module, states: Tensor) -> Tensor:
    """`Conv1D` of transformers on [N, C]: a linear layer whose weight is [in, out]."""
    return torch.addmm(module.bias, states, module.weight)


def _feedforward(block, hidden: Tensor) -> Tensor:
    return _linear(block.mlp.c_proj, block.mlp.act(_linear(block.mlp.c_fc, _norm(block.ln_2, hidden))))
