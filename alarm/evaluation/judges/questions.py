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
class Question:
    """One order of one pair. Its answer may have come in either form: with the schema, or in plain text."""

    request: dict[str, Any]
    """Of `chat.completions.create`, without the schema."""
    schema_key: str
    text_key: str

    @property
    def request_with_schema(self) -> dict[str, Any]:
        return _with_schema(self.request)

    @property
    def tokens(self) -> tuple[int, int]:
        """The most that asking takes: tokens in, the schema counted in, and out."""
        read = sum(estimated_tokens(message["content"]) for message in self.request["messages"])
        return read + estimated_tokens(str(SCHEMA)), self.request["max_tokens"]


def both_orders(
    pair: Pair, *, prompt: JudgePrompt, settings: JudgeSettings, endpoint: Endpoint
) -> tuple[Question, Question]:
    """The question with the pair's first response shown first, then the one with it shown second."""
    questions = []
    for responses in ((pair.first, pair.second), (pair.second, pair.first)):
        request = {
            "model": settings.model,
            # No system message: not every model's chat format has one.
            "messages": [{"role": "user", "content": prompt.render(pair.example, *responses)}],
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
        }
        keys = (question_key(form, endpoint.address) for form in (_with_schema(request), request))
        questions.append(Question(request, *keys))
    return tuple(questions)


def _with_schema(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "response_format": {"type": "json_schema", "json_schema": SCHEMA}}
