"""LanguageTool's one server: both generations of its package, sharing, failures, timeouts, and what is missing.

The package is stood in for by a module with the shape of either generation, and LanguageTool by a real server that
speaks its protocol over HTTP.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alarm.scorers import language_tool
from alarm.scorers.base import Span
from alarm.scorers.grammar import CHECKERS, GrammarScorer, LanguageToolChecker
from alarm.scorers.language_tool import LanguageToolServer

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = '''
"""The parts of language_tool_python {release} that are called, over a server that runs already."""
import json, urllib.error, urllib.parse, urllib.request
from . import download_lt

started, joined, closed = [], [], []


class LanguageToolError(Exception):
    pass


class Match:
    def __init__(self, found):
        self.offset, self.{length} = found["offset"], found["length"]


class LanguageTool:
    _TIMEOUT = 300

    def __init__(self, language, remote_server=None):
        if not download_lt.works:
            raise SystemExit("Could not parse Java version from nothing")
        self.language, self.{url} = language, (remote_server or "{address}/") + "v2/"
        (joined if remote_server else started).append(self)

    def check(self, text):
        body = urllib.parse.urlencode({{"language": self.language, "text": text}}).encode()
        try:
            with urllib.request.urlopen(self.{url} + "check", body, timeout=self._TIMEOUT) as answer:
                return [Match(found) for found in json.load(answer)["matches"]]
        except OSError as error:
            raise LanguageToolError(f"{{self.{url}}}: {{error}}")

    def close(self):
        closed.append(self)
'''
DOWNLOADS = {
    2: "works, fetched = True, []\ndef download_lt():\n    fetched.append('5.7')\n",
    3: (
        "works, fetched = True, []\n"
        "class LocalLanguageTool:\n"
        "    @classmethod\n"
        "    def from_version_name(cls, version='6.8'):\n"
        "        return cls()\n"
        "    def download(self):\n"
        "        fetched.append('6.8')\n"
    ),
}
NAMES = {2: {"length": "errorLength", "url": "_url"}, 3: {"length": "error_length", "url": "url"}}


class Service(ThreadingHTTPServer):
    """Finds every "an dog" and counts what it is asked; `broken` requests fail, `slow` ones take a second."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.texts: list[str] = []
        self.broken = self.slow = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"software": {"name": "LanguageTool", "version": "6.8"}, "matches": []})

    def do_POST(self):
        text = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["text"][0]
        service = self.server
        service.texts.append(text)
        if service.slow:
            service.slow -= 1
            time.sleep(1)
        if service.broken:
            service.broken -= 1
            self.send_error(500)
            return
        # As Java counts: in units of UTF-16.
        found = [i for i in range(len(text)) if text.startswith("an dog", i)]
        matches = [{"offset": len(text[:i].encode("utf-16-le")) // 2, "length": 2} for i in reversed(found)]
        self.answer({"matches": matches})

    def answer(self, value) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    with Service() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(params=[2, 3])
def package(request, service, tmp_path, monkeypatch):
    """An installed package of one generation, with Java on the path and no server of this process yet."""
    folder = tmp_path / "site" / "language_tool_python"
    folder.mkdir(parents=True)
    names = NAMES[request.param] | {"release": request.param, "address": service.address}
    (folder / "__init__.py").write_text(PACKAGE.format(**names))
    (folder / "download_lt.py").write_text(DOWNLOADS[request.param])
    (tmp_path / "java").write_text("#!/bin/sh\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LTP_PATH", str(tmp_path / "downloads"))
    for name in ("language_tool_python", "language_tool_python.download_lt"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    language_tool.shared_server.cache_clear()
    yield importlib.import_module("language_tool_python")
    language_tool.shared_server.cache_clear()
    for name in ("language_tool_python", "language_tool_python.download_lt"):
        sys.modules.pop(name, None)


def test_matches_become_spans_in_order(package, service):
    (score,) = GrammarScorer("languagetool").score(["p"], ["She saw an dog and an dog."])
    assert score.spans == (Span(8, 10, -1.0), Span(19, 21, -1.0))
    assert score.value == pytest.approx(2 / 7)
    assert package.started[0].language == "en-US"


def test_offsets_are_characters_whatever_they_take_in_utf_16(package, service):
    text = "😀😀 an dog 😀 an dog"
    assert LanguageToolChecker().find(text) == [(3, 5), (12, 14)]
    assert [text[start:end] for start, end in LanguageToolChecker().find(text)] == ["an", "an"]


def test_all_scorers_of_a_process_share_one_server_and_its_answers(package, service):
    for scorer in (GrammarScorer("languagetool"), GrammarScorer("languagetool")):
        scorer.score(["p", "p", "p"], ["an dog", "a dog", "an dog"])
    assert service.texts == ["an dog", "a dog"]
    assert len(package.started) == 1
    language_tool.shared_server().close()
    assert len(package.closed) == 1


def test_the_version_is_the_servers_own(package):
    assert GrammarScorer("languagetool").version == (
        "LanguageTool 6.8 (language_tool_python of unknown version, en-US)"
    )


def test_a_failed_server_is_replaced_and_asked_again(package, service):
    server = LanguageToolServer()
    service.broken = 2
    assert server.find("an dog") == ((0, 2),)
    assert (server.restarts, len(package.started), len(package.closed)) == (2, 3, 2)
    assert server.find("an dog") == ((0, 2),) and len(package.started) == 3


def test_servers_that_keep_failing_are_given_up(package, service):
    server = LanguageToolServer()
    service.broken = 99
    with pytest.raises(ValueError, match=r"failed 3 times in a row, at last with LanguageToolError: http://.*harper"):
        server.find("an dog")
    assert len(service.texts) == 3
    service.broken = 0
    assert server.find("an dog") == ((0, 2),)  # a failure is not remembered


def test_a_server_that_hangs_is_replaced(package, service):
    server = LanguageToolServer(timeout=0.2)
    service.slow = 1
    assert server.find("an dog") == ((0, 2),)
    assert server.restarts == 1


def test_a_server_that_cannot_start_is_one_sentence(package):
    package.download_lt.works = False
    with pytest.raises(ValueError, match="at last with SystemExit: Could not parse Java version") as caught:
        LanguageToolChecker().find("text")
    assert len(str(caught.value).splitlines()) == 1


def test_the_processes_of_a_machine_share_the_first_ones_server(package, service):
    first, second = LanguageToolServer(), LanguageToolServer()
    assert first.find("an dog") == second.find("an dog") == ((0, 2),)
    assert (len(package.started), len(package.joined)) == (1, 1)
    second.close()
    LanguageToolServer().find("text")
    assert (len(package.started), len(package.joined)) == (1, 2), "leaving ends nothing"
    first.close()
    LanguageToolServer().find("text")
    assert len(package.started) == 2, "the server ended with the process that started it"


def test_another_process_joins_too(package, service):
    LanguageToolServer().find("text")
    code = (
        "import language_tool_python as package; from alarm.scorers.language_tool import LanguageToolServer\n"
        "print(LanguageToolServer().find('an dog'), len(package.started), len(package.joined))"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "((0, 2),) 0 1\n", ended.stderr


def test_a_shared_server_that_fails_is_replaced_by_an_own_one(package, service):
    first, second = LanguageToolServer(), LanguageToolServer()
    first.find("text")
    second.find("text")
    service.broken = 1
    assert second.find("an dog") == ((0, 2),)
    assert (second.restarts, len(package.started)) == (1, 2)


def test_a_shared_server_that_is_gone_is_not_waited_for(package, service):
    server = LanguageToolServer()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    server._shared.path.parent.mkdir(parents=True)
    server._shared.write(address)
    assert server.find("an dog") == ((0, 2),)
    assert (server.restarts, len(package.started), len(package.joined)) == (0, 1, 0)
    assert server._shared.read() == f"{service.address}/"


def test_where_nothing_can_be_shared_every_process_has_its_own(package, service, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    for _ in range(2):
        assert LanguageToolServer().find("an dog") == ((0, 2),)
    assert (len(package.started), len(package.joined)) == (2, 0)


def test_without_a_network_only_what_is_there_will_do(package, tmp_path):
    with pytest.raises(ValueError, match=r"LanguageTool is not here and HF_HUB_OFFLINE forbids to fetch it; .* harper"):
        CHECKERS["languagetool"].require()
    assert not package.download_lt.fetched
    (tmp_path / "downloads" / "LanguageTool-6.8").mkdir(parents=True)
    CHECKERS["languagetool"].require()


def test_what_is_needed_is_fetched_before_training(package, service, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    CHECKERS["languagetool"].require()
    assert len(package.download_lt.fetched) == 1
    assert not package.started and not service.texts


def test_a_failed_download_is_one_sentence(package, monkeypatch):
    def fail(*_):
        raise OSError("no route to host\nTraceback ...")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    holder = getattr(package.download_lt, "LocalLanguageTool", package.download_lt)
    monkeypatch.setattr(holder, "download" if hasattr(holder, "download") else "download_lt", fail)
    with pytest.raises(
        ValueError, match=r"cannot be fetched \(OSError: no route to host\); .* --grammar-checker harper"
    ):
        CHECKERS["languagetool"].require()


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "language_tool_python", raising=False)
    with pytest.raises(
        ValueError, match=r"needs Java 17 and `pip install language_tool_python`; install it or use 'harper'"
    ):
        CHECKERS["languagetool"].require()
