"""The captions world: German image captions and their English translations, written as Multi30k publishes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from alarm.files import write_atomically
from alarm.tasks.worlds.caption_flaws import flawed
from alarm.tasks.worlds.caption_grammar import Scene, english, german
from alarm.tasks.worlds.caption_habits import HABITS, demonstration
from alarm.tasks.worlds.caption_quality import Quality, gold_quality, quality
from alarm.tasks.worlds.caption_scenes import random_scene
from alarm.tasks.worlds.habits import draw_habit

__all__ = ["SIZES", "Quality", "base_text", "gold_quality", "quality", "random_scene", "write_world"]

SIZES: Mapping[str, int] = {"train": 9000, "val": 400, "test_2016_flickr": 400, "demonstrations": 4000}
"""Sentence pairs per file."""

MAX_WORDS = 16

_DEMONSTRATIONS, _BASE_TEXT = 1, 2
"""Random streams beside that of the sentences."""


def write_world(directory: Path | str, *, seed: int, sizes: Mapping[str, int] = SIZES) -> None:
    """Write `train`, `val`, `test_2016_flickr` and `demonstrations`, each with .de and .en, one sentence per line.

    No German sentence occurs twice, in one of the first three files or in two. `demonstrations` has the first German
    sentences of `train`, each translated by a writer with a habit; `demonstrations.writers` says whose, line by line.

    Args:
        directory: where to write; made if absent.
        seed: decides every file, byte for byte.
        sizes: pairs per file, with the keys of `SIZES`; missing ones have the default. Where `train` has fewer
            sentences than `demonstrations` should have, all of them are demonstrated.
    Raises:
        ValueError: an unknown file name, or a size below 1.
    """
    unknown = set(sizes) - set(SIZES)
    if unknown:
        raise ValueError(f"unknown files {sorted(unknown)} in sizes; known are {', '.join(SIZES)}")
    sizes = {**SIZES, **sizes}
    if min(sizes.values()) < 1:
        raise ValueError(f"sizes must be positive, got {sizes}")
    scenes = _scenes(seed, sizes)
    for name, drawn in scenes.items():
        _write_pairs(directory, name, [(german(scene), english(scene)) for scene in drawn])
    rng = np.random.default_rng([seed, _DEMONSTRATIONS])
    shown = scenes["train"][: sizes["demonstrations"]]
    writers = [draw_habit(HABITS, rng) for _ in shown]
    texts = [demonstration(scene, writer, rng) for scene, writer in zip(shown, writers, strict=True)]
    _write_pairs(directory, "demonstrations", list(zip(map(german, shown), texts, strict=True)))
    _write_lines(Path(directory) / "demonstrations.writers", writers)


def base_text(seed: int, count: int) -> list[tuple[str, str]]:
    """Pairs of a German sentence and a translation with independent flaws, to train a base model on.

    No German sentence occurs twice, and none stands in `val` or `test_2016_flickr` of the world of that seed and
    the default sizes; those of `train` may.
    """
    scenes = _scenes(seed, SIZES)
    held_out = {german(scene) for name in ("val", "test_2016_flickr") for scene in scenes[name]}
    rng = np.random.default_rng([seed, _BASE_TEXT])
    drawn = _distinct(rng, held_out)
    return [(source, flawed(scene, rng)) for _, (source, scene) in zip(range(count), drawn, strict=False)]


def _scenes(seed: int, sizes: Mapping[str, int]) -> dict[str, list[Scene]]:
    """The scenes of the files with sentences of their own."""
    drawn = _distinct(np.random.default_rng(seed), set())
    files = [name for name in SIZES if name != "demonstrations"]
    return {name: [next(drawn)[1] for _ in range(sizes[name])] for name in files}


def _distinct(rng: np.random.Generator, seen: set[str]) -> Iterator[tuple[str, Scene]]:
    """Short German sentences that are not `seen`, with what they say; each is added to `seen`."""
    while True:
        scene = random_scene(rng)
        source = german(scene)
        if source not in seen and max(len(source.split()), len(english(scene).split())) <= MAX_WORDS:
            seen.add(source)
            yield source, scene


def _write_pairs(directory: Path | str, name: str, pairs: Sequence[tuple[str, str]]) -> None:
    for language, side in zip(("de", "en"), zip(*pairs, strict=True), strict=True):
        _write_lines(Path(directory) / f"{name}.{language}", side)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    write_atomically(path, "".join(f"{line}\n" for line in lines))
