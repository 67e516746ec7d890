"""MetaRM: the difference loss by hand, one step against explicit autograd, and updates of whole reward models."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call

from alarm.reward_modeling.meta import difference_loss, meta_step, meta_update
from alarm.reward_modeling.preferences import preference_loss
from alarm.scorers.networks import collate, marked_logits
from alarm.scorers.reader import Reader
from alarm.settings import RecipeSettings, RewardModelSettings
from tests.test_reward_modeling import toy_pairs
from tests.tiny_models import checkpoint, tokenizer

RATES = dict(ascent_rate=0.3, learning_rate=0.05)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_the_difference_loss_by_hand():
    # Gaps 1, 3 and 2 of the first prompt, 0 three times of the second; 2 / 3^2 of their sigmoids' sum each.
    scores = torch.tensor([[0.0, 1.0, 3.0], [5.0, 5.0, 5.0]], dtype=torch.float64)
    first = 2 / 9 * (0.7310585786300049 + 0.9525741268224334 + 0.8807970779778823)
    assert difference_loss(scores).item() == pytest.approx((first + 2 / 9 * 1.5) / 2, rel=1e-12)


@given(st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=3), min_size=1, max_size=4), st.floats(-5, 5))
def test_the_difference_loss_is_bounded_and_sees_gaps_only(rows, shift):
    scores = torch.tensor(rows, dtype=torch.float64)
    value = difference_loss(scores).item()
    slow = sum(2 / 9 * sigmoid(abs(row[i] - row[j])) for row in rows for i in range(3) for j in range(i)) / len(rows)
    assert value == pytest.approx(slow, rel=1e-9)
    assert 1 / 3 - 1e-12 <= value <= 2 / 3
    assert difference_loss(scores.flip(1) + shift).item() == pytest.approx(value, rel=1e-9)
    assert difference_loss(scores * 1.5).item() >= value - 1e-12


def test_equal_scores_have_no_gradient_and_lone_samples_no_loss():
    scores = torch.tensor([[1.0, 1.0, 2.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(difference_loss(scores), scores)
    assert gradient[0, 0] == gradient[0, 1] < 0 < gradient[0, 2]
    for shape in ((3,), (2, 1), (0, 2)):
        with pytest.raises(ValueError, match=r"scores must be \[P, k\]"):
            difference_loss(torch.zeros(shape))


@pytest.fixture
def small():
    """A network with one parameter that no loss reads, and both losses as functions of its parameters."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    network.register_parameter("unread", torch.nn.Parameter(torch.ones(2, dtype=torch.float64)))
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            parameter.copy_(random(*parameter.shape, seed=seed))
    samples, chosen, rejected = random(2, 3, 3, seed=10), random(5, 3, seed=11), random(5, 3, seed=12)
    margin = torch.zeros(5, dtype=torch.float64)

    def difference(parameters):
        return difference_loss(functional_call(network, parameters, samples).squeeze(-1))

    def preference(parameters):
        scores = [functional_call(network, parameters, rows).squeeze(-1) for rows in (chosen, rejected)]
        return preference_loss(*scores, margin, margin)

    return network, difference, preference


@pytest.mark.parametrize("multiples", [None, [1.0, 10.0, 0.1, 2.0, 1.0]])
def test_one_step_is_that_of_explicit_autograd(small, multiples):
    network, difference, preference = small
    names = [name for name, _ in network.named_parameters()]
    factors = dict(zip(names, multiples or [1.0] * 5, strict=True))

    theta = {name: value.detach().clone().requires_grad_() for name, value in network.named_parameters()}
    ascent = torch.autograd.grad(difference(theta), list(theta.values()), materialize_grads=True)
    moved = {
        name: (theta[name] + 0.3 * factors[name] * gradient).detach().requires_grad_()
        for name, gradient in zip(names, ascent, strict=True)
    }
    descent = torch.autograd.grad(preference(moved), list(moved.values()), materialize_grads=True)
    expected = {
        name: theta[name] - 0.05 * factors[name] * gradient for name, gradient in zip(names, descent, strict=True)
    }

    live = dict(network.named_parameters())
    spread, loss = meta_step(
        list(live.values()), lambda: difference(live), lambda: preference(live), multiples=multiples, **RATES
    )
    for name, value in expected.items():
        torch.testing.assert_close(live[name], value, rtol=1e-12, atol=1e-14)
    assert spread == pytest.approx(difference(theta).item(), rel=1e-12)
    assert loss == pytest.approx(preference(moved).item(), rel=1e-12)
    assert all(parameter.grad is None for parameter in live.values())
    plain = theta["0.weight"] - 0.05 * torch.autograd.grad(preference(theta), theta["0.weight"])[0]
    assert not torch.allclose(live["0.weight"], plain, rtol=1e-6)  # the ascent matters


def test_one_step_in_closed_form():
    # J = 3 theta, L = theta^2: theta' = theta + 3 eta, theta <- theta - 2 alpha (theta + 3 eta).
    theta = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert meta_step([theta], lambda: 3 * theta, lambda: theta**2, **RATES) == (6.0, pytest.approx(2.9**2))
    assert theta.item() == pytest.approx(2.0 - 0.05 * 2 * 2.9)


@pytest.mark.parametrize("bad", ["difference", "preference"])
def test_a_loss_that_is_not_finite_leaves_the_parameters_as_they_were(small, bad):
    network, difference, preference = small
    live = dict(network.named_parameters())
    before = {name: value.detach().clone() for name, value in live.items()}
    losses = {"difference": lambda: difference(live), "preference": lambda: preference(live)}
    losses[bad] = lambda: live["0.weight"].sum() * math.nan
    with pytest.raises(ValueError, match=f"MetaRM's {bad} loss is nan"):
        meta_step(list(live.values()), losses["difference"], losses["preference"], **RATES)
    assert all(torch.equal(live[name], before[name]) for name in live)


PAIRS = toy_pairs(20, 1)
SAMPLES = [
    ("question: what is the cat ?", ["the red cat is good", "the red cat is bad", "the red cat is good"]),
    ("question: what is the dog ?", ["a dog", "the blue dog is good .", "the dog is big"]),
]
SETTINGS = RewardModelSettings(batch_size=8)
RECIPE = RecipeSettings(meta_steps=4, meta_prompts=1, meta_ascent_rate=0.05, meta_learning_rate=0.05)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return {name: checkpoint(tmp_path_factory.mktemp(name), name) for name in ("t5", "gpt2")}


@pytest.fixture
def untrained(checkpoints):
    return lambda name: Reader.from_checkpoint(checkpoints[name], tokenizer(), "holistic", seed=1)


def update(reader: Reader, recipes: RecipeSettings = RECIPE, **changes):
    arguments = dict(pairs=PAIRS, samples=SAMPLES, settings=SETTINGS, recipes=recipes, seed=1)
    arguments.update(changes)
    return meta_update(reader, arguments.pop("pairs"), arguments.pop("samples"), **arguments)


@pytest.mark.parametrize("architecture", ["t5", "gpt2"])
def test_an_update_of_a_reward_model_is_the_step_on_its_texts(untrained, architecture):
    """One step on all pairs and all samples, each text read alone: nothing is lost by batching or by duplicates."""
    updated, reader = untrained(architecture), untrained(architecture)
    network = reader.network.eval()

    def scores(rows):
        encoded = reader.encode([prompt for prompt, _ in rows], [[text] for _, text in rows])
        return torch.cat([marked_logits(network, collate([item], pad_id=0)).squeeze(1) for item in encoded])

    def difference():
        return difference_loss(torch.stack([scores([(prompt, text) for text in texts]) for prompt, texts in SAMPLES]))

    def preference():
        zeros = torch.zeros(len(PAIRS))
        chosen, rejected = (
            scores([(pair.prompt, getattr(pair, side)) for pair in PAIRS]) for side in ("chosen", "rejected")
        )
        return preference_loss(chosen, rejected, zeros, zeros)

    named = dict(network.named_parameters())
    multiples = [SETTINGS.head_rate if name.startswith("head") else SETTINGS.body_rate for name in named]
    spread, loss = meta_step(
        list(named.values()),
        difference,
        preference,
        ascent_rate=0.05,
        learning_rate=0.05,
        multiples=multiples if architecture == "t5" else None,
    )
    report = update(updated, replace(RECIPE, meta_steps=1, meta_prompts=9), settings=replace(SETTINGS, batch_size=100))
    for name, value in updated.network.named_parameters():
        torch.testing.assert_close(value, named[name], rtol=1e-4, atol=1e-6)
    assert report["steps"] == 1
    assert report["first_difference_loss"] == report["last_difference_loss"] == pytest.approx(spread, rel=1e-5)
    assert report["first_preference_loss"] == report["last_preference_loss"] == pytest.approx(loss, rel=1e-5)


def test_updates_are_deterministic_and_take_their_steps(untrained):
    readers = [untrained("t5") for _ in range(3)]
    before = torch.get_rng_state()
    reports = [update(reader, seed=seed) for reader, seed in zip(readers, (1, 1, 2), strict=True)]
    assert torch.equal(before, torch.get_rng_state())
    one, same, other = (reader.network.state_dict() for reader in readers)
    assert reports[0] == reports[1] != reports[2] and reports[0]["steps"] == 4
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    assert not readers[0].network.training


def test_updates_still_learn_the_comparisons(untrained):
    reader = untrained("t5")
    report = update(reader, replace(RECIPE, meta_steps=30, meta_prompts=2, meta_ascent_rate=1e-3))
    assert report["last_preference_loss"] < report["first_preference_loss"] - 0.2


def test_what_cannot_be_updated_on_is_refused(untrained):
    reader = untrained("t5")
    with pytest.raises(ValueError, match="needs comparisons and meta_steps >= 1, got 0 and 4"):
        update(reader, pairs=[])
    with pytest.raises(ValueError, match="needs comparisons and meta_steps >= 1, got 20 and 0"):
        update(reader, replace(RECIPE, meta_steps=0))
    for samples, counts in (
        ([], "no prompts"),
        ([("a", ["b"])], r"\[1\]"),
        ([*SAMPLES, ("a", ["b", "c"])], r"\[2, 3\]"),
    ):
        with pytest.raises(ValueError, match=f"one number of samples >= 2 for every prompt, got {counts}"):
            update(reader, samples=samples)
    with pytest.raises(ValueError, match="MetaRM's preference loss is nan"):
        update(reader, replace(RECIPE, meta_ascent_rate=math.inf))
