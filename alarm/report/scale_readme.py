"""The README of a scale: all its tables and figures in Markdown."""

from __future__ import annotations

from alarm.report.claims.assembled import CLAIMS_FIGURE
from alarm.report.scale_report import ScaleReport


def scale_readme(report: ScaleReport) -> str:
    """The claims' forest plot, attention, what is not on record, all tables in reading order, all other figures."""
    first = [picture.name for picture in report.pictures if picture.name.startswith(CLAIMS_FIGURE)]
    parts = [
        f"# Results at scale `{report.scale}`",
        f"Made from the records in [records](records) by `python -m alarm tables --scale {report.scale}`; do not edit. "
        "Each table is also a CSV file with every number at full precision in [tables](tables).",
    ]
    parts += [_image(name) for name in first]
    if report.attention:
        parts.append("## Attention\n\n" + "\n".join(f"- {line}" for line in report.attention))
    if report.absent:
        parts.append("## Not on record\n\n" + "\n".join(f"- {line}" for line in report.absent))
    parts += [table.markdown(level=2).rstrip("\n") for table in report.tables]
    parts.append("## Figures")
    parts += [_image(picture.name) for picture in report.pictures if picture.name not in first]
    return "\n\n".join(parts) + "\n"


def _image(name: str) -> str:
    return f"![{name.replace('_', ' ')}](figures/{name}.png)"
