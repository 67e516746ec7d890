"""Grammar: matches of a checker, as spans that earn -1 on every token they touch (arXiv:2403.06754, section 4.2)."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from importlib.metadata import version

import torch

from alarm.registry import Registry
from alarm.scorers import language_tool
from alarm.scorers.base import Placement, Score, Span
from alarm.scorers.text_scorer import TextScorer

MOST_THREADS = 8
"""Of Harper: each takes a second to warm up and about 80 MiB."""


class GrammarChecker(ABC):
    """Finds grammar errors in English text."""

    threads = 1
    """Texts that can be checked at once with gain."""

    @classmethod  # noqa: B027  most checkers need nothing
    def require(cls) -> None:
        """Raise `ValueError`, with what to install, if the checker cannot work here; asked before any training."""

    @abstractmethod
    def find(self, text: str) -> list[tuple[int, int]]:
        """The [start, end) character spans of all errors in `text`, in order of their start."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Name and version of the tool; its findings may change with any release."""


class HarperChecker(GrammarChecker):
    """Harper with its default rules, offline, on as many threads as torch has."""

    def __init__(self) -> None:
        self.threads = min(torch.get_num_threads(), MOST_THREADS)
        self._own = threading.local()

    @property
    def version(self) -> str:
        return f"harper-py {version('harper-py')}"

    def find(self, text: str) -> list[tuple[int, int]]:
        import harper

        if not hasattr(self._own, "linter"):
            # It must not be shared between threads.
            self._own.linter = harper.Linter()
        # Markdown, the default, would skip text that happens to look like markup.
        lints = self._own.linter.lint(text, language=harper.Language.PLAINTEXT)
        return sorted((lint.span.start, lint.span.end) for lint in lints)


class LanguageToolChecker(GrammarChecker):
    """LanguageTool's default English rules, the paper's checker, from one local server per machine."""

    @classmethod
    def require(cls) -> None:
        language_tool.require()

    @property
    def version(self) -> str:
        return language_tool.shared_server().version

    def find(self, text: str) -> list[tuple[int, int]]:
        return list(language_tool.shared_server().find(text))


CHECKERS: Registry[type[GrammarChecker]] = Registry("grammar checker")
CHECKERS.add("harper", HarperChecker)
CHECKERS.add("languagetool", LanguageToolChecker)


class GrammarScorer(TextScorer):
    """Errors per whitespace-separated word; every error is a span of value -1.

    `value` is an error rate, so lower is better. The authors divide by generated tokens instead of words and their
    tables count more errors as a win; both depend on nothing but bookkeeping and are corrected here.
    A response without words has error rate 0 and no span: no error was made, and nothing is rewarded.
    """

    name = "grammar"
    value_name = "grammar error rate"
    placement = Placement.COVERED
    higher_is_better = False

    def __init__(self, checker: str | GrammarChecker = "harper") -> None:
        super().__init__()
        self.checker = CHECKERS[checker]() if isinstance(checker, str) else checker
        self.threads = self.checker.threads

    @property
    def version(self) -> str:
        return self.checker.version

    def measure(self, response: str) -> Score:
        words = len(response.split())
        if words == 0:
            return Score(0.0)
        spans = tuple(Span(start, end, -1.0) for start, end in self.checker.find(response))
        return Score(len(spans) / words, spans)
