"""The README of a scale: all its tables and figures in Markdown."""

from __future__ import annotations

from alarm.report.scale_report import ScaleReport


def scale_readme(report: ScaleReport) -> str:
    """Attention first, then what is not on record, all tables in reading order, all figures."""
    parts = [
        f"# Results at scale `{report.scale}`",
        f"Made from the records in [records](records) by `python -m alarm tables --scale {report.scale}`; do not edit. "
        "Each table is also a CSV file with every number at full precision in [tables](tables).",
    ]
    if report.attention:
        parts.append("## Attention\n\n" + "\n".join(f"- {line}" for line in report.attention))
    if report.absent:
        parts.append("## Not on record\n\n" + "\n".join(f"- {line}" for line in report.absent))
    parts += [table.markdown(level=2).rstrip("\n") for table in report.tables]
    parts.append("## Figures")
    parts += [f"![{picture.name.replace('_', ' ')}](figures/{picture.name}.png)" for picture in report.pictures]
    return "\n\n".join(parts) + "\n"
