"""Contrastive terms on the representations that a reward model scores: SimCSE and SwAV.

L = L_rm + beta * L_cl, where L_cl compares two views of the same representations.
Source: arXiv:2401.06080 (on reward models); arXiv:2104.08821 (SimCSE); arXiv:2006.09882 (SwAV).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

if TYPE_CHECKING:
    from alarm.settings import RecipeSettings

KINDS, TARGETS = ("simcse", "swav"), ("pair", "difference")


@dataclass(frozen=True)
class Contrastive:
    """A contrastive term beside the preference loss.

    Raises:
        ValueError: a setting out of its range.
    """

    kind: str
    """"simcse" or "swav"."""
    weight: float = 0.1
    """beta, >= 0."""
    target: str = "pair"
    """What is told apart: "pair", the representation of every response, or "difference", h(chosen) - h(rejected)."""
    temperature: float = 0.1
    """tau > 0, of the cosine similarities."""
    dropout: float = 0.1
    """Share of features that each view loses, in [0, 1)."""
    prototypes: int = 16
    """K, the clusters of SwAV."""
    sinkhorn_epsilon: float = 0.05
    """Entropy of SwAV's assignments, > 0."""
    sinkhorn_iterations: int = 3

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("target", TARGETS)):
            if getattr(self, name) not in known:
                raise ValueError(f"contrastive {name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not (self.weight >= 0 and 0 <= self.dropout < 1 and self.temperature > 0 and self.sinkhorn_epsilon > 0):
            raise ValueError(
                "a contrastive term needs weight >= 0, dropout in [0, 1), temperature > 0 and sinkhorn_epsilon > 0, "
                f"got {self.weight}, {self.dropout}, {self.temperature} and {self.sinkhorn_epsilon}"
            )
        if self.prototypes < 2 or self.sinkhorn_iterations < 1:
            raise ValueError(
                "SwAV needs at least 2 prototypes and 1 Sinkhorn iteration, "
                f"got {self.prototypes} and {self.sinkhorn_iterations}"
            )

    @classmethod
    def from_settings(cls, kind: str, settings: RecipeSettings) -> Contrastive:
        """The term of that kind with a preset's settings."""
        return cls(
            kind,
            weight=settings.contrastive_weight,
            target=settings.contrastive_target,
            temperature=settings.contrastive_temperature,
            dropout=settings.contrastive_dropout,
            prototypes=settings.prototypes,
            sinkhorn_epsilon=settings.sinkhorn_epsilon,
            sinkhorn_iterations=settings.sinkhorn_iterations,
        )


def simcse_loss(first: Tensor, second: Tensor, *, temperature: float) -> Tensor:
    """How badly the second view of each item is told from those of the others.

    `mean_i -log( exp(cos(a_i, b_i) / tau) / sum_j exp(cos(a_i, b_j) / tau) )`

    Args:
        first: [N, H], a.
        second: [N, H], b, another view of the same items.
        temperature: tau > 0.
    Returns:
        scalar in nats; 0, without gradient, for a single item, which has nothing to be told from.
    Raises:
        ValueError: views of different shapes.
    Source: arXiv:2104.08821, section 3.
    """
    _check_views(first, second)
    similarities = normalize(first, dim=1) @ normalize(second, dim=1).T / temperature
    return cross_entropy(similarities, torch.arange(len(first), device=first.device))


@torch.no_grad()
def sinkhorn(scores: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """Soft assignment of N items to K clusters that uses all clusters alike.

    Maximises `sum(Q * scores) + epsilon * entropy(Q)` over assignments whose rows sum to 1 and whose columns sum to
    N / K, by scaling columns and rows in turn; in logarithms, so that no score is too large.

    Args:
        scores: [N, K].
        epsilon: > 0; near 0 the assignment is hard.
        iterations: >= 1. Rows are scaled last: they sum to 1 always, the columns balance as the iterations go on.
    Returns:
        [N, K], without gradient.
    Source: arXiv:2006.09882, section 3.1, equations 3-5.
    """
    log_q = scores / epsilon
    for _ in range(iterations):
        log_q = log_q.log_softmax(0)
        log_q = log_q.log_softmax(1)
    return log_q.exp()


def swav_loss(
    first: Tensor, second: Tensor, prototypes: Tensor, *, temperature: float, epsilon: float, iterations: int
) -> Tensor:
    """How badly each view predicts the cluster assignment of the other.

    `mean_i 1/2 [l(a_i, q(b)_i) + l(b_i, q(a)_i)]`, l(z, q) = `-sum_k q_k log softmax_k(cos(z, c_k) / tau)`; the
    assignments q come from `sinkhorn` and pass no gradient.

    Args:
        first: [N, H], a.
        second: [N, H], b, another view of the same items.
        prototypes: [K, H], c.
        temperature: tau > 0.
        epsilon: see `sinkhorn`.
        iterations: see `sinkhorn`.
    Returns:
        scalar in nats; 0, without gradient, for a single item, whose balanced assignment is uniform and says nothing.
    Raises:
        ValueError: views of different shapes.
    Source: arXiv:2006.09882, equations 1 and 2.
    """
    _check_views(first, second)
    if len(first) < 2:
        return first.sum() * 0.0
    scores = [normalize(view, dim=1) @ normalize(prototypes, dim=1).T for view in (first, second)]
    assignments = [sinkhorn(score, epsilon=epsilon, iterations=iterations) for score in scores]
    predictions = [(score / temperature).log_softmax(1) for score in scores]
    crossed = assignments[1] * predictions[0] + assignments[0] * predictions[1]
    return -crossed.sum(1).mean() / 2


def _check_views(first: Tensor, second: Tensor) -> None:
    if first.dim() != 2 or first.shape != second.shape:
        raise ValueError(
            f"two views must be two [N, H] tensors of one shape, got {tuple(first.shape)} and {tuple(second.shape)}"
        )


class ContrastiveTerm(nn.Module):
    """beta * L_cl of one batch; holds SwAV's prototypes, which are learned with the network and not saved.

    The two views come from dropout on the representations themselves: one pass of the network serves the preference
    loss and both views, and the preference loss is that of plain training. (The paper passes the text through the
    network twice, but TRL turns the network's own dropout off for reward models, and its base model has none.)
    """

    def __init__(self, options: Contrastive, *, size: int, seed: int) -> None:
        """`size` is that of a representation, H; `seed` draws prototypes and dropout, apart from global randomness."""
        super().__init__()
        self.options = options
        self.generator = torch.Generator().manual_seed(seed)
        if options.kind == "swav":
            self.prototypes = nn.Parameter(torch.randn(options.prototypes, size, generator=self.generator))

    def forward(self, features: Tensor, *, chosen: Tensor, rejected: Tensor, **_: Tensor) -> Tensor:
        """Scalar from representations [N, H] of distinct responses, and pairs [P] of rows among them."""
        views = []
        for _view in range(2):
            view = self._drop(features)
            views.append(view[chosen] - view[rejected] if self.options.target == "difference" else view)
        return self.options.weight * self._loss(*views)

    def _drop(self, features: Tensor) -> Tensor:
        kept = torch.rand(features.shape, generator=self.generator) >= self.options.dropout
        return features * kept.to(features.device) / (1 - self.options.dropout)

    def _loss(self, first: Tensor, second: Tensor) -> Tensor:
        options = self.options
        if options.kind == "simcse":
            return simcse_loss(first, second, temperature=options.temperature)
        return swav_loss(
            first,
            second,
            self.prototypes,
            temperature=options.temperature,
            epsilon=options.sinkhorn_epsilon,
            iterations=options.sinkhorn_iterations,
        )
