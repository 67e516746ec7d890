"""Rounds of a run: when they end, how a reward model is judged on samples, and what an iterative recipe changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import baselines  # noqa: F401  registers the baselines
from alarm.experiment.generation import Sample
from alarm.experiment.matrix import RunSpec
from alarm.experiment.rounds import RoundRewardModel, gold_comparisons, round_ends
from alarm.experiment.run import Run
from alarm.ppo.policy import Policy
from alarm.reward_modeling.comparisons import Comparison
from alarm.scorers.base import Score
from alarm.tasks.base import Example
from tests.micro import ITERATIONS, TASKS

# When rounds end.


@given(st.integers(1, 60), st.integers(1, 12))
def test_rounds_cover_all_iterations_and_differ_by_one_at_most(iterations, rounds):
    ends = round_ends(iterations, rounds)
    lengths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert ends[-1] == iterations and min(lengths) >= 1
    assert len(ends) == min(iterations, rounds)
    assert max(lengths) - min(lengths) <= 1


# Judging a reward model on samples, by hand.


class FakeTask:
    """Gold is written into the response: "good 3" has gold 3."""

    def split(self, name):
        return [Example(f"{name}-{i}", f"{name} prompt {i}", "") for i in range(2)]

    def gold(self, examples, responses):
        return [float(response.split()[-1]) for response in responses]


def fake_model(scores):
    """A round model whose scorer looks its scores up by response."""
    lab = SimpleNamespace(task=FakeTask())
    model = object.__new__(RoundRewardModel)
    model.lab, model.scorer = lab, SimpleNamespace(score=lambda prompts, texts: [Score(scores[t]) for t in texts])
    return model


def samples(*texts):
    """Two prompts with half of the texts each."""
    half = len(texts) // 2
    return [Sample(f"dev-{i >= half:d}", f"dev prompt {i >= half:d}", text, 3) for i, text in enumerate(texts)]


def test_accuracy_counts_the_pairs_that_gold_decides_and_halves_ties():
    # First prompt: gold 1 < 2 < 3, scores 0 < 1 = 1: two right and a tie. Second: gold 1 = 1 < 2, scores 5, 0 and 1:
    # of the two pairs that gold decides one is right.
    drawn = samples("a 1", "b 2", "c 3", "d 1", "e 1", "f 2")
    model = fake_model({"a 1": 0.0, "b 2": 1.0, "c 3": 1.0, "d 1": 5.0, "e 1": 0.0, "f 2": 1.0})
    judged = model.judge(drawn)
    assert judged["current_pairs"] == 5
    assert judged["current_accuracy"] == pytest.approx(3.5 / 5)
    # Population sd: of 0, 1, 1 it is sqrt(2)/3; of 5, 0, 1 it is sqrt(14/3).
    assert judged["current_spread"] == pytest.approx(((2**0.5) / 3 + (14 / 3) ** 0.5) / 2)


def test_accuracy_is_unknown_where_gold_decides_nothing():
    judged = fake_model({"a 1": 0.0, "b 1": 1.0}).judge(samples("a 1", "b 1"))
    assert judged["current_accuracy"] is None and judged["current_pairs"] == 0


def test_gold_comparisons_put_the_better_first_and_leave_out_ties_and_repetitions():
    drawn = samples("a 1", "b 2", "b 2", "d 1", "e 1", "f 0")
    # Samples of several runs answer the same prompts one after the other.
    drawn = [drawn[i] for i in (0, 3, 1, 4, 2, 5)]
    assert gold_comparisons(SimpleNamespace(task=FakeTask()), drawn) == [
        Comparison("dev prompt 0", "b 2", "a 1"),
        Comparison("dev prompt 1", "d 1", "f 0"),
        Comparison("dev prompt 1", "e 1", "f 0"),
    ]


# In runs.


@pytest.mark.parametrize("task", TASKS)
def test_an_iterative_recipe_changes_its_own_model_between_rounds_and_no_other(labs, task):
    lab = labs(task)
    frozen = Run(lab, RunSpec(task, "holistic_only", 1)).record()
    before = {name: value.clone() for name, value in lab.holistic("meta").reader.network.state_dict().items()}
    adapted = Run(lab, RunSpec(task, "meta_rm", 1)).record()
    after = lab.holistic("meta").reader.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "the shared model must stay as it was"
    rounds = [row for row in adapted.history if "round" in row]
    assert [row["round"] for row in rounds] == list(range(1, len(rounds) + 1))
    assert rounds[-1]["iteration"] == ITERATIONS - 1
    # MetaRM follows every round but the last; the frozen control has the same rounds without it.
    assert ["meta_steps" in row for row in rounds] == [True] * (len(rounds) - 1) + [False]
    assert not any("meta_steps" in row for row in frozen.history)
    first = rounds[0]["iteration"]
    shared = ("reward", "gold", "kl", "dev_gold", "current_accuracy", "current_spread")
    for ours, theirs in zip(adapted.history[: first + 1], frozen.history[: first + 1], strict=True):
        assert [ours.get(k) for k in shared] == [theirs.get(k) for k in shared]
    assert adapted.history[first + 1]["reward"] != frozen.history[first + 1]["reward"]


def test_the_changed_model_is_saved_and_loaded_with_its_constants(labs, tmp_path):
    lab = labs("wmt")
    policy = Policy.load(lab.policy_directory, lab.preset.policy)
    model = RoundRewardModel(lab, "meta", seed=1)
    model.update(policy, 1)
    model.save(tmp_path)
    again = RoundRewardModel(lab, "meta", seed=1)
    assert again.constants != model.constants
    again.load(tmp_path)
    assert again.constants == model.constants
    texts = [sample.response for sample in lab.dev_samples[:4]]
    prompts = [sample.prompt for sample in lab.dev_samples[:4]]
    assert again.scorer.score(prompts, texts) == model.scorer.score(prompts, texts)
