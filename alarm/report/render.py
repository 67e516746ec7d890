"""All tables and figures of a scale, from its records alone: assembled once, written as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from alarm.files import write_atomically
from alarm.report.agreement_table import agreement_table
from alarm.report.all_good_table import all_good_table
from alarm.report.benchmark_tables import render_benchmarks, tables_of_scale
from alarm.report.captions import origin, origin_of, period
from alarm.report.claims.assembled import claims_report
from alarm.report.curves_figure import curve_groups, curves_figure
from alarm.report.gold_over_kl_figure import gold_over_kl_figure
from alarm.report.gold_over_kl_table import gold_over_kl_table
from alarm.report.gold_table import gold_table
from alarm.report.grid_table import grid_table
from alarm.report.habits_figure import habits_figure
from alarm.report.habits_table import habits_table
from alarm.report.headline_table import headline_table
from alarm.report.improvements import improvements_table
from alarm.report.improvements_figure import improvements_figure
from alarm.report.judge_table import judge_table
from alarm.report.mean_tables import means_table
from alarm.report.meta_rounds_figure import meta_rounds_figure
from alarm.report.meta_rounds_table import meta_rounds_table
from alarm.report.over_optimisation_figure import over_optimisation_figure
from alarm.report.over_optimisation_table import over_optimisation_table
from alarm.report.overview import PAGE, overview
from alarm.report.pairs_table import pairs_table
from alarm.report.published import Published
from alarm.report.published_study import PublishedStudy
from alarm.report.ranking_table import ranking_table
from alarm.report.recipe_figure import recipe_figure
from alarm.report.recipe_table import recipe_table
from alarm.report.runs import TaskRuns, read_runs
from alarm.report.scale_readme import scale_readme
from alarm.report.scale_report import Image, Picture, ScaleReport
from alarm.report.selection_figure import selection_figure
from alarm.report.selection_tables import figure_stem, selection_table, setup_table
from alarm.report.spread_table import spread_table
from alarm.report.stability_table import stability_table
from alarm.report.stored_benchmarks import stored_files
from alarm.report.strength_figure import strength_figure
from alarm.report.strength_table import strength_table
from alarm.report.studies import read_studies, study_origin
from alarm.report.tables import Table
from alarm.report.throughput_table import throughput_table
from alarm.report.translation_table import translation_table
from alarm.report.win_tables import ablation_table, win_rate_table

EXTENSIONS = {
    "pairs": (pairs_table, "gold quality of two methods"),
    "ranking": (ranking_table, "runs with a common seed"),
    "agreement": (agreement_table, "runs with a common seed, or two judges"),
    "grid": (grid_table, "runs"),
    "translation": (translation_table, "corpus metrics, which translations alone have"),
    "all_good": (all_good_table, "gold quality by property"),
    "log_sigmoid": (gold_over_kl_table, "win rates over the SFT policy during training, and best-of-k"),
    "improvements": (improvements_table, "responses of the SFT policy and of methods with raw or transformed rewards"),
    "habits": (habits_table, "habits of responses, which generated worlds alone have"),
    "spread": (spread_table, "spreads of rewards within a prompt, or a pool of the SFT policy's samples"),
    "over_optimisation": (over_optimisation_table, "KL and gold during training, or best-of-k"),
    "stability": (stability_table, "runs"),
    "meta_rounds": (meta_rounds_table, "rounds of iterative RLHF"),
    "throughput": (throughput_table, "seconds by phase"),
}
"""How names of tables begin, to what makes them (None where nothing is on record) and what they are made of."""
EXTENSION_FIGURES = {
    "log_sigmoid": gold_over_kl_figure,
    "improvements": improvements_figure,
    "habits": habits_figure,
    "over_optimisation": over_optimisation_figure,
    "meta_rounds": meta_rounds_figure,
}
"""The same to the figure beside the table."""
READING_ORDER = ("claims", "headline", "table", "judge", "gold_quality", *EXTENSIONS, "strength", "recipes", "figure")
"""How names of tables begin, in the order of the page; what is not here comes last."""


def render(results: Path | str, scale: str) -> list[Path]:
    """Write `tables/*.md`, `tables/*.csv`, `figures/*.png` and `README.md` below `<results>/<scale>`.

    Returns:
        The written files, `README.md` last.
    Raises:
        RecordError: there are no records, or one of them cannot be read; nothing is written then.
    """
    report = assemble(results, scale)
    return _write(report, [picture.image(vector=False) for picture in report.pictures], Path(results))


def render_report(results: Path | str, scale: str) -> list[Path]:
    """Write what `render` writes, tables of stored throughput benchmarks beside their files, the scale's page
    `report.html`, and the overview `<results>/README.md`.

    Returns:
        The written files; the page and the overview last.
    Raises:
        RecordError: as `render`.
    """
    from alarm.report.page.page import report_page

    report, folder = assemble(results, scale), Path(results)
    images = [picture.image(vector=True) for picture in report.pictures]
    paths = [path for file in stored_files(folder) for path in render_benchmarks(file)]
    paths += _write(report, images, folder)
    paths.append(write_atomically(folder / scale / PAGE, report_page(report, images)))
    return [*paths, write_atomically(folder / "README.md", overview(folder))]


def assemble(results: Path | str, scale: str) -> ScaleReport:
    """Make every table of a scale, and find out which figures there are; nothing is written.

    Runs on CPU and on GPU get tables of their own, so that their numbers never share a column.

    Raises:
        RecordError: there are no records, or one of them cannot be read.
    """
    results = Path(results)
    groups = read_runs(results, scale)
    published = Published.read(results)
    studies = read_studies(results, scale)
    tables: list[Table] = []
    pictures: list[Picture] = []
    absent: list[str] = []
    for kind in sorted({runs.hardware_kind for runs in groups}):
        of_kind = [runs for runs in groups if runs.hardware_kind == kind]
        claims, claims_pictures = claims_report(of_kind, studies)
        made = [*claims, ablation_table(of_kind, published)]
        absent += [] if claims else ["any claim's evidence: sampled test responses with gold quality, or a study"]
        pictures += [replace(picture, name=f"{picture.name}{_suffix(kind)}") for picture in claims_pictures]
        for runs in of_kind:
            wins, gold = win_rate_table(runs, published), gold_table(runs)
            made += [headline_table(runs, gold, wins), wins, means_table(runs, published), gold]
            judged = judge_table(runs, published)
            made += [judged] if judged else []
            absent += [] if judged else [f"{runs.task}: verdicts of a language model"]
            extensions = {name: make(runs) for name, (make, _) in EXTENSIONS.items()}
            made += [table for table in extensions.values() if table]
            absent += [f"{runs.task}: {EXTENSIONS[name][1]}" for name, table in extensions.items() if not table]
        tables += [_named(table, kind) for table in made]
    for runs in _one_per_task(groups):
        if runs.selection:
            tables.append(selection_table(runs.selection, published, period(runs.records)))
        if runs.setup:
            tables.append(setup_table(runs.setup, period(runs.records)))
    published_study = PublishedStudy.read(results)
    for study in studies:
        tables += [strength_table(study, published_study), recipe_table(study, published_study)]
    if not studies:
        absent.append("any source: a study of reward-model recipes")
    measured = tables_of_scale(results, scale)
    tables += measured
    if not measured:
        absent.append("speed on a machine of its own: phases, and PPO beside other libraries")
    tables.sort(key=lambda table: (_order(table.name), table.name))
    pictures += _run_pictures(groups, {table.name for table in tables}, published)
    for study in studies:
        origin_sentences = study_origin(study)
        draw_strength = partial(strength_figure, study, published_study)
        pictures.append(Picture(f"strength_{study.source}", draw_strength, origin_sentences))
        pictures.append(Picture(f"recipes_{study.source}", partial(recipe_figure, study), origin_sentences))
    return ScaleReport(scale, groups, studies, tables, pictures, absent)


def _write(report: ScaleReport, images: Sequence[Image], results: Path) -> list[Path]:
    """Tables, figures and README of a scale as files."""
    folder = results / report.scale
    paths = []
    for table in report.tables:
        paths.append(write_atomically(folder / "tables" / f"{table.name}.md", table.markdown()))
        paths.append(write_atomically(folder / "tables" / f"{table.name}.csv", table.csv()))
    paths += [write_atomically(folder / "figures" / f"{image.name}.png", image.png) for image in images]
    return [*paths, write_atomically(folder / "README.md", scale_readme(report))]


def _named(table: Table, kind: str) -> Table:
    """A table of GPU runs says so in its name and title."""
    return table if kind == "cpu" else replace(table, name=table.name + _suffix(kind), title=f"{table.title} (GPU)")


def _suffix(kind: str) -> str:
    """Of the names of what is made of runs on that kind of hardware."""
    return "" if kind == "cpu" else "_gpu"


def _one_per_task(groups: Sequence[TaskRuns]) -> list[TaskRuns]:
    """Selection and setup belong to a task, on whatever hardware its runs were made."""
    return list({runs.task: runs for runs in groups}.values())


def _run_pictures(groups: Sequence[TaskRuns], tables: set[str], published: Published) -> Iterator[Picture]:
    for runs in _one_per_task(groups):
        if runs.selection:
            sentences = origin_of(runs.scale, [runs.selection.environment], period(runs.records))
            draw = partial(selection_figure, runs.selection, published)
            yield Picture(f"{figure_stem(runs.task)}_selection", draw, sentences)
    for runs in groups:
        suffix = _suffix(runs.hardware_kind)
        sentences = origin(runs.scale, runs.records)
        for group, methods in curve_groups(runs).items():
            draw = partial(curves_figure, runs, methods)
            yield Picture(f"curves_{runs.task}{group}{suffix}", draw, sentences)
        for name, draw_extension in EXTENSION_FIGURES.items():
            stem = f"{name}_{runs.task}{suffix}"
            if stem in tables:
                yield Picture(stem, partial(draw_extension, runs), sentences)


def _order(name: str) -> int:
    return next((place for place, prefix in enumerate(READING_ORDER) if name.startswith(prefix)), len(READING_ORDER))
