"""Whole runs in miniature: complete records, rewards that add up, the same numbers whatever happened on the way."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import baselines  # noqa: F401  registers the baselines
from alarm.compositions import last_token
from alarm.experiment import run as run_module
from alarm.experiment.constants import Constants
from alarm.experiment.matrix import RunSpec
from alarm.experiment.rewards import RewardFunction
from alarm.experiment.run import Run
from alarm.methods import METHODS, Method, method_named
from alarm.ppo.released import released_placement
from alarm.records import generations_of, read_record, samples_of
from alarm.scorers.base import Placement, Score, Scorer, Span
from alarm.settings import RewardSettings
from tests.micro import ITERATIONS, TASKS, micro_lab

METHOD_NAMES = ("holistic_only", "aspect_only", "weighted_sum", "alarm", "alarm_as_released")
FURTHER_NAMES = (
    "log_sigmoid",
    "log_sigmoid_sum",
    "raw_sum",
    "denoised_rm",
    "meta_rm",
    "alarm@simcse",
    "log_sigmoid@meta",
    "holistic_low_kl",
)
PHASES = {"rollout", "scoring", "update", "evaluation", "rounds"}


def outcome(record):
    """What must not depend on how or when a run was made: history without durations, metrics, and test responses."""
    history = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in record.history]
    return history, record.metrics, generations_of(record), samples_of(record)


def without_runs(store, folder):
    """A copy of a store that has everything but finished runs."""
    shutil.copytree(store, folder, ignore=shutil.ignore_patterns("run"))
    return folder


# Every method, both tasks.


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHOD_NAMES + FURTHER_NAMES)
def test_a_run_leaves_a_complete_record(labs, task, method):
    lab = labs(task)
    record = Run(lab, RunSpec(task, method, seed=1)).record()
    assert record.error is None
    assert read_record(record.path) == record
    assert (record.task, record.method, record.run_name, record.seed) == (task, method, method, 1)
    assert record.aspect == lab.selection["selected"] and not record.aspect_given
    assert record.settings == lab.preset.to_dict()
    assert record.data_fingerprint == lab.task.fingerprint
    assert set(record.durations) == PHASES
    assert record.environment["versions"]["torch"].startswith(torch.__version__.split("+")[0])

    iterations = method_named(method).ppo.get("iterations", ITERATIONS)
    assert [row["iteration"] for row in record.history] == list(range(iterations))
    rounds = [row["round"] for row in record.history if "round" in row]
    assert rounds == list(range(1, lab.preset.recipes.rounds + 1))
    dev_examples = lab.preset.evaluation.dev_examples
    for row in record.history:
        assert all(math.isfinite(value) for value in row.values() if isinstance(value, (int, float)))
        assert (row["dev_gold"] is None) == ("dev_golds" not in row)
        if "round" in row:
            assert len(row["dev_golds"]) == dev_examples
            assert row["dev_gold"] == pytest.approx(sum(row["dev_golds"]) / dev_examples)
            assert (row["current_accuracy"] is None) == (row["current_pairs"] == 0)
            assert 0 <= (row["current_accuracy"] or 0) <= 1 and row["current_spread"] >= 0
        assert 0 <= row["gold_win_rate"] <= 100
    assert len(record.metrics["dev"]["sft_golds"]) == dev_examples
    # The first KL is exactly 0: the policy still is the reference.
    assert record.history[0]["kl"] == pytest.approx(0.0, abs=1e-4) and abs(record.history[-1]["kl"]) > 1e-4

    generations = generations_of(record)
    parts = {f"gold_{name}" for name in lab.task.gold_parts(lab.dev_examples[:1], [""])}
    assert parts
    names = {"holistic", "holistic_raw", "gold", *lab.task.aspects, *parts}
    test = lab.task.split("test")[: lab.preset.evaluation.test_examples]
    for responses in (generations, samples_of(record)):
        assert [generation.id for generation in responses] == [example.id for example in test]
        assert all(set(generation.scores) == names for generation in responses)
    for name in ("test", "test_sampled", "sft", "sft_sampled"):
        assert set(record.metrics[name]) == {*names, "tokens"}
    assert set(record.directions) == set(record.score_labels) == names - {"holistic_raw"}
    assert record.metrics["test"]["gold"] == pytest.approx(
        sum(generation.scores["gold"] for generation in generations) / len(generations)
    )
    assert set(record.metrics["corpus"]) == ({"bleu", "chrf", "ter"} if task == "wmt" else set())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHOD_NAMES + FURTHER_NAMES)
def test_logged_components_sum_to_the_optimised_reward(labs, task, method):
    record = Run(labs(task), RunSpec(task, method, seed=1)).record()
    for row in record.history:
        parts = row["holistic_weighted"] + row["aspect_weighted"] + row["degenerate_weighted"]
        assert row["reward_intended"] == pytest.approx(parts, abs=1e-4)
        if method != "alarm_as_released":
            assert row["reward"] == row["reward_intended"]
    if method == "alarm_as_released":
        assert any(row["reward"] != row["reward_intended"] for row in record.history)


# The reward function alone, on scores made up by hypothesis.


class Fixed(Scorer):
    """Returns prepared scores, whatever the texts."""

    name = "fixed"
    value_name = "prepared value"
    higher_is_better = True

    def __init__(self, scores, placement=Placement.LAST):
        self.scores = scores
        self.placement = placement

    def score(self, prompts, responses):
        return self.scores


@st.composite
def scored_batches(draw):
    """Responses of one-letter words, each word and space one token and the end token last, with scores for all."""
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    placement = draw(st.sampled_from(list(Placement)))
    value = st.floats(-3, 3, width=32)
    responses = ["a" * (length - 1) for length in lengths]
    offsets = [[(i, i + 1) for i in range(length - 1)] + [(length - 1, length - 1)] for length in lengths]
    mask = torch.arange(max(lengths) + draw(st.integers(0, 2))) < torch.tensor(lengths).unsqueeze(1)
    aspect = []
    for length in lengths:
        spans = ()
        if placement != Placement.LAST and length > 1:
            cut = draw(st.integers(0, length - 2))
            spans = (Span(cut, length - 1, draw(value)),)
        aspect.append(Score(draw(value), spans))
    holistic = [Score(draw(value)) for _ in lengths]
    return responses, offsets, mask, Fixed(holistic), Fixed(aspect, placement)


def reward_function(method, holistic, aspect, **settings):
    constants = {"holistic": Constants(mean=0.5, std=2.0, count=10)}
    return RewardFunction(METHODS[method], RewardSettings(**settings), holistic, aspect, constants)


@given(scored_batches(), st.sampled_from(METHOD_NAMES))
def test_components_add_up_token_by_token(batch, method):
    responses, offsets, mask, holistic, aspect = batch
    rewards = reward_function(method, holistic, aspect)([""] * len(responses), responses, offsets, mask)
    total = sum(rewards.components.values())
    torch.testing.assert_close(total, rewards.composed, rtol=0, atol=1e-5)
    assert (rewards.composed[~mask] == 0).all() and (rewards.per_token[~mask] == 0).all()
    expected = released_placement(rewards.composed, mask) if method == "alarm_as_released" else rewards.composed
    assert torch.equal(rewards.per_token, expected)
    assert rewards.metrics["reward"] == pytest.approx(float(rewards.per_token.sum()) / len(responses), abs=1e-4)


@given(scored_batches(), st.sampled_from(METHOD_NAMES))
def test_a_degenerate_response_earns_the_penalty_on_its_last_token_and_nothing_else(batch, method):
    responses, offsets, mask, holistic, aspect = batch
    function = reward_function(method, holistic, aspect, holistic_weight=5.0, too_short_reward=-10.0)
    rewards = function([""] * len(responses), responses, offsets, mask)
    short = mask.sum(dim=1) <= 1
    assert torch.equal(rewards.composed[short], torch.where(last_token(mask[short]), -50.0, 0.0))
    assert (rewards.components["degenerate"][~short] == 0).all()
    assert rewards.metrics["degenerate_share"] == pytest.approx(float(short.float().mean()))


def test_rewards_of_a_hand_worked_batch():
    """Weight 2, T 0.5; z-constants 0.5 and 2: raw holistic 2.5 and 0.5 are 1 and 0; the aspect marks one letter -1."""
    mask = torch.tensor([[True, True, True], [True, True, False]])
    offsets = [[(0, 1), (1, 2), (2, 2)], [(0, 1), (1, 1)]]
    holistic = Fixed([Score(2.5), Score(0.5)])
    aspect = Fixed([Score(0.5, (Span(1, 2, -1.0),)), Score(1.0, (Span(0, 1, -1.0),))], Placement.COVERED)
    settings = {"holistic_weight": 2.0, "threshold": 0.5}
    one, half, low = 1.0, 0.5, 1 / (1 + math.e)
    expected = {
        "holistic_only": [[0, 0, 2], [0, 0, 0]],
        "aspect_only": [[0, -1, 0], [-1, 0, 0]],
        "weighted_sum": [[0, -1, 2], [-1, 0, 0]],
        "alarm": [[half, low, half + 2 * one], [0, 0, 0]],
    }
    for method, values in expected.items():
        rewards = reward_function(method, holistic, aspect, **settings)(["", ""], ["ab", "a"], offsets, mask)
        torch.testing.assert_close(rewards.per_token, torch.tensor(values, dtype=torch.float32), msg=method)
        assert rewards.metrics["above_threshold"] == 0.5
        assert rewards.metrics["holistic_raw"] == 1.5
        assert rewards.metrics["aspect_raw"] == (None if method == "holistic_only" else 0.75)


# The same numbers, whatever happened on the way.


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_gives_the_same_numbers_in_a_fresh_store_and_another_order(labs, tmp_path, task):
    specs = [RunSpec(task, "alarm", 1), RunSpec(task, "holistic_only", 1), RunSpec(task, "alarm", 2)]
    first = [outcome(Run(labs(task), spec).record()) for spec in specs]
    fresh = micro_lab(task, tmp_path)
    torch.manual_seed(1234)  # the global stream must not matter
    again = [outcome(Run(fresh, spec).record()) for spec in reversed(specs)][::-1]
    assert first == again
    assert first[0] != first[2], "another seed must give other numbers, or the comparison proves nothing"


class Killed(BaseException):
    """Stands for a signal: no handler in the code under test may catch it."""


@pytest.mark.parametrize(
    ("task", "method", "moment"),
    [
        ("wmt", "alarm", "before a checkpoint"),
        ("wmt", "alarm_as_released", "inside a checkpoint"),
        ("long_form_qa", "weighted_sum", "before a checkpoint"),
        ("long_form_qa", "alarm", "before the test"),
    ],
)
def test_a_killed_run_resumes_and_ends_as_an_unbroken_one(
    labs, micro_store, tmp_path, monkeypatch, task, method, moment
):
    spec = RunSpec(task, method, seed=1)
    unbroken = Run(labs(task), spec).record()
    lab = micro_lab(task, without_runs(micro_store, tmp_path / "store"))
    lab.sft_test_generations  # noqa: B018  built now, so that only the run itself is counted below
    rollouts = []
    rollout = run_module.rollout

    def counting(*arguments, **options):
        rollouts.append(len(rollouts))
        return rollout(*arguments, **options)

    monkeypatch.setattr(run_module, "rollout", counting)
    with monkeypatch.context() as patch:
        if moment == "before a checkpoint":
            kill_at(patch, lab.progress, "step", call=3)
        elif moment == "inside a checkpoint":
            kill_at(patch, run_module, "write_json", call=3)
        else:
            kill_at(patch, run_module, "score_generations", call=1)
        with pytest.raises(Killed):
            Run(lab, spec).record()
    # Weights are kept after every iteration but the last.
    lost, kept = (1, 3) if moment == "before the test" else (1, 2)
    assert len(rollouts) == kept + lost
    resumed = Run(micro_lab(task, tmp_path / "store"), spec).record()
    assert len(rollouts) == ITERATIONS + lost, "it must go on from its checkpoint, not from the start"
    assert outcome(resumed) == outcome(unbroken)
    assert not (resumed.path.parents[4] / run_module.CHECKPOINT).exists()


def kill_at(patch, owner, name, *, call):
    """Let the `call`-th call of a function raise `Killed`."""
    original = getattr(owner, name)
    calls = []

    def dying(*arguments, **options):
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return original(*arguments, **options)

    patch.setattr(owner, name, dying)


# What goes wrong in one run.


def nan_at_second_batch(inputs):
    """A composition that is fine for one batch: both of its calls see the same holistic rewards."""
    nan_at_second_batch.seen.add(tuple(inputs.holistic.tolist()))
    values = torch.zeros(inputs.response_mask.shape)
    return values if len(nan_at_second_batch.seen) < 2 else values / 0


def test_a_nan_reward_ends_its_run_with_the_iteration_named_and_no_other(labs, known_methods):
    nan_at_second_batch.seen = set()
    known_methods.add("nan_method", Method("nan_method", "becomes NaN", nan_at_second_batch))
    record = Run(labs("wmt"), RunSpec("wmt", "nan_method", seed=1)).record()
    assert "iteration 1" in record.error and "rewards not finite" in record.error
    assert len(record.history) == 1 and generations_of(record) == []
    assert read_record(record.path).error == record.error
    assert Run(labs("wmt"), RunSpec("wmt", "holistic_only", seed=1)).record().error is None


def test_a_nan_score_ends_its_run_with_the_iteration_named(micro_store, tmp_path, monkeypatch):
    lab = micro_lab("wmt", without_runs(micro_store, tmp_path / "store"))
    scorer = lab.holistic_scorer
    lab.selection, lab.constants, lab.sft_test_generations  # noqa: B018  built with the sound scorer
    score, calls = scorer.score, []

    def broken(prompts, responses):
        calls.append(len(prompts))
        scores = score(prompts, responses)
        # Each iteration ends a round here: its batch is scored, then samples of the current policy.
        return scores if len(calls) != 5 else [replace(scores[0], value=math.nan), *scores[1:]]

    monkeypatch.setattr(scorer, "score", broken)
    record = Run(lab, RunSpec("wmt", "alarm", seed=1)).record()
    assert record.error.startswith("iteration 2: ") and "NaN" in record.error
    assert len(record.history) == 2


def test_an_aspect_the_task_lacks_is_refused_before_training(labs):
    with pytest.raises(ValueError, match=r"alarm asks for aspect 'grammar', which task long_form_qa lacks.*relevance"):
        Run(labs("long_form_qa"), RunSpec("long_form_qa", "alarm", 1, aspect="grammar"))


@pytest.mark.parametrize("task", TASKS)
def test_naming_the_selected_aspect_is_the_plain_method(labs, task):
    lab = labs(task)
    selected = lab.selection["selected"]
    other = next(aspect for aspect in lab.task.aspects if aspect != selected)
    plain = Run(lab, RunSpec(task, "alarm", 1)).record()
    named = Run(lab, RunSpec(task, "alarm", 1, aspect=selected)).record()
    assert named == plain and named.run_name == "alarm"
    record = Run(lab, RunSpec(task, "alarm", 1, aspect=other)).record()
    assert record.run_name == f"alarm+{other}" and record.aspect == other
    assert outcome(record) != outcome(plain)


# Nothing learns from the truth.

_opened: list[str] = []
_watching = [False]


@pytest.fixture
def opened_files():
    """The names of all files that Python opens during the test."""
    if "installed" not in _watching:  # an audit hook cannot be taken away again
        _watching.append("installed")
        sys.addaudithook(
            lambda event, arguments: _opened.append(str(arguments[0])) if event == "open" and _watching[0] else None
        )
    _opened.clear()
    _watching[0] = True
    yield _opened
    _watching[0] = False


@pytest.mark.parametrize("task", TASKS)
def test_training_never_opens_the_true_labels(micro_store, labs, tmp_path, opened_files, task):
    labs(task).sft  # noqa: B018
    store = without_runs(micro_store, tmp_path / "store")
    shutil.rmtree(store / "reward_model", ignore_errors=True)
    shutil.rmtree(store / "comparisons", ignore_errors=True)
    lab = micro_lab(task, store)
    truths = [path for path in lab.comparisons.iterdir() if "true" in path.name]
    assert truths, "the true labels are kept, apart from what training reads"
    opened_files.clear()
    assert Run(lab, RunSpec(task, "alarm", 1)).record().error is None
    lab.setup_facts()
    read = [name for name in opened_files if str(lab.comparisons) in name]
    assert read, "the reward models are trained from files of this folder"
    assert not [name for name in read if "true" in name]


def test_a_full_disk_is_no_failed_run(labs, monkeypatch):
    """An unwritable checkpoint is raised with its remedy and never sealed as the run's result."""
    from alarm.experiment import run as module

    lab = labs("wmt")
    spec = RunSpec("wmt", "holistic_only", 41)

    def full(path, value):
        raise ValueError(f"{path} cannot be written (No space left on device); free some space")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json", full)
        with pytest.raises(ValueError, match="free some space"):
            Run(lab, spec).record()
    assert Run(lab, spec).record().error is None
