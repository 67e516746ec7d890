"""Gold quality as the reward, and methods with PPO settings of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

import baselines  # noqa: F401  registers the baselines
from alarm.experiment.matrix import RunSpec
from alarm.experiment.run import Run
from alarm.methods import METHODS, Method, register_method
from alarm.settings import PPOSettings
from tests.micro import TASKS

# The reward


@pytest.mark.parametrize("task", TASKS)
def test_its_scores_are_the_tasks_gold(labs, task):
    lab = labs(task)
    scorer = lab.holistic("gold")
    for split in ("train", "dev", "test"):
        examples = lab.task.split(split)[:6]
        responses = [example.reference for example in (*examples[1:4], *examples[3:6])]
        gold = lab.task.gold(examples, responses)
        assert min(gold) < 1 == max(gold), "right and wrong responses"
        scores = scorer.score([example.prompt for example in examples], responses)
        assert [score.value for score in scores] == gold
        assert not any(score.spans for score in scores)
    assert scorer.version == f"gold: {lab.task.gold_name}"
    assert lab.holistic("gold") is scorer is not lab.holistic()


@pytest.mark.parametrize("task", TASKS)
def test_a_prompt_that_is_not_the_tasks_is_refused(labs, task):
    lab = labs(task)
    known = lab.task.split("dev")[0]
    with pytest.raises(ValueError, match=f"gold quality of 'who made it' is not known: it is no prompt of {task}"):
        lab.holistic("gold").score([known.prompt, "who made it"], [known.reference, "a"])


def test_no_model_is_trained_for_it(labs, monkeypatch):
    lab = labs("wmt")
    lab.constants, lab.selection  # noqa: B018  of the plain model, which responses are judged by
    monkeypatch.setattr(lab, "reward_model", lambda *arguments: pytest.fail(f"trained {arguments}"))
    constants = lab.holistic_constants("gold")
    examples = {example.id: example for example in lab.dev_examples}
    gold = lab.task.gold(
        [examples[sample.id] for sample in lab.dev_samples], [sample.response for sample in lab.dev_samples]
    )
    assert constants.mean == pytest.approx(sum(gold) / len(gold)) and constants.count == len(gold)


# Its runs


def test_a_run_is_rewarded_by_gold_and_says_so(labs):
    lab = labs("wmt")  # the other task's miniature policy never answers rightly, so its gold has no spread
    record = Run(lab, RunSpec("wmt", "oracle", seed=1)).record()
    assert record.error is None and record.recipe == "gold"
    assert record.method_settings["reward_model"] == f"gold: {lab.task.gold_name}"
    constants, weight = lab.holistic_constants("gold"), lab.preset.reward.holistic_weight
    for row in record.history:
        assert row["holistic_raw"] == pytest.approx(row["gold"], abs=1e-6)
        if "round" in row and row["current_pairs"]:
            assert row["current_accuracy"] == 1.0, "gold orders responses as gold does"
        if not row["degenerate_share"]:
            assert row["reward"] == pytest.approx(weight * (row["gold"] - constants.mean) / constants.std, abs=1e-4)
            assert row["reward_spread"] == pytest.approx(weight * row["gold_spread"] / constants.std, abs=1e-4)
    assert not all(row["degenerate_share"] for row in record.history)
    # Responses are judged by the same model as those of all other methods.
    assert record.method_settings["scorers"]["holistic"] == lab.holistic_scorer.version


# Settings of PPO by method


def test_the_method_with_little_kl_is_the_holistic_one_otherwise():
    plain, low = METHODS["holistic_only"], METHODS["holistic_low_kl"]
    assert replace(low, name=plain.name, description=plain.description, ppo={}) == plain
    assert low.ppo["initial_kl_coef"] < PPOSettings().initial_kl_coef / 100


@pytest.mark.parametrize(
    ("name", "nearest"), [("learning_rat", "learning_rate"), ("kl_coef", "initial_kl_coef"), ("epoch", "epochs")]
)
def test_an_unknown_setting_is_refused_with_the_nearest(known_methods, name, nearest):
    method = Method("mine", "", lambda inputs: inputs.aspect, ppo={"epochs": 2, name: 1})
    with pytest.raises(ValueError, match=rf"unknown PPO setting of method mine '{name}'\. Did you mean '{nearest}'"):
        register_method(method)
    assert "mine" not in known_methods


def test_settings_of_a_method_belong_to_its_key(labs, monkeypatch):
    lab, asked = labs("wmt"), []
    run = Run(lab, RunSpec("wmt", "holistic_only", seed=1))
    monkeypatch.setattr(lab, "artifact", lambda kind, code, inputs, build: asked.append(inputs))
    for ppo in ({}, {"epochs": 2}):
        run.method = replace(run.method, ppo=ppo)
        run._artifact()
    assert {name for name in asked[0] if asked[0][name] != asked[1][name]} == {"method_ppo"}


def test_settings_of_a_method_decide_its_run_and_are_on_record(labs):
    lab = labs("wmt")
    own = METHODS["holistic_low_kl"].ppo
    run = Run(lab, RunSpec("wmt", "holistic_low_kl", seed=1))
    assert run.settings == replace(lab.preset.ppo, **own)
    record = run.record()
    assert record.error is None and record.method_settings["ppo"] == dict(own)
    assert record.settings == lab.preset.to_dict(), "the preset's stand beside"
    plain = Run(lab, RunSpec("wmt", "holistic_only", seed=1)).record()
    assert plain.method_settings["ppo"] == {}
    assert record.history[0]["kl_coef"] == own["initial_kl_coef"]
    assert plain.history[0]["kl_coef"] == lab.preset.ppo.initial_kl_coef
    # The first responses are the same policy's; from there on the two differ.
    assert record.history[0]["gold"] == plain.history[0]["gold"]
    assert record.history[-1]["kl"] != plain.history[-1]["kl"]


def test_settings_that_do_not_fit_together_are_refused_before_training(labs, known_methods):
    known_methods.add("uneven", Method("uneven", "", lambda inputs: inputs.aspect, ppo={"batch_size": 10}))
    with pytest.raises(ValueError, match="batch_size 10 is no multiple of the 4 responses per prompt"):
        Run(labs("wmt"), RunSpec("wmt", "uneven", seed=1))
