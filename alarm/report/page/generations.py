"""What the page's browser of generations knows: prompts, references, and each method's answers with their rewards."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from alarm.records import Generation
from alarm.report.published import PAPER_METHODS
from alarm.report.runs import TaskRuns
from alarm.report.win_tables import GOLD

SFT = "sft"
JUDGES = (GOLD, "holistic")
"""Scores whose disagreement the page filters by; they stand first, on record or not."""
LEFT_OUT = frozenset(("holistic_raw",))
"""Scores that say what another says."""
MOST_PROMPTS = 1000
"""Of a task; more would make the page heavy, so that evenly spaced ones stand for all."""
FIGURES = 4
"""Significant figures of numbers."""
SPAN_QUANTILE = 0.95
"""Of the size of an aspect's rewards: from there on colours grow no stronger."""


def browser_data(groups: Sequence[TaskRuns]) -> dict[str, Any]:
    """Every task with generations on record, by the name its choice has in the page.

    Answers of the grid's further cells and of Table 5's variants are left out. Equal answers of a prompt are kept once.
    """
    kinds = {runs.task: {other.hardware_kind for other in groups if other.task == runs.task} for runs in groups}
    found = {}
    for runs in groups:
        name = runs.task if len(kinds[runs.task]) == 1 else f"{runs.task} ({runs.hardware_kind.upper()})"
        if task := _task_data(runs):
            found[name] = task
    return found


def script_json(value: Any) -> Markup:
    """JSON that may stand inside a script element whatever its texts hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Only strings can hold these characters, so that escapes are right wherever they stand.
    escapes = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
    return Markup(text.translate(escapes))


@dataclass
class _Answers:
    """The different answers to one prompt, in order of first use."""

    rows: list[list[Any]] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def place(self, row: list[Any]) -> int:
        """The answer's index, added if it is new."""
        key = json.dumps(row)
        if key not in self._places:
            self._places[key] = len(self.rows)
            self.rows.append(row)
        return self._places[key]


def _task_data(runs: TaskRuns) -> dict[str, Any] | None:
    by_run = dict(_generations(runs))
    if not by_run:
        return None
    ids = list(dict.fromkeys(i for generations in by_run.values() for i in generations))
    if runs.prompts:
        ids = [i for i in runs.prompts if i in set(ids)] + [i for i in ids if i not in runs.prompts]
    total, ids = len(ids), _thinned(ids)
    everything = [generation for generations in by_run.values() for generation in generations.values()]
    recorded = dict.fromkeys(name for generation in everything for name in generation.scores)
    scores = list(dict.fromkeys((*JUDGES, *(name for name in recorded if name not in LEFT_OUT))))
    aspects = _aspects(runs, everything)
    aspect_names = [aspect["name"] for aspect in aspects]
    labels = {name: runs.label(name) for name in scores} | {metric.name: metric.label for metric in runs.metrics}
    methods = list(dict.fromkeys(name for name, _ in by_run))
    seeds = sorted({seed for name, seed in by_run if name != SFT})
    return {
        "total": total,
        "seeds": seeds,
        "methods": methods,
        "usual": [method for method in methods if method in (SFT, *PAPER_METHODS)] or methods,
        "scores": [{"name": name, "label": labels[name]} for name in scores],
        "aspects": aspects,
        "prompts": [_prompt_data(runs, i, by_run, methods, seeds, scores, aspect_names) for i in ids],
    }


def _generations(runs: TaskRuns) -> Iterator[tuple[tuple[str, int], Mapping[str, Generation]]]:
    """Run name and seed to generations by prompt id, with all their scores; the SFT policy first, its seed 0."""
    if runs.sft:
        yield (SFT, 0), _with_metrics(runs, SFT, 0, runs.sft)
    for method in runs.methods:
        for seed, record in sorted(runs.finished.get(method, {}).items()):
            if record.generations:
                yield (method, seed), _with_metrics(runs, method, seed, runs.generations(method, seed))


def _with_metrics(
    runs: TaskRuns, run: str, seed: int, generations: Mapping[str, Generation]
) -> Mapping[str, Generation]:
    """The same with the scores of metrics that were computed later."""
    for metric in runs.metrics:
        values = metric.scores.get(run, {}).get(str(seed), {})
        generations = {
            i: replace(g, scores={**g.scores, metric.name: values[i]}) if i in values else g
            for i, g in generations.items()
        }
    return generations


def _prompt_data(
    runs: TaskRuns,
    prompt_id: str,
    by_run: Mapping[tuple[str, int], Mapping[str, Generation]],
    methods: Sequence[str],
    seeds: Sequence[int],
    scores: Sequence[str],
    aspects: Sequence[str],
) -> dict[str, Any]:
    answers = _Answers()
    places: dict[str, list[int | None]] = {}
    for method in methods:
        found = [by_run.get((method, seed), {}).get(prompt_id) for seed in ([0] if method == SFT else seeds)]
        places[method] = [answers.place(_answer(g, scores, aspects)) if g else None for g in found]
    row = runs.prompts.get(prompt_id) if runs.prompts else None
    texts = {"prompt": row.prompt, "reference": row.reference} if row else {}
    if row and row.fields.get("question"):
        texts["question"] = str(row.fields["question"])
    return {"id": prompt_id, **texts, "answers": answers.rows, "runs": places}


def _answer(generation: Generation, scores: Sequence[str], aspects: Sequence[str]) -> list[Any]:
    """Response, length, scores in the task's order, and per aspect [start, end, value] of its spans."""
    return [
        generation.response,
        generation.length,
        [_rounded(generation.scores.get(name)) for name in scores],
        [
            [[int(start), int(end), _rounded(value)] for start, end, value in generation.spans.get(aspect, ())]
            for aspect in aspects
        ],
    ]


def _aspects(runs: TaskRuns, generations: Sequence[Generation]) -> list[dict[str, Any]]:
    """Aspects with spans on record, the selected one first, and the size of a strong reward."""
    values: dict[str, list[float]] = {}
    for generation in generations:
        for aspect, spans in generation.spans.items():
            values.setdefault(aspect, []).extend(abs(value) for _, _, value in spans)
    return [
        {"name": aspect, "label": runs.label(aspect), "strong": _strong(values[aspect])}
        for aspect in sorted(values, key=lambda aspect: aspect != runs.aspect)
    ]


def _strong(sizes: Sequence[float]) -> float:
    return _rounded(float(np.quantile(sizes, SPAN_QUANTILE)) if sizes else None) or 1.0


def _thinned(ids: Sequence[str]) -> list[str]:
    if len(ids) <= MOST_PROMPTS:
        return list(ids)
    return [ids[place] for place in np.linspace(0, len(ids) - 1, MOST_PROMPTS).round().astype(int)]


def _rounded(value: float | None) -> float | None:
    return float(f"{value:.{FIGURES}g}") if value is not None and math.isfinite(value) else None
