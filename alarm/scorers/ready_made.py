"""Holistic scorers over ready-made reward models: one text per response, prompts cut to fit, batches by length."""

from __future__ import annotations

import copy
import itertools
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from alarm.scorers.base import Placement, Score, Scorer
from alarm.scorers.external import BATCH_SIZE

DIGITS = 5
"""Of a score. Rounding errors depend on the padding of a batch; without a limit they would turn ties into wins."""
UNLIMITED = 1_000_000
"""Tokenizers without a limit of their own state an astronomic one."""


class ReadyMadeScorer(Scorer):
    """One Bradley-Terry reward per response, from a network that reads prompt and response in one text.

    A text of more than `max_tokens` loses the end of its prompt, never a token of the response, which is read whole
    up to the length that the network itself allows. Scores do not depend on the batch: within 1e-4 of themselves in
    float32, and within what bfloat16 resolves, of which a GPU's arithmetic is.
    """

    name = "holistic"
    value_name = "holistic reward"
    placement = Placement.LAST
    higher_is_better = True
    normalize = True
    log_odds = True

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        version: str,
        max_tokens: int | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """`max_tokens` limits prompt and response together; None: the network's own limit."""
        self.network, self.tokenizer, self.batch_size = network, tokenizer, batch_size
        self.limit = _limit(network, tokenizer)
        self.max_tokens = self._allowed(max_tokens)
        self.truncated_prompts = 0
        """Prompts cut so far; one with several responses counts for each."""
        self._version = version

    def limited(self, max_tokens: int | None) -> Self:
        """The same network for texts of another length, with a count of cut prompts of its own."""
        other = copy.copy(self)
        other.max_tokens, other.truncated_prompts = self._allowed(max_tokens), 0
        return other

    @property
    def version(self) -> str:
        return self._version

    @property
    @abstractmethod
    def form(self) -> str:
        """How prompt and response are joined, for records."""

    @abstractmethod
    def encode(self, prompt: str, response: str) -> tuple[dict[str, list[int]], list[bool]]:
        """The network's inputs for one pair, by name, and for each token whether it is one of the prompt's."""

    def facts(self) -> dict[str, Any]:
        """What scores depend on besides texts."""
        return {
            "version": self.version,
            "form": self.form,
            "max_tokens": self.max_tokens,
            "batch_size": self.batch_size,
            "dtype": str(self.network.dtype).removeprefix("torch."),
            "padding_side": "right",
        }

    def count_cut(self, prompts: Sequence[str], responses: Sequence[str]) -> int:
        encoded = [self.encode(*pair)[1] for pair in zip(prompts, responses, strict=True)]
        return sum(len(of_prompt) > self.max_tokens and any(of_prompt) for of_prompt in encoded)

    @torch.inference_mode()
    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Score]:
        """One `Score` per pair, in order; pairs are batched by length.

        Raises:
            ValueError: unequal lists, a response longer than the network can read, or a score that is not finite.
        """
        if len(prompts) != len(responses):
            raise ValueError(f"{self.name}: {len(prompts)} prompts but {len(responses)} responses; pass one of each")
        rows = [self._cut(*self.encode(*pair)) for pair in zip(prompts, responses, strict=True)]
        by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
        values = [0.0] * len(rows)
        for start in range(0, len(rows), self.batch_size):
            batch = by_length[start : start + self.batch_size]
            for i, value in zip(batch, self._forward([rows[i] for i in batch]).tolist(), strict=True):
                values[i] = value
        return [Score(round(value, DIGITS)) for value in values]

    def _allowed(self, max_tokens: int | None) -> int:
        return min(max_tokens or self.limit, self.limit)

    def _forward(self, rows: list[dict[str, list[int]]]) -> Tensor:
        """Scores [N], fp32 on the CPU, of N rows of inputs."""
        config = self.network.config
        own = pad_id = config.pad_token_id
        if pad_id is None or not 0 <= pad_id < config.vocab_size:
            # Such a network reads the last token of one row, and with padding the last that is none: what no row ends
            # with is safe to pad with. A padding token of its own stays, as the network was trained with it.
            last = {row["input_ids"][-1] for row in rows}
            pad_id = next(i for i in itertools.count() if i not in last)
        width = max(len(row["input_ids"]) for row in rows)
        fill = {"input_ids": pad_id}
        inputs = {
            name: torch.tensor([row[name] + [fill.get(name, 0)] * (width - len(row[name])) for row in rows])
            for name in rows[0]
        }
        try:
            config.pad_token_id = pad_id
            logits = self.network(**{name: tensor.to(self.network.device) for name, tensor in inputs.items()}).logits
        finally:
            config.pad_token_id = own
        values = logits.float().cpu().squeeze(1)
        if not values.isfinite().all():
            raise ValueError(f"the holistic model {self.version} gave a score that is not finite")
        return values

    def _cut(self, inputs: dict[str, list[int]], of_prompt: list[bool]) -> dict[str, list[int]]:
        """The inputs without the last tokens of the prompt, as many as are too many."""
        length = len(of_prompt)
        positions = [i for i, is_prompt in enumerate(of_prompt) if is_prompt]
        excess = min(length - self.max_tokens, len(positions))
        if length - max(excess, 0) > self.limit:
            raise ValueError(
                f"a response alone has more than the {self.limit} tokens that the holistic model {self.version} reads; "
                "lower max_new_tokens"
            )
        if excess <= 0:
            return inputs
        if not self.truncated_prompts:
            warnings.warn(
                f"a prompt was cut at its end to fit the holistic model's {self.max_tokens} tokens; this is said once, "
                "and the setup's record counts such prompts of the dev split",
                stacklevel=3,
            )
        self.truncated_prompts += 1
        dropped = set(positions[len(positions) - excess :])
        return {name: [value for i, value in enumerate(ids) if i not in dropped] for name, ids in inputs.items()}


def inside(tokens: BatchEncoding, start: int, end: int) -> list[bool]:
    """For each token whether its characters lie between `start` and `end`; one that the tokenizer added does not.

    A token of white space alone may cover no characters, as an added one, and lies where it stands.
    """
    return [
        start <= first <= last <= end and not added
        for (first, last), added in zip(tokens["offset_mapping"], tokens["special_tokens_mask"], strict=True)
    ]


def _limit(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The most tokens that network and tokenizer allow."""
    stated = (tokenizer.model_max_length, getattr(network.config, "max_position_embeddings", None))
    limits = [limit for limit in stated if limit and limit < UNLIMITED]
    return int(min(limits, default=UNLIMITED))
