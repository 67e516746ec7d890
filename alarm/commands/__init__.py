"""The commands of `python -m alarm`, one module each.

A command module has `HELP`, one line; `add_arguments(parser)`; and `run(options)`, which raises `ValueError` with a
sentence for any problem the user can mend. Importing one costs nothing: heavy imports wait for `run`.
"""

from __future__ import annotations

from types import ModuleType

from alarm.commands import (
    comet,
    compare,
    judge,
    listing,
    lm_harness,
    pretrain,
    report,
    run,
    show,
    tables,
    throughput,
    train_reward_models,
)

COMMANDS: dict[str, ModuleType] = {
    "comet": comet,
    "compare": compare,
    "judge": judge,
    "list": listing,
    "lm-eval": lm_harness,
    "pretrain": pretrain,
    "report": report,
    "run": run,
    "show": show,
    "tables": tables,
    "throughput": throughput,
    "train-reward-models": train_reward_models,
}
