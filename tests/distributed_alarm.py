"""Worker of test_distributed_run.py: `python -m alarm` over the micro presets, in processes that are watched.

ALARM_TEST_DIE=RANK:ITERATION kills the process of that rank, without warning, when that iteration begins. A process
that is not the main one ends with status 9 as soon as it changes a file in the store or in the results.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

from alarm import presets
from alarm.__main__ import main
from alarm.experiment.run import Run
from alarm.settings import Preset
from tests.micro import TASKS, micro_preset

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree")
PROBE = ".probe."  # in the name of the file by which each process finds out whether the store can be written


def steady(task: str) -> Preset:
    """The micro preset without the value head's dropout, whose numbers depend on how many processes draw them."""
    preset = micro_preset(task)
    return replace(preset, ppo=replace(preset.ppo, value_dropout=0.0))


def die_in_time(rank: str, iteration: str) -> None:
    original = Run._iteration

    def mortal(self, *arguments):
        if os.environ["RANK"] == rank and arguments[-1] == int(iteration):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments)

    Run._iteration = mortal


def write_nothing(folders: list[str]) -> None:
    def watch(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            path, writes = (arguments or ("",))[0], event in CHANGES
        # Making a folder that is there, or a file without a name in it, finds out whether it can be written.
        probes = PROBE in str(path) or (event in ("open", "os.mkdir") and os.path.isdir(path))
        if writes and not probes and str(path).startswith(tuple(folders)):
            print(f"{event} of {path} by a process that is not the main one", file=sys.stderr, flush=True)
            os._exit(9)

    sys.addaudithook(watch)


if __name__ == "__main__":
    for task in TASKS:
        presets.PRESETS["tiny", task] = steady(task)
    if "ALARM_TEST_DIE" in os.environ:
        die_in_time(*os.environ["ALARM_TEST_DIE"].split(":"))
    if os.environ.get("RANK", "0") != "0":
        write_nothing([sys.argv[sys.argv.index(option) + 1] for option in ("--store", "--results")])
    sys.exit(main(sys.argv[1:]))
