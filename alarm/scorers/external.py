"""Ready-made holistic rewards by name: `ultrarm:NAME`, `classifier:NAME`, `comet:CHECKPOINT`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from alarm.files import sha256_of
from alarm.registry import Registry, UnknownNameError, unknown_name
from alarm.scorers.base import Scorer

TRAINED = "trained"
"""Instead of a ready-made model: the one that is trained on comparisons."""


@dataclass(frozen=True)
class Kind:
    """One kind of ready-made model."""

    description: str
    version: Callable[[str], str]
    """From its name or path to what identifies its weights; raises `ValueError` if it is not to be had."""
    load: Callable[..., Scorer]
    """From its name or path, `device`, `max_tokens`, `references` and `batch_size` to the scorer."""
    tasks: tuple[str, ...] | None = None
    """The tasks whose responses it can judge; None: all."""


KINDS: Registry[Kind] = Registry("kind of holistic model")


def load_holistic(
    spec: str,
    *,
    device: str = "cpu",
    max_tokens: int | None = None,
    references: Mapping[str, str] | None = None,
    batch_size: int = 16,
) -> Scorer:
    """The scorer `holistic` over a ready-made model.

    Args:
        spec: kind and name, as `ultrarm:openbmb/UltraRM-13b` or `classifier:some/folder`; a model of the hub may carry
            `@REVISION`.
        max_tokens: limits prompt and response together; the prompt is cut. None: the model's own limit.
        references: by prompt, for kinds that compare with a reference.
    Raises:
        ValueError: an unknown kind, or a model that is not there or not of that kind.
    """
    kind, name = parse(spec)
    return kind.load(name, device=device, max_tokens=max_tokens, references=references, batch_size=batch_size)


def holistic_version(spec: str) -> str:
    """What identifies the model's weights: its commit on the hub, or a checksum. Nothing is loaded.

    Raises:
        ValueError: as `load_holistic`, as far as can be told without loading.
    """
    kind, name = parse(spec)
    return kind.version(name)


def check_holistic(spec: str, tasks: tuple[str, ...] | list[str]) -> None:
    """Raise `ValueError`, saying what to do, if the model cannot judge these tasks here; asked before any training."""
    kind, name = parse(spec)
    unable = [task for task in tasks if kind.tasks is not None and task not in kind.tasks]
    if unable:
        raise ValueError(
            f"{spec} judges {' and '.join(kind.tasks)} only, not {' and '.join(unable)}; choose the task with --task"
        )
    kind.version(name)


def parse(spec: str) -> tuple[Kind, str]:
    """The kind and the name in a spec."""
    scheme, colon, name = spec.partition(":")
    if scheme not in KINDS:
        raise UnknownNameError(unknown_name(KINDS.kind, scheme, KINDS) + "; write KIND:NAME_OR_PATH")
    if not (colon and name):
        raise ValueError(f"the holistic model {spec!r} names no checkpoint; write {scheme}:NAME_OR_PATH")
    return KINDS[scheme], name


def _hub_version(name: str) -> str:
    from alarm.scorers.checkpoints import find_checkpoint

    return find_checkpoint(name).version


def _comet_version(name: str) -> str:
    from alarm.scorers.checkpoints import hub_commit

    path = Path(name).expanduser()
    files = [path] if path.is_file() else sorted(path.rglob("*.ckpt")) if path.is_dir() else []
    if files:
        return f"{files[0].name}:{sha256_of(files[0])[:12]}"
    return f"{name}@{hub_commit(name, file='hparams.yaml')[:12]}"


def _ultra_rm(name: str, *, references: Mapping[str, str] | None, **options) -> Scorer:
    from alarm.scorers.ultra_rm import UltraRMScorer

    return UltraRMScorer(name, **options)


def _classifier(name: str, *, references: Mapping[str, str] | None, **options) -> Scorer:
    from alarm.scorers.sequence_classifier import ClassifierScorer

    return ClassifierScorer(name, **options)


def _comet(
    name: str, *, references: Mapping[str, str] | None, device: str, max_tokens: int | None, batch_size: int
) -> Scorer:
    from alarm.scorers.comet import CometScorer

    return CometScorer(name, references=references, device=device, batch_size=batch_size)


KINDS.add("ultrarm", Kind("UltraRM's layout: a Llama with `regression_head`", _hub_version, _ultra_rm))
KINDS.add("classifier", Kind("a sequence classifier of transformers with one output", _hub_version, _classifier))
KINDS.add("comet", Kind("a COMET checkpoint, with references or without", _comet_version, _comet, tasks=("wmt",)))
