"""All tables and figures of a scale, from its records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alarm.files import write_atomically
from alarm.records import RewardModelRecord
from alarm.report.all_good_table import all_good_table
from alarm.report.captions import origin, origin_of, period
from alarm.report.curves_figure import curve_groups, curves_figure
from alarm.report.gold_over_kl_figure import gold_over_kl_figure
from alarm.report.gold_over_kl_table import gold_over_kl_table
from alarm.report.grid_table import grid_table
from alarm.report.improvements import improvements_table
from alarm.report.improvements_figure import improvements_figure
from alarm.report.mean_tables import gold_table, means_table
from alarm.report.meta_rounds_figure import meta_rounds_figure
from alarm.report.meta_rounds_table import meta_rounds_table
from alarm.report.published import Published
from alarm.report.published_study import PublishedStudy
from alarm.report.recipe_figure import recipe_figure
from alarm.report.recipe_table import recipe_table
from alarm.report.runs import TaskRuns, mixtures, read_runs
from alarm.report.selection_figure import selection_figure
from alarm.report.selection_tables import figure_stem, selection_table, setup_table
from alarm.report.stability_table import stability_table
from alarm.report.strength_figure import strength_figure
from alarm.report.strength_table import strength_table
from alarm.report.studies import read_studies, study_origin
from alarm.report.tables import Table
from alarm.report.win_tables import ablation_table, win_rate_table

EXTENSIONS = {
    "grid": (grid_table, "runs"),
    "all_good": (all_good_table, "gold quality by property"),
    "log_sigmoid": (gold_over_kl_table, "win rates over the SFT policy during training, and best-of-k"),
    "improvements": (improvements_table, "responses of the SFT policy and of methods with raw or transformed rewards"),
    "stability": (stability_table, "runs"),
    "meta_rounds": (meta_rounds_table, "rounds of iterative RLHF"),
}
"""How names of tables begin, to what makes them (None where nothing is on record) and what they are made of."""
EXTENSION_FIGURES = {
    "log_sigmoid": gold_over_kl_figure,
    "improvements": improvements_figure,
    "meta_rounds": meta_rounds_figure,
}
"""The same to the figure beside the table."""
READING_ORDER = ("table", "gold_quality", *EXTENSIONS, "strength", "recipes", "figure")
"""How names of tables begin, in the order of the page; what is not here comes last."""


def render(results: Path | str, scale: str) -> list[Path]:
    """Write `tables/*.md`, `tables/*.csv`, `figures/*.png` and `README.md` below `<results>/<scale>`.

    Runs on CPU and on GPU get tables of their own, so that their numbers never share a column.

    Returns:
        The written files, `README.md` last.
    Raises:
        RecordError: there are no records, or one of them cannot be read; nothing is written then.
    """
    results = Path(results)
    groups = read_runs(results, scale)
    published = Published.read(results)
    tables: list[Table] = []
    absent: list[str] = []
    for kind in sorted({runs.hardware_kind for runs in groups}):
        of_kind = [runs for runs in groups if runs.hardware_kind == kind]
        made = [ablation_table(of_kind, published)]
        for runs in of_kind:
            made += [win_rate_table(runs, published), means_table(runs, published), gold_table(runs)]
            extensions = {name: make(runs) for name, (make, _) in EXTENSIONS.items()}
            made += [table for table in extensions.values() if table]
            absent += [f"{runs.task}: {EXTENSIONS[name][1]}" for name, table in extensions.items() if not table]
        tables += [_named(table, kind) for table in made]
    tasks = {runs.task: runs for runs in groups}
    for runs in tasks.values():
        if runs.selection:
            tables.append(selection_table(runs.selection, published, period(runs.records)))
        if runs.setup:
            tables.append(setup_table(runs.setup, period(runs.records)))
    studies, published_study = read_studies(results, scale), PublishedStudy.read(results)
    for study in studies:
        tables += [strength_table(study, published_study), recipe_table(study, published_study)]
    if not studies:
        absent.append("any source: a study of reward-model recipes")
    tables.sort(key=lambda table: (_order(table.name), table.name))

    folder = results / scale
    paths = []
    for table in tables:
        paths.append(write_atomically(folder / "tables" / f"{table.name}.md", table.markdown()))
        paths.append(write_atomically(folder / "tables" / f"{table.name}.csv", table.csv()))
    names = {table.name for table in tables}
    figures = _figures(groups, tasks.values(), names, published, folder / "figures")
    figures += [path for study in studies for path in _study_figures(study, published_study, folder / "figures")]
    readme = _readme(scale, groups, tables, figures, absent)
    return [*paths, *figures, write_atomically(folder / "README.md", readme)]


def _named(table: Table, kind: str) -> Table:
    """A table of GPU runs says so in its name and title."""
    return table if kind == "cpu" else replace(table, name=f"{table.name}_gpu", title=f"{table.title} (GPU)")


def _figures(groups: Sequence[TaskRuns], tasks, tables: set[str], published: Published, folder: Path) -> list[Path]:
    paths = []
    for runs in tasks:
        if runs.selection:
            footer = origin_of(runs.scale, [runs.selection.environment], period(runs.records))
            path = folder / f"{figure_stem(runs.task)}_selection.png"
            paths.append(selection_figure(runs.selection, published, path, _plain(footer)))
    for runs in groups:
        suffix = "" if runs.hardware_kind == "cpu" else "_gpu"
        footer = _plain(origin(runs.scale, runs.records))
        for group, methods in curve_groups(runs).items():
            paths.append(curves_figure(runs, methods, folder / f"curves_{runs.task}{group}{suffix}.png", footer))
        for name, draw in EXTENSION_FIGURES.items():
            stem = f"{name}_{runs.task}{suffix}"
            if stem in tables:
                paths.append(draw(runs, folder / f"{stem}.png", footer))
    return paths


def _study_figures(study: RewardModelRecord, published: PublishedStudy, folder: Path) -> list[Path]:
    footer = _plain(study_origin(study))
    return [
        strength_figure(study, published, folder / f"strength_{study.source}.png", footer),
        recipe_figure(study, folder / f"recipes_{study.source}.png", footer),
    ]


def _order(name: str) -> int:
    return next((place for place, prefix in enumerate(READING_ORDER) if name.startswith(prefix)), len(READING_ORDER))


def _plain(sentences: Sequence[str]) -> str:
    return "\n".join(sentences).replace("`", "")


def _readme(
    scale: str, groups: Sequence[TaskRuns], tables: Sequence[Table], figures: Sequence[Path], absent: Sequence[str]
) -> str:
    parts = [
        f"# Results at scale `{scale}`",
        f"Made from the records in [records](records) by `python -m alarm tables --scale {scale}`; do not edit. "
        "Each table is also a CSV file with every number at full precision in [tables](tables).",
    ]
    failed = [f"{r.task} {r.run_name} seed {r.seed}: {r.error}" for runs in groups for r in runs.failed]
    warnings = [sentence for runs in groups for sentence in mixtures(runs)]
    if failed or warnings:
        lines = [f"- {line}" for line in [*(f"failed run: {line}" for line in failed), *warnings]]
        parts.append("## Attention\n\n" + "\n".join(lines))
    if absent:
        parts.append("## Not on record\n\n" + "\n".join(f"- {line}" for line in absent))
    parts += [table.markdown(level=2).rstrip("\n") for table in tables]
    parts.append("## Figures")
    parts += [f"![{path.stem.replace('_', ' ')}](figures/{path.name})" for path in figures]
    return "\n\n".join(parts) + "\n"
