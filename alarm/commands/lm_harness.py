"""`python -m alarm lm-eval`: a trained policy through lm-eval, on this suite's tasks or on lm-eval's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alarm.commands.options import check_scale

if TYPE_CHECKING:
    from alarm.evaluation.lm_harness.harness import HarnessResult
    from alarm.experiment.lab import Lab
    from alarm.experiment.session import Session
    from alarm.records import PromptRow

HELP = "evaluate a trained policy, or any Hugging Face model, through lm-eval"
SFT = "sft"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from alarm.experiment.choices import add_choices

    parser.add_argument("--scale", default="tiny", help="tiny (default), small or paper")
    parser.add_argument("--task", help="wmt or long_form_qa: whose policy, and whose test prompts")
    parser.add_argument("--method", help=f"the run whose policy is evaluated, {SFT} for the SFT policy")
    parser.add_argument("--aspect", action="append", default=[], help="the run's aspect, where it was given")
    parser.add_argument("--recipe", action="append", default=[], help="the run's reward-model recipe")
    parser.add_argument("--seed", type=int, default=1, help="the run's seed (default: 1)")
    parser.add_argument("--model", metavar="DIR", help="a Hugging Face folder or name instead of a run's policy")
    parser.add_argument(
        "--lm-eval-task",
        action="append",
        default=[],
        metavar="NAME",
        help="a task of lm-eval's own instead of the test prompts, e.g. for the alignment tax; may be repeated",
    )
    parser.add_argument("--test-set", metavar="NAME", help="a WMT test set instead of the test prompts, e.g. wmt22")
    parser.add_argument("--test-set-folder", type=Path, metavar="DIR", help="its files, else sacreBLEU is asked")
    parser.add_argument("--limit", type=int, help="only the first so many examples")
    parser.add_argument("--bootstrap", type=int, default=100, help="resamples of the standard errors (default: 100)")
    parser.add_argument("--batch-size", type=int, default=32, help="examples answered together (default: 32)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--store", type=Path, help="trained artifacts (default: the user's cache folder)")
    parser.add_argument("--data", type=Path, help="folder with real data, where the run was made with it")
    parser.add_argument("--method-file", action="append", default=[], help="Python file that registers the method")
    parser.add_argument("--output", type=Path, metavar="FILE", help="results, responses and versions as JSON")
    add_choices(parser.add_argument_group("what the run was made with").add_argument)


def run(options: argparse.Namespace) -> None:
    _check(options)
    from alarm.evaluation.lm_harness.harness import evaluate_stock_tasks, evaluate_task

    common = {"device": options.device, "batch_size": options.batch_size, "bootstrap": options.bootstrap}
    session = _session(options) if options.task else None
    model = options.model or _policy(session, options)
    if options.lm_eval_task:
        result = evaluate_stock_tasks(model, options.lm_eval_task, limit=options.limit, **common)
    else:
        lab = session.lab(options.task)
        lengths = {name: getattr(lab.preset.ppo, name) for name in ("max_prompt_tokens", "max_new_tokens")}
        result = evaluate_task(model, options.task, _rows(lab, options), **lengths, **common)
    print(_table(result))
    if options.output:
        _write(result, options)


def _check(options: argparse.Namespace) -> None:
    """Refuse what does not fit together, before anything is loaded."""
    check_scale(options.scale)
    for name, least in (("limit", 1), ("bootstrap", 0), ("batch_size", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    if bool(options.method) == bool(options.model):
        raise ValueError(f"name one policy: --method with --task and --seed, --method {SFT}, or --model DIR")
    if not options.task and (options.method or not options.lm_eval_task):
        raise ValueError("--task is missing; name wmt or long_form_qa")
    if options.test_set and options.lm_eval_task:
        raise ValueError("--test-set and --lm-eval-task exclude each other; run the command twice")
    if options.test_set and options.task != "wmt":
        raise ValueError(f"--test-set {options.test_set} is translation; use it with --task wmt")


def _session(options: argparse.Namespace) -> Session:
    from alarm.experiment.choices import chosen
    from alarm.experiment.session import Session
    from alarm.store import Store, default_root

    session = Session(
        scale=options.scale,
        results=options.store or default_root(),  # no record is written
        tasks=(options.task,),
        methods=(options.method,) if options.method and options.method != SFT else (),
        method_files=tuple(options.method_file),
        aspects=tuple(options.aspect),
        recipes=tuple(options.recipe),
        seeds=(options.seed,),
        device=options.device,
        data=options.data,
        store=options.store,
        trains=False,
        **chosen(options),
    )
    if options.method:
        # An evaluation must not begin by training for hours what was misspelt.
        session.store = Store(options.store, may_build=False)
    return session


def _policy(session: Session, options: argparse.Namespace) -> Path:
    """The folder of the trained policy, which must be in the store."""
    from alarm.experiment.run import Run
    from alarm.store import MissingArtifactError

    lab = session.lab(options.task)
    try:
        return lab.policy_directory if options.method == SFT else Run(lab, session.specs[0]).policy_directory()
    except MissingArtifactError as error:
        what = "SFT policy" if options.method == SFT else f"run {session.specs[0]}"
        chosen = "" if options.method == SFT else f" --method {options.method} --seeds {options.seed}"
        raise ValueError(
            f"the {options.task} {what} is not there at scale {options.scale}: {error}; make it first: "
            f"pytest benchmarks --scale {options.scale} --task {options.task}{chosen}, with the same options and code"
        ) from error


def _rows(lab: Lab, options: argparse.Namespace) -> list[PromptRow]:
    """The test prompts that runs answer, or a WMT test set as prompts."""
    from alarm.records import PromptRow

    if not options.test_set:
        examples = lab.task.split("test")[: lab.preset.evaluation.test_examples]
        return [PromptRow(e.id, e.prompt, e.reference) for e in examples[: options.limit]]
    from alarm.evaluation.wmt_test_sets import load_test_set

    sides = load_test_set(options.test_set, "-".join(lab.task.languages), folder=options.test_set_folder)
    pairs = list(zip(*sides, strict=True))[: options.limit]
    return [
        PromptRow(f"{options.test_set}-{i}", lab.task.prefix + source, reference)
        for i, (source, reference) in enumerate(pairs, start=1)
    ]


def _table(result: HarnessResult) -> str:
    from tabulate import tabulate

    directions = {True: "higher", False: "lower", None: "not stated"}
    rows = [
        [m.task, m.name, f"{m.value:.4f}", _number(m.stderr), directions[m.higher_is_better]] for m in result.metrics
    ]
    sizes = ", ".join(f"{task}: {count} examples" for task, count in result.examples.items())
    versions = f"lm-eval {result.facts['lm_eval']}, sacreBLEU {result.facts['sacrebleu']}"
    headers = ["task", "metric", "value", "standard error", "better"]
    return f"{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n\n{sizes}; {versions}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _write(result: HarnessResult, options: argparse.Namespace) -> None:
    from alarm.environment import environment
    from alarm.files import write_json

    asked = {
        name: getattr(options, name)
        for name in ("scale", "task", "method", "aspect", "recipe", "seed", "model", "test_set", "limit", "bootstrap")
    }
    write_json(options.output, {"asked": asked, **result.to_dict(), "environment": environment(options.device)})
    print(f"written: {options.output}")
