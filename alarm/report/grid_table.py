"""Every composition of rewards with every recipe of reward models, by gold quality."""

from __future__ import annotations

from alarm.evaluation.win_rates import spread
from alarm.records import RunRecord
from alarm.report.captions import origin
from alarm.report.comparisons import correct, difference
from alarm.report.runs import WITH_RECIPE, TaskRuns, mixtures
from alarm.report.tables import EMPTY, Block, Cell, Table
from alarm.report.win_tables import GOLD, INTERVALS

PLAIN = "plain"
COMPOSITIONS = ("holistic_only", "weighted_sum", "alarm", "log_sigmoid", "log_sigmoid_sum", "aspect_only")
RECIPE_LABELS = {
    PLAIN: "plain",
    "soft_label_margin": "denoised (soft_label_margin)",
    "simcse": "contrastive (simcse)",
    "meta": "iterative (meta)",
}
WITHOUT_REWARD_MODEL = ("aspect_only",)
"""Compositions that read no holistic reward, so that a recipe changes nothing."""


def grid_cells(runs: TaskRuns) -> dict[tuple[str, str], str]:
    """(composition, recipe) to the run that stands there; where two do, the one with more finished seeds.

    `alarm@simcse` stands in the row `alarm`. A method that only gives a composition another recipe, such as
    `denoised_rm`, stands in the row of the plain method with the same composition.
    """
    plain = {_composition(r): r.method for r in runs.records if r.method in COMPOSITIONS and _composition(r)}
    cells: dict[tuple[str, str], str] = {}
    for record in runs.records:
        row = record.method.partition(WITH_RECIPE)[0]
        if record.recipe != PLAIN and row == record.method:
            row = plain.get(_composition(record), row)
        elif row == record.method and row not in COMPOSITIONS:
            continue
        key = (row, record.recipe)
        if not record.aspect_given and _seeds(runs, record.run_name) > _seeds(runs, cells.get(key)):
            cells[key] = record.run_name
    return cells


def grid_table(runs: TaskRuns) -> Table:
    """Gold quality of greedy test responses by composition and recipe, beside the same composition's plain cell."""
    found = grid_cells(runs)
    rows = list(dict.fromkeys([*COMPOSITIONS, *sorted({row for row, _ in found})]))
    columns = list(dict.fromkeys([*RECIPE_LABELS, *sorted({recipe for _, recipe in found})]))
    cells = {(row, column): _cell(runs, found, row, column) for row in rows for column in columns}
    (cells,) = correct([cells], null=0.0)
    failed = [
        f"{r.run_name} seed {r.seed} (failed: {r.error})"
        for r in runs.failed
        if WITH_RECIPE in r.method or r.run_name in found.values()
    ]
    return Table(
        name=f"grid_{runs.task}",
        title=f"Compositions and reward-model recipes in {runs.task}",
        caption=[
            f"{runs.label(GOLD)} of greedy test responses; mean ± sd over n seeds (sample sd). Rows: how rewards are "
            "composed; columns: how the holistic reward model was trained.",
            "Second line: difference from the row's plain cell on the same seeds and prompts. "
            + INTERVALS.format(family="this table"),
            f"A dash: {', '.join(WITHOUT_REWARD_MODEL)} reads no holistic reward, so no recipe changes it.",
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=[Block("", "composition", rows, columns, cells, RECIPE_LABELS)],
        missing=failed,
    )


def _cell(runs: TaskRuns, found: dict[tuple[str, str], str], row: str, column: str) -> Cell:
    name, plain = found.get((row, column)), found.get((row, PLAIN))
    if not name and (column not in RECIPE_LABELS or (row in WITHOUT_REWARD_MODEL and column != PLAIN)):
        return EMPTY
    values = runs.means(name, GOLD) if name else []
    if not values:
        wanted = row if column == PLAIN else f"{row}{WITH_RECIPE}{column}"
        return Cell(missing=f"no run of {name or wanted}")
    if column == PLAIN:
        return Cell(spread(values), digits=3)
    effect = difference(runs, name, plain, GOLD) if plain else None
    note = None if name == f"{row}{WITH_RECIPE}{column}" else name
    missing = None if effect else "a plain run of the same seed"
    return Cell(spread(values), effect, effect_name="against plain", note=note, missing=missing, digits=3)


def _composition(record: RunRecord) -> str | None:
    return record.method_settings.get("composition")


def _seeds(runs: TaskRuns, name: str | None) -> int:
    """Finished seeds of a run, -1 for none at all: a run that failed still takes an empty place."""
    return len(runs.finished.get(name, {})) if name else -1
