"""One local LanguageTool server for all processes of this machine: started when first asked, replaced when it fails.

Through `language_tool_python`, releases 2 and 3, which download LanguageTool and start it with Java. The process that
asks first starts the server and ends it; the others join it, and when it is gone the first to notice starts the next.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alarm.scorers.shared_address import SharedAddress
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
    """A local server with LanguageTool's default English rules, this process's own or one that another has started."""

    def __init__(self, *, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout
        self.restarts = 0
        """How often a server that had failed was replaced."""
        self._tool: Any = None
        self._own = False
        self._failed: set[str] = set()
        """Addresses of others' servers that are not joined again."""
        self._shared = SharedAddress(f"languagetool-{_package_version()}")
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
        answer = self._ask(lambda tool: self._version_at(_address(tool)))
        return f"LanguageTool {answer} ({PACKAGE} {_package_version()}, {LANGUAGE})"

    def close(self) -> None:
        """Stop the server if it is this process's own; the next text starts or joins another."""
        tool, self._tool = self._tool, None
        if tool is None:
            return
        if self._own:
            self._shared.remove(_address(tool))
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
            with self._shared.held():
                joined = self._joined()
                self._own = joined is None
                self._tool = joined or self._open()
                if self._own:
                    self._shared.write(_address(self._tool))
        return self._tool

    def _joined(self) -> Any:
        """The server of another process, if there is one and it answers."""
        address = self._shared.read()
        if address is None or address in self._failed:
            return None
        try:
            self._version_at(address)
        except (OSError, ValueError, KeyError):
            return None
        return self._open(remote_server=address)

    def _open(self, **options: str) -> Any:
        import language_tool_python

        tool = language_tool_python.LanguageTool(LANGUAGE, **options)
        tool._TIMEOUT = self.timeout  # both releases read it at every request, and offer nothing else
        return tool

    def _discard(self) -> None:
        """Forget a server that failed, and stop it if that can be done."""
        if self._tool is not None and not self._own:
            self._failed.add(_address(self._tool))
        with suppress(Exception):  # it has failed already
            self.close()

    def _version_at(self, address: str) -> str:
        with urllib.request.urlopen(f"{address}v2/check?language={LANGUAGE}&text=a", timeout=self.timeout) as answer:
            return json.load(answer)["software"]["version"]


@cache
def shared_server() -> LanguageToolServer:
    """The one server that this process asks; if it started it, it stops it when it ends."""
    server = LanguageToolServer()
    atexit.register(server.close)
    return server


def downloaded() -> bool:
    """Whether some release of LanguageTool lies where the package looks for it; the package need not be installed."""
    folder = Path(os.environ.get("LTP_PATH", Path.home() / ".cache" / PACKAGE))
    return "LTP_JAR_DIR_PATH" in os.environ or any(folder.glob("LanguageTool-*"))


def require() -> None:
    """Raise `ValueError` if LanguageTool cannot work here; downloads it if that has not been done yet.

    `HF_HUB_OFFLINE` says that there is no network, and nothing is downloaded.
    """
    missing = [] if shutil.which("java") else ["Java 17"]
    missing += [] if find_spec(PACKAGE) else [f"`pip install {PACKAGE}`"]
    if missing:
        raise ValueError(
            f"the grammar checker 'languagetool' needs {' and '.join(missing)}; install it or use 'harper'"
        )
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE and not downloaded():
        raise ValueError(f"LanguageTool is not here and HF_HUB_OFFLINE forbids to fetch it; {REMEDY}")
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


def _address(tool: Any) -> str:
    """Of the server behind either release's object, as `remote_server` takes it."""
    return (getattr(tool, "url", None) or tool._url).removesuffix("v2/")


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
