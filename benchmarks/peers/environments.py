"""The environments of the peers: where each is, what it must hold, and how to make it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SHOWN = ("trl", "transformers", "torch", "accelerate", "tokenizers", "numpy")
ASK = f"""
import json, platform
from importlib import metadata
found = {{name: metadata.version(name) for name in {SHOWN!r}}}
print(json.dumps({{"python": platform.python_version(), **found}}))
"""
REMEDY = "make the environments with `python -m benchmarks.peers.install DIR`"


@dataclass(frozen=True)
class Peer:
    """A library beside which our PPO is measured."""

    name: str
    """Of its folder among the environments, and of its list of requirements."""
    label: str
    version: str
    """Of trl."""
    worker: Path

    @property
    def requirements(self) -> Path:
        return FOLDER / "requirements" / f"{self.name}.txt"

    def python(self, folder: Path) -> Path:
        return folder / self.name / "bin" / "python"


PEERS = {
    peer.name: peer
    for peer in (
        Peer("trl-1.12.0", "TRL 1.12.0", "1.12.0", FOLDER / "workers" / "trl_experimental.py"),
        Peer("trl-0.7.11", "TRL 0.7.11", "0.7.11", FOLDER / "workers" / "trl_classic.py"),
    )
}


def check_options(option: Any) -> dict[str, Any]:
    """Set this process's threads and look into the environments; returns what belongs to the machine's facts.

    Raises:
        ValueError: the peers cannot be measured as asked; one sentence says why.
    """
    import torch

    if torch.device(option.device).type != "cpu":
        raise ValueError(f"peers are compared on the CPU; leave out --device {option.device}")
    if option.peers is None:
        raise ValueError(f"--peers DIR must name the folder of the peers' environments; {REMEDY}")
    if option.rounds is not None and option.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {option.rounds}")
    cores = len(os.sched_getaffinity(0))
    option.threads = cores if option.threads is None else option.threads
    if not 1 <= option.threads <= cores:
        raise ValueError(f"--threads must be from 1 to the {cores} cores of this machine, got {option.threads}")
    environments = check_environments(Path(option.peers))
    # The matrix rate is measured here, and with as many threads as the workers have.
    torch.set_num_threads(option.threads)
    return {"environments": environments}


def check_environments(folder: Path) -> dict[str, dict[str, str]]:
    """Versions of python and of the packages that matter, by peer.

    Raises:
        ValueError: an environment is missing or cannot say its versions, or holds another version of trl than its name
            says or another of torch than ours.
    """
    found = {peer.name: _versions(peer, folder) for peer in PEERS.values()}
    ours = public(metadata.version("torch"))
    for peer in PEERS.values():
        versions = found[peer.name]
        for package, wanted in (("trl", peer.version), ("torch", ours)):
            if public(versions[package]) != wanted:
                raise ValueError(
                    f"{folder / peer.name} has {package} {versions[package]} and is compared with {wanted}; {REMEDY}"
                )
    return found


def _versions(peer: Peer, folder: Path) -> dict[str, str]:
    python = peer.python(folder)
    if not python.is_file():
        raise ValueError(f"there is no environment of {peer.label} in {folder / peer.name}; {REMEDY}")
    done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, env=clean_variables())
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(f"{folder / peer.name} does not hold what {peer.label} needs ({reason}); {REMEDY}")
    return json.loads(done.stdout)


def clean_variables(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables without those by which one environment's packages would reach another's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    return own | dict(changes or {})


def public(version: str) -> str:
    """A version without its local part.

    >>> public("2.13.0+cpu")
    '2.13.0'
    """
    return version.split("+")[0]
