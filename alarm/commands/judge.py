"""`python -m alarm judge`: a language model's verdicts on the responses on record, pair by pair in both orders."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from alarm.commands.options import add_place, check_scale

if TYPE_CHECKING:
    from alarm.tasks.base import Task

HELP = "let a language model compare the responses on record, in pairs and both orders"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_place(parser)
    parser.add_argument(
        "--judge",
        default="openai",
        metavar="openai:MODEL",
        help="a model of OPENAI_BASE_URL (default: api.openai.com), with OPENAI_API_KEY where it wants a key",
    )
    parser.add_argument("--task", action="append", default=[], help="task; may be repeated (default: all on record)")
    parser.add_argument(
        "--method", action="append", default=[], help="run to judge; may be repeated (default: the paper's four)"
    )
    parser.add_argument(
        "--baseline",
        action="append",
        default=[],
        help="run that every method meets, sft for the SFT policy; may be repeated (default: the paper's four)",
    )
    parser.add_argument("--seeds", default="", help="comma-separated (default: all that both runs have)")
    parser.add_argument("--max-items", type=int, default=3000, help="test prompts drawn at most (default: 3000)")
    parser.add_argument("--max-cost", type=float, default=None, metavar="USD", help="ask nothing that could pass this")
    parser.add_argument("--price-in", type=float, default=None, metavar="USD", help="per million tokens read")
    parser.add_argument("--price-out", type=float, default=None, metavar="USD", help="per million tokens written")
    parser.add_argument("--concurrency", type=int, default=8, help="questions under way at a time (default: 8)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds one attempt may wait (default: 60)")
    parser.add_argument("--retries", type=int, default=5, help="further attempts at a question (default: 5)")
    parser.add_argument("--max-tokens", type=int, default=64, help="tokens of an answer at most (default: 64)")
    parser.add_argument("--cache", type=Path, default=None, help="folder of answers (default: judge in the store)")
    parser.add_argument("--store", type=Path, default=None, help="trained artifacts (default: the user's cache folder)")
    parser.add_argument("--data", type=Path, default=None, help="folder with real data, where runs were made with it")
    parser.add_argument("--hardware", choices=("cpu", "gpu"), default=None, help="whose runs, where there are both")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be asked and what it costs at most")


def run(options: argparse.Namespace) -> None:
    from alarm.evaluation.judges.cache import AnswerCache
    from alarm.evaluation.judges.cost import check_estimates
    from alarm.evaluation.judges.openai_judge import JudgeStoppedError
    from alarm.experiment.judging import CACHE_FOLDER, JudgeRequest, find_matches, judge_matches, one_hardware
    from alarm.report.runs import read_runs
    from alarm.store import default_root

    check_scale(options.scale)
    request = JudgeRequest.parse(
        options.judge,
        max_cost=options.max_cost,
        prices=(options.price_in, options.price_out),
        concurrency=options.concurrency,
        timeout=options.timeout,
        retries=options.retries,
        max_tokens=options.max_tokens,
    )
    if not options.dry_run:
        request.endpoint.require()
    recorded = read_runs(options.results, options.scale)
    tasks = list(dict.fromkeys(options.task)) or sorted({runs.task for runs in recorded})
    cache = AnswerCache(options.cache or (options.store or default_root()) / CACHE_FOLDER)
    invocation = uuid.uuid4().hex
    work = []
    for task in tasks:
        runs = one_hardware(recorded, task, options.hardware)
        matches = find_matches(
            runs,
            lambda task=task: _task(options, task),
            methods=options.method,
            baselines=options.baseline,
            seeds=_seeds(options.seeds),
            max_items=options.max_items,
        )
        judge = request.open(task, cache, invocation=invocation, on_step=_progress(task))
        estimate = judge.estimate([pair for match in matches for pair in match.pairs])
        print(f"{task}, {judge.name} at {request.endpoint.host}: {estimate}")
        work.append((runs, matches, judge, estimate))
    check_estimates([estimate for *_, estimate in work], options.max_cost)
    if options.dry_run:
        return
    for runs, matches, judge, _ in work:
        try:
            print(judge_matches(judge, matches, runs, options.results))
        except KeyboardInterrupt:
            raise JudgeStoppedError(
                "interrupted; what was answered is kept: run the same command again, which asks only for the rest"
            ) from None
        finally:
            judge.close()


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",") if seed.strip()]
    except ValueError:
        raise ValueError(f"--seeds takes whole numbers separated by commas, got {text!r}") from None


def _task(options: argparse.Namespace, task: str) -> Task:
    """The task as the runs read it, for records that lie without their prompts; trains nothing."""
    from alarm.experiment.session import Session

    common = {"scale": options.scale, "results": options.results, "data": options.data, "store": options.store}
    return Session(trains=False, tasks=(task,), **common).lab(task).task


def _progress(task: str) -> Callable[[int, int], None]:
    """A bar on a terminal, nothing elsewhere."""
    from tqdm import tqdm

    bars: list[tqdm] = []

    def step(done: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(total=total, initial=done, desc=f"judge {task}", unit="question", disable=None))
        bars[0].update(done - bars[0].n)
        if done == total:
            bars[0].close()

    return step
