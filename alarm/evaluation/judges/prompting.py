"""The question a language-model judge is asked: a versioned file of words, filled with a prompt and two responses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from string import Template
from typing import Any

from alarm.tasks.base import Example

VERSIONS = {"long_form_qa": "v1", "wmt": "v1"}
"""Task to the version of its prompt in use. Words are never changed in place: a new wording is a new file, so that a
record's name of a prompt says which words were read."""


@dataclass(frozen=True)
class JudgePrompt:
    """The words around a question; `template` names what is filled in, such as `$reference` and `$first`."""

    name: str
    version: str
    template: str

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.template.encode("utf-8")).hexdigest()

    def render(self, example: Example, first: str, second: str) -> str:
        """The full question with `first` shown first.

        Raises:
            ValueError: the prompt asks for a field that the example does not have.
        """
        shown = {"prompt": example.prompt, "reference": example.reference, **_shown(example.fields)}
        try:
            # substitute() reads the template alone, so a dollar sign in a response stays one.
            return Template(self.template).substitute(shown, first=first.strip(), second=second.strip())
        except KeyError as error:
            raise ValueError(
                f"the judge's prompt {self.name}.{self.version} shows {error}, which example {example.id} does not "
                "have; rebuild the records, or write a prompt without it"
            ) from None


def load_prompt(task: str, version: str | None = None) -> JudgePrompt:
    """The prompt for a task's judge, in its current or a named version.

    Raises:
        ValueError: there is no such prompt.
    """
    version = version or VERSIONS.get(task, "v1")
    file = files("alarm.evaluation.judges") / "prompts" / f"{task}.{version}.txt"
    if not file.is_file():
        raise ValueError(
            f"there is no judge's prompt {task}.{version}; write alarm/evaluation/judges/prompts/{task}.{version}.txt"
        )
    return JudgePrompt(task, version, file.read_text(encoding="utf-8"))


def _shown(fields: Mapping[str, Any]) -> dict[str, str]:
    """Fields as text; passages as their titles with what they say."""
    return {name: _passages(value) if name == "passages" else str(value) for name, value in fields.items()}


def _passages(passages: Sequence[Mapping[str, str]]) -> str:
    return "\n\n".join(f"{page['wikipage']}\n{page['content']}" for page in passages)
