"""Contrastive terms: their equations, the balance of Sinkhorn assignments, and the two views of a representation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alarm.reward_modeling.contrastive import Contrastive, ContrastiveTerm, simcse_loss, sinkhorn, swav_loss
from alarm.settings import RecipeSettings

MATRICES = st.tuples(st.integers(2, 6), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-1, 1, width=32)).map(torch.from_numpy)
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def test_simcse_follows_its_equation():
    first, second = random(5, 3), random(5, 3, seed=1)
    slow = 0.0
    for i in range(5):
        similarities = [math.exp(cosine(first[i].tolist(), second[j].tolist()) / 0.3) for j in range(5)]
        slow -= math.log(similarities[i] / sum(similarities)) / 5
    assert simcse_loss(first, second, temperature=0.3).item() == pytest.approx(slow, rel=1e-12)


def test_simcse_by_hand():
    # Own view: cosine 1; the other's: 0. -log(e / (e + 1)) for both, whatever their lengths.
    views = torch.tensor([[2.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    assert simcse_loss(views, views, temperature=1.0).item() == pytest.approx(0.3132616875182228, rel=1e-12)
    swapped = views.flip(0)
    assert simcse_loss(views, swapped, temperature=1.0).item() == pytest.approx(1.3132616875182228, rel=1e-12)


def sinkhorn_of_the_authors(scores: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    """The pseudocode of arXiv:2006.09882, appendix A, with K prototypes as rows."""
    q = np.exp(scores / epsilon).T
    q /= q.sum()
    k, n = q.shape
    for _ in range(iterations):
        q /= q.sum(1, keepdims=True) * k
        q /= q.sum(0, keepdims=True) * n
    return (q * n).T


@given(MATRICES, st.sampled_from([0.05, 0.5]), st.integers(1, 4))
def test_sinkhorn_is_that_of_the_authors(scores, epsilon, iterations):
    ours = sinkhorn(scores, epsilon=epsilon, iterations=iterations)
    np.testing.assert_allclose(
        ours.numpy(), sinkhorn_of_the_authors(scores.numpy(), epsilon, iterations), rtol=1e-7, atol=1e-12
    )


@given(MATRICES)
def test_sinkhorn_rows_sum_to_one_and_columns_balance(scores):
    items, clusters = scores.shape
    after_one, after_many = (sinkhorn(scores, epsilon=0.5, iterations=n) for n in (1, 300))
    for assignment in (after_one, after_many):
        torch.testing.assert_close(assignment.sum(1), torch.ones(items, dtype=torch.float64))
    torch.testing.assert_close(
        after_many.sum(0), torch.full((clusters,), items / clusters, dtype=torch.float64), rtol=1e-4, atol=1e-6
    )


@given(MATRICES, st.floats(-5, 5), st.floats(-5, 5))
def test_sinkhorn_compares_only_within_rows_and_columns(scores, to_row, to_column):
    shifted = scores.clone()
    shifted[0] += to_row
    shifted[:, 1] += to_column
    torch.testing.assert_close(
        sinkhorn(scores, epsilon=0.5, iterations=300),
        sinkhorn(shifted, epsilon=0.5, iterations=300),
        rtol=1e-3,
        atol=1e-5,
    )


def test_sinkhorn_by_hand():
    # Two balanced items: q_00 = x = q_11, and x / (1 - x) squared is the exponential of (1 + 0 - 0.5 - 1) / 0.5.
    scores = torch.tensor([[1.0, 0.5], [1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    assignment = sinkhorn(scores, epsilon=0.5, iterations=100)
    x = 0.3775406687981454  # sigmoid(-0.5)
    torch.testing.assert_close(assignment, torch.tensor([[x, 1 - x], [1 - x, x]], dtype=torch.float64))
    assert not assignment.requires_grad


def test_much_entropy_spreads_the_assignment_and_large_scores_stay_finite():
    scores = random(4, 3)
    even = sinkhorn(scores, epsilon=1e6, iterations=1)
    torch.testing.assert_close(even, torch.full_like(scores, 1 / 3), rtol=0, atol=1e-5)
    assert sinkhorn(scores * 1e5, epsilon=0.05, iterations=3).isfinite().all()


def test_swav_follows_its_equation():
    first, second, prototypes = random(4, 3), random(4, 3, seed=1), random(2, 3, seed=2)
    scores = [
        np.array([[cosine(item, prototype) for prototype in prototypes.tolist()] for item in view.tolist()])
        for view in (first, second)
    ]
    assignments = [sinkhorn_of_the_authors(score, 0.05, 3) for score in scores]
    slow = 0.0
    for i in range(4):
        for view, other in ((0, 1), (1, 0)):
            exponentials = np.exp(scores[view][i] / 0.2)
            slow -= (assignments[other][i] * np.log(exponentials / exponentials.sum())).sum() / 2 / 4
    loss = swav_loss(first, second, prototypes, temperature=0.2, epsilon=0.05, iterations=3)
    assert loss.item() == pytest.approx(slow, rel=1e-9)


def test_gradients_reach_views_and_prototypes_and_are_right():
    first, second, prototypes = (random(3, 2, seed=seed).requires_grad_() for seed in range(3))
    assert torch.autograd.gradcheck(lambda a, b: simcse_loss(a, b, temperature=0.5), (first, second))
    loss = swav_loss(first, second, prototypes, temperature=0.5, epsilon=0.05, iterations=3)
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(loss, (first, second, prototypes)))


def test_a_single_item_has_nothing_to_be_told_from():
    first, second = random(1, 3).requires_grad_(), random(1, 3, seed=1)
    for loss in (
        simcse_loss(first, second, temperature=0.1),
        swav_loss(first, second, random(2, 3), temperature=0.1, epsilon=0.05, iterations=3),
    ):
        assert loss.item() == 0
        assert torch.autograd.grad(loss, first)[0].abs().sum() == 0


def test_views_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"two \[N, H\] tensors of one shape, got \(2, 3\) and \(3, 3\)"):
        simcse_loss(random(2, 3), random(3, 3), temperature=0.1)
    with pytest.raises(ValueError, match="one shape"):
        swav_loss(random(2), random(2), random(2, 2), temperature=0.1, epsilon=0.05, iterations=3)


class Spy(ContrastiveTerm):
    """Keeps the views instead of comparing them."""

    def _loss(self, first, second):
        self.views = first, second
        return super()._loss(first, second)


def test_the_views_are_two_dropouts_of_the_same_representations():
    features = random(40, 50)
    pairs = {"chosen": torch.tensor([0, 2, 2]), "rejected": torch.tensor([1, 0, 1])}
    term = Spy(Contrastive("simcse", weight=0.5, dropout=0.2), size=50, seed=3)
    loss = term(features, **pairs, margin=torch.zeros(3))
    first, second = term.views
    assert loss.item() == pytest.approx(0.5 * simcse_loss(first, second, temperature=0.1).item())
    for view in (first, second):
        kept = view != 0
        torch.testing.assert_close(view[kept], features[kept] / 0.8)
        assert kept.double().mean().item() == pytest.approx(0.8, abs=0.04)
    assert not torch.equal(first, second)

    difference = Spy(Contrastive("swav", target="difference", dropout=0.2), size=50, seed=3)
    difference.generator.manual_seed(3)  # prototypes were drawn from it
    term.generator.manual_seed(3)
    difference(features.float(), **pairs), term(features.float(), **pairs)
    for view, dropped in zip(difference.views, term.views, strict=True):
        torch.testing.assert_close(view, dropped[[0, 2, 2]] - dropped[[1, 0, 1]])


def test_the_views_leave_global_randomness_alone():
    before = torch.get_rng_state()
    term = ContrastiveTerm(Contrastive("swav"), size=4, seed=1)
    same, other = (ContrastiveTerm(Contrastive("swav"), size=4, seed=seed) for seed in (1, 2))
    features, rows = random(6, 4).float(), {"chosen": torch.tensor([0]), "rejected": torch.tensor([1])}
    values = [each(features, **rows).item() for each in (term, same, other)]
    assert values[0] == values[1] != values[2]
    assert torch.equal(before, torch.get_rng_state())


def test_settings_become_a_term_and_bad_ones_are_refused():
    settings = RecipeSettings(
        contrastive_weight=0.3, contrastive_target="difference", contrastive_temperature=0.2, contrastive_dropout=0.4,
        prototypes=5, sinkhorn_epsilon=0.06, sinkhorn_iterations=7,
    )  # fmt: skip
    assert Contrastive.from_settings("swav", settings) == Contrastive("swav", 0.3, "difference", 0.2, 0.4, 5, 0.06, 7)
    with pytest.raises(ValueError, match="kind must be one of simcse, swav, got 'moco'"):
        Contrastive("moco")
    with pytest.raises(ValueError, match="target must be one of pair, difference, got 'prompt'"):
        Contrastive("swav", target="prompt")
    for bad in ({"dropout": 1.0}, {"temperature": 0.0}, {"weight": -1.0}, {"sinkhorn_epsilon": 0.0}):
        with pytest.raises(ValueError, match="a contrastive term needs"):
            Contrastive("simcse", **bad)
    with pytest.raises(ValueError, match="at least 2 prototypes and 1 Sinkhorn iteration, got 1 and 3"):
        Contrastive("swav", prototypes=1)
