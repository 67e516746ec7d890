"""A real HTTP server that speaks the chat completions protocol, with scripted behaviour, for tests of the judge."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SERVED = "served-model-0613"


@dataclass
class Reply:
    """What the server does with one request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | bytes = b""
    delay: float = 0.0
    cut: bool = False
    """Announce the whole body and close the connection in its middle."""


def completion(
    text: str | None,
    *,
    finish_reason: str = "stop",
    refusal: str | None = None,
    usage: tuple[int, int] | None = (100, 7),
) -> Reply:
    """An ordinary answer."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": SERVED,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
    }
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return Reply(body=json.dumps(body))


def chosen(letter: str, **options: Any) -> Reply:
    return completion(json.dumps({"choice": letter}), **options)


def problem(status: int, message: str = "scripted", **headers: str) -> Reply:
    """An error; the client is told to wait a millisecond only, unless a header says otherwise."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()} or {"retry-after-ms": "1"}
    return Reply(status, headers, json.dumps({"error": {"message": message, "type": "scripted", "code": None}}))


def shown(request: dict[str, Any]) -> tuple[str, str]:
    """The two responses of a question, in the order they are shown in."""
    content = request["messages"][0]["content"]
    return tuple(re.search(rf"<\w+_{letter}>\n(.*?)\n</\w+_{letter}>", content, re.DOTALL)[1] for letter in "AB")


def longer_wins(request: dict[str, Any]) -> Reply:
    """A judge without position bias: the response with more characters, else a tie."""
    first, second = map(len, shown(request))
    return chosen("tie" if first == second else "A" if first > second else "B")


@dataclass
class Seen:
    """Requests as the server got them."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    finished: int = 0
    at_once: int = 0
    most_at_once: int = 0

    @property
    def questions(self) -> Counter[str]:
        """How often each question came, with and without a schema alike."""
        return Counter(request["messages"][0]["content"] for request in self.requests)


class Server(ThreadingHTTPServer):
    """`behaviour` gets each request's JSON body and says what to do."""

    daemon_threads = True

    def __init__(self, behaviour: Callable[[dict[str, Any]], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour = behaviour
        self.seen = Seen()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed, or give up waiting, are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        seen = self.server.seen
        with self.server.lock:
            seen.requests.append(request)
            seen.keys.append(self.headers.get("authorization"))
            seen.times.append(time.monotonic())
            seen.at_once += 1
            seen.most_at_once = max(seen.most_at_once, seen.at_once)
        try:
            reply = self.server.behaviour(request) if self.path == "/v1/chat/completions" else problem(404, "no page")
            time.sleep(reply.delay)
        finally:
            with self.server.lock:
                seen.at_once -= 1
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if reply.cut else body)
        self.close_connection = self.close_connection or reply.cut
        with self.server.lock:
            seen.finished += 1

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serving(behaviour: Callable[[dict[str, Any]], Reply] = longer_wins):
    """A running server, stopped at the end."""
    server = Server(behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
