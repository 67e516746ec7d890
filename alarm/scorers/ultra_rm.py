"""UltraRM: a Llama with a linear head that reads the last attended token (arXiv:2310.01377; openbmb/UltraRM-13b)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from alarm.scorers.checkpoints import find_checkpoint
from alarm.scorers.external import BATCH_SIZE
from alarm.scorers.forms import FORMS
from alarm.scorers.ready_made import ReadyMadeScorer, inside


class UltraRM(LlamaPreTrainedModel):
    """The network, with the published checkpoint's names: `model.*` and `regression_head.weight`, without a bias."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.regression_head = nn.Linear(config.hidden_size, 1, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SequenceClassifierOutput:
        """Scores [N, 1] in fp32, of `input_ids` [N, T] at each row's last token whose `attention_mask` is not 0."""
        states = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        last = attention_mask.cumsum(dim=1).argmax(dim=1)
        read = states[torch.arange(len(states), device=states.device), last]
        return SequenceClassifierOutput(logits=nn.functional.linear(read.float(), self.regression_head.weight.float()))


class UltraRMScorer(ReadyMadeScorer):
    """UltraRM's reward for "Human: {prompt}\\nAssistant: {response}", the holistic reward of arXiv:2403.06754.

    The prompt is the policy's whole prompt, as in the authors' code; that cuts long texts at their end, which takes the
    response away, and here the prompt is cut instead.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        device: str = "cpu",
        max_tokens: int | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """Raises `ValueError` if `checkpoint` is not found or is not of this layout, its head included."""
        found = find_checkpoint(str(checkpoint))
        config = found.config()
        if config.model_type != "llama":
            raise ValueError(f"{found.name} is a {config.model_type} model and UltraRM a llama; use classifier:NAME")
        super().__init__(
            found.network(UltraRM, config, device=device),
            found.tokenizer(),
            version=f"ultrarm {found.version}",
            max_tokens=max_tokens,
            batch_size=batch_size,
        )

    @property
    def form(self) -> str:
        return f"{FORMS['holistic'].before_prompt}PROMPT{FORMS['holistic'].before_response}RESPONSE"

    def encode(self, prompt: str, response: str) -> tuple[dict[str, list[int]], list[bool]]:
        form = FORMS["holistic"]
        start, end = len(form.before_prompt), len(form.before_prompt) + len(prompt)
        text = form.before_prompt + prompt + form.before_response + response
        tokens = self.tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        inputs = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        return inputs, inside(tokens, start, end)
