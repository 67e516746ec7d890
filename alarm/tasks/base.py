"""What a task is: prompts with references in fixed splits, and a way to measure true quality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alarm.tasks.worlds.habits import Habit

SPLITS = ("sft", "train", "dev", "test")


@dataclass(frozen=True)
class Example:
    """One prompt.

    `id` is unique within the task and stable across runs; `prompt` is exactly the text the policy reads;
    `reference` is the ideal response; `fields` holds what the source file says besides (question, passages, ...).
    """

    id: str
    prompt: str
    reference: str
    fields: Mapping[str, Any] = field(default_factory=dict)


class Task(ABC):
    """Prompts, references, splits and the true quality of a response. Knows nothing of models or rewards."""

    name: str
    description: str
    aspects: tuple[str, ...]
    """Aspect names in the order of the paper's tables."""
    properties: tuple[str, ...] = ()
    """The aspects that a good response must all have, for the logical AND of arXiv:2402.00742; style is none."""
    gold_name: str
    """What `gold` measures, as tables print it."""

    @abstractmethod
    def split(self, name: str) -> Sequence[Example]:
        """The examples of one split (`sft`, `train`, `dev` or `test`); prompts of different splits never overlap,
        except that `sft` may be a part of `train` where the paper does so."""

    @abstractmethod
    def gold(self, examples: Sequence[Example], responses: Sequence[str]) -> list[float]:
        """True quality of each response, higher is better. Never available to training."""

    def gold_parts(self, examples: Sequence[Example], responses: Sequence[str]) -> dict[str, list[float]]:
        """True quality of each response by property, all in [0, 1], 1 without fault; empty where it is not known."""
        return {}

    @property
    def habits(self) -> Sequence[Habit]:
        """The writers whose demonstrations the policy imitates; none where nobody knows them."""
        return ()

    def habit(self, example: Example, response: str) -> str:
        """Which of these writers a response looks like; empty where there are none."""
        return ""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of the data this task reads, for records and for the store's keys."""
