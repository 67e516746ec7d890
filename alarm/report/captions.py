"""What every table and figure says about its origin: scale, hardware class, date, versions and commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from alarm.records import RunRecord
from alarm.report.published import PAPER_TASKS
from alarm.report.runs import TaskRuns
from alarm.settings import SCALES

SHOWN_PACKAGES = ("alarm", "torch", "transformers", "trl", "harper-py", "lingua-language-detector", "textstat")


def origin(scale: str, records: Sequence[RunRecord]) -> list[str]:
    """Two sentences about the runs behind a table."""
    return origin_of(scale, [record.environment for record in records], period(records))


def period(records: Sequence[RunRecord]) -> str:
    """The day the runs finished, or the first and the last."""
    days = sorted(record.finished[:10] for record in records)
    return "" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def origin_of(scale: str, environments: Sequence[Mapping[str, Any]], dates: str = "") -> list[str]:
    """The same from environments, for records that are no runs; `dates` are those of the runs they were made for."""
    hardware = _listed(environment.get("hardware", "hardware unknown") for environment in environments)
    place = f"Scale `{scale}` ({SCALES.get(scale, 'unknown scale')}); {hardware}" + (f"; {dates}." if dates else ".")
    return [place, f"{versions_of(environments)}."]


def versions_of(environments: Sequence[Mapping[str, Any]]) -> str:
    """Versions and commit of environments, without a full stop."""
    versions = [
        f"{package} {_listed(_version(environment, package) for environment in environments)}"
        for package in SHOWN_PACKAGES
    ]
    return (
        f"Python {_listed(e.get('python', '?') for e in environments)}; {', '.join(versions)}; "
        f"commit {_listed(_commit(e) for e in environments)}"
    )


def compared_with_paper(task: str, scale: str, judge_label: str | None = None) -> list[str]:
    """What the published numbers beside ours are, so that no one takes one for the other."""
    paper = PAPER_TASKS.get(task)
    if paper is None:
        return ["The paper has no numbers for this task."]
    sentences = [f'"paper": arXiv:2403.06754, {paper.setting}; ours at scale `{scale}` is another, smaller experiment.']
    if judge_label:
        sentences.append(f"The judge is {judge_label} here, {paper.judge} in the paper, {paper.judge_today}.")
    return sentences


def samples_sentence(runs: TaskRuns) -> str:
    """What is compared beside greedy responses, for captions."""
    if runs.sampled is None:
        return "No sampled test responses are on record, so greedy ones alone are compared."
    return (
        "Sampled: one response per test prompt at temperature 1, of every method and of the SFT policy. Greedy "
        "responses are what the papers compare."
    )


def _version(environment: Mapping[str, Any], package: str) -> str:
    return str(environment.get("versions", {}).get(package, "unknown"))


def _commit(environment: Mapping[str, Any]) -> str:
    commit = environment.get("commit")
    if not commit:
        return "unknown"
    return commit[:10] + (" with uncommitted changes" if environment.get("dirty") else "")


def _listed(values: Iterable[object]) -> str:
    return " / ".join(dict.fromkeys(str(value) for value in values)) or "unknown"
