"""The page of a scale: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from alarm.report.captions import origin
from alarm.report.gold_table import GAIN, SAMPLED_GAIN
from alarm.report.page.cells import CellView, block_views, reach_of
from alarm.report.page.generations import browser_data, script_json
from alarm.report.page.sections import Filled, fill
from alarm.report.page.text import breakable, inline
from alarm.report.page.vector import themed_svg
from alarm.report.scale_report import Image, ScaleReport
from alarm.report.tables import Block, Table
from alarm.settings import SCALES

STYLES = ("page.css", "tables.css", "generations.css")
SCRIPTS = ("theme.js", "parts.js", "generations.js")
_WIDTH = re.compile(r'viewBox="0 0 ([\d.]+)')


@dataclass(frozen=True)
class BlockView:
    """A block of a table: its texts, and per column the width of its longest mean in characters."""

    title: str
    corner: str
    rows: Sequence[str]
    columns: Sequence[str]
    labels: dict[str, str]
    cells: dict[str, dict[str, CellView]]
    widths: dict[str, float]
    count: str
    """How many values a mean stands for, if it is the same number wherever one is said."""
    heat: bool


@dataclass(frozen=True)
class TableView:
    name: str
    title: str
    blocks: list[BlockView]
    summary: Sequence[str]
    missing: Sequence[str]
    caption: Sequence[str]


@dataclass(frozen=True)
class FigureView:
    name: str
    title: str
    notes: Sequence[str]
    svg: Markup
    width: float
    """Of the drawing, in its own units."""


def report_page(report: ScaleReport, images: Sequence[Image]) -> str:
    """The page as HTML.

    Args:
        images: the report's figures, drawn as SVG too.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("alarm.report.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"inline": inline, "breakable": breakable}
    script = _assets(SCRIPTS)
    generations = browser_data(report.groups)
    records = [record for runs in report.groups for record in runs.records]
    return environment.get_template("page.html").render(
        scale=report.scale,
        description=_sentence(SCALES.get(report.scale, "unknown scale")),
        facts=_facts(report),
        origin=origin(report.scale, records),
        attention=report.attention,
        absent=report.absent,
        sections=_sections(report.tables, images),
        browsable=bool(generations),
        generations=script_json(generations),
        style=Markup(_assets(STYLES)),
        script=Markup(script),
        script_hash=_hash(script),
    )


def _sections(tables: Sequence[Table], images: Sequence[Image]) -> list[Filled]:
    """The page's sections with their tables and figures as the templates read them."""
    filled = fill(tables, images)
    return [
        section.showing(
            [_table_view(table, heat=section.heat) for table in section.shown_tables],
            [_figure_view(image) for image in section.shown_figures],
        )
        for section in filled
    ]


def _table_view(table: Table, *, heat: bool) -> TableView:
    # Only a method against others has a win rate: other blocks, such as counts of verdicts, stay plain.
    blocks = [_block_view(block, heat=heat and block.corner == "method") for block in table.blocks]
    return TableView(table.name, table.title, blocks, table.summary, table.missing, table.caption)


def _block_view(block: Block, *, heat: bool) -> BlockView:
    cells = block_views(block, heat=heat, bars={gain: reach_of(block, gain) for gain in (SAMPLED_GAIN, GAIN)})
    means = {column: [cells[row][column].mean for row in block.rows] for column in block.columns}
    widths = {column: max(map(_width, found), default=0) for column, found in means.items()}
    counts = {view.count for row in cells.values() for view in row.values()} - {""}
    count = counts.pop() if len(counts) == 1 else ""
    labels = {column: block.column_labels.get(column, column) for column in block.columns}
    return BlockView(block.title, block.corner, block.rows, block.columns, labels, cells, widths, count, heat)


def _width(number: str) -> float:
    """Of a number in digits; a point is about half as wide."""
    return len(number) - 0.5 * number.count(".")


def _figure_view(image: Image) -> FigureView:
    svg = themed_svg(image.svg, name=image.name, title=image.title)
    return FigureView(image.name, image.title, image.notes, Markup(svg), float(_WIDTH.search(svg)[1]))


def _facts(report: ScaleReport) -> list[dict[str, Any]]:
    """The size of the experiment in a few numbers."""
    records = [record for runs in report.groups for record in runs.records]
    counts = {
        "task": len({record.task for record in records}),
        "method": len({name for runs in report.groups for name in runs.methods if name in runs.finished}),
        "run": len(records),
        "seed": len({record.seed for record in records}),
        "study of reward models": len(report.studies),
    }
    plural = {"study of reward models": "studies of reward models"}
    return [{"value": n, "name": name if n == 1 else plural.get(name, f"{name}s")} for name, n in counts.items() if n]


def _assets(names: Sequence[str]) -> str:
    folder = files("alarm.report.page") / "assets"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _hash(script: str) -> str:
    """What the page's policy calls its one script; no other runs."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
