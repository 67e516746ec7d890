"""`python -m alarm pretrain`: make a generated world's base model, from which its policy and reward models start."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "train the base model of a generated world, from which its policy and its reward models start"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, help="long_form_qa or wmt")
    parser.add_argument("--world-seed", type=int, default=None, help="of another world than the task's own")
    parser.add_argument("--steps", type=int, default=None, help="optimiser steps (default: the preset's)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument(
        "--store", type=Path, default=None, help="holds bases of other worlds (default: the user's cache)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=None,
        help="folder of the model (default: the package's for the task's own world, else one in the store)",
    )


def run(options: argparse.Namespace) -> None:
    from dataclasses import replace

    import torch

    from alarm.experiment.base import pretrain
    from alarm.experiment.lab import lab_class
    from alarm.experiment.session import check_device
    from alarm.presets import preset
    from alarm.store import Store

    settings = preset("tiny", options.task)
    settings = replace(settings, data=replace(settings.data, world_seed=options.world_seed))
    if options.steps is not None:
        if options.steps < 1:
            raise ValueError(f"--steps must be at least 1, got {options.steps}")
        settings = replace(settings, base=replace(settings.base, steps=options.steps))
    torch.set_num_threads(1)  # with more, the same steps end with other weights
    lab = lab_class(options.task)(settings, Store(options.store), device=check_device(options.device))
    folder = options.output or lab.base_folder
    print(f"training the base model of {options.task} (world {lab.world_seed}) into {folder}", flush=True)
    found = pretrain(lab, folder, on_step=_show)
    held_out = found["held_out"]
    print(
        f"done: loss {found['loss']:.3f}, gold quality on {held_out['prompts']} held-out prompts "
        f"{held_out['greedy']:.3f} greedy and {held_out['sampled']:.3f} sampled, of {held_out['ceiling']:g} at best"
    )


def _show(step: int, steps: int, loss: float) -> None:
    if step % 100 == 0 or step == steps:
        print(f"step {step} of {steps}, loss {loss:.3f}", flush=True)
