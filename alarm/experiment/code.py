"""What numbers depend on besides settings: the code that computes them and the libraries it calls."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import alarm

PACKAGES = ("tasks", "text", "scorers", "reward_modeling", "ppo", "experiment")
FILES = ("compositions.py", "methods.py", "selection.py", "transforms.py")
WITHOUT_EFFECT = ("matrix.py", "progress.py", "session.py")
LIBRARIES = ("torch", "transformers", "trl", "numpy")


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """A hash of every source file that can change a trained artifact; editing one rebuilds, rendering code does not."""
    root = Path(alarm.__file__).parent
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    paths += [root / name for name in FILES]
    digest = hashlib.sha256()
    for path in paths:
        if path.name not in WITHOUT_EFFECT:
            digest.update(f"{path.relative_to(root)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def library_versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}
