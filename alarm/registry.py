"""A small registry: names to objects, with helpful errors for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class UnknownNameError(ValueError):
    """A name that is not in a registry; the message lists the known ones and the nearest."""


class Registry(Generic[T]):
    """Maps canonical names to objects of one kind (task, method, scorer, ...)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`; a second, different entry under one name raises `ValueError`."""
        if name in self._entries and self._entries[name] != entry:
            raise ValueError(f"the {self.kind} {name!r} is already registered; choose another name")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise UnknownNameError(unknown_name(self.kind, name, self._entries))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def values(self) -> list[T]:
        return list(self._entries.values())

    def items(self) -> list[tuple[str, T]]:
        return list(self._entries.items())


def unknown_name(kind: str, name: str, known: object) -> str:
    """The sentence for an unknown name: what was asked, the nearest known name, and all known names."""
    names = sorted(map(str, known))
    nearest = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}"
