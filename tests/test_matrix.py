"""Which runs an experiment consists of, and what it says to names it does not know."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import baselines  # noqa: F401  registers the baselines
from alarm.experiment.matrix import GRID_METHODS, GRID_RECIPES, RunSpec, run_matrix
from alarm.methods import METHODS, Method
from alarm.presets import TASK_NAMES
from alarm.report.published import PAPER_METHODS
from alarm.tasks.catalog import TASKS

METHOD_NAMES = {
    "holistic_only",
    "aspect_only",
    "weighted_sum",
    "alarm",
    "alarm_as_released",
    "log_sigmoid",
    "log_sigmoid_sum",
    "raw_sum",
    "denoised_rm",
    "meta_rm",
    "oracle",
    "holistic_low_kl",
}


def test_by_default_every_method_with_the_selected_aspect_and_every_seed(known_methods):
    specs = run_matrix("tiny")
    assert len(specs) == len(set(specs)) == len(set(map(str, specs))) == 2 * 3 * 12
    assert {spec.method for spec in specs} == set(METHODS) == METHOD_NAMES
    assert all(spec.aspect is None for spec in specs)
    assert not any("@" in spec.method for spec in specs)


def test_in_full_alarm_meets_each_aspect_too(known_methods):
    specs = run_matrix("tiny", full=True)
    assert len(specs) == len(set(specs)) == len(set(map(str, specs))) == 2 * 3 * (12 + 4)
    assert set(run_matrix("tiny")) < set(specs)
    for task in TASK_NAMES:
        of_task = [spec for spec in specs if spec.task == task]
        selected = {spec.method for spec in of_task if spec.aspect is None}
        assert selected == set(METHODS) == METHOD_NAMES
        ablated = [spec for spec in of_task if spec.aspect is not None]
        assert {spec.method for spec in ablated} == {"alarm"}
        assert [spec.aspect for spec in ablated if spec.seed == 1] == list(TASKS[task].aspects)
        assert set(Counter(spec.name for spec in of_task).values()) == {3}


def test_what_is_named_is_not_added_to_in_full(known_methods):
    for named in ({"methods": ["alarm"]}, {"aspects": ["length"]}, {"recipes": ["meta"]}):
        assert run_matrix("tiny", full=True, grid_seeds=1, **named) == run_matrix("tiny", **named)


def test_the_grid_adds_each_missing_pair_of_composition_and_recipe_once(known_methods):
    specs = run_matrix("tiny", full=True, grid_seeds=1)
    further = {spec.method for spec in specs if "@" in spec.method}
    assert {spec.seed for spec in specs if "@" in spec.method} == {1}
    pairs = {(method, recipe) for method in GRID_METHODS for recipe in GRID_RECIPES}
    # Two cells have names of their own.
    named = {("holistic_only", "soft_label_margin"), ("holistic_only", "meta")}
    assert further == {f"{method}@{recipe}" for method, recipe in pairs - named}
    for task in TASK_NAMES:
        assert sum(spec.task == task and "@" in spec.method for spec in specs) == len(further)
    assert not any("@" in spec.method for spec in run_matrix("tiny", methods=["alarm"], grid_seeds=3))


def test_a_recipe_goes_with_every_chosen_method_and_its_own_changes_no_name():
    specs = run_matrix("tiny", tasks=["wmt"], methods=["alarm", "log_sigmoid"], recipes=["meta", "plain"], seeds=[1])
    assert [spec.method for spec in specs] == ["alarm@meta", "alarm", "log_sigmoid@meta", "log_sigmoid"]
    assert [s.method for s in run_matrix("tiny", tasks=["wmt"], methods=["meta_rm"], recipes=["meta"], seeds=[1])] == [
        "meta_rm"
    ]
    with pytest.raises(ValueError, match="denoised_rm trains its reward model by soft_label_margin"):
        run_matrix("tiny", methods=["denoised_rm"], recipes=["margin"])
    with pytest.raises(ValueError, match="alarm@margin names a recipe, and flip is another"):
        run_matrix("tiny", methods=["alarm@margin"], recipes=["flip"])
    with pytest.raises(ValueError, match=r"unknown reward-model recipe 'swaf'\. Did you mean 'swav'"):
        run_matrix("tiny", recipes=["swaf"])
    with pytest.raises(ValueError, match="grid seeds must be 0 or more"):
        run_matrix("tiny", grid_seeds=-1)


def test_scale_paper_runs_table_1_and_what_is_asked_for(known_methods):
    specs = run_matrix("paper", tasks=["long_form_qa"], seeds=[42])
    table = ["holistic_only", "aspect_only", "weighted_sum", "alarm", "alarm_as_released"]
    assert specs == [RunSpec("long_form_qa", method, 42) for method in table]
    assert set(PAPER_METHODS) == set(table) - {"alarm_as_released"}
    known_methods.add("mine", Method("mine", "", lambda inputs: inputs.aspect))
    assert len(run_matrix("paper", tasks=["wmt"], seeds=[1])) == 5, "known, but not this invocation's own"
    own = run_matrix("paper", tasks=["wmt"], own_methods=["mine"], seeds=[1])
    assert [spec.method for spec in own] == [*table, "mine"]
    ablated = run_matrix("paper", tasks=["wmt"], methods=["alarm"], aspects=["length"], seeds=[1])
    assert [str(spec) for spec in ablated] == ["wmt-alarm+length-seed1"]
    assert run_matrix("paper", tasks=["wmt"], seeds=[1], full=True) == run_matrix("paper", tasks=["wmt"], seeds=[1])
    grid = run_matrix("paper", tasks=["wmt"], seeds=[1], full=True, grid_seeds=1)
    assert {"alarm@simcse", "log_sigmoid@meta"} <= {spec.method for spec in grid}


def test_scale_small_runs_the_tasks_that_have_a_preset():
    assert {spec.task for spec in run_matrix("small")} == {"wmt"}


def test_a_users_method_joins_without_being_ablated(known_methods):
    known_methods.add("mine", Method("mine", "", lambda inputs: inputs.aspect))
    mine = [spec for spec in run_matrix("tiny", tasks=["wmt"], seeds=[4], full=True) if spec.method == "mine"]
    assert mine == [RunSpec("wmt", "mine", 4)]


def test_aspects_replace_the_selected_one_in_the_tasks_that_have_them():
    specs = run_matrix("tiny", methods=["alarm", "aspect_only"], aspects=["relevance", "length"], seeds=[1])
    named = {str(spec) for spec in specs}
    assert named == {
        f"{task}-{method}+{aspect}-seed1"
        for method in ("alarm", "aspect_only")
        for task, aspect in (("long_form_qa", "relevance"), ("long_form_qa", "length"), ("wmt", "length"))
    }


@given(
    st.lists(st.sampled_from(TASK_NAMES), unique=True),
    st.lists(st.sampled_from(sorted(METHOD_NAMES)), min_size=1, unique=True),
    st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
)
def test_named_tasks_methods_and_seeds_are_exactly_what_runs(tasks, methods, seeds):
    specs = run_matrix("tiny", tasks=tasks, methods=methods, seeds=seeds)
    assert specs == [
        RunSpec(task, method, seed) for task in tasks or TASK_NAMES for method in methods for seed in seeds
    ]


def test_what_is_named_twice_runs_once():
    once = run_matrix("tiny", tasks=["wmt"], methods=["alarm"], aspects=["length"], seeds=[1, 2])
    twice = run_matrix("tiny", tasks=["wmt"] * 2, methods=["alarm"] * 2, aspects=["length"] * 2, seeds=[1, 2, 1])
    assert once == twice


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"scale": "tinny"}, r"unknown scale 'tinny'. Did you mean 'tiny'\? Known: paper, small, tiny"),
        ({"tasks": ["wnt"]}, r"unknown task 'wnt'. Did you mean 'wmt'\? Known: long_form_qa, wmt"),
        ({"tasks": ["wmt", "wnt"], "aspects": ["grammar"]}, r"unknown task 'wnt'"),
        ({"tasks": ["wmt", "wnt"], "aspects": ["gramar"]}, r"unknown task 'wnt'"),
        ({"methods": ["alram"]}, r"unknown method 'alram'. Did you mean 'alarm'\? Known: .*holistic_only"),
        (
            {"aspects": ["gramar"]},
            r"unknown aspect of long_form_qa and wmt 'gramar'. Did you mean 'grammar'\? Known: .*relevance",
        ),
        ({"tasks": ["wmt"], "aspects": ["relevance"]}, r"unknown aspect of wmt 'relevance'.* Known: .*readability"),
        ({"seeds": []}, r"at least one seed is needed, e\.g\. --seeds 1,2,3"),
        ({"seeds": [1, -2]}, r"seed -2 is negative"),
        ({"scale": "small", "tasks": ["long_form_qa"]}, r"no preset for scale 'small' and task 'long_form_qa' yet"),
    ],
)
def test_wrong_names_are_told_with_the_right_ones(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        run_matrix(**{"scale": "tiny", **arguments})
