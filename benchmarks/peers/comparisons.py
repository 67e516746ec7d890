"""Which workload is run by which library, with which of its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from alarm.settings import PolicySettings
from benchmarks.throughput.floor import Shape
from benchmarks.throughput.workloads import W1, W2, W3, W3_T5, WORKLOADS, Workload, for_peers


@dataclass(frozen=True)
class Comparison:
    """One row of the peer table."""

    workload: Workload
    peer: str
    """Name of its environment, one of `PEERS`."""
    variant: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """For the peer's worker, beside the workload's shape."""

    def __str__(self) -> str:
        return f"{self.workload.name}-{self.peer}-{self.variant}"

    @property
    def shape(self) -> Shape:
        return Shape.of(self.workload)

    @property
    def scale(self) -> str | None:
        """That the workload belongs to."""
        return next((scale for scale, found in WORKLOADS.items() if self.workload in found), None)


def _causal(workload: Workload, activation: str) -> Comparison:
    """GPT-2's own activation function is `gelu_new`, which torch computes step by step; the other is fused."""
    return Comparison(workload, "trl-1.12.0", activation, {"activation": activation})


def _seq2seq(workload: Workload, generation_batch: int) -> Comparison:
    """Its `generate` has batches of 4 unless it is told otherwise."""
    variant = f"generation_batch_{generation_batch}"
    return Comparison(workload, "trl-0.7.11", variant, {"generation_batch": generation_batch})


COMPARISONS = (
    _causal(W1, "gelu_new"),
    _causal(W1, "gelu_pytorch_tanh"),
    _seq2seq(W2, W2.ppo.batch_size),
    _seq2seq(W2, 4),
    _causal(W3, "gelu_new"),
    _causal(W3, "gelu_pytorch_tanh"),
    _seq2seq(W3_T5, W3_T5.ppo.batch_size),
)


def workload_of(shape: Shape) -> Workload:
    """The workload of a shape, with everything that a shape does not say as in the others."""
    policy = PolicySettings(
        architecture=shape.architecture,
        vocabulary_size=shape.vocabulary,
        hidden_size=shape.hidden,
        feedforward_size=shape.feedforward,
        layers=shape.layers,
        heads=shape.heads,
    )
    made = for_peers("worker", policy, batch=shape.batch, new_tokens=shape.response_tokens)
    ppo = replace(
        made.ppo, mini_batch_size=shape.mini_batch, epochs=shape.epochs, max_prompt_tokens=shape.prompt_tokens
    )
    return replace(made, ppo=ppo)
