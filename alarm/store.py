"""A store of trained artifacts: each is built once, checked when read, and never seen half written.

An artifact is a folder `<root>/<kind>/<key>/`, where the key is a hash of everything the artifact depends on. It is
built in `<key>.partial`, which survives an interruption so that the builder can resume from its own checkpoints, then
sealed by a manifest and one rename.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alarm.files import sha256_of, write_atomically

SCHEMA = 1
"""Part of every key: a store written by an incompatible version is not read, but built anew beside the old one."""
MANIFEST = "manifest.json"
FRESH_MARK = ".fresh"
"""Names the invocation that began a partial folder under `--fresh`; no part of the artifact."""

logger = logging.getLogger(__name__)


class MissingArtifactError(ValueError):
    """An artifact was asked for that a store which must not build does not have."""


class DamagedArtifactWarning(UserWarning):
    """A stored artifact does not match its manifest; it is moved aside and built again."""


def default_root() -> Path:
    """The folder `alarm` in the user's cache folder (`$XDG_CACHE_HOME`, else `~/.cache`)."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "alarm"


def canonical_json(value: Any) -> str:
    """One text for equal values: keys sorted, no spaces, tuples as lists, dataclasses as objects.

    Raises:
        ValueError: a value JSON cannot hold exactly, such as NaN, a set or a path.
    """
    try:
        return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"inputs of a stored artifact must be numbers, strings, booleans, None, lists or mappings: {error}"
        ) from error


def artifact_key(kind: str, inputs: Mapping[str, Any]) -> str:
    """The first 24 hexadecimal digits of a sha256 of the kind, the inputs and the store's schema."""
    return hashlib.sha256(canonical_json([SCHEMA, kind, inputs]).encode("utf-8")).hexdigest()[:24]


class Store:
    """Artifacts under one folder, shared by any number of processes.

    Args:
        root: the folder; None takes `default_root()`.
        fresh_token: names one invocation, the same in all its processes. With it, every artifact that another
            invocation built is built anew, once.
        may_build: False for one who only reads what others have trained; `get` then raises `MissingArtifactError`
            where it would build.
    Raises:
        ValueError: the folder cannot be written, said before any work is done.
    """

    def __init__(
        self, root: Path | str | None = None, *, fresh_token: str | None = None, may_build: bool = True
    ) -> None:
        self.root = (Path(root) if root is not None else default_root()).expanduser().absolute()
        self.fresh_token = fresh_token
        self.may_build = may_build
        self._verified: set[Path] = set()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root, prefix=".probe."):
                pass
        except OSError as error:
            raise ValueError(
                f"the store folder {self.root} cannot be written ({error.strerror or error}); "
                "name a writable folder with --store"
            ) from error

    def path(self, kind: str, inputs: Mapping[str, Any]) -> Path:
        """Where the artifact is, or will be, once sealed."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", kind):
            raise ValueError(f"a kind of artifact is a plain name such as 'sft', got {kind!r}")
        return self.root / kind / artifact_key(kind, inputs)

    def has(self, kind: str, inputs: Mapping[str, Any]) -> bool:
        """Whether a sealed artifact is there (unverified) that this invocation would use."""
        path = self.path(kind, inputs)
        return (path / MANIFEST).is_file() and (self.fresh_token is None or self._token(path) == self.fresh_token)

    def get(self, kind: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The folder of a sealed, verified artifact; built first if it is not there.

        Args:
            kind: what it is, e.g. "sft"; the first part of its path.
            inputs: all that the artifact depends on, as JSON values or dataclasses.
            build: fills the folder it is given, which holds what an interrupted call of it left there. Of several
                processes that ask for one artifact, one builds and the others wait.
        Raises:
            ValueError: the inputs cannot be written as JSON, the builder wrote nothing, or the disk is full.
            MissingArtifactError: it is not there, or damaged, and this store must not build.
        """
        path = self.path(kind, inputs)
        if path in self._verified:
            return path
        if self.has(kind, inputs) and not _faults(path):
            self._verified.add(path)
            return path
        if not self.may_build:
            raise MissingArtifactError(f"the store {self.root} has no whole {kind} of these settings, data and code")
        with self._lock(path):
            self._ensure(kind, inputs, path, build)
        self._verified.add(path)
        return path

    def _ensure(self, kind: str, inputs: Mapping[str, Any], path: Path, build: Callable[[Path], None]) -> None:
        """With the lock held: return at once if another process has built the artifact, else build and seal it."""
        if path.exists():
            faults = _faults(path)
            if faults:
                aside = _unused(path.with_name(f"{path.name}.damaged"))
                path.rename(aside)
                warnings.warn(
                    f"the stored {kind} {path} is damaged ({faults}); it was moved to {aside} and is built again",
                    DamagedArtifactWarning,
                    stacklevel=4,
                )
            elif self.has(kind, inputs):
                return
        partial = path.with_name(f"{path.name}.partial")
        self._prepare(partial)
        try:
            build(partial)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ValueError(
                f"no space left for {kind} in {partial} ({error}); free some space, or name another folder with "
                "--store, and run again: what was built so far is kept"
            ) from error
        self._seal(kind, inputs, partial, path)

    def _prepare(self, partial: Path) -> None:
        """Keep what an interrupted build left, unless everything is to be built anew."""
        mark = partial / FRESH_MARK
        if self.fresh_token is not None and partial.exists():
            begun_here = mark.is_file() and mark.read_text(encoding="utf-8") == self.fresh_token
            if not begun_here:
                shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        if self.fresh_token is not None:
            mark.write_text(self.fresh_token, encoding="utf-8")
        (partial / MANIFEST).unlink(missing_ok=True)  # sealed, then killed before the rename

    def _seal(self, kind: str, inputs: Mapping[str, Any], partial: Path, path: Path) -> None:
        (partial / FRESH_MARK).unlink(missing_ok=True)
        files = sorted(file for file in partial.rglob("*") if file.is_file())
        if not files:
            raise ValueError(f"building {kind} {path.name} left no file in {partial}; its builder must write one")
        manifest = {
            "schema": SCHEMA,
            "kind": kind,
            "inputs": json.loads(canonical_json(inputs)),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "token": self.fresh_token,
            "files": {
                file.relative_to(partial).as_posix(): {"sha256": sha256_of(file), "size": file.stat().st_size}
                for file in files
            },
        }
        write_atomically(partial / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        if path.exists():
            # A folder cannot be renamed onto another; readers of the old one keep their open files.
            old = _unused(path.with_name(f"{path.name}.old"))
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            partial.rename(path)

    def _token(self, path: Path) -> str | None:
        """The invocation that built a sealed artifact, None where its manifest does not say or cannot be read."""
        try:
            return json.loads((path / MANIFEST).read_text(encoding="utf-8")).get("token")
        except (OSError, ValueError, AttributeError):
            return None

    def _lock(self, path: Path):
        from filelock import FileLock, Timeout

        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{path.name}.lock"))
        started = time.monotonic()
        try:
            return lock.acquire(timeout=1)
        except Timeout:
            logger.info("waiting for another process to build %s", path)
        proxy = lock.acquire()
        logger.info("waited %.0f s for %s", time.monotonic() - started, path)
        return proxy


def _faults(path: Path) -> str:
    """What is wrong with a sealed artifact, in words; empty if every file is as its manifest says."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        files, key = manifest["files"], artifact_key(manifest["kind"], manifest["inputs"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"{MANIFEST} is missing or unreadable"
    if key != path.name:
        return f"{MANIFEST} belongs to another artifact"
    for name, expected in files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != expected["size"]:
            return f"{name} has {file.stat().st_size} bytes instead of {expected['size']}"
        if sha256_of(file) != expected["sha256"]:
            return f"{name} has changed since it was written"
    return ""


def _unused(path: Path) -> Path:
    """`path`, or the first of `path-2`, `path-3`, ... that does not exist."""
    candidate, number = path, 2
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate


def _plain(value: Any) -> Any:
    """`value` with dataclasses and tuples replaced by what JSON knows; anything else is left for JSON to refuse."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"keys must be strings, got {list(value)}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
