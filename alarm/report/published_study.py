"""The published numbers of arXiv:2401.06080, under this project's names; read off its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alarm.report.published import Number, published_values

SETS = {"noisy": "origin", "gold": "gpt4", "agreeing": "intersection"}
"""Our validation sets to the paper's, where GPT-4 stands for gold."""
RECIPES = {
    "plain": "baseline",
    "flip": "flip_10",
    "margin": "margin",
    "flip_margin": "flip_10_margin",
    "soft_label_margin": "soft_label_margin",
}
READING = (
    '"paper": arXiv:2401.06080, read off its figures (to about 0.5 points), HH-RLHF with reward models from '
    "Llama-2-7B, M = 10; its noisy labels are the data set's, GPT-4 stands where gold stands here. Ours is another, "
    "smaller experiment."
)


class PublishedStudy:
    """Looks up one published number at a time, accuracies and shares in percent; None where the paper has none."""

    def __init__(self, values: dict[str, Any] | None) -> None:
        self._values = values or {}

    @classmethod
    def read(cls, results: Path) -> PublishedStudy:
        """From `<results>/published/secrets_of_rlhf_2.json`, or from the checkout's own."""
        return cls(published_values(results, "secrets_of_rlhf_2.json"))

    def strength(self, percentile: float) -> Number | None:
        """Mean preference difference at a percentile (figure 2)."""
        figure = self._values.get("figure2_mean_preference_difference_by_percentile", {})
        return _found(dict(zip(figure.get("percentile", ()), figure.get("mean", ()), strict=True)), percentile)

    def negative_share(self) -> Number | None:
        """Percent of pairs of negative strength."""
        figure = self._values.get("figure2_mean_preference_difference_by_percentile", {})
        return _found(figure, "share_of_pairs_with_mean_below_zero", 100.0)

    def agreement(self, group: int, groups: int) -> Number | None:
        """Percent of labels that GPT-4 agrees with, in the weakest or strongest group (figure 3)."""
        name = {0: "weakest_group", groups - 1: "strongest_group"}.get(group)
        return _found(self._values.get("figure3_consistency_with_gpt4", {}), name, 100.0)

    def decile_accuracy(self, decile: int, validation_set: str) -> Number | None:
        """Accuracy on the data set's own labels of a model trained on one strength decile alone (figure 4)."""
        figure = self._values.get("figure4_accuracy_when_trained_on_one_strength_decile_alone", {})
        accuracies = figure.get("validation_accuracy", ())
        known = validation_set == "noisy" and decile < len(accuracies)
        return Number(100.0 * accuracies[decile]) if known else None

    def final_accuracy(self, recipe: str, validation_set: str) -> Number | None:
        """Accuracy at the end of training (figure 8)."""
        figure = self._values.get("figure8_validation_accuracy_at_the_end_of_training", {})
        row = figure.get(RECIPES.get(recipe, ""))
        if row is None or validation_set not in SETS:
            return None
        return Number(100.0 * row[figure["columns"].index(SETS[validation_set])])


def _found(values: dict, key: object, factor: float = 1.0) -> Number | None:
    return Number(factor * values[key]) if key in values else None
