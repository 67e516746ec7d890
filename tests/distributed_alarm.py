"""Worker of test_distributed_run.py: `python -m alarm` over the micro presets, where a process can be told to die.

ALARM_TEST_DIE=RANK:ITERATION kills the process of that rank, without warning, when that iteration begins.
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


if __name__ == "__main__":
    for task in TASKS:
        presets.PRESETS["tiny", task] = steady(task)
    if "ALARM_TEST_DIE" in os.environ:
        die_in_time(*os.environ["ALARM_TEST_DIE"].split(":"))
    sys.exit(main(sys.argv[1:]))
