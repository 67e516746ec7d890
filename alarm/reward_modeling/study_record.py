"""The record of a study of reward-model recipes: its parts put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from alarm.records import RewardModelRecord
from alarm.reward_modeling.study import Part
from alarm.reward_modeling.validation import ComparisonSource, Validation, validation_sets

if TYPE_CHECKING:
    from alarm.settings import RecipeSettings, RewardModelSettings


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
    seconds: float,
) -> RewardModelRecord:
    """The record of a study from its parts; `strength` holds one part per way of measuring it.

    `seconds` are those of all parts, of such too that the record does not show.
    """
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
        seconds=seconds,
        environment=environment,
    )


def _facts(source: ComparisonSource, settings: RewardModelSettings, recipes: RecipeSettings) -> dict[str, Any]:
    return {
        "train_pairs": len(source.train),
        "train_prompts": len({pair.prompt for pair in source.train}),
        "wrong_label_share": source.wrong_label_share,
        "curve_pairs": recipes.study_pairs or len(source.train),
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
