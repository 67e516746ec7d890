"""Reward models of the hub with a stock head: any `AutoModelForSequenceClassification` with one output."""

from __future__ import annotations

from pathlib import Path

from transformers import BatchEncoding
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from alarm.scorers.checkpoints import find_checkpoint
from alarm.scorers.external import BATCH_SIZE
from alarm.scorers.ready_made import ReadyMadeScorer, inside


class ClassifierScorer(ReadyMadeScorer):
    """The one logit of a sequence classifier, as the model gives it for a single text.

    Prompt and response are two turns of the tokenizer's chat template where it has one; otherwise a pair of texts as
    the tokenizer joins pairs (BERT's separator; nothing but the texts for most causal models).
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        device: str = "cpu",
        max_tokens: int | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """Raises `ValueError` if `checkpoint` is not found, has not one output, or lacks its head."""
        found = find_checkpoint(str(checkpoint))
        config = found.config()
        if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
            raise ValueError(
                f"{found.name} is a {config.model_type} model, for which transformers has no sequence classifier"
            )
        if config.num_labels != 1:
            raise ValueError(
                f"{found.name} has {config.num_labels} outputs, but a reward model has one; name another model"
            )
        super().__init__(
            found.network(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)], config, device=device),
            found.tokenizer(),
            version=f"classifier {found.version}",
            max_tokens=max_tokens,
            batch_size=batch_size,
        )

    @property
    def form(self) -> str:
        return "chat template" if self.tokenizer.chat_template else "pair of texts"

    def encode(self, prompt: str, response: str) -> tuple[dict[str, list[int]], list[bool]]:
        if self.tokenizer.chat_template:
            return self._chat(prompt, response)
        tokens = self.tokenizer(prompt, response)
        return self._inputs(tokens), [sequence == 0 for sequence in tokens.sequence_ids()]

    def _chat(self, prompt: str, response: str) -> tuple[dict[str, list[int]], list[bool]]:
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False)
        # The template has written its special tokens; adding them again would double the first.
        tokens = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        shown = prompt.strip()  # templates strip turns
        start = text.rfind(shown, 0, max(text.rfind(response.strip()), 0))
        of_prompt = inside(tokens, start, start + len(shown)) if start >= 0 else []
        return self._inputs(tokens), of_prompt or [False] * len(tokens["input_ids"])

    def _inputs(self, tokens: BatchEncoding) -> dict[str, list[int]]:
        names = ["input_ids", "attention_mask"]
        if getattr(self.network.config, "type_vocab_size", 0) > 1:  # others misread them, or take none
            names.append("token_type_ids")
        return {name: tokens[name] for name in names if name in tokens}
