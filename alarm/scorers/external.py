"""Ready-made holistic rewards by name: `ultrarm:NAME`, `classifier:NAME`, `comet:CHECKPOINT`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alarm.files import sha256_of
from alarm.registry import Registry, UnknownNameError, unknown_name
from alarm.scorers.base import Scorer

TRAINED = "trained"
"""Instead of a ready-made model: the one that is trained on comparisons."""
BATCH_SIZE = 8
"""Texts that a ready-made model reads at once; the largest have billions of weights."""


class Found(Protocol):
    """A model that is there, not yet loaded."""

    @property
    def version(self) -> str:
        """What identifies its weights: a commit of the hub, or a checksum."""


@dataclass(frozen=True)
class Kind:
    """One kind of ready-made model."""

    description: str
    find: Callable[[str], Found]
    """From its name or path; raises `ValueError` if it is not to be had."""
    load: Callable[..., Scorer]
    """From its name or path and the keywords of `load_holistic`."""
    tasks: tuple[str, ...] | None = None
    """The tasks whose responses it can judge; None: all."""


KINDS: Registry[Kind] = Registry("kind of holistic model")


def load_holistic(
    spec: str,
    *,
    device: str = "cpu",
    max_tokens: int | None = None,
    references: Mapping[str, str] | None = None,
    prefix: str = "",
    batch_size: int = BATCH_SIZE,
) -> Scorer:
    """The scorer `holistic` over a ready-made model.

    Args:
        spec: kind and name, as `ultrarm:openbmb/UltraRM-13b` or `classifier:some/folder`; a model of the hub may carry
            `@REVISION`, except COMET's.
        max_tokens: limits prompt and response together; the prompt is cut. None, and for COMET: the model's own limit.
        references: by prompt, for kinds that compare with a reference.
        prefix: what stands before the source sentence in a prompt, for kinds that read the source alone.
    Raises:
        ValueError: an unknown kind, or a model that is not there or not of that kind.
    """
    kind, name = _parse(spec)
    return kind.load(
        name, device=device, max_tokens=max_tokens, references=references, prefix=prefix, batch_size=batch_size
    )


def holistic_version(spec: str) -> str:
    """What identifies the model's weights; nothing is loaded. Raises `ValueError` as `check_holistic`."""
    kind, name = _parse(spec)
    return kind.find(name).version


def check_holistic(spec: str, tasks: Sequence[str]) -> None:
    """Raise `ValueError`, saying what to do, if the model cannot judge these tasks here; asked before any training."""
    kind, name = _parse(spec)
    unable = [task for task in tasks if kind.tasks is not None and task not in kind.tasks]
    if unable:
        raise ValueError(
            f"{spec} judges {' and '.join(kind.tasks)} only, not {' and '.join(unable)}; choose the task with --task"
        )
    kind.find(name)


def check_recipe(recipe: str, spec: str) -> None:
    """Raise `ValueError` if a recipe would train the holistic model that a spec names ready-made."""
    if recipe != "plain":
        raise ValueError(
            f"recipe {recipe} trains the holistic model on comparisons, but it is the ready-made {spec}; leave out the "
            f"recipe, or train the model with --holistic-model {TRAINED}"
        )


def repository(spec: str) -> tuple[str, str | None]:
    """A model's name on the hub with the revision asked for, or its path."""
    name = _parse(spec)[1]
    if Path(name).expanduser().exists():
        return name, None
    name, _, revision = name.partition("@")
    return name, revision or None


def token_limit(policy_tokens: int) -> int:
    """Tokens of prompt and response that a ready-made model reads, of texts in which the policy has `policy_tokens`.

    Another tokenizer may need more for the same text. (The released code has 1,230 for 1,224 and 300 for 256.)
    """
    return policy_tokens * 5 // 4


def needs_references(spec: str) -> bool:
    """Whether models of this kind may compare with a reference, and so want those of all prompts."""
    return _parse(spec)[0] is KINDS["comet"]


def _parse(spec: str) -> tuple[Kind, str]:
    scheme, colon, name = spec.partition(":")
    if scheme not in KINDS:
        raise UnknownNameError(unknown_name(KINDS.kind, scheme, KINDS) + "; write KIND:NAME_OR_PATH")
    if not (colon and name):
        raise ValueError(f"the holistic model {spec!r} names no checkpoint; write {scheme}:NAME_OR_PATH")
    return KINDS[scheme], name


def _find_on_hub(name: str) -> Found:
    from alarm.scorers.checkpoints import find_checkpoint

    return find_checkpoint(name)


@dataclass(frozen=True)
class _CometFile:
    path: Path

    @property
    def version(self) -> str:
        return sha256_of(self.path)[:12]


def _find_comet(name: str) -> Found:
    from alarm.scorers.comet import find_checkpoint

    return _CometFile(find_checkpoint(name))


def _ultra_rm(name: str, *, references: object, prefix: object, **options) -> Scorer:
    from alarm.scorers.ultra_rm import UltraRMScorer

    return UltraRMScorer(name, **options)


def _classifier(name: str, *, references: object, prefix: object, **options) -> Scorer:
    from alarm.scorers.sequence_classifier import ClassifierScorer

    return ClassifierScorer(name, **options)


def _comet(name: str, *, max_tokens: object, **options) -> Scorer:
    from alarm.scorers.comet import CometScorer

    return CometScorer(name, **options)


KINDS.add("ultrarm", Kind("UltraRM's layout, a Llama with `regression_head`", _find_on_hub, _ultra_rm))
KINDS.add("classifier", Kind("a sequence classifier of transformers with one output", _find_on_hub, _classifier))
KINDS.add("comet", Kind("a COMET model, with references or without", _find_comet, _comet, tasks=("wmt",)))
