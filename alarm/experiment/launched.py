"""One run in the processes that a launcher started: what it shares with others is built beforehand, by one alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alarm.ppo import processes
from alarm.store import MissingArtifactError, Store

POLL_SECONDS = 0.2
LAUNCHER_VARIABLES = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_",
    "GROUP_",
    "ROLE_",
    "MASTER_",
    "TORCHELASTIC_",
    "ACCELERATE_",
    "FSDP_",
)
"""How the names of the variables begin by which a launched process knows that it has companions."""


def prepare_alone(*further: str) -> None:
    """Run this process's own command once more, with `further` arguments and outside the launched group; wait for it.

    Reward models are trained by libraries that use accelerate themselves: inside a launched group, one process alone
    would wait there for the others for ever.

    Raises:
        ValueError: it failed; its own message has been printed.
    """
    alone = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHER_VARIABLES)}
    if subprocess.run([*sys.orig_argv, *further], env=alone).returncode:
        raise ValueError("what the run shares with others could not be built; see the message above")


class LaunchedStore(Store):
    """The store of a launched process. It finds shared artifacts, or waits for them; the run all build together."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, may_build=False)

    def get(self, kind: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The folder of a sealed artifact: of a run, built by all processes at once, of anything else by another one.

        Raises:
            RuntimeError: the processes have joined, and the artifact, no run, is not there.
        """
        if kind == "run":
            return self._get_together(kind, inputs, build)
        while True:
            try:
                return super().get(kind, inputs, build)
            except MissingArtifactError as error:
                if processes.count() > 1:
                    # No ValueError, which would be taken for the run's own failure and kept as its result.
                    raise RuntimeError(f"{error}, and a run of several processes builds none; prepare it") from error
                time.sleep(POLL_SECONDS)

    def _get_together(self, kind: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The main process locks, resumes and seals as ever; the others join its `build` in the same folder."""

        def lead(path: Path) -> None:
            processes.broadcast(str(path))
            build(path)

        if processes.is_main():
            sealed = Store(self.root).get(kind, inputs, lead)
            processes.broadcast(None)
            return sealed
        while (folder := processes.broadcast()) is not None:
            build(Path(folder))
        return self.path(kind, inputs)
