"""Training in place: margins as TRL has them, checkpoints that disturb nothing, contrastive terms beside the loss."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from alarm.reward_modeling import preferences
from alarm.reward_modeling.contrastive import Contrastive, ContrastiveTerm
from alarm.reward_modeling.fitting import fit, learning_rate_multiples, training_arguments
from alarm.reward_modeling.preferences import accuracy, fit_preferences, preference_loss
from alarm.reward_modeling.units import _collate_units, train_unit_model
from alarm.scorers.networks import collate, marked_logits, marked_scores_and_states
from alarm.scorers.reader import Reader
from alarm.settings import RewardModelSettings
from tests.hub_models import longformer
from tests.test_reward_modeling import toy_pairs, toy_units
from tests.tiny_models import checkpoint, tokenizer

PAIRS = toy_pairs(40, 1)
SETTINGS = RewardModelSettings(steps=5, batch_size=16, learning_rate=3e-3, seed=1)  # two passes over the pairs
CONTRASTIVE = [Contrastive(kind, target=target) for kind in ("simcse", "swav") for target in ("pair", "difference")]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return {name: checkpoint(tmp_path_factory.mktemp(name), name) for name in ("t5", "gpt2", "bert")}


@pytest.fixture
def untrained(checkpoints):
    return lambda name="t5", kind="holistic": Reader.from_checkpoint(checkpoints[name], tokenizer(), kind, seed=1)


def weights(reader: Reader) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in reader.network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_preference_loss_by_hand():
    # d = 2 - 1 - 0.5: 0.9 log(1 + e^-0.5) + 0.1 log(1 + e^0.5); d = 0 is log 2 whatever the label.
    chosen, rejected, margin, soft_label = torch.tensor(
        [[2.0, 1.0], [1.0, 1.5], [0.5, -0.5], [0.1, 0.7]], dtype=torch.float64
    )
    first = 0.9 * 0.4740769841801067 + 0.1 * 0.9740769841801067
    loss = preference_loss(chosen, rejected, margin, soft_label)
    assert loss.item() == pytest.approx((first + 0.6931471805599453) / 2, rel=1e-12)


def test_a_full_soft_label_is_the_other_label_and_half_of_one_pulls_to_the_margin():
    chosen, rejected, margin = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ones = torch.ones_like(margin)
    swapped = preference_loss(rejected, chosen, -margin, 0 * ones)
    torch.testing.assert_close(preference_loss(chosen, rejected, margin, ones), swapped)
    at_margin = margin.clone().requires_grad_()
    loss = preference_loss(at_margin, torch.zeros_like(margin), margin, 0.5 * ones)
    assert torch.autograd.grad(loss, at_margin)[0].abs().max() < 1e-12


def test_the_margin_is_that_of_trl():
    from trl import RewardTrainer

    scores, margin = torch.randn(8), torch.randn(4)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False),
        args=SimpleNamespace(center_rewards_coefficient=None),
        accelerator=SimpleNamespace(gather=lambda value: value, gather_for_metrics=lambda value: value),
        _metrics={"eval": defaultdict(list)},
        _total_train_tokens=0,
    )
    network = lambda **_: SimpleNamespace(logits=scores.unsqueeze(1))  # noqa: E731
    theirs = RewardTrainer.compute_loss(trainer, network, {"margin": margin})
    ours = preference_loss(scores[:4], scores[4:], margin, torch.zeros(4))
    assert torch.equal(theirs, ours)


def test_checkpoints_see_the_network_as_it_is_and_disturb_nothing(untrained):
    plain, watched = untrained(), untrained()
    seen, start, states_of = {}, weights(watched), {"plain": [], "watched": []}

    def keep(name):
        states = random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        states_of[name].append(states)

    fit_preferences(plain, PAIRS, settings=SETTINGS, on_step=lambda *_: keep("plain"))

    def look(step: int) -> None:
        assert not watched.network.training
        torch.rand(1), np.random.rand(), random.random()
        accuracy(watched, PAIRS[:4])
        seen[step] = weights(watched)

    losses = fit_preferences(
        watched,
        PAIRS,
        settings=SETTINGS,
        checkpoints=[0, 2, 5],
        on_checkpoint=look,
        on_step=lambda *_: keep("watched"),
    )
    assert states_of["watched"] == states_of["plain"]
    assert list(seen) == [0, 2, 5] and len(losses) == 5
    assert same(weights(plain), weights(watched)) and same(seen[5], weights(watched))
    assert torch.equal(seen[0]["head.weight"], start["head.weight"])
    assert not torch.equal(seen[2]["head.weight"], seen[0]["head.weight"])
    assert not watched.network.training


def test_plain_numbers_do_not_depend_on_zeros_being_given(untrained):
    results = []
    for zeros in ({}, {"margins": [0.0] * 40, "soft_labels": [0] * 40}):
        reader = untrained()
        results.append((fit_preferences(reader, PAIRS, settings=SETTINGS, **zeros), weights(reader)))
    assert results[0][0] == results[1][0] and same(results[0][1], results[1][1])


@pytest.mark.parametrize("options", CONTRASTIVE, ids=lambda options: f"{options.kind}-{options.target}")
def test_a_term_of_weight_zero_changes_nothing_and_of_weight_one_does(untrained, options):
    plain = untrained()
    losses = fit_preferences(plain, PAIRS, settings=SETTINGS)
    for weight in (0.0, 1.0):
        reader = untrained()
        term = Contrastive(**(vars(options) | {"weight": weight}))
        with_term = fit_preferences(reader, PAIRS, settings=SETTINGS, contrastive=term)
        assert weights(reader).keys() == weights(plain).keys()
        assert same(weights(reader), weights(plain)) == (weight == 0)
        assert (with_term == losses) == (weight == 0)
        assert with_term[0] == losses[0]  # the preference loss alone is reported


def test_a_term_tells_the_representations_apart(untrained):
    def likeness(weight: float) -> float:
        reader = untrained()
        fit_preferences(reader, PAIRS, settings=SETTINGS, contrastive=Contrastive("simcse", weight=weight))
        encoded = reader.encode([pair.prompt for pair in PAIRS], [[pair.chosen] for pair in PAIRS])
        with torch.no_grad():
            _, states = marked_scores_and_states(reader.network, collate(encoded, pad_id=0))
        states = torch.nn.functional.normalize(states, dim=1)
        return (states @ states.T).mean().item()

    assert likeness(10.0) < likeness(0.0) - 0.01


def test_prototypes_are_learned_from_one_batch_at_a_time(untrained, monkeypatch):
    terms = []

    class Spy(ContrastiveTerm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.start, self.clean = self.prototypes.detach().clone(), []
            terms.append(self)

        def forward(self, *args, **kwargs):
            gradient = self.prototypes.grad
            self.clean.append(gradient is None or gradient.abs().sum().item() == 0)
            return super().forward(*args, **kwargs)

    monkeypatch.setattr(preferences, "ContrastiveTerm", Spy)
    fit_preferences(untrained(), PAIRS, settings=SETTINGS, contrastive=Contrastive("swav"))
    assert terms[0].clean == [True] * 5
    assert not torch.allclose(terms[0].prototypes, terms[0].start)


@pytest.mark.parametrize("kind", ["relevance", "completeness"])
def test_activations_computed_again_give_the_same_weights(tmp_path, kind, monkeypatch):
    """The Longformer's dropout included; and it is computed again: each layer twice a step."""
    from transformers.models.longformer.modeling_longformer import LongformerLayer

    folder, seen, forward = longformer(tmp_path / "start", labels=None), [], LongformerLayer.forward
    monkeypatch.setattr(LongformerLayer, "forward", lambda *args, **kw: seen.append(1) or forward(*args, **kw))
    words = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    results, passes = [], []
    for checkpointing in (False, True):
        settings = replace(SETTINGS, steps=1, batch_size=4, gradient_checkpointing=checkpointing)
        reader = Reader.from_checkpoint(folder, words, kind, seed=1)
        seen.clear()
        if kind == "completeness":
            fit_preferences(reader, PAIRS, settings=settings)
        else:
            rows = [(row, [0] * len(row.marks)) for row in reader.encode(["the cat"] * 4, [["a dog", "is red"]] * 4)]
            fit(
                reader,
                rows,
                collate=lambda batch: _collate_units(batch, words.pad_token_id),
                loss=lambda logits, labels: torch.nn.functional.cross_entropy(logits, labels),
                rows_per_step=4,
                settings=settings,
            )
        results.append(weights(reader))
        passes.append(len(seen))
    assert passes[1] == 2 * passes[0] > 0
    assert same(*results)


@pytest.mark.parametrize("preferences", [False, True])
def test_training_stays_on_one_of_several_gpus(tmp_path, monkeypatch, preferences):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    arguments = training_arguments(SETTINGS, preferences=preferences, rows=8, device="cuda", scratch=str(tmp_path))
    assert arguments.n_gpu <= 1 and arguments.train_batch_size == 8


@pytest.mark.parametrize("architecture", ["t5", "gpt2", "bert"])
def test_states_are_those_the_score_is_read_from(untrained, architecture):
    reader = untrained(architecture)
    reader.network.eval()
    encoded = reader.encode(["what ?", "who ?", "who ?"], [["the cat is good ."], ["the dog ."], ["a red bird is ."]])
    batch = collate(encoded, pad_id=0)
    network = reader.network
    head = {"t5": "head", "gpt2": "score", "bert": "bert.pooler"}[architecture]
    read = []
    hook = network.get_submodule(head).register_forward_hook(lambda _, args, __: read.append(args[0]))
    with torch.no_grad():
        scores, states = marked_scores_and_states(network, batch)
        hook.remove()
        torch.testing.assert_close(scores, marked_logits(network, batch), rtol=0, atol=0)
    expected = {
        "t5": lambda value: value[:, : states.shape[1]],
        "gpt2": lambda value: value,  # which is read at the marks only
        "bert": lambda value: value[:, 0],
    }[architecture](read[0])
    assert states.shape == (3, 32)
    torch.testing.assert_close(states, expected, rtol=0, atol=0)


RATES = replace(SETTINGS, head_rate=7.0, body_rate=0.5)


@pytest.mark.parametrize(
    ("architecture", "kind", "expected"),
    [
        ("t5", "holistic", {"head": 7.0, "body": 0.5}),
        ("t5", "factuality", {"head": 7.0, "body": 0.5}),
        ("t5", "relevance", {"head": 7.0, "body": 1.0}),  # what it reads is no prompt of the policy's
        ("gpt2", "holistic", {"score": 1.0, "transformer": 1.0}),
    ],
)
def test_rates_are_the_settings(untrained, architecture, kind, expected):
    reader = untrained(architecture, kind)
    groups = learning_rate_multiples(reader, RATES)
    multiple = {id(parameter): value for parameters, value in groups for parameter in parameters}
    found = {(name.split(".")[0], multiple[id(parameter)]) for name, parameter in reader.network.named_parameters()}
    assert found == set(expected.items())


def test_parts_whose_rate_is_zero_stay_as_they_are(untrained):
    before, moved = weights(untrained()), {}
    for name, changes in (("head", {"body_rate": 0.0}), ("body", {"head_rate": 0.0})):
        reader = untrained()
        fit_preferences(reader, PAIRS, settings=replace(SETTINGS, **changes))
        after = weights(reader)
        moved[name] = {key.split(".")[0] for key in after if not torch.equal(after[key], before[key])}
    assert moved["head"] == {"head", "likelihood_mean", "likelihood_std"}
    assert moved["body"] == {"body", "likelihood_mean", "likelihood_std"}


@pytest.mark.parametrize("likelihoods", [True, False])
def test_settings_say_whether_a_trained_model_reads_likelihoods(checkpoints, tmp_path, likelihoods):
    preferences.train_preference_model(
        PAIRS,
        tmp_path,
        kind="holistic",
        checkpoint=checkpoints["t5"],
        tokenizer=tokenizer(),
        settings=replace(SETTINGS, likelihoods=likelihoods),
    )
    network = Reader.load(tmp_path).network
    assert network.config.reads_likelihoods is likelihoods
    assert network.head.in_features == 32 + 4 * likelihoods
    assert len(network.likelihood_mean) == 4 * likelihoods


def test_a_unit_model_without_likelihoods(checkpoints, tmp_path):
    train_unit_model(
        toy_units(20, 1),
        tmp_path,
        kind="factuality",
        checkpoint=checkpoints["t5"],
        tokenizer=tokenizer(),
        settings=replace(SETTINGS, likelihoods=False),
    )
    assert Reader.load(tmp_path).network.head.in_features == 32


def test_what_cannot_be_trained_on_is_refused(untrained):
    reader = untrained()
    with pytest.raises(ValueError, match="1 soft labels for 40 pairs"):
        fit_preferences(reader, PAIRS, settings=SETTINGS, soft_labels=[0.1])
    with pytest.raises(ValueError, match=r"soft labels must lie in \[0, 1\], got 0.0 to 1.5"):
        fit_preferences(reader, PAIRS, settings=SETTINGS, soft_labels=[0.0] * 39 + [1.5])
    for beyond in ({"checkpoints": [6], "on_checkpoint": print}, {"checkpoints": [1]}):
        with pytest.raises(ValueError, match=r"checkpoints must lie in 0..5"):
            fit_preferences(reader, PAIRS, settings=SETTINGS, **beyond)
    with pytest.raises(ValueError, match="a factuality model judges units"):
        fit_preferences(untrained(kind="factuality"), PAIRS, settings=SETTINGS)
