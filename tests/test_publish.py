"""What runs share and leave behind, as it is published: responses greedy and sampled, and the scored pool."""

from __future__ import annotations

import pytest

import baselines  # noqa: F401  registers the baselines
from alarm.experiment.matrix import RunSpec
from alarm.experiment.publish import publish_run, publish_setup
from alarm.experiment.run import Run
from alarm.experiment.scoring import gold_labelled
from alarm.records import (
    generations_of,
    pool_path,
    read_generations,
    read_pool,
    read_record,
    samples_of,
    sft_generations_path,
    sft_samples_path,
)
from alarm.reward_modeling.comparisons import Comparison
from tests.micro import TASKS


@pytest.fixture(scope="module")
def published(labs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return folder, {task: publish_setup(folder, labs(task)) for task in TASKS}


@pytest.mark.parametrize("task", TASKS)
def test_the_initial_policys_responses_are_published_greedy_and_sampled(labs, published, task):
    (folder, paths), lab = published, labs(task)
    for path in (sft_generations_path(folder, "tiny", task), sft_samples_path(folder, "tiny", task)):
        assert path in paths[task]
    greedy = read_generations(sft_generations_path(folder, "tiny", task))
    drawn = read_generations(sft_samples_path(folder, "tiny", task))
    assert drawn == lab.sft_test_samples and greedy == lab.sft_test_generations
    ids = [example.id for example in lab.task.split("test")[: lab.preset.evaluation.test_examples]]
    assert [g.id for g in greedy] == [g.id for g in drawn] == ids
    assert [g.response for g in greedy] != [g.response for g in drawn]
    known = {habit.name for habit in lab.task.habits}
    assert known and {g.habit for g in (*greedy, *drawn)} <= {*known, "other"}


@pytest.mark.parametrize("task", TASKS)
def test_the_scored_pool_is_published(labs, published, task):
    (folder, paths), lab = published, labs(task)
    assert pool_path(folder, "tiny", task) in paths[task]
    pool = read_pool(pool_path(folder, "tiny", task))
    prompts, count = lab.preset.evaluation.pool_prompts, lab.preset.evaluation.pool_samples
    assert (pool.task, pool.scale, pool.samples) == (task, "tiny", count)
    assert {"gold", "holistic", *lab.task.aspects} <= pool.scores.keys()
    for rows in (*pool.scores.values(), pool.habits):
        assert [len(row) for row in rows] == [count] * prompts
    examples = [example for example in lab.dev_examples[:prompts] for _ in range(count)]
    responses = [sample.response for sample in lab.sft_samples("dev", lab.dev_examples[:prompts], count=count)]
    assert [value for row in pool.scores["gold"] for value in row] == lab.task.gold(examples, responses)
    assert [habit for row in pool.habits for habit in row] == [
        lab.task.habit(e, r) for e, r in zip(examples, responses, strict=True)
    ]
    assert [writer["name"] for writer in pool.demonstrators] == [habit.name for habit in lab.task.habits]
    assert sum(writer["share"] for writer in pool.demonstrators) == pytest.approx(1)
    assert pool.held_out["pairs"] > 0 and 0 <= pool.held_out["accuracy"] <= 100


def test_held_out_pairs_are_labelled_by_gold_and_ties_left_out():
    pairs = [Comparison("p", "a", "b"), Comparison("p", "c", "d"), Comparison("q", "e", "f")]
    assert gold_labelled(pairs, [1, -1, 0]) == [Comparison("p", "a", "b"), Comparison("p", "d", "c")]


@pytest.mark.parametrize("task", TASKS)
def test_a_run_is_published_with_its_samples(labs, tmp_path, task):
    record = Run(labs(task), RunSpec(task, "holistic_only", seed=1)).record()
    copy = read_record(publish_run(tmp_path, record))
    assert (copy.path.parent / "seed1.samples.jsonl").is_file()
    assert samples_of(copy) == samples_of(record) and generations_of(copy) == generations_of(record)
    drawn, greedy = samples_of(copy), generations_of(copy)
    assert [g.id for g in drawn] == [g.id for g in greedy]
    assert [g.response for g in drawn] != [g.response for g in greedy]
    for name, rows in (("test", greedy), ("test_sampled", drawn)):
        assert copy.metrics[name]["gold"] == pytest.approx(sum(g.scores["gold"] for g in rows) / len(rows))
    sampled = labs(task).sft_test_samples
    assert copy.metrics["sft_sampled"]["gold"] == pytest.approx(sum(g.scores["gold"] for g in sampled) / len(sampled))
