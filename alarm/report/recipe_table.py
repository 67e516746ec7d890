"""Reward-model recipes (figure 8 of arXiv:2401.06080) in numbers: accuracy at the end of training, contrast, sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alarm.evaluation.win_rates import Spread, spread
from alarm.records import RewardModelRecord
from alarm.report.comparisons import correct
from alarm.report.published import Number
from alarm.report.published_study import READING, PublishedStudy
from alarm.report.selection_tables import facts_block
from alarm.report.studies import (
    PLAIN,
    Variant,
    final_accuracies,
    paired_by_seed,
    study_origin,
    variant_name,
    variants,
    wrong_label_share,
)
from alarm.report.tables import Block, Cell, Table

AGAINST = f"against {PLAIN}"
UNTRAINED = "untrained"
SWEEP_READING = (
    "At other noise: annotators who err at random alone, one seed; the middle column is the study's own annotators, "
    "whose errors are mostly on close pairs, so that columns differ in the kind of noise too."
)
SWEPT_SETS = ("gold", "noisy")
"""The sweep is shown on the first of these that is on record."""


def recipe_table(record: RewardModelRecord, published: PublishedStudy) -> Table:
    """Accuracy of every recipe on every validation set, heuristics beside, contrastive terms, and other noise."""
    found = variants(record)
    contrastive = [variant for variant in found if variant[1]]
    denoising = [variant for variant in found if not variant[1]]
    blocks = [_accuracy_block(record, "Recipes at the end of training, accuracy in %", denoising, published)]
    untrained = _untrained_cells(record)
    blocks[0].rows = [*record.heuristics, *([UNTRAINED] if untrained else []), *blocks[0].rows]
    blocks[0].cells |= _heuristic_cells(record) | untrained
    missing = [] if found else ["trained recipes"]
    if contrastive:
        rows = [variant for variant in denoising if variant[0] == PLAIN] + contrastive
        blocks.append(_accuracy_block(record, "Contrastive terms, accuracy in %", rows, published))
    else:
        missing.append("contrastive terms")
    if record.sweep:
        blocks.append(_sweep_block(record))
    missing += [f"validation pairs: {name}" for name in ("gold", "shifted") if name not in record.validation_sets]
    return Table(
        name=f"recipes_{record.source}",
        title=f"Reward-model recipes in {record.source}",
        caption=[
            "Share of validation pairs that the reward model orders as they are labelled, a tie counting half; all "
            "recipes train for equal steps on the same pairs. Mean ± sd over n seeds (sample sd); heuristics need no "
            f"training, {UNTRAINED} is the start of `plain`: where training lowers an accuracy, better than plain "
            "means that less is lost.",
            *([SWEEP_READING] if record.sweep else []),
            f"Second line: difference from {PLAIN}, paired by seed; brackets: Student's 95 % interval over seeds, "
            "where there are several. Bold: p < 0.05 after Holm's correction over its block. With three seeds it is "
            "wide, and says nothing about other comparisons.",
            "Verdict: the difference's direction; `not distinguishable` where ours is not significant or the published "
            "difference is 0.",
            READING,
            *study_origin(record),
        ],
        blocks=[*blocks, facts_block(record.facts, "Facts")],
        missing=missing,
    )


def _accuracy_block(record: RewardModelRecord, title: str, rows: Sequence[Variant], published: PublishedStudy) -> Block:
    cells = {}
    for name in record.validation_sets:
        plain = final_accuracies(record, (PLAIN, None), name)
        base = published.final_accuracy(PLAIN, name)
        for variant in rows:
            paper = published.final_accuracy(variant[0], name) if variant[1] is None else None
            effect = Number(paper.mean - base.mean) if paper and base else None
            values = final_accuracies(record, variant, name)
            cells[variant_name(variant), name] = _compared_cell(
                values, {} if variant[0] == PLAIN else plain, paper, effect
            )
    (cells,) = correct([cells], null=0.0)
    labels = {name: f"{entry['label']} ({entry['pairs']} pairs)" for name, entry in record.validation_sets.items()}
    return Block(title, "recipe", [variant_name(v) for v in rows], list(labels), cells, labels)


def _heuristic_cells(record: RewardModelRecord) -> dict[tuple[str, str], Cell]:
    return {
        (heuristic, name): Cell(Spread(100 * accuracies[name], None, 1), show_count=False)
        for heuristic, accuracies in record.heuristics.items()
        for name in record.validation_sets
        if accuracies.get(name) is not None
    }


def _untrained_cells(record: RewardModelRecord) -> dict[tuple[str, str], Cell]:
    """Accuracies of the plain models before their first step."""
    starts = [row for row in record.curves if row["recipe"] == PLAIN and row["steps"] and row["steps"][0] == 0]
    found = {}
    for name in record.validation_sets:
        values = [100 * row["accuracy"][name][0] for row in starts if row["accuracy"].get(name)]
        if values:
            found[UNTRAINED, name] = Cell(spread(values))
    return found


def _sweep_block(record: RewardModelRecord) -> Block:
    """Recipes x share of wrong labels, the study's own noise among them."""
    swept = sweep_accuracies(record)
    recipes = list(dict.fromkeys(recipe for by_recipe in swept.values() for recipe in by_recipe))
    labels = {f"{share:.1f}": f"{share:.1f} % wrong labels" for share in swept}
    cells = {
        (recipe, f"{share:.1f}"): _compared_cell(
            by_recipe.get(recipe, {}), {} if recipe == PLAIN else by_recipe.get(PLAIN, {})
        )
        for share, by_recipe in swept.items()
        for recipe in recipes
    }
    (cells,) = correct([cells], null=0.0)
    name = swept_set(record)
    title = f"At other noise, accuracy in % on {record.validation_sets[name]['label']}"
    return Block(title, "recipe", recipes, list(labels), cells, labels)


def swept_set(record: RewardModelRecord) -> str:
    """The validation set that the sweep is shown on."""
    return next((name for name in SWEPT_SETS if name in record.validation_sets), next(iter(record.validation_sets)))


def sweep_accuracies(record: RewardModelRecord) -> dict[float, dict[str, dict[int, float]]]:
    """Percent of wrong labels, rising, to recipe to seed to accuracy in percent."""
    name = swept_set(record)
    shares: dict[float, dict[str, dict[int, float]]] = {}
    for row in record.sweep:
        share = row.get("wrong_label_share")
        share = row["error_rate"] if share is None else share
        if row["accuracy"].get(name) is not None:
            values = shares.setdefault(100 * share, {}).setdefault(row["recipe"], {})
            values[row["seed"]] = 100 * row["accuracy"][name]
    recipes = {recipe for by_recipe in shares.values() for recipe in by_recipe}
    own = wrong_label_share(record)
    if own is not None:
        shares[own] = {recipe: final_accuracies(record, (recipe, None), name) for recipe in sorted(recipes)}
    return dict(sorted(shares.items()))


def _compared_cell(
    values: Mapping[int, float],
    plain: Mapping[int, float],
    paper: Number | None = None,
    effect: Number | None = None,
) -> Cell:
    if not values:
        return Cell(published=paper, missing="a trained model")
    compared = paired_by_seed(values, plain)
    estimate = compared[1] if compared else None
    note = f"{AGAINST} {compared[0]:+.2f}" if compared and estimate is None else None
    return Cell(
        spread(list(values.values())),
        estimate,
        effect_name=AGAINST,
        published=paper,
        published_effect=effect,
        note=note,
    )
