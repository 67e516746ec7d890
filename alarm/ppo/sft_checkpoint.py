"""What an interrupted supervised training goes on from."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from alarm.files import write_atomically

STATE = "sft.pt"


@dataclass
class SFTCheckpoint:
    """The state of a training in `folder`, written after every `every` steps; nothing is kept without a folder.

    `identity` is what the training's numbers depend on: a state of another training is not read.
    """

    folder: Path | None
    every: int
    identity: Mapping[str, Any]
    model: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    losses: list[float] = field(default_factory=list)
    """Of the steps done so far."""

    def restore(self) -> None:
        """Go on from the folder's state; start from the beginning, with a warning, where it is damaged or another's."""
        if self.folder is None or not (self.folder / STATE).is_file():
            return
        path = self.folder / STATE
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["identity"] != dict(self.identity):
                raise ValueError("it belongs to other settings or data")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            torch.set_rng_state(state["random"])
            self.losses.extend(state["losses"])
        except Exception as problem:  # torch raises many kinds for a damaged file
            warnings.warn(f"{path} is not used ({problem}); the training starts from the beginning", stacklevel=3)

    def keep(self, steps: int) -> None:
        """Write the state after step number len(losses) of `steps`, if it is due."""
        done = len(self.losses)
        if self.folder is None or not self.every or done % self.every or done == steps:
            return
        state = {
            "identity": dict(self.identity),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": torch.get_rng_state(),
            "losses": self.losses,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.folder / STATE, buffer.getvalue())
