"""The prompts on which two runs differ most, with both responses in two columns of text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alarm.report.pairing import Paired, paired
from alarm.report.runs import TaskRuns
from alarm.report.tables import number_text
from alarm.report.verdicts import SFT, responses

WIDTH = 96
CONTEXT_LINES = 3
"""Of a prompt, a reference or the SFT policy's response; the rest is cut."""


@dataclass(frozen=True)
class Example:
    """A prompt, its mean difference, and the seed in which the two runs differ most in that direction."""

    id: str
    difference: float
    seed: int
    scores: tuple[float, float]
    """Of that seed: method, baseline."""


def most_different(pair: Paired, count: int) -> list[Example]:
    """Prompts by the size of the difference averaged over seeds, largest first; those without any are left out."""
    differences = pair.differences.mean(axis=0)
    found = []
    for place in np.argsort(-np.abs(differences), kind="stable")[: max(count, 0)].tolist():
        if differences[place]:
            seed = int(np.argmax(pair.differences[:, place] * np.sign(differences[place])))
            scores = float(pair.method[seed, place]), float(pair.baseline[seed, place])
            found.append(Example(pair.ids[place], float(differences[place]), pair.seeds[seed], scores))
    return found


def side_by_side(runs: TaskRuns, method: str, baseline: str, score: str, count: int) -> str:
    """The `count` prompts with the largest difference in `score`, both responses beside each other.

    Prompt and reference are shown where the records hold them, else the SFT policy's response for orientation.

    Raises:
        ValueError: the runs have the score on no common prompt.
    """
    pair = paired(runs, method, baseline, score)
    if pair is None:
        raise ValueError(f"{method} and {baseline} of {runs.task} share no prompt with {score}; choose another score")
    examples = most_different(pair, count)
    if not examples:
        return f"No prompt on which {method} and {baseline} differ in {pair.label}."
    title = f"The {len(examples)} prompts with the largest difference in {pair.label}, averaged over seeds"
    return "\n\n".join([title, *(_example(runs, method, baseline, pair, example) for example in examples)])


def _example(runs: TaskRuns, method: str, baseline: str, pair: Paired, example: Example) -> str:
    ours, theirs = (responses(runs, name, example.seed)[example.id] for name in (method, baseline))
    scores = [number_text(value, 3) for value in example.scores]
    lines = [f"{example.id}: {number_text(example.difference, 3, sign='+')}; below, seed {example.seed}"]
    for title, text in _context(runs, example.id, shown=(method, baseline)):
        lines += _cut(f"{title}: {text}")
    left = _column(f"{method} ({pair.score} {scores[0]})", ours.response)
    right = _column(f"{baseline} ({pair.score} {scores[1]})", theirs.response)
    return "\n".join([*lines, *_beside(left, right)])


def _context(runs: TaskRuns, name: str, *, shown: Sequence[str]) -> list[tuple[str, str]]:
    row = (runs.prompts or {}).get(name)
    if row is not None:
        return [("prompt", row.prompt), ("reference", row.reference)]
    before = (runs.sft or {}).get(name)
    return [("SFT policy", before.response)] if before and SFT not in shown else []


def _column(title: str, text: str) -> list[str]:
    width = (WIDTH - 3) // 2
    body = textwrap.wrap(plain(text), width) or ["(empty)"]
    return [*textwrap.wrap(title, width), "-" * min(width, len(title)), *body]


def _beside(left: Sequence[str], right: Sequence[str]) -> list[str]:
    width = (WIDTH - 3) // 2
    rows = max(len(left), len(right))
    padded = [[*column, *[""] * (rows - len(column))] for column in (left, right)]
    return [f"{a:<{width}} | {b}".rstrip() for a, b in zip(*padded, strict=True)]


def _cut(text: str) -> list[str]:
    return textwrap.wrap(plain(text), WIDTH, max_lines=CONTEXT_LINES, placeholder=" ...")


def plain(text: str) -> str:
    """On one line, and without characters that would steer a terminal.

    >>> plain("a \\n b\\x1b[31m")
    'a b[31m'
    """
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())
