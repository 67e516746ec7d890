"""The README of all results: per scale what a reader wants first, put together from the files that `render` left."""

from __future__ import annotations

import re
from pathlib import Path

from alarm.report.benchmark_tables import benchmark_table
from alarm.report.claims.claims_table import MEASURED
from alarm.report.stored_benchmarks import stored_files
from alarm.settings import SCALES

PAGE = "report.html"
_IMAGE = re.compile(r"!\[([^\]]*)\]\((figures/[^)\s]+)\)")


def overview(results: Path) -> str:
    """Every scale on record in the order of its size: claims, headline tables, figures, and links to all the rest.

    No run is read: a scale shows what was last written for it, and one that was never rendered is named.
    """
    found = [scale for scale in _scales(results) if (results / scale / "records").is_dir()]
    parts = [
        "# Results",
        "Generated from the records by `python -m alarm report`; do not edit. A number of one scale says nothing about "
        "another's: sizes, data and models differ, and those of `tiny` are never the papers'.",
        "\n".join(f"- [`{scale}`](#scale-{scale}): {SCALES.get(scale, 'unknown scale')}" for scale in found),
    ]
    scales = [part for scale in found for part in _of_scale(results, scale)]
    return "\n\n".join([*parts, *scales, *_throughput(results)]) + "\n"


def _scales(results: Path) -> list[str]:
    folders = sorted(path.name for path in results.iterdir() if path.is_dir())
    return [*(scale for scale in SCALES if scale in folders), *(name for name in folders if name not in SCALES)]


def _of_scale(results: Path, scale: str) -> list[str]:
    folder = results / scale
    readme = folder / "README.md"
    heading = f"## Scale `{scale}`"
    if not readme.is_file():
        return [heading, f"Not rendered yet: run `python -m alarm report --scale {scale}`."]
    links = [f"[all tables and figures]({scale}/README.md)", f"[tables as CSV]({scale}/tables)"]
    if (folder / PAGE).is_file():
        links.insert(1, f"[the page with the browser of generations]({scale}/{PAGE}) (download it and open the file)")
    links.append(f"[records]({scale}/records)")
    claims, headlines = (sorted((folder / "tables").glob(f"{name}*.md")) for name in ("claims", "headline_"))
    images = [
        (f"![{title}]({scale}/{path})", Path(path).stem.startswith("claims"))
        for title, path in _IMAGE.findall(readme.read_text(encoding="utf-8"))
    ]
    return [
        heading,
        "; ".join(links) + ".",
        *(image for image, of_claims in images if of_claims),
        *(_claims(table) for table in claims),
        *(_demoted(table.read_text(encoding="utf-8")) for table in headlines),
        *(image for image, of_claims in images if not of_claims),
    ]


def _claims(table: Path) -> str:
    """The verdicts, or how they are measured, folded away."""
    text = table.read_text(encoding="utf-8")
    if not table.stem.startswith(MEASURED):
        return _demoted(text)
    title, _, body = text.partition("\n\n")
    return f"<details><summary>{title.removeprefix('# ')}</summary>\n\n{body}\n</details>"


def _throughput(results: Path) -> list[str]:
    """The peer comparisons, and the phases of each machine folded away."""
    tables = [(path, benchmark_table(path)) for path in stored_files(results)]
    if not tables:
        return []
    peers = [table for _, table in tables if table.name.startswith("throughput_peers")]
    phases = [table for _, table in tables if table not in peers]
    links = [f"[{table.title}]({path.parent.name}/{path.stem}.md)" for path, table in tables]
    return [
        "## Throughput",
        "Measured alone on a machine; figures of different hardware are never compared. " + "; ".join(links) + ".",
        *(_demoted(table.markdown()) for table in peers),
        *(f"<details><summary>{table.title}</summary>\n\n{table.markdown(level=3)}\n</details>" for table in phases),
    ]


def _demoted(table: str) -> str:
    """A table's Markdown under a scale's heading, how to read it folded away."""
    body, _, notes = table.rstrip("\n").rpartition("\n\n- ")
    if not body:
        return f"##{table}".rstrip("\n")
    return f"##{body}\n\n<details><summary>How to read this table</summary>\n\n- {notes}\n\n</details>"
