"""One run: PPO with one method's rewards from the shared SFT policy, then greedy test responses and their scores."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alarm.experiment.code import code_fingerprint, library_versions
from alarm.experiment.generation import Sample, generate
from alarm.experiment.lab import Lab
from alarm.experiment.matrix import RunSpec
from alarm.experiment.rewards import RewardFunction
from alarm.methods import METHODS, Method, method_source
from alarm.tasks.base import Example


class Run:
    """Trains one method on one task with one seed. Interrupted runs resume from their last checkpoint."""

    def __init__(self, lab: Lab, spec: RunSpec) -> None:
        self.lab = lab
        self.spec = spec
        self.method: Method = METHODS[spec.method]
        self.aspect = spec.aspect or self.method.aspect or lab.selection["selected"]
        if self.aspect not in lab.scorers:
            raise ValueError(
                f"method {spec.method} asks for aspect {self.aspect!r}, which task {spec.task} lacks; "
                f"known: {', '.join(lab.scorers)}"
            )

    @property
    def name(self) -> str:
        """The name in records: an aspect that equals the selected one is not worth a name of its own."""
        if self.spec.aspect in (None, self.lab.selection["selected"]):
            return self.spec.method
        return self.spec.name
