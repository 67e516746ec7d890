"""Methods: a user's own in one file beside the others, and contributions that add up for all of them."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import baselines  # noqa: F401  registers the baselines
from alarm.compositions import last_token
from alarm.experiment.matrix import RunSpec, run_matrix
from alarm.experiment.publish import publish_run, publish_setup
from alarm.experiment.run import Run
from alarm.methods import METHODS, Method, RewardInputs, contributions, load_method_file, method_source, register_method
from alarm.records import prompts_path, read_prompts
from alarm.report.render import render

USER_METHOD = '''
"""Holistic reward, and the aspect only where the holistic reward is below the threshold."""

import torch

from alarm import Method, RewardInputs, register_method
from alarm.compositions import aspect_rewards, holistic_rewards


def compose(inputs: RewardInputs):
    below = (inputs.holistic < inputs.threshold).unsqueeze(1)
    aspect = aspect_rewards(inputs.aspect, inputs.response_mask, aspect_weight=inputs.aspect_weight)
    holistic = holistic_rewards(inputs.holistic, inputs.response_mask, holistic_weight=inputs.holistic_weight)
    return holistic + torch.where(below, aspect, 0.0)


register_method(Method(name="my_method", description="the aspect where the response is poor", compose=compose))
'''


@pytest.fixture
def method_file(tmp_path):
    """A function that writes a method file and returns its path."""

    def write(text, name="my_method.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_users_method_in_one_file_shows_up_beside_the_others(labs, known_methods, method_file, tmp_path):
    assert USER_METHOD.count("\n") <= 40
    assert load_method_file(method_file(USER_METHOD)) == ["my_method"]
    assert "my_method" in {spec.method for spec in run_matrix("tiny", tasks=["wmt"])}
    lab, results = labs("wmt"), tmp_path / "results"
    publish_setup(results, lab)
    assert [row.id for row in read_prompts(prompts_path(results, "tiny", "wmt"))] == [
        generation.id for generation in lab.sft_test_generations
    ]
    for method in ("holistic_only", "alarm", "my_method"):
        record = Run(lab, RunSpec("wmt", method, seed=1)).record()
        assert record.error is None
        publish_run(results, record)
    render(results, "tiny")
    tables = results / "tiny" / "tables"
    for name in ("table3_wmt", "table4_wmt"):
        for suffix in (".md", ".csv"):
            text = next(tables.glob(f"{name}*{suffix}")).read_text()
            assert all(method in text for method in ("holistic_only", "alarm", "my_method")), name


def test_a_method_file_may_be_loaded_twice(known_methods, method_file):
    path = method_file(USER_METHOD)
    assert load_method_file(path) == load_method_file(str(path)) == ["my_method"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import no_such_module_anywhere\n", r"failed: ModuleNotFoundError.*no_such_module_anywhere"),
        ("def compose(:\n", r"failed: SyntaxError"),
        ("VALUE = 1\n", r"registered no method; call alarm\.register_method"),
        (USER_METHOD.replace('"my_method"', '"alarm"'), r"method 'alarm' is already registered; choose another name"),
        (
            USER_METHOD.replace('name="my_method"', 'name="my_method", recipe="plane"'),
            r"unknown reward-model recipe 'plane'. Did you mean 'plain'",
        ),
        (
            USER_METHOD.replace('name="my_method"', 'name="my_method", properties="every"'),
            r"unknown choice of properties 'every'.* Known: all, holistic, none",
        ),
    ],
    ids=["raises", "syntax", "registers nothing", "duplicate", "unknown recipe", "unknown properties"],
)
def test_a_bad_method_file_is_one_helpful_sentence(known_methods, method_file, text, problem):
    path = method_file(text)
    before = dict(known_methods.items())
    with pytest.raises(ValueError, match=problem) as caught:
        load_method_file(path)
    assert str(path) in str(caught.value)
    assert dict(known_methods.items()) == before


def test_a_missing_method_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no_such\.py does not exist"):
        load_method_file(tmp_path / "no_such.py")


def test_an_edited_method_has_another_source(known_methods, method_file):
    """Whichever part is edited, stored runs of the old text must not be taken for runs of the new."""
    load_method_file(method_file(USER_METHOD))
    before = method_source(METHODS["my_method"])
    load_method_file(method_file(USER_METHOD.replace('"my_method"', '"other_method"'), "other.py"))
    assert method_source(METHODS["other_method"]) != before


def test_source_covers_transforms_partials_and_callable_objects(known_methods):
    def own_transform(values):
        return values * 2

    class Composition:
        def __call__(self, inputs):
            return inputs.aspect

    alarm = METHODS["alarm"]
    same_file = method_source(Method("a", "", Composition().__call__))
    assert method_source(Method("b", "", functools.partial(Composition().__call__))) == same_file
    assert method_source(Method("c", "", Composition())) == same_file
    assert method_source(Method("d", "", alarm.compose, transform=own_transform)) not in (
        method_source(Method("e", "", alarm.compose)),
        same_file,
    )
    with pytest.raises(ValueError, match=r"built-in.*write it as a function in a file"):
        method_source(Method("f", "", torch.zeros_like))


def test_registering_again_is_harmless_and_another_under_its_name_is_not(known_methods):
    alarm = METHODS["alarm"]
    assert register_method(alarm) is alarm
    with pytest.raises(ValueError, match="already registered"):
        register_method(Method("alarm", "an impostor", lambda inputs: inputs.aspect))
    assert METHODS["alarm"] is alarm


@st.composite
def reward_inputs(draw):
    lengths = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    mask = torch.arange(max(1, *lengths)) < torch.tensor(lengths).unsqueeze(1)
    rewards, references = (
        {name: torch.randn(len(lengths), generator=generator) for name in ("holistic", "grammar", "confidence")}
        for _ in range(2)
    )
    return RewardInputs(
        holistic=torch.randn(len(lengths), generator=generator),
        aspect=torch.randn(mask.shape, generator=generator) * mask,
        response_mask=mask,
        holistic_weight=draw(st.floats(0.1, 10)),
        aspect_weight=draw(st.floats(0.1, 10)),
        threshold=draw(st.floats(-1, 1)),
        properties=rewards,
        references=references,
    )


def product(inputs):
    """A composition that is no sum of two parts: the aspect, scaled by the holistic reward."""
    return inputs.holistic.unsqueeze(1) * (inputs.aspect + last_token(inputs.response_mask))


@given(reward_inputs(), st.sampled_from([*METHODS, "product"]))
def test_contributions_sum_to_the_total(inputs, name):
    method = METHODS[name] if name in METHODS else Method(name, "", product)
    parts = contributions(method, inputs)
    assert torch.equal(parts["total"], method.compose(inputs))
    torch.testing.assert_close(parts["holistic"] + parts["aspect"], parts["total"], rtol=0, atol=1e-4)
    if name in ("holistic_only", "log_sigmoid"):
        assert (parts["aspect"] == 0).all()
    if name == "log_sigmoid_sum":
        assert torch.equal(parts["holistic"], METHODS["log_sigmoid"].compose(inputs))
    if name == "aspect_only":
        assert (parts["holistic"] == 0).all()
