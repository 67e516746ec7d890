"""What an interrupted supervised training goes on from."""

from __future__ import annotations

import copy
import hashlib
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
        parts = (self.model, self.optimizer, self.schedule)
        beginning = [copy.deepcopy(part.state_dict()) for part in parts]
        try:
            state = read_state(path)
            if state["identity"] != dict(self.identity):
                raise ValueError("it belongs to other settings or data")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            losses = list(state["losses"])
            torch.set_rng_state(state["random"])
            self.losses.extend(losses)
        except Exception as problem:  # torch raises many kinds for a damaged file
            for part, state in zip(parts, beginning, strict=True):  # what fits of another state was taken already
                part.load_state_dict(state)
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
        write_state(self.folder / STATE, state)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """A checksum, and what torch makes of the state: torch itself reads damaged numbers without a word."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_atomically(path, hashlib.sha256(content).digest() + content)


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    content = path.read_bytes()
    size = hashlib.sha256().digest_size
    checksum, content = content[:size], content[size:]
    if hashlib.sha256(content).digest() != checksum:
        raise ValueError("it is damaged")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
