"""One local LanguageTool server for this process: started when first asked, restarted when it fails, asked once a text.

Through `language_tool_python`, releases 2 and 3, which download LanguageTool and start it with Java.
"""

from __future__ import annotations

import atexit
import json
import re
import shutil
import socket
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from alarm.scorers.text_scorer import CACHED_TEXTS

LANGUAGE = "en-US"
TIMEOUT = 60
"""Seconds that one text may take; the package itself waits five minutes, twice."""
ATTEMPTS = 3
"""Servers that are tried for one text before it is given up."""
PACKAGE = "language_tool_python"
REMEDY = "see that Java 17 runs and LanguageTool can be downloaded once, or choose --grammar-checker harper"
BEYOND_BMP = re.compile(r"[\U00010000-\U0010ffff]")


class LanguageToolServer:
    """A local server with LanguageTool's default English rules."""

    def __init__(self, *, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout
        self.restarts = 0
        """How often the server was started anew after it had failed."""
        self._tool: Any = None
        self._remembered = lru_cache(maxsize=CACHED_TEXTS)(self._find)

    def find(self, text: str) -> tuple[tuple[int, int], ...]:
        """The [start, end) characters of every match in `text`, in order; a text is asked for once.

        Raises:
            ValueError: the server cannot be started, or several in a row fail on this text.
        """
        return self._remembered(text)

    @cached_property
    def version(self) -> str:
        """LanguageTool's version as the server tells it, with the package's; starts the server."""
        answer = self._ask(self._server_version)
        return f"LanguageTool {answer} ({PACKAGE} {_package_version()}, {LANGUAGE})"

    def close(self) -> None:
        """Stop the server; the next text starts another."""
        tool, self._tool = self._tool, None
        if tool is not None:
            tool.close()

    def _find(self, text: str) -> tuple[tuple[int, int], ...]:
        # LanguageTool counts such characters twice, and releases of the package differ in whether they correct it.
        asked = BEYOND_BMP.sub("\N{WHITE SQUARE}", text)
        matches = self._ask(lambda tool: tool.check(asked))
        return tuple(sorted((match.offset, match.offset + _length(match)) for match in matches))

    def _ask(self, question: Callable[[Any], Any], attempts: int = ATTEMPTS) -> Any:
        """The answer of the server, or of its successors if it fails."""
        try:
            return question(self._started())
        except (Exception, SystemExit) as problem:  # the package raises both, of many classes
            self._discard()
            if attempts == 1:
                raise ValueError(
                    f"LanguageTool failed {ATTEMPTS} times in a row, at last with {_first_line(problem)}; {REMEDY}"
                ) from problem
        self.restarts += 1
        return self._ask(question, attempts - 1)

    def _started(self) -> Any:
        if self._tool is None:
            import language_tool_python

            self._tool = language_tool_python.LanguageTool(LANGUAGE)
            self._tool._TIMEOUT = self.timeout  # both releases read it at every request, and offer nothing else
        return self._tool

    def _discard(self) -> None:
        """Forget a server that failed, and stop it if that can be done."""
        tool, self._tool = self._tool, None
        if tool is not None:
            with suppress(Exception):  # it has failed already
                tool.close()

    def _server_version(self, tool: Any) -> str:
        address = getattr(tool, "url", None) or tool._url
        with urllib.request.urlopen(f"{address}check?language={LANGUAGE}&text=a", timeout=self.timeout) as answer:
            return json.load(answer)["software"]["version"]


@cache
def shared_server() -> LanguageToolServer:
    """The one server of this process, stopped when the process ends."""
    server = LanguageToolServer()
    atexit.register(server.close)
    return server


def require() -> None:
    """Raise `ValueError` if LanguageTool cannot work here; downloads it if that has not been done yet."""
    missing = [] if shutil.which("java") else ["Java 17"]
    missing += [] if find_spec(PACKAGE) else [f"`pip install {PACKAGE}`"]
    if missing:
        raise ValueError(
            f"the grammar checker 'languagetool' needs {' and '.join(missing)}; install it or use 'harper'"
        )
    try:
        _download()
    except (Exception, SystemExit) as problem:  # the package raises both, of many classes
        raise ValueError(
            f"LanguageTool is not here and cannot be fetched ({_first_line(problem)}); {REMEDY}"
        ) from problem


def _download() -> None:
    """Fetch LanguageTool where it is not there yet; checks the version of Java too."""
    from language_tool_python import download_lt

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # release 2 would wait for ever where no network answers
    try:
        if hasattr(download_lt, "LocalLanguageTool"):
            download_lt.LocalLanguageTool.from_version_name().download()
        else:
            download_lt.download_lt()
    finally:
        socket.setdefaulttimeout(before)


def _length(match: Any) -> int:
    # Renamed from errorLength in release 3 without an alias.
    return match.error_length if hasattr(match, "error_length") else match.errorLength


def _package_version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "of unknown version"


def _first_line(problem: BaseException) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return f"{type(problem).__name__}: {lines[0] if lines else 'no message'}"
