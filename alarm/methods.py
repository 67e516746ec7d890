"""A method: a composition of rewards, a reward-model recipe and a choice of aspect, under one name.

To add one, write a file that calls `register_method` (see `baselines/` for examples) and pass it with `--method-file`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alarm.compositions import hierarchical_rewards
from alarm.registry import Registry, unknown_name
from alarm.reward_modeling.recipes import RECIPES
from alarm.settings import PPOSettings
from alarm.transforms import sigmoid_shape


@dataclass(frozen=True)
class RewardInputs:
    """What a composition may look at: the scores of one batch of B responses padded to T tokens."""

    holistic: Tensor
    """[B], z-normalised holistic reward."""
    aspect: Tensor
    """[B, T], the method's aspect, transformed by `Method.transform`, zero where the aspect is silent."""
    response_mask: Tensor
    """[B, T], boolean, True on real tokens."""
    holistic_weight: float
    aspect_weight: float
    threshold: float
    properties: Mapping[str, Tensor] = field(default_factory=dict)
    """[B] each, reward of every property that the method asks for, in log-odds: see `alarm.references`. `holistic` is
    the raw Bradley-Terry reward, not its z-value. Empty for a method that asks for none."""
    references: Mapping[str, Tensor] = field(default_factory=dict)
    """[B] each, reference level of every one of these properties for the response's prompt, in the same units."""


SHARED_SETTINGS = ("train_prompts", "responses_per_prompt", "max_prompt_tokens", "max_new_tokens")
"""Settings of PPO that all runs of a task share: prompts, reference levels and evaluation depend on them."""
PROPERTIES = ("none", "holistic", "all")
"""What a method may ask for: no property rewards, the holistic one, or it and every `Task.properties`."""


@dataclass(frozen=True)
class Method:
    """How rewards are made. `compose` returns per-token rewards [B, T], without the KL penalty."""

    name: str
    description: str
    compose: Callable[[RewardInputs], Tensor]
    transform: Callable[[Tensor], Tensor] | None = None
    """Applied to every aspect value before its weight; None leaves the raw values."""
    aspect: str | None = None
    """The aspect to use; None takes the proactively selected one."""
    reads_aspect: bool = True
    """Whether `compose` looks at `RewardInputs.aspect`; if not, no aspect is scored in training and it is all zero."""
    recipe: str = "plain"
    """How the holistic reward model is trained."""
    properties: str = "none"
    """Which property rewards and reference levels `compose` reads, one of `PROPERTIES`."""
    ppo: Mapping[str, Any] = field(default_factory=dict)
    """Settings of PPO (`alarm.settings.PPOSettings`) that differ from the preset's, by name; not `SHARED_SETTINGS`."""
    released_defects: bool = False
    """Reproduce the released code's score placement and loss mask (see `alarm.ppo.released`)."""


METHODS: Registry[Method] = Registry("method")


def register_method(method: Method) -> Method:
    """Make a method known by its name; returns it.

    Raises:
        ValueError: another method has that name, or its recipe, a setting or what it asks for is unknown.
    """
    RECIPES[method.recipe]
    if method.properties not in PROPERTIES:
        raise ValueError(unknown_name("choice of properties", method.properties, PROPERTIES))
    known = [each.name for each in fields(PPOSettings) if each.name not in SHARED_SETTINGS]
    for name in method.ppo:
        if name not in known:
            raise ValueError(unknown_name(f"PPO setting of method {method.name}", name, known))
    return METHODS.add(method.name, method)


def method_named(name: str) -> Method:
    """A registered method, or one with another recipe, as in `alarm@soft_label_margin`.

    Raises:
        ValueError: an unknown method or recipe (the message lists the known ones), or a recipe for a method that has
            one of its own.
    """
    base, _, recipe = name.partition("@")
    method = METHODS[base]
    if not recipe:
        return method
    RECIPES[recipe]
    if method.recipe != "plain":
        raise ValueError(
            f"{base} trains its reward model by {method.recipe}; name the composition itself with another recipe, e.g. "
            f"holistic_only@{recipe}"
        )
    return replace(method, name=name, recipe=recipe)


def with_recipe(name: str, recipe: str | None) -> str:
    """The name of a method with a recipe; None, or the method's own recipe, leaves the name as it is.

    Raises:
        ValueError: as `method_named`, or the name has another recipe already.
    """
    own = method_named(name).recipe
    if recipe in (None, own):
        return name
    if "@" in name:
        raise ValueError(f"{name} names a recipe, and {recipe} is another; give one of the two")
    return method_named(f"{name}@{recipe}").name


def contributions(method: Method, inputs: RewardInputs) -> dict[str, Tensor]:
    """The optimised reward `total` split into what the holistic score gives alone and what the aspect adds.

    The two parts sum to the total for any composition: the aspect's part is what is lost when the aspect, and every
    property besides the holistic one, is silenced.
    """
    total = method.compose(inputs)
    silent = replace(
        inputs,
        aspect=torch.zeros_like(inputs.aspect),
        properties=_holistic_alone(inputs.properties),
        references=_holistic_alone(inputs.references),
    )
    holistic = method.compose(silent)
    return {"total": total, "holistic": holistic, "aspect": total - holistic}


def _holistic_alone(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: values for name, values in columns.items() if name == "holistic"}


def load_method_file(path: str | Path) -> list[str]:
    """Run a user's method file and return the names it registered.

    Raises:
        ValueError: the file is missing, fails to run, or registers no method.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise ValueError(f"the method file {path} does not exist")
    before = set(METHODS)
    module_name = f"alarm_method_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if module_name in sys.modules:
        return list(sys.modules[module_name].__alarm_methods__)
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"the method file {path} failed: {type(error).__name__}: {error}") from error
    names = [name for name in METHODS if name not in before]
    if not names:
        raise ValueError(f"the method file {path} registered no method; call alarm.register_method(Method(...)) in it")
    module.__alarm_methods__ = names
    sys.modules[module_name] = module
    return names


def method_source(method: Method) -> str:
    """A hash of the files that define the method's composition and transform, so that an edited method is run again.

    Raises:
        ValueError: one of the two is a built-in function, whose source cannot be told.
    """
    functions = [method.compose] if method.transform is None else [method.compose, method.transform]
    digest = hashlib.sha256()
    for path in sorted({_source_file(method, function) for function in functions}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _source_file(method: Method, function: Callable) -> Path:
    """The file that holds a function, the function behind a partial, or the class of a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    path = Path(code.co_filename) if code else None
    if path is None or not path.is_file():
        raise ValueError(
            f"method {method.name}: {function!r} is built-in or typed in, so runs cannot be kept apart by its source; "
            "write it as a function in a file"
        )
    return path


def _hierarchical(inputs: RewardInputs) -> Tensor:
    return hierarchical_rewards(
        inputs.holistic,
        inputs.aspect,
        inputs.response_mask,
        threshold=inputs.threshold,
        holistic_weight=inputs.holistic_weight,
        aspect_weight=inputs.aspect_weight,
    )


ALARM = register_method(
    Method(
        name="alarm",
        description="hierarchical rewards: a sigmoid-shaped aspect joins where the holistic reward reaches a threshold",
        compose=_hierarchical,
        transform=sigmoid_shape,
    )
)

ALARM_AS_RELEASED = register_method(
    Method(
        name="alarm_as_released",
        description="ALaRM with the authors' released score placement and loss mask, defects included",
        compose=_hierarchical,
        transform=sigmoid_shape,
        released_defects=True,
    )
)
