"""Scales and levels of a lab, best-of-k from its pool, and rewards of properties: on a lab made of a few prompts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import baselines  # noqa: F401  registers the baselines
from alarm.experiment.best_of_k import best_of_k
from alarm.experiment.constants import Constants
from alarm.experiment.generation import Sample
from alarm.experiment.progress import Progress
from alarm.experiment.reference_levels import PropertyLevels, ReferenceLevels, measure_scale, reference_levels
from alarm.experiment.rewards import RewardFunction
from alarm.methods import METHODS
from alarm.presets import preset
from alarm.scorers.base import Placement, Score, Scorer
from alarm.scorers.learned import SequenceScorer
from alarm.settings import ReferenceSettings, RewardSettings
from alarm.store import Store
from alarm.tasks.base import Example

PROMPTS = ("one", "two", "three")
EXAMPLES = [Example(f"id-{prompt}", prompt, "reference") for prompt in PROMPTS]


class Counting:
    """A scorer of digits: the value is a factor times the number that the response is, plus the prompt's length."""

    value_name, placement, higher_is_better, version = "value", Placement.LAST, True, "7"

    def __init__(self, name: str = "holistic", factor: float = 1.0, higher_is_better: bool = True) -> None:
        self.name, self.factor, self.higher_is_better = name, factor, higher_is_better
        self.seen: list[tuple[str, str]] = []

    def score(self, prompts, responses):
        self.seen += zip(prompts, responses, strict=True)
        return [Score(self.factor * float(r) + len(p)) for p, r in zip(prompts, responses, strict=True)]


class Rule(Counting, Scorer):
    """One that is no Bradley-Terry model."""


class Bradley(Counting, SequenceScorer):
    """One that is; its weights are a single number."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.reader = type("Reader", (), {"network": torch.nn.Linear(1, 1)})()


class World:
    """Gold quality is the number itself over 10; it is perfect in both parts from 8 up."""

    properties = ("grammar",)
    gold_name = "gold"

    def __init__(self, parts: bool = True) -> None:
        self.parts = parts

    def split(self, name):
        return EXAMPLES

    def gold(self, examples, responses):
        return [float(response) / 10 for response in responses]

    def gold_parts(self, examples, responses):
        values = [min(1.0, float(response) / 8) for response in responses]
        return {"adequacy": values, "fluency": values} if self.parts else {}


@dataclass
class FakeLab:
    """What reference levels and best-of-k ask of a lab."""

    store: Store
    references: ReferenceSettings = field(default_factory=lambda: ReferenceSettings(samples=4, pool=4, pool_prompts=2))
    task: World = field(default_factory=World)
    task_name: str = "wmt"
    device: str = "cpu"
    progress: Progress = field(default_factory=lambda: Progress(None))

    def __post_init__(self) -> None:
        self.bradley = Bradley()
        self.scorers = {"grammar": Rule("grammar", factor=2.0, higher_is_better=False)}
        self.built = 0

    @property
    def preset(self):
        return replace(preset("tiny", "wmt"), references=self.references)

    lengths = (128, 48)

    def holistic(self, recipe="plain"):
        return self.bradley

    def properties(self):
        return {"holistic": self.holistic(), **self.scorers}

    @property
    def reference_samples(self):
        return self.sft_samples("train", EXAMPLES, count=self.references.samples)

    def sft_samples(self, split, examples, *, count):
        """The numbers 0, 1, 2, ... for every prompt; the last one twice."""
        texts = [*range(count - 1), count - 2]
        return [Sample(e.id, e.prompt, str(text), 1) for e in examples for text in texts]

    def inputs(self, *concerns):
        return {concern: self.preset.to_dict()[concern] for concern in concerns}

    def artifact(self, kind, code, inputs, build):
        def counted(path: Path) -> None:
            self.built += 1
            build(path)

        return self.store.get(kind, inputs, counted)


@pytest.fixture
def lab(tmp_path) -> FakeLab:
    return FakeLab(Store(tmp_path))


# Scales and levels.


def test_scale_and_levels_by_hand(lab):
    levels = reference_levels(lab, lab.properties())
    assert levels.properties["holistic"].scale == 1.0
    # Scores 2 {0, 1, 2, 2} + {3, 3, 5}, lower is better.
    values = np.add.outer([3, 3, 5], [0, 2, 4, 4]).ravel()
    sd = values.std(ddof=1)
    assert levels.properties["grammar"].scale == pytest.approx(-sd)
    torch.testing.assert_close(levels.rewards("grammar", [3.0, 5.0]), torch.tensor([-3, -5]).double() / sd)
    # Quantile .85 of four: 0.55 of the way from the third to the fourth.
    torch.testing.assert_close(levels.levels("holistic", ["three", "one"]), torch.tensor([7.0, 5.0]).double())
    expected = (-3 - 0.45 * 2) / sd  # rewards of "one" are -7, -7, -5, -3 in units of the sd
    assert levels.levels("grammar", ["one"]).item() == pytest.approx(expected)


def test_levels_are_computed_once_per_property_and_again_for_other_weights(lab, tmp_path):
    first = reference_levels(lab, lab.properties())
    assert lab.built == 2
    again = FakeLab(Store(tmp_path))
    again.bradley = lab.bradley
    assert reference_levels(again, again.properties()) == first and again.built == 0
    assert not again.bradley.seen[len(lab.bradley.seen) :]
    torch.nn.init.constant_(lab.bradley.reader.network.weight, 5.0)  # as an adapted model: the same folder and version
    lab.bradley.factor = 3.0
    assert reference_levels(lab, lab.properties()) != first and lab.built == 3
    reference_levels(lab, {})
    assert lab.built == 3


def test_a_text_is_scored_once_per_prompt(lab):
    reference_levels(lab, lab.properties())
    seen = lab.scorers["grammar"].seen
    assert len(seen) == len(set(seen)) == 3 * len(PROMPTS)


def test_the_canned_response_is_scored_for_every_prompt(lab):
    lab.references = replace(lab.references, strategy="canned", canned_response="9")
    levels = reference_levels(lab, lab.properties())
    assert levels.levels("holistic", PROMPTS).tolist() == [12.0, 12.0, 14.0]
    scale = levels.properties["grammar"].scale
    torch.testing.assert_close(levels.levels("grammar", PROMPTS), torch.tensor([21, 21, 23]).double() / scale)


def test_bad_settings_are_refused_before_anything_is_scored(lab):
    lab.references = replace(lab.references, strategy="canned")
    for start in (lambda: reference_levels(lab, lab.properties()), lambda: best_of_k(lab)):
        with pytest.raises(ValueError, match="needs a canned_response"):
            start()
    lab.references = ReferenceSettings(pool=0)
    with pytest.raises(ValueError, match="needs a pool and prompts, got 0 samples"):
        best_of_k(lab)
    assert not lab.built and not lab.bradley.seen


def test_a_prompt_without_a_level_is_named(lab):
    with pytest.raises(ValueError, match="no reference level of holistic for the prompt 'four'"):
        reference_levels(lab, lab.properties()).levels("holistic", ["one", "four"])


def test_scale_of_a_saturated_score_and_of_none():
    with pytest.warns(UserWarning, match="rule gives all 3 SFT samples the same score"):
        assert measure_scale(Rule("rule"), [0.7, 0.7, 0.7]) == 1.0
    with pytest.warns(UserWarning):
        assert measure_scale(Rule("rule", higher_is_better=False), [0.7, 0.7]) == -1.0
    for values in ([1.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="the scale of rule needs at least two finite values"):
            measure_scale(Rule("rule"), values)


# Rewards of properties.


def reward_function(method, *, properties, references, holistic, aspect):
    constants = {"holistic": Constants(mean=4.0, std=2.0, count=10)}
    return RewardFunction(
        METHODS[method],
        RewardSettings(holistic_weight=2.0),
        holistic,
        aspect,
        constants,
        properties=properties,
        references=references,
    )


def test_rewards_read_raw_properties_and_score_nothing_twice():
    holistic, aspect, other = Bradley(), Rule("grammar", 1.0, higher_is_better=False), Rule("confidence", 0.5)
    levels = ReferenceLevels(
        {
            "holistic": PropertyLevels(1.0, {"one": 5.0}),
            "grammar": PropertyLevels(-2.0, {"one": -3.0}),
            "confidence": PropertyLevels(0.5, {"one": 8.0}),
        }
    )
    scorers = {"holistic": holistic, "grammar": aspect, "confidence": other}
    batch = (["one", "one"], ["1", "5"], [[(0, 1), (1, 1)]] * 2, torch.ones(2, 2, dtype=torch.bool))
    # Scores 4 and 8, 4 and 8, 3.5 and 5.5: rewards above their references by -1 and 3, 1 and -1, -1 and 3.
    above = {"holistic": [-1.0, 3.0], "grammar": [1.0, -1.0], "confidence": [-1.0, 3.0]}
    u = {name: -np.log1p(np.exp(-np.array(values))) for name, values in above.items()}
    expected = {
        "log_sigmoid": 2 * u["holistic"],
        "log_sigmoid_sum": 2 * sum(u.values()),
        "raw_sum": 2 * np.sum(list(above.values()), axis=0),
        "holistic_only": 2 * np.array([0.0, 2.0]),
    }
    for method, values in expected.items():
        for scorer in scorers.values():
            scorer.seen.clear()
        asked = {"holistic": holistic} if method == "log_sigmoid" else scorers
        make = reward_function(method, properties=asked, references=levels, holistic=holistic, aspect=aspect)
        rewards = make(*batch)
        wanted = torch.zeros(2, 2)
        wanted[:, -1] = torch.tensor(values)
        torch.testing.assert_close(rewards.per_token, wanted, msg=method)
        asks_all = method in ("log_sigmoid_sum", "raw_sum")
        assert [len(scorer.seen) for scorer in scorers.values()] == [2, 2 * asks_all, 2 * asks_all], method
        assert rewards.metrics["holistic_sd"] == 1.0  # z-values 0 and 2
        shares = {name: v for name, v in rewards.metrics.items() if name.startswith("above_reference_")}
        assert shares == {f"above_reference_{name}": 0.5 for name in (asked if method != "holistic_only" else ())}
        torch.testing.assert_close(sum(rewards.components.values()), rewards.composed)
        only_holistic = torch.zeros(2, 2)
        only_holistic[:, -1] = torch.tensor(2 * (u["holistic"] if "log" in method else np.array(above["holistic"])))
        if asks_all:
            torch.testing.assert_close(rewards.components["holistic"], only_holistic)


def test_a_method_that_asks_for_properties_must_get_them():
    with pytest.raises(ValueError, match="log_sigmoid reads rewards of properties"):
        reward_function("log_sigmoid", properties={}, references=None, holistic=Bradley(), aspect=Rule("grammar"))


# Best of k.


def test_best_of_k_record(lab):
    record = best_of_k(lab)
    assert (record.pool, list(record.ks), record.split) == (4, [1, 2, 4], "test")
    assert list(record.selectors) == ["holistic", "raw_sum", "log_sigmoid_sum", "gold"]
    assert list(record.properties) == ["holistic", "grammar"]
    assert record.kl == pytest.approx([0.0, np.log(2) - 0.5, np.log(4) - 0.75])
    for selector in record.selectors.values():
        assert {name: np.shape(selector[name]) for name in ("gold", "win_rate", "all_good")} == {
            name: (3, 2) for name in ("gold", "win_rate", "all_good")
        }
        np.testing.assert_allclose(selector["win_rate"][0], 50.0)
    # Samples 0, 1, 2, 3, 3: the holistic reward ranks as gold does, grammar (lower is better) the other way.
    holistic, gold = record.selectors["holistic"], record.selectors["gold"]
    assert holistic["gold"] == gold["gold"] and holistic["win_rate"] == gold["win_rate"]
    np.testing.assert_allclose(gold["gold"][0], 0.18)
    np.testing.assert_allclose(gold["gold"][2], 0.3)
    assert not np.any(gold["all_good"])
    assert best_of_k(lab) == record


def test_best_of_k_counts_what_is_good_in_every_part(lab):
    lab.references = replace(lab.references, pool=9)
    record = best_of_k(lab)
    assert list(record.ks) == [1, 2, 4, 8, 9]
    # Samples 0 ... 8 and 8 again: two of ten are without fault.
    np.testing.assert_allclose(record.selectors["gold"]["all_good"][0], 0.2)
    np.testing.assert_allclose(record.selectors["gold"]["all_good"][-1], 1.0)
    lab.task = World(parts=False)
    lab.store = Store(lab.store.root / "without")
    assert all("all_good" not in selector for selector in best_of_k(lab).selectors.values())
