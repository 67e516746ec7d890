"""`python -m alarm comet`: COMET scores of the translations on record."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alarm.commands.options import add_place, check_scale

if TYPE_CHECKING:
    from alarm.records import MetricRecord
    from alarm.tasks.base import Task

HELP = "score the translations on record by a COMET model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_place(parser)
    parser.add_argument(
        "--checkpoint",
        required=True,
        help="a COMET model: path of its model.ckpt or folder, or a name on the hub, e.g. Unbabel/wmt22-comet-da",
    )
    parser.add_argument("--task", default="wmt", help="a translation task (default: wmt)")
    parser.add_argument("--name", default="comet", help="of the metric, where several models are used (default: comet)")
    parser.add_argument("--batch-size", type=int, default=32, help="translations scored together (default: 32)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--store", type=Path, default=None, help="trained artifacts (default: the user's cache folder)")
    parser.add_argument("--data", type=Path, default=None, help="folder with real data, where runs were made with it")


def run(options: argparse.Namespace) -> None:
    from alarm.experiment.comet_metric import comet_record, responses_on_record
    from alarm.experiment.judging import find_examples
    from alarm.experiment.session import check_device
    from alarm.records import write_metric
    from alarm.registry import unknown_name
    from alarm.report.runs import read_runs
    from alarm.scorers.comet import CometScorer, find_checkpoint

    check_scale(options.scale)
    check_device(options.device)
    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {options.batch_size}")
    recorded = read_runs(options.results, options.scale)
    groups = [runs for runs in recorded if runs.task == options.task]
    if not groups:
        raise ValueError(unknown_name("task on record", options.task, {runs.task for runs in recorded}))
    ids = {i for seeds in responses_on_record(groups).values() for responses in seeds.values() for i in responses}
    examples = find_examples(groups[0], lambda: _task(options), sorted(ids))
    if not all("source" in example.fields for example in examples.values()):
        raise ValueError(f"{options.task} is no translation: COMET compares a translation with its source sentence")
    scorer = CometScorer(
        find_checkpoint(options.checkpoint),
        references={example.prompt: example.reference for example in examples.values()},
        prefix=_prefix(examples.values()),
        device=options.device,
        batch_size=options.batch_size,
        show_progress=True,
    )
    record = comet_record(groups, examples, scorer, results=options.results, name=options.name, device=options.device)
    path = write_metric(options.results, record)
    print(f"{_table(record)}\n\n{record.facts['version']}\nwritten: {path}; `python -m alarm tables` shows it")


def _task(options: argparse.Namespace) -> Task:
    """The task as the runs read it, for records that lie without their prompts; trains nothing."""
    from alarm.experiment.session import Session

    common = {"scale": options.scale, "results": options.results, "data": options.data, "store": options.store}
    return Session(trains=False, tasks=(options.task,), **common).lab(options.task).task


def _prefix(examples) -> str:
    """What stands before the source in every prompt.

    Raises:
        ValueError: prompts differ in it, or do not end with their source.
    """
    prefixes = {example.prompt.removesuffix(example.fields["source"]) for example in examples}
    if len(prefixes) != 1:
        raise ValueError("the prompts on record are no source sentences behind one common prefix; run again")
    return prefixes.pop()


def _table(record: MetricRecord) -> str:
    """Mean and sample standard deviation over seeds per run."""
    from statistics import mean

    from tabulate import tabulate

    from alarm.evaluation.win_rates import spread

    rows = []
    for name, seeds in record.scores.items():
        found = spread([mean(scores.values()) for scores in seeds.values()])
        rows.append([name, f"{found.mean:.4f}", "–" if found.sd is None else f"{found.sd:.4f}", found.count])
    rows.sort(key=lambda row: float(row[1]), reverse=True)
    return tabulate(rows, ["run", record.name, "sd", "seeds"], tablefmt="github", disable_numparse=True)
