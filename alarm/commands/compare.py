"""`python -m alarm compare`: two runs side by side, from records alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alarm.commands.options import add_place, check_scale

if TYPE_CHECKING:
    from alarm.report.runs import TaskRuns

HELP = "two runs side by side: means, win rates, significance, and the prompts where they differ most"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", help="run on record, such as alarm or alarm+relevance; sft: the SFT policy")
    parser.add_argument("baseline", help="the run that it is compared with")
    add_place(parser)
    parser.add_argument("--task", action="append", default=[], help="task; may be repeated (default: all with both)")
    parser.add_argument("--score", action="append", default=[], help="score; may be repeated (default: all on record)")
    parser.add_argument("--by", default=None, metavar="SCORE", help="choose the prompts by this score (default: gold)")
    parser.add_argument("--prompts", type=int, default=10, help="how many prompts are shown (default: 10)")
    parser.add_argument("--hardware", choices=("cpu", "gpu"), default=None, help="whose runs, where there are both")


def run(options: argparse.Namespace) -> None:
    from alarm.report.compare import comparison
    from alarm.report.runs import read_runs
    from alarm.report.side_by_side import side_by_side

    check_scale(options.scale)
    if options.prompts < 0:
        raise ValueError(f"--prompts must be 0 or more, got {options.prompts}")
    if options.method == options.baseline:
        raise ValueError(f"{options.method} cannot be compared with itself; name another run as the baseline")
    recorded = read_runs(options.results, options.scale)
    screens = []
    for runs in chosen(recorded, options.task, options.hardware, (options.method, options.baseline)):
        parts = [comparison(runs, options.method, options.baseline, options.score)]
        if options.prompts:
            by = options.by or default_score(runs)
            parts.append(side_by_side(runs, options.method, options.baseline, by, options.prompts))
        screens.append("\n\n".join(parts))
    print("\n\n\n".join(screens))


def chosen(
    recorded: Sequence[TaskRuns], tasks: Sequence[str], hardware: str | None, names: Sequence[str]
) -> list[TaskRuns]:
    """The tasks that have both runs: those named, which must, or else all that do.

    Raises:
        UnknownNameError: a task or run is not on record.
        ValueError: no task has both, or one has runs on both kinds of hardware and none is named.
    """
    from alarm.registry import UnknownNameError, unknown_name
    from alarm.report.pairing import runs_on_record

    groups = [runs for runs in recorded if hardware in (None, runs.hardware_kind)]
    for task in tasks:
        if task not in {runs.task for runs in groups}:
            raise UnknownNameError(unknown_name("task on record", task, {runs.task for runs in groups}))
    groups = [runs for runs in groups if not tasks or runs.task in tasks]
    known = {name for runs in groups for name in runs_on_record(runs)}
    for name in names:
        if name not in known:
            raise UnknownNameError(unknown_name("run on record", name, known))
    found = [runs for runs in groups if all(name in runs_on_record(runs) for name in names)]
    lacking = [task for task in tasks if task not in {runs.task for runs in found}]
    if lacking or not found:
        where = ", ".join(lacking) or "any one task"
        raise ValueError(f"{' and '.join(names)} are not both on record in {where}; run the other one there first")
    twice = [runs.task for runs in found if sum(other.task == runs.task for other in found) > 1]
    if twice:
        raise ValueError(f"{twice[0]} has runs on both cpu and gpu, which are not compared; choose with --hardware")
    return found


def default_score(runs: TaskRuns) -> str:
    """Gold where it is on record, else the first score there is."""
    from alarm.report.pairing import score_names

    return score_names(runs)[0]
