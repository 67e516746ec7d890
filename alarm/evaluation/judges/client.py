"""One question to an OpenAI-compatible server: the `openai` client, its own retries, and every failure by name."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alarm.evaluation.judges.cache import Answer

if TYPE_CHECKING:
    import httpx
    from openai import OpenAI
    from openai.types.chat import ChatCompletion

OFFICIAL_URL = "https://api.openai.com/v1"
BASE_URL, API_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
"""The environment variables that every program with this client reads."""
NO_KEY = "not-needed"
"""Sent to a server of one's own, where the client insists on a key."""
HIDDEN = "<key>"
SHORTEST_KEY = 8
"""Characters; anything shorter is a placeholder such as `none`, and may well be an ordinary word."""


class NoAnswerError(Exception):
    """The server gave no answer to a question; asking again may bring one."""

    def __init__(self, reason: str, *, may_cost: bool = False, refused_request: bool = False) -> None:
        super().__init__(reason)
        self.may_cost = may_cost
        """The server may have answered, and charged for it, without our receiving it."""
        self.refused_request = refused_request
        """It found fault with the request itself, such as a parameter it does not know."""


class AccessError(ValueError):
    """The server would refuse every question: a wrong key, an unknown model."""


@dataclass(frozen=True)
class Endpoint:
    """Where questions go. The key appears in no text made of this."""

    base_url: str = OFFICIAL_URL
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Endpoint:
        return cls(variables.get(BASE_URL) or OFFICIAL_URL, variables.get(API_KEY) or None)

    @property
    def host(self) -> str:
        """Host with port, without the user and password that a URL may hold."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    @property
    def address(self) -> str:
        """The URL without user, password and query: what identifies a server in keys and records."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{self.host}{parts.path.rstrip('/')}"

    def require(self) -> None:
        """Raise `ValueError` saying what is missing before any question can be asked."""
        if importlib.util.find_spec("openai") is None:
            raise ValueError("the judge needs the openai client; install it with `pip install 'openai>=2'`")
        if not (urlsplit(self.base_url).scheme in ("http", "https") and self.host):
            raise ValueError(f"{BASE_URL} is no address such as http://localhost:8000/v1; set it to the server's")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ValueError(f"{API_KEY} holds characters that no key has; copy it anew")
        if self.api_key is None and self.address == OFFICIAL_URL:
            raise ValueError(
                f"the judge needs {API_KEY}, or {BASE_URL} of a compatible server such as a local vLLM, which needs no "
                "key; set one of them"
            )


class ChatClient:
    """Asks single questions; used by several threads at once.

    Args:
        endpoint: where to ask.
        timeout: seconds that one attempt may wait for the next bytes.
        retries: further attempts after a rate limit, a server's fault, a lost connection or a time-out, with the
            client's back-off: as long as `Retry-After` says (up to two minutes), else 0.5 to 8 seconds.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float, retries: int) -> None:
        self.endpoint, self.timeout, self.retries = endpoint, timeout, retries
        self.requests = 0
        """HTTP requests sent, repeated ones included."""
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    @cached_property
    def _client(self) -> OpenAI:
        import openai

        # The hooks see every attempt, which the client itself does not tell.
        http = openai.DefaultHttpxClient(event_hooks={"request": [self._count], "response": [self._count_response]})
        return openai.OpenAI(
            base_url=self.endpoint.base_url,
            api_key=self.endpoint.api_key or NO_KEY,
            timeout=self.timeout,
            max_retries=self.retries,
            http_client=http,
        )

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """The server's answer to a request of `chat.completions.create`.

        Raises:
            NoAnswerError: none came, or what came is no answer of this protocol.
            AccessError: the key or the model is not accepted.
        """
        import openai

        try:
            with self._lock:
                client = self._client
            reply = client.chat.completions.create(**request)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise AccessError(
                self._sentence(f"{self.endpoint.host} refuses access", error, f"check {API_KEY}")
            ) from None
        except openai.NotFoundError as error:
            what = f"{self.endpoint.host} does not know model {request['model']} or this address"
            raise AccessError(self._sentence(what, error, f"check --judge and {BASE_URL}")) from None
        except openai.APIStatusError as error:
            refused = isinstance(error, (openai.BadRequestError, openai.UnprocessableEntityError))
            raise NoAnswerError(self._sentence(f"HTTP {error.status_code}", error), refused_request=refused) from None
        except openai.APITimeoutError:
            raise NoAnswerError(f"no answer within {self.timeout:g} s", may_cost=True) from None
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else "unknown cause"
            raise NoAnswerError(f"connection to {self.endpoint.host} failed ({cause})", may_cost=True) from None
        except ValueError as error:
            raise NoAnswerError(f"the server's answer is not JSON ({type(error).__name__})", may_cost=True) from None
        return self._read(reply)

    def close(self) -> None:
        """Close connections, if any was opened."""
        if "_client" in self.__dict__:
            self._client.close()

    def _read(self, reply: ChatCompletion) -> Answer:
        """The first choice of a reply; the client checks no types, so this does."""
        choices = getattr(reply, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        if not hasattr(message, "content"):
            raise NoAnswerError("the server's answer has no choices; is this a chat completions server?", may_cost=True)
        usage = getattr(reply, "usage", None)
        return Answer(
            text=self._without_key(_text(message.content)),
            finish_reason=_text(getattr(choices[0], "finish_reason", None)),
            refusal=self._without_key(_text(getattr(message, "refusal", None))),
            model=self._without_key(_text(getattr(reply, "model", None))),
            input_tokens=_number(getattr(usage, "prompt_tokens", None)),
            output_tokens=_number(getattr(usage, "completion_tokens", None)),
        )

    def take_chargeable(self) -> int:
        """Attempts of this thread, since it last took their number, that the server may have charged: all it refused by
        no error status, the one that brought an answer included."""
        taken = getattr(self._of_thread, "chargeable", 0)
        self._of_thread.chargeable = 0
        return taken

    def _count(self, _: object) -> None:
        with self._lock:
            self.requests += 1
        self._of_thread.chargeable = getattr(self._of_thread, "chargeable", 0) + 1

    def _count_response(self, response: httpx.Response) -> None:
        if response.is_error:
            self._of_thread.chargeable -= 1

    def _sentence(self, what: str, error: Exception, remedy: str = "") -> str:
        """What happened with the server's own words, shortened; servers have been seen to repeat the key in them."""
        body = getattr(error, "body", None)
        words = body.get("message") if isinstance(body, dict) else body
        said = " ".join(self._without_key(_text(words)).split())[:300]
        return what + (f": {said}" if said else "") + (f"; {remedy}" if remedy else "")

    def _without_key(self, text: str) -> str:
        key = self.endpoint.api_key or ""
        return text.replace(key, HIDDEN) if len(key) >= SHORTEST_KEY else text


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
