"""Networks behind the learned scorers: one for encoder-decoder models, and Hugging Face's own heads for all others.

`marked_logits` reads a `Batch` with either kind, so that training and scoring share every line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

WEIGHTS = "model.safetensors"


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
    """The encoder reads the prompt, the decoder reads the response, and a linear head reads the decoder's states.

    This is the policy's own way of reading, so every weight below the head can start from the SFT policy. (Hugging
    Face's encoder-decoder classifiers feed one text to both stacks and lose most of that start.)
    """

    main_input_name = "response_ids"

    def __init__(self, config: PretrainedConfig, body: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.body = AutoModel.from_config(config) if body is None else body
        self.head = nn.Linear(config.hidden_size, config.num_labels, bias=config.num_labels > 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [M, labels], fp32, at the batch's marks."""
        # Padding lies right of every mark and the decoder looks left only, so it needs no mask.
        states = self.body.encoder(input_ids=batch.prompt_ids, attention_mask=batch.prompt_mask.long())[0]
        states = self.body.decoder(
            input_ids=batch.response_ids,
            encoder_hidden_states=states[batch.prompt_of],
            encoder_attention_mask=batch.prompt_mask[batch.prompt_of].long(),
            use_cache=False,
        )[0]
        return self.head(states[batch.mark_rows, batch.mark_columns]).float()

    def save(self, directory: Path) -> None:
        from safetensors.torch import save_model

        self.config.save_pretrained(directory)
        save_model(self, str(directory / WEIGHTS))

    @classmethod
    def load(cls, directory: Path) -> EncoderDecoderReader:
        from safetensors.torch import load_model

        network = cls(AutoConfig.from_pretrained(directory))
        load_model(network, str(directory / WEIGHTS))
        return network


def marked_logits(network: nn.Module, batch: Batch) -> Tensor:
    """Logits [M, labels], fp32, at the batch's marks; a sequence classifier's score is at its response's mark."""
    if isinstance(getattr(network, "module", network), EncoderDecoderReader):  # `module` where a launcher wraps it
        return network(batch)
    logits = network(input_ids=batch.response_ids, attention_mask=batch.response_mask.long()).logits.float()
    return logits if logits.dim() == 2 else logits[batch.mark_rows, batch.mark_columns]
