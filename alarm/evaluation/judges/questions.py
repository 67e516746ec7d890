"""What a language-model judge is asked about a pair: one question for each order, known by everything it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alarm.evaluation.judges.base import Pair
from alarm.evaluation.judges.cache import question_key
from alarm.evaluation.judges.client import Endpoint
from alarm.evaluation.judges.cost import estimated_tokens
from alarm.evaluation.judges.parsing import SCHEMA
from alarm.evaluation.judges.prompting import JudgePrompt

DEFAULT_MODEL = "gpt-4o-mini"
"""The paper's gpt-3.5-turbo is being retired; this is the successor its makers name."""
DEFAULT_TEMPERATURE = "_at_default_temperature"
"""Ends the names of forms that leave the temperature to the server."""


@dataclass(frozen=True)
class JudgeSettings:
    """How questions are asked. What an answer says depends on the first three, whether it comes on the others."""

    model: str = DEFAULT_MODEL
    temperature: float = 0.0
    max_tokens: int = 64
    """Of an answer; the object asked for has about 7."""
    concurrency: int = 8
    """Questions under way at a time."""
    timeout: float = 60.0
    """Seconds that one attempt may wait for the server."""
    retries: int = 5
    """Further attempts at a question; see `alarm.evaluation.judges.client.ChatClient`."""

    def __post_init__(self) -> None:
        for name, least in (("max_tokens", 1), ("concurrency", 1), ("retries", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"a judge's {name} must be at least {least}, got {getattr(self, name)}")
        if not self.timeout > 0:
            raise ValueError(f"a judge's timeout must be above 0 seconds, got {self.timeout}")


@dataclass(frozen=True)
class Form:
    """One way to put a question."""

    name: str
    request: dict[str, Any]
    """Of `chat.completions.create`."""
    key: str


@dataclass(frozen=True)
class Question:
    """One order of one pair, in every form that a server may understand, the preferred one first.

    Servers differ in what they accept: some know no schema, and models that reason before they answer refuse both a
    temperature and the usual name of the token limit.
    """

    forms: tuple[Form, ...]

    @property
    def key(self) -> str:
        """Tells the question from others, whichever form is answered."""
        return self.forms[0].key

    @property
    def tokens(self) -> tuple[int, int]:
        """The most that asking takes: tokens in, the schema counted in, and out."""
        request = self.forms[0].request
        read = sum(estimated_tokens(message["content"]) for message in request["messages"])
        return read + estimated_tokens(str(SCHEMA)), request["max_tokens"]


def both_orders(
    pair: Pair, *, prompt: JudgePrompt, settings: JudgeSettings, endpoint: Endpoint
) -> tuple[Question, Question]:
    """The question with the pair's first response shown first, then the one with it shown second."""
    questions = []
    for responses in ((pair.first, pair.second), (pair.second, pair.first)):
        # No system message: not every model's chat format has one.
        messages = [{"role": "user", "content": prompt.render(pair.example, *responses)}]
        requests = _forms({"model": settings.model, "messages": messages}, settings)
        forms = [Form(name, request, question_key(request, endpoint.address)) for name, request in requests.items()]
        questions.append(Question(tuple(forms)))
    return tuple(questions)


def _forms(request: dict[str, Any], settings: JudgeSettings) -> dict[str, dict[str, Any]]:
    """Form name to request, in the order they are tried in."""
    schema = {"response_format": {"type": "json_schema", "json_schema": SCHEMA}}
    usual = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
    reasoning = {"max_completion_tokens": settings.max_tokens}
    return {
        "schema": request | usual | schema,
        "plain_text": request | usual,
        f"schema{DEFAULT_TEMPERATURE}": request | reasoning | schema,
        f"plain_text{DEFAULT_TEMPERATURE}": request | reasoning,
    }
