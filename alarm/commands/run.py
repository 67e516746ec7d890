"""`python -m alarm run`: one run, in one process or in several that `accelerate launch` starts."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from alarm.commands.options import check_scale

if TYPE_CHECKING:
    from alarm.experiment.matrix import RunSpec
    from alarm.experiment.run import Run
    from alarm.experiment.session import Session

HELP = "one run of the matrix; over several GPUs by accelerate launch -m alarm run"
PREPARE = "--prepare"
GO_ON = (
    "start the same command again, with this or another number of processes, and the run goes on from its last "
    "checkpoint"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from alarm.experiment.choices import add_choices

    parser.add_argument("--task", required=True, help="task")
    parser.add_argument("--method", required=True, help="method; METHOD@RECIPE trains its holistic model by a recipe")
    parser.add_argument("--aspect", default=None, help="aspect to use instead of the selected one")
    parser.add_argument("--seed", type=int, default=1, help="seed (default: 1)")
    parser.add_argument("--scale", default="tiny", help="tiny (default), small or paper")
    parser.add_argument("--method-file", action="append", default=[], help="Python file that registers a method")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--data", type=Path, default=None, help="folder with real data")
    parser.add_argument("--store", type=Path, default=None, help="trained artifacts (default: the user's cache folder)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: ./results)")
    parser.add_argument(
        PREPARE, action="store_true", help="only build what the run shares with others: SFT policy, reward models"
    )
    add_choices(parser.add_argument)


def run(options: argparse.Namespace) -> None:
    _one_thread()
    from alarm.ppo.engine import launched

    if launched() == 1:
        _alone(options)
    else:
        _together(options)


def _alone(options: argparse.Namespace) -> None:
    """All in this process, as `pytest benchmarks` does it."""
    from alarm.experiment.progress import PrintedProgress
    from alarm.experiment.publish import publish_setup
    from alarm.experiment.run import Run

    session, spec = _session(options, options.device)
    lab = session.lab(spec.task)
    lab.progress = PrintedProgress()
    run = Run(lab, spec)
    publish_setup(session.results, lab)
    if options.prepare:
        run.prepare()
    else:
        _publish(session, run)


def _together(options: argparse.Namespace) -> None:
    """Shared artifacts by a process alone, then the run by all; the main one writes and speaks."""
    from alarm.experiment.launched import LaunchedStore, prepare_alone
    from alarm.experiment.progress import PrintedProgress, Progress
    from alarm.experiment.run import Run
    from alarm.ppo import engine

    device = engine.own_device(options.device)
    main = os.environ["RANK"] == "0"
    # What is missing is said by the process that prepares.
    session, spec = _session(options, device, trains=False)
    if main:
        prepare_alone(PREPARE)
    session.store = LaunchedStore(session.store.root)
    lab = session.lab(spec.task)
    lab.progress = PrintedProgress() if main else Progress(None)
    run = Run(lab, spec)
    run.prepare()
    engine.join(device)
    signal.signal(signal.SIGTERM, _ended)
    try:
        _publish(session, run)
    except RuntimeError as error:
        if not engine.lost_company(error):
            raise
        raise ValueError(f"another process of this run has ended; {GO_ON}") from error


def _session(options: argparse.Namespace, device: str, *, trains: bool = True) -> tuple[Session, RunSpec]:
    """The checked options, and the one run they name."""
    from alarm.experiment.choices import chosen
    from alarm.experiment.session import Session

    session = Session(
        scale=check_scale(options.scale),
        results=options.results,
        tasks=(options.task,),
        methods=(options.method,),
        method_files=tuple(options.method_file),
        aspects=(options.aspect,) if options.aspect else (),
        seeds=(options.seed,),
        device=device,
        data=options.data,
        store=options.store,
        trains=trains,
        **chosen(options),
    )
    return session, session.specs[0]


def _publish(session: Session, run: Run) -> None:
    """Make the run and copy its record to the results."""
    from alarm.experiment.publish import publish_run
    from alarm.ppo import processes

    record = run.record()
    if not processes.is_main():
        return
    print(publish_run(session.results, record))
    if record.error is not None:
        raise ValueError(f"the run failed at {record.error}; its record says so too")


def _one_thread() -> None:
    """One thread per process on a CPU, as `pytest benchmarks` has it: numbers depend on it."""
    import torch

    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def _ended(*_) -> NoReturn:
    """A launcher ends all processes of a run when one has died."""
    print(f"error: the run was ended, as when another of its processes dies; {GO_ON}", file=sys.stderr)
    sys.exit(1)
