"""Where a run took place: package versions, commit and hardware, for records."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from alarm import __version__

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "trl",
    "accelerate",
    "peft",
    "datasets",
    "sacrebleu",
    "openai",
    "harper-py",
    "lingua-language-detector",
    "textstat",
    "numpy",
    "scipy",
)
CODE = ("alarm", "baselines", "benchmarks")
"""Folders whose uncommitted changes make a run irreproducible; results and documents may change freely."""


def environment(device: str = "cpu") -> dict[str, Any]:
    """Everything a record says about where it was made, as JSON values.

    Returns:
        `python`, `platform`, `versions` (package to version), `commit` and `dirty` (None outside a git checkout),
        `device` as given and `hardware`, its class in words.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": _versions(),
        **_commit(),
        "device": device,
        "hardware": hardware_class(device),
    }


def hardware_class(device: str = "cpu") -> str:
    """E.g. `CPU: Intel(R) Xeon(R) Processor, 1 thread` or `GPU: NVIDIA H200`."""
    import torch

    if torch.device(device).type == "cuda":
        return f"GPU: {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    return f"CPU: {_cpu_model()}, {threads} thread{'s' if threads > 1 else ''}"


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"alarm": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


@functools.cache
def _commit() -> dict[str, Any]:
    """Commit and dirty flag of this package's checkout, asked once: a run describes the code it started with."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", *CODE)
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(changed)}


def _git(root: Path, *arguments: str) -> str:
    # Optional locks off: describing the code must not disturb a commit under way.
    variables = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(root), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=variables)
    return result.stdout.strip()


@functools.cache
def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown model"
