"""The record of a study of reward-model recipes: its parts put together, or the whole study in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from alarm.environment import environment as current_environment
from alarm.records import RewardModelRecord
from alarm.reward_modeling.study import (
    DECILES,
    WAYS,
    Part,
    curve_plan,
    study_curve,
    study_decile,
    study_strength,
    study_sweep,
)
from alarm.reward_modeling.validation import ComparisonSource, Validation, validation_sets

if TYPE_CHECKING:
    from alarm.settings import RecipeSettings, RewardModelSettings

SWEEP_ERROR_RATES = (0.0, 0.4)
"""Annotators' error rates beside the source's own."""


def assemble(
    source: ComparisonSource,
    *,
    strength: Mapping[str, Part],
    curves: Sequence[Part],
    deciles: Sequence[Part] = (),
    sweep: Sequence[Part] = (),
    settings: RewardModelSettings,
    recipes: RecipeSettings,
    environment: Mapping[str, Any],
) -> RewardModelRecord:
    """The record of a study from its parts; `strength` holds one part per way of measuring it."""
    sets = validation_sets(source)
    validation = Validation(sets)
    return RewardModelRecord(
        source=source.name,
        scale=source.scale,
        facts=dict(source.facts) | _facts(source, settings, recipes),
        validation_sets={name: {"label": entry.label, "pairs": len(entry.pairs)} for name, entry in sets.items()},
        heuristics={name: validation.of_heuristic(score) for name, score in source.heuristics.items()},
        strength={way: _without_seconds(part) for way, part in strength.items()},
        wrong=source.wrong,
        deciles=[_without_seconds(part) for part in deciles],
        curves=[_without_seconds(part) for part in curves],
        sweep=[row for part in sweep for row in part["rows"]],
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=sum(part["seconds"] for part in (*strength.values(), *deciles, *curves, *sweep)),
        environment=environment,
    )


def run_study(
    source: ComparisonSource,
    *,
    settings: RewardModelSettings,
    recipes: RecipeSettings,
    relabel: Callable[[float], ComparisonSource] | None = None,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda part: None,
) -> RewardModelRecord:
    """All parts in order.

    Args:
        relabel: from annotators' error rate to the same source with their labels; None leaves out the sweep.
        progress: called with the name of each part before it starts.
    """
    common = {"settings": settings, "recipes": recipes, "device": device}
    strength, curves, deciles, sweep = {}, [], [], []
    for way in WAYS:
        progress(f"{source.name} preference strength, {way.replace('_', ' ')}")
        strength[way] = study_strength(source, way, **common)
    for recipe, target, seed in curve_plan(recipes):
        progress(f"{source.name} reward model, {recipe}{f' ({target})' if target else ''}, seed {seed}")
        mean = strength[recipes.strength]["mean"]
        curves.append(study_curve(source, recipe, seed, strength=mean, target=target, **common))
    for decile in range(DECILES):
        progress(f"{source.name} reward model, strength decile {decile}")
        deciles.append(study_decile(source, decile, strength=strength["cross_fitted"]["mean"], **common))
    for error_rate in SWEEP_ERROR_RATES if relabel is not None else ():
        progress(f"{source.name} reward models, annotators' error rate {error_rate}")
        sweep.append(study_sweep(relabel(error_rate), error_rate, **common))
    return assemble(
        source,
        strength=strength,
        curves=curves,
        deciles=deciles,
        sweep=sweep,
        settings=settings,
        recipes=recipes,
        environment=current_environment(device),
    )


def _facts(source: ComparisonSource, settings: RewardModelSettings, recipes: RecipeSettings) -> dict[str, Any]:
    return {
        "train_pairs": len(source.train),
        "train_prompts": len({pair.prompt for pair in source.train}),
        "wrong_label_share": source.wrong_label_share,
        "steps": recipes.study_steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "ensemble_size": recipes.ensemble_size,
        "ensemble_steps": recipes.ensemble_steps,
        "left_out_folds": recipes.left_out_folds,
        "strength_read_by_recipes": recipes.strength,
    }


def _without_seconds(part: Part) -> Part:
    return {name: value for name, value in part.items() if name != "seconds"}
