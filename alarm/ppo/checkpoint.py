"""The file that a trainer is resumed from."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from alarm.files import write_atomically

STATE = "trainer.pt"


def write_state(directory: str | Path, state: Mapping[str, Any]) -> None:
    """Write a trainer's state to `directory`; the file is complete or absent."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomically(Path(directory) / STATE, buffer.getvalue())


def read_state(
    directory: str | Path, *, settings: Mapping[str, float | bool | None], shapes: Sequence[tuple[int, ...]]
) -> dict[str, Any]:
    """The state in `directory`, of a trainer with these `settings`, whose `parameters` have these shapes.

    Raises:
        ValueError: the file is missing or damaged, or belongs to other settings or another network.
    """
    path = Path(directory) / STATE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved, found = state["settings"], [tuple(parameter.shape) for parameter in state["parameters"]]
    except FileNotFoundError:
        raise ValueError(f"{path}: no such checkpoint; start the run afresh") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ValueError(f"{path} cannot be read ({error}); delete it and start the run afresh") from error
    for name, value in settings.items():
        if saved.get(name) != value:
            raise ValueError(
                f"{path} was written with {name} {saved.get(name)}, not {value}; use that or start the run afresh"
            )
    if found != list(shapes):
        raise ValueError(f"{path} holds weights of another network; build the policy as for the saved run")
    return state
