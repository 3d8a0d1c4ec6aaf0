"""A forge's interface: JSON over HTTP, page by page, with pauses where it asks for them; its token stays with it.

Source: https://docs.github.com/en/rest/using-the-rest-api (pagination, rate limits, best practices);
https://docs.gitlab.com/api/rest (pagination, rate limits).
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from greenpose.errors import GreenPoseError
from greenpose.formatting import shown

TIMEOUT_S = 15.0
"""How long one answer may take."""
PATIENCE_S = 90.0
"""How long is waited in all for a forge that is busy, or asks to wait: a job that waits costs, and says nothing."""
FIRST_PAUSE_S = 1.0
"""First pause after a fault of the forge's own; each further one is twice as long."""
LIMITED_S = 60.0
"""Pause where a limit is reached and the forge does not say for how long (GitHub: at least a minute)."""
PAGE = 100
"""Entries of a page: the most that both forges give."""
MOST_BYTES = 32 * 2**20


class RefusedError(GreenPoseError):
    """What a forge did not do, in words, and the status of its answer where there was one."""

    def __init__(self, says: str, status: int = 0) -> None:
        super().__init__(says)
        self.status = status


class AgainError(RefusedError):
    """A fault that may be gone after a pause; None where the forge does not say how long."""

    def __init__(self, says: str, pause_s: float | None = None) -> None:
        super().__init__(says)
        self.pause_s = pause_s


HANDLERS = (ProxyHandler, HTTPHandler, HTTPSHandler, HTTPDefaultErrorHandler, HTTPErrorProcessor)
"""What requests go through: nothing follows a redirection, with which the token would go."""


class Api:
    """A forge's interface: JSON over HTTP, page by page, with pauses where it asks for them."""

    def __init__(
        self,
        root: str,
        header: str,
        *,
        secret: str,
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        if urlsplit(root).scheme not in ("http", "https"):
            raise RefusedError(f"{shown(root)}: is no address of a forge's interface; wants http or https")
        self._root, self._header, self._secret = root.rstrip("/"), header, secret
        self._now, self._sleep, self._until = now, sleep, now() + PATIENCE_S
        self._opener = OpenerDirector()
        for kind in HANDLERS:
            self._opener.add_handler(kind())
        self._me: dict[str, Any] | None = None

    def insist(self, action: Callable[[], None]) -> None:
        """Do something; begin it again after a fault that passes, as long as that is worth waiting for.

        Raises:
            RefusedError: if it was not done in the end.
        """
        pause = FIRST_PAUSE_S
        while True:
            try:
                return action()
            except AgainError as fault:
                wait = pause if fault.pause_s is None else fault.pause_s
                if self._now() + wait > self._until:
                    raise RefusedError(f"{fault}; given up after waiting") from None
                self._sleep(wait)
                pause *= 2

    def pages(self, path: str, key: str = "") -> Iterator[dict[str, Any]]:
        """Yield the entries of all pages of a list; with a key, of the list under it.

        Only the path of the next page's address is followed: the token stays with this forge.
        """
        more = f"{path}{'&' if '?' in path else '?'}per_page={PAGE}"
        prefix = urlsplit(self._root).path
        while more:
            answer, headers = self._request("GET", more, None)
            entries = answer.get(key) if key and isinstance(answer, dict) else answer
            yield from (one for one in entries if isinstance(one, dict)) if isinstance(entries, list) else ()
            following = re.search(r'<([^>]*)>\s*;[^,]*\brel="?next"?', headers.get("Link") or "")
            place = urlsplit(following[1]) if following else None
            more = f"{place.path.removeprefix(prefix)}?{place.query}" if place else ""

    def whoami(self, key: str) -> Any:
        """Return the name or number of the one whose token this is; what nobody has where it is no person's."""
        if self._me is None:
            try:
                self._me = self.ask("GET", "/user") or {}
            except AgainError:
                raise
            except RefusedError:
                self._me = {}
        return self._me.get(key, self)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return what the forge answers.

        Raises:
            RefusedError: if it does not do what was asked.
        """
        return self._request(method, path, body)[0]

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[Any, Message]:
        request = Request(self._root + path, None if body is None else json.dumps(body).encode(), method=method)  # noqa: S310 - http or https, as checked
        request.add_unredirected_header(*self._header.split(": ", 1))
        request.add_header("User-Agent", "greenpose")
        request.add_header("Accept", "application/json")
        if body is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return self._read(answer), answer.headers
        except HTTPError as error:
            self._refuse(method, path, error)
        except (URLError, HTTPException, OSError) as error:
            why = str(getattr(error, "reason", error)) or type(error).__name__
            raise AgainError(self._said(f"{method} {path}: no answer: {why}")) from None

    def _read(self, answer: Any) -> Any:
        """Return the JSON of an answer, None of an empty one; one that trickles in must end, too."""
        text, until = b"", time.monotonic() + TIMEOUT_S
        while part := answer.read1(2**16):
            text += part
            if len(text) > MOST_BYTES or time.monotonic() > until:
                raise TimeoutError("too slow, or too long")
        if answer.length:
            raise ConnectionError("it broke off")
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            raise RefusedError("the answer is no JSON: is that the forge's interface?") from None

    def _refuse(self, method: str, path: str, error: HTTPError) -> NoReturn:
        """Say what an answer with an error means, and whether to try again."""
        try:
            text = error.read(2**14).decode(errors="replace")
        except (HTTPException, OSError):
            text = ""
        try:
            said = json.loads(text)
            said = str(said.get("message") or said.get("error") or "")
        except (AttributeError, ValueError):
            said = ""
        words = self._said(f"{method} {path}: {error.code} {said or error.reason}")
        if error.code in (403, 429) and (error.code == 429 or _limited(error.headers, said)):
            raise AgainError(f"{words} (a limit on requests)", _pause(error.headers, self._now()))
        if error.code >= 500 or error.code == 408:
            raise AgainError(words)
        raise RefusedError(words, error.code)

    def _said(self, text: str) -> str:
        """Return a complaint without the token, whatever the other side repeats."""
        return shown(text.replace(self._secret, "***"))[:300]


def _limited(headers: Message, said: str) -> bool:
    """Return whether a refusal is a limit, primary or secondary, and no lack of rights."""
    return "Retry-After" in headers or headers.get("X-RateLimit-Remaining") == "0" or "rate limit" in said.lower()


def _pause(headers: Message, now: float) -> float:
    """Return how long a forge asks to wait, in seconds."""
    asked, reset = headers.get("Retry-After") or "", headers.get("X-RateLimit-Reset") or headers.get("RateLimit-Reset")
    if asked.isdecimal():
        return float(asked)
    if headers.get("X-RateLimit-Remaining", headers.get("RateLimit-Remaining")) == "0" and (reset or "").isdecimal():
        return max(0.0, float(reset or 0) - now) + 1.0
    return LIMITED_S
