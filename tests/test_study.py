"""The study of reward-model recipes: scoring, validation sets, ensembles, parts and the record made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling import ensemble, study
from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.detection import detector
from alarm.reward_modeling.ensemble import train_ensemble
from alarm.reward_modeling.pair_scores import DistinctResponses, PairScorer, share_right
from alarm.reward_modeling.preferences import accuracy, length_accuracy, train_preference_model
from alarm.reward_modeling.strength import Strength
from alarm.reward_modeling.study import (
    DENOISING,
    curve_plan,
    study_curve,
    study_decile,
    study_strength,
    study_sweep,
)
from alarm.reward_modeling.study_record import assemble
from alarm.reward_modeling.validation import ComparisonSource, Validation, ValidationSet, validation_sets
from alarm.scorers.reader import Reader
from alarm.settings import RecipeSettings, RewardModelSettings
from tests.test_reward_modeling import toy_pairs
from tests.tiny_models import checkpoint, tokenizer

SETTINGS = RewardModelSettings(batch_size=32, learning_rate=3e-3, seed=1)
RECIPES = RecipeSettings(ensemble_size=3, ensemble_steps=3, left_out_folds=2, study_steps=2, study_seeds=(1,))
COMMON = {"settings": SETTINGS, "recipes": RECIPES}
PAIRS = st.lists(
    st.tuples(*[st.sampled_from("abc")] * 3).filter(lambda texts: texts[1] != texts[2]), min_size=1, max_size=20
).map(lambda rows: [Comparison(*row) for row in rows])


def noisy(n: int, seed: int, share: float = 0.2) -> tuple[list[Comparison], list[int]]:
    """Toy comparisons of which a share is labelled wrongly, and the truth about them."""
    truth = np.where(np.random.default_rng(seed).random(n) < share, -1, 1).tolist()
    rows = [(pair.prompt, pair.chosen, pair.rejected) for pair in toy_pairs(n, seed)]
    return [
        Comparison(p, *((c, r) if sign > 0 else (r, c))) for (p, c, r), sign in zip(rows, truth, strict=True)
    ], truth


@pytest.fixture(scope="module")
def make_reader(tmp_path_factory) -> Callable[[int], Reader]:
    folder = checkpoint(tmp_path_factory.mktemp("bert"), "bert")
    return lambda seed: Reader.from_checkpoint(folder, tokenizer(), "holistic", seed=seed, max_tokens=100)


@pytest.fixture(scope="module")
def source(make_reader) -> ComparisonSource:
    train, truth = noisy(120, 1)
    held_out, held_out_truth = noisy(40, 2)
    return ComparisonSource(
        "toy",
        "tiny",
        train,
        held_out,
        make_reader,
        train_truth=truth,
        held_out_truth=[0, *held_out_truth[1:]],
        shifted=[Comparison("who ?", "the cat is good .", "the cat is bad .")],
        facts={"origin": "made up"},
    )


@given(PAIRS, st.data())
def test_differences_find_every_pair_its_own_two_scores(pairs, data):
    texts = DistinctResponses.of(pairs)
    known = list(zip(texts.prompts, texts.responses, strict=True))
    assert len(set(known)) == len(known)
    scores = {text: data.draw(st.integers(-9, 9)) for text in known}
    expected = [scores[pair.prompt, pair.chosen] - scores[pair.prompt, pair.rejected] for pair in pairs]
    assert texts.differences([scores[text] for text in known]).tolist() == expected
    firsts = [i for i, prompt in enumerate(texts.prompts) if i == 0 or texts.prompts[i - 1] != prompt]
    assert len(firsts) == len(set(texts.prompts))


def test_a_tie_is_half_right():
    assert share_right([2.0, 0.0, -1.0, 3.0]) == 0.625
    assert math.isnan(share_right([]))


@pytest.mark.parametrize("architecture", ["t5", "gpt2", "bert"])
def test_a_pair_scorer_reads_as_the_reader_does_and_follows_its_network(architecture, tmp_path):
    reader = Reader.from_checkpoint(checkpoint(tmp_path, architecture), tokenizer(), "holistic", seed=1)
    reader.network.eval()
    pairs = toy_pairs(90, 1)
    scorer = PairScorer(reader, pairs)
    for _ in range(2):
        slow = [
            float(np.subtract(*(reader.logits([pair.prompt], [[text]])[0].item() for text in texts)))
            for pair in pairs[:8]
            for texts in [(pair.chosen, pair.rejected)]
        ]
        np.testing.assert_allclose(scorer.differences()[:8], slow, rtol=1e-4, atol=1e-5)
        assert share_right(scorer.differences()) == accuracy(reader, pairs)
        for parameter in reader.network.parameters():
            parameter.data.mul_(1.5)


def test_validation_sets_by_hand(make_reader):
    pairs = [Comparison("p", "a", "b"), Comparison("p", "a", "c"), Comparison("q", "d", "e"), Comparison("q", "d", "f")]
    source = ComparisonSource("toy", "tiny", pairs, pairs, make_reader, held_out_truth=[1, -1, 0, 1], shifted=pairs[:2])
    sets = {name: list(entry.pairs) for name, entry in validation_sets(source).items()}
    assert sets == {
        "noisy": pairs,
        "gold": [pairs[0], Comparison("p", "c", "a"), pairs[3]],
        "agreeing": [pairs[0], pairs[3]],
        "shifted": pairs[:2],
    }
    limited = {name: len(entry.pairs) for name, entry in validation_sets(source, 1).items()}
    assert limited == {"noisy": 1, "gold": 1, "agreeing": 1, "shifted": 1}
    assert list(validation_sets(replace(source, held_out_truth=None, shifted=[]))) == ["noisy"]
    assert source.wrong is None and source.wrong_label_share is None
    judged = replace(source, train_truth=[1, -1, 0, 1])
    assert judged.wrong == [False, True, None, False] and judged.wrong_label_share == pytest.approx(1 / 3)


def test_validation_judges_each_set_by_its_own_pairs(make_reader):
    pairs = toy_pairs(30, 3)
    sets = {
        "noisy": ValidationSet("", pairs),
        "gold": ValidationSet("", pairs[5:9]),
        "shifted": ValidationSet("", pairs[:1]),
    }
    reader = make_reader(1)
    reader.network.eval()
    expected = {name: accuracy(reader, entry.pairs) for name, entry in sets.items()}
    assert Validation(sets).of(reader)() == expected
    lengths = Validation(sets).of_heuristic(lambda prompts, responses: [len(text.split()) for text in responses])
    assert lengths == {name: length_accuracy(entry.pairs) for name, entry in sets.items()}


def test_a_source_is_checked_before_anything_is_trained(make_reader):
    pairs = [Comparison("p", "a", "b")]
    with pytest.raises(ValueError, match="no comparisons to train on"):
        ComparisonSource("toy", "tiny", [], pairs, make_reader)
    with pytest.raises(ValueError, match="no held-out comparisons"):
        validation_sets(ComparisonSource("toy", "tiny", pairs, [], make_reader))
    for truth in ([1, 1], [2]):
        with pytest.raises(ValueError, match="one truth of -1, 0 or 1 per train"):
            ComparisonSource("toy", "tiny", pairs, pairs, make_reader, train_truth=truth)


@pytest.mark.parametrize("cross_fitted", [True, False])
def test_who_is_trained_on_what_and_scores_what(monkeypatch, cross_fitted):
    """The differences of member m are m, so that a pair's mean and spread tell who scored it."""
    pairs = [Comparison(f"p{i // 3}", str(i), "x") for i in range(30)]
    trained: list[tuple[int, set[str]]] = []
    scored: list[set[str]] = []

    def fit(reader, pairs, *, settings, **_):
        assert settings.steps == RECIPES.ensemble_steps and settings.seed == reader
        trained.append((reader, {pair.prompt for pair in pairs}))

    class Scorer:
        def __init__(self, reader, pairs):
            scored.append({pair.prompt for pair in pairs})
            self.values = np.full(len(pairs), float(len(scored) - 1))

        def differences(self):
            return self.values

    monkeypatch.setattr(ensemble, "fit_preferences", fit)
    monkeypatch.setattr(ensemble, "PairScorer", Scorer)
    strength = train_ensemble(pairs, lambda seed: seed, cross_fitted=cross_fitted, **COMMON)
    prompts = {pair.prompt for pair in pairs}
    assert [seed for seed, _ in trained] == [101, 102, 103]
    assert strength.models.tolist() == [2 if cross_fitted else 3] * 30
    for (_, seen), judged in zip(trained, scored, strict=True):
        assert (seen | judged == prompts) and (seen & judged == (set() if cross_fitted else prompts))
    if cross_fitted:
        assert set(strength.mean) == {0.5, 1.0, 1.5}
    else:
        assert set(strength.mean) == {1.0} and set(strength.sd) == {1.0}


def test_an_ensemble_of_one_is_refused(make_reader):
    with pytest.raises(ValueError, match="at least 2 models"):
        train_ensemble(
            toy_pairs(4, 1),
            make_reader,
            settings=SETTINGS,
            recipes=replace(RECIPES, ensemble_size=1),
            cross_fitted=False,
        )


def test_cross_fitted_strength_finds_wrong_labels(source):
    steps = []
    part = study_strength(
        source,
        "cross_fitted",
        settings=SETTINGS,
        recipes=replace(RECIPES, ensemble_steps=25),
        on_step=lambda step, total, loss: steps.append((step, total)),
    )
    assert part["models"] == 2 and len(part["sd"]) == len(source.train)
    assert detector(part["mean"], source.wrong)["auc"] > 0.95
    assert steps == [(step, 75) for step in range(1, 76)]


def test_an_unknown_way_is_named(source):
    with pytest.raises(ValueError, match="in_sample or cross_fitted, got 'out_of_sample'"):
        study_strength(source, "out_of_sample", **COMMON)


def test_a_curve_ends_where_plain_training_ends(source, tmp_path):
    recipes = replace(RECIPES, study_steps=12)
    curve = study_curve(source, "plain", 1, settings=SETTINGS, recipes=recipes)
    report = train_preference_model(
        source.train, tmp_path / "model", kind="holistic", checkpoint=checkpoint(tmp_path / "start", "bert"),
        tokenizer=tokenizer(), settings=replace(SETTINGS, steps=12), held_out=source.held_out, max_tokens=100,
    )  # fmt: skip
    assert curve["steps"] == [0, 2, 5, 7, 10, 12]
    assert curve["accuracy"]["noisy"][-1] == report.accuracy
    assert {name: len(values) for name, values in curve["accuracy"].items()} == {
        "noisy": 6, "gold": 6, "agreeing": 6, "shifted": 6,
    }  # fmt: skip
    assert curve["accuracy"]["gold"][-1] > 0.9 > curve["accuracy"]["gold"][0]
    again = study_curve(source, "plain", 1, settings=SETTINGS, recipes=recipes)
    assert curve | {"seconds": 0} == again | {"seconds": 0}


def test_recipes_read_strength_and_targets(source):
    """Swapping all pairs that truth calls wrong is learning from the true labels."""
    recipes = replace(RECIPES, study_steps=3, flip_share=sum(source.wrong) / len(source.wrong))
    curves = {}
    true = [pair if sign > 0 else Comparison(pair.prompt, pair.rejected, pair.chosen)
            for pair, sign in zip(source.train, source.train_truth, strict=True)]  # fmt: skip
    for name, here in (("flip", source), ("plain", replace(source, train=true))):
        curves[name] = study_curve(here, name, 1, strength=source.train_truth, settings=SETTINGS, recipes=recipes)
    assert curves["flip"]["accuracy"] == curves["plain"]["accuracy"]
    with pytest.raises(ValueError, match="needs the preference strength"):
        study_curve(source, "margin", 1, **COMMON)
    assert study_curve(source, "swav", 1, target="difference", **COMMON)["target"] == "difference"
    assert study_curve(source, "simcse", 1, **COMMON)["target"] == RECIPES.contrastive_target == "pair"
    assert curves["plain"]["target"] is None


def test_a_decile_of_wrong_labels_teaches_the_wrong_order(source):
    recipes = replace(RECIPES, study_steps=15)
    rows = [
        study_decile(source, decile, strength=source.train_truth, settings=SETTINGS, recipes=recipes)
        for decile in (0, 9)
    ]
    assert [row["decile"] for row in rows] == [0, 9]
    assert rows[0]["accuracy"]["gold"] < 0.2 and rows[1]["accuracy"]["gold"] > 0.8


@pytest.fixture
def untrained(monkeypatch) -> list[dict]:
    """Parts of a study without any training: the arguments of every fit, whose accuracy is 0.5, 0.6, ... in turn.

    The strength of all pairs is 1 in sample; cross-fitted it is -1, -2, ...
    """
    fits: list[dict] = []

    def fit_and_validate(source, pairs, seed, *, checkpoints, **arguments):
        fits.append({"source": source, "pairs": pairs, "seed": seed, "checkpoints": checkpoints} | arguments)
        return [dict.fromkeys(validation_sets(source), 0.5 + i / 10) for i in range(len(checkpoints))], 1.0

    def train(pairs, make_reader, *, cross_fitted, **_):
        mean = -1.0 - np.arange(len(pairs)) if cross_fitted else np.ones(len(pairs))
        return Strength(mean, np.full(len(pairs), np.nan if cross_fitted else 0.5), np.full(len(pairs), 3))

    monkeypatch.setattr(study, "_fit_and_validate", fit_and_validate)
    monkeypatch.setattr(study, "train_ensemble", train)
    return fits


def test_a_sweep_measures_strength_at_its_own_noise(source, untrained):
    part = study_sweep(source, 0.4, seeds=[7, 8], **COMMON)
    assert [(row["recipe"], row["seed"]) for row in part["rows"]] == [(name, s) for name in DENOISING for s in (7, 8)]
    assert part["rows"][0] == {
        "error_rate": 0.4,
        "wrong_label_share": source.wrong_label_share,
        "recipe": "plain",
        "seed": 7,
        "accuracy": {"noisy": 0.7, "gold": 0.7, "agreeing": 0.7, "shifted": 0.7},  # the last of three
    }
    assert [fit["margins"] for fit in untrained[4:6]] == [[-1.0 - i for i in range(120)]] * 2
    assert {row["seed"] for row in study_sweep(source, 0.4, **COMMON)["rows"]} == {1}


def test_the_plan_of_curves_covers_every_recipe_and_seed():
    plan = curve_plan(replace(RECIPES, study_seeds=(1, 2, 3)))
    assert len(plan) == len(set(plan)) == 7 * 3 + 2
    assert [row for row in plan if row[1] == "difference"] == [("simcse", "difference", 1), ("swav", "difference", 1)]
    assert {recipe for recipe, target, _ in plan if target is None} == set(DENOISING)


def test_a_record_is_assembled_from_stored_parts(source):
    accuracies = {name: [0.5, 0.75] for name in ("noisy", "gold", "agreeing", "shifted")}
    curve = {"recipe": "plain", "target": None, "seed": 1, "steps": [0, 2], "accuracy": accuracies}
    strength = {"mean": [0.0] * 120, "sd": [None] * 120, "models": 1}
    record = assemble(
        source,
        strength={"in_sample": strength | {"seconds": 2.0}},
        curves=[curve | {"seconds": 3.0}],
        environment={"device": "cpu"},
        seconds=5.0,
        **COMMON,
    )
    assert (record.source, record.scale, record.seconds) == ("toy", "tiny", 5.0)
    assert record.curves == [curve] and record.strength == {"in_sample": strength}
    assert next(iter(record.facts)) == "origin" and record.facts["train_pairs"] == 120
    assert record.validation_sets["gold"]["pairs"] == 39 == record.validation_sets["noisy"]["pairs"] - 1
    assert record.heuristics["length"]["noisy"] == length_accuracy(source.held_out)
