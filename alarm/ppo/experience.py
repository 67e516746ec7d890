"""What PPO learns from, and what it reports of an update."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from alarm.ppo import processes
from alarm.ppo.batch import TokenBatch


@dataclass(frozen=True)
class Experience:
    """What a batch of B responses of at most T tokens is learned from; computed once, before the update."""

    batch: TokenBatch
    mask: Tensor
    """[B, T], boolean: the tokens that take part in losses and in the divergence."""
    log_probs: Tensor
    """[B, T], of the policy that sampled the responses."""
    values: Tensor
    """[B, T]."""
    advantages: Tensor
    """[B, T], whitened."""
    returns: Tensor
    """[B, T]."""

    def rows(self, index: Tensor) -> Experience:
        """The rows `index`, trimmed to their longest prompt and response."""
        batch = self.batch.rows(index)
        width = batch.response_mask.shape[1]
        tensors = (self.mask, self.log_probs, self.values, self.advantages, self.returns)
        return Experience(batch, *(tensor[index, :width] for tensor in tensors))

    def shard(self) -> Experience:
        """This process's rows; a process without any gets a row that counts for nothing, to keep step with the others.

        Gradients are averaged over the processes layer by layer, so every process has to pass through the network.
        """
        mine = processes.shard(len(self.batch))
        if len(mine) == len(self.batch):
            return self
        if mine:
            return self.rows(torch.arange(mine.start, mine.stop, device=self.mask.device))
        idle = self.rows(torch.zeros(1, dtype=torch.long, device=self.mask.device))
        return replace(idle, mask=torch.zeros_like(idle.mask))


@dataclass
class UpdateTotals:
    """Sums over the mini-batches of all epochs."""

    epochs: int = 0
    tokens: int = 0
    sums: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("policy_loss", "value_loss", "clip_fraction", "ratio_mean"), 0.0)
    )
    grad_norms: list[float] = field(default_factory=list)
    skipped: int = 0
    approx_kl: float = 0.0

    def metrics(self) -> dict[str, float]:
        means = {name: total / max(1, self.tokens) for name, total in self.sums.items()}
        return means | {
            "grad_norm": sum(self.grad_norms) / max(1, len(self.grad_norms)),
            "skipped_mini_batches": self.skipped,
            "approx_kl": self.approx_kl,
            "epochs": self.epochs,
        }
