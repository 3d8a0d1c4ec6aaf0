"""A forge on 127.0.0.1 that answers as GitHub and GitLab document it: pages, rights, limits, faults, and slowness.

Source: https://docs.github.com/en/rest (issue comments, check runs, rate limits, pagination), https://docs.gitlab.com/api
(notes, pagination). What it refuses, it refuses with the words and the headers of the real ones.
"""

import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CREDENTIAL = "ghs_0123456789abcdefSECRET"
BOT = {"login": "github-actions[bot]", "type": "Bot", "id": 1}
MOST_CHARACTERS = 65536
MOST_ANNOTATIONS = 50
FIELDS = {"path": str, "start_line": int, "end_line": int, "annotation_level": str, "message": str}


@dataclass
class Fault:
    """What happens once instead of an answer, to the next request of a method."""

    method: str
    status: int = 0
    """0: the connection breaks off."""
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    done: bool = False
    """Whether what was asked for is done all the same."""
    seconds: float = 0.0
    """How long the answer takes."""


class FakeTime:
    """A clock that only pauses move."""

    def __init__(self):
        self.at, self.pauses = time.time(), []

    def now(self):
        return self.at

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.at += seconds


class Forge(ThreadingHTTPServer):
    """GitHub under /, GitLab under /api/v4, on one port."""

    daemon_threads = True

    def __init__(self, *, accepts: str = CREDENTIAL):
        super().__init__(("127.0.0.1", 0), Handler)
        self.accepts = accepts
        self.comments: list[dict[str, Any]] = []
        self.checks: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.faults: list[Fault] = []
        self.may_write = True
        self.user: dict[str, Any] | None = None
        """Whose token it is; None for a job's own, which may not ask."""
        self.head = ""
        """Newest commit of the pull request, which may not be asked for where this is empty."""
        self.ids = 1000
        self.link_host = ""
        """Host that the addresses of next pages name; the real one where empty."""

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def comment(self, body: str, user: dict[str, Any] = BOT) -> dict[str, Any]:
        """Add a comment, as somebody would by hand."""
        self.ids += 1
        self.comments.append({"id": self.ids, "body": body, "user": user, "author": user})
        return self.comments[-1]

    def asked(self, method: str) -> list[str]:
        return [path for asked, path, _, _ in self.requests if asked == method]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class RefusalError(Exception):
    def __init__(self, status: int, message: Any):
        self.status, self.message = status, message


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Forge

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def do_PATCH(self):
        self.answer()

    def do_PUT(self):
        self.answer()

    def do_DELETE(self):
        self.answer()

    def answer(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.requests.append((self.command, self.path, dict(self.headers), text))
        fault = next((one for one in self.server.faults if one.method in (self.command, "*")), None)
        if fault is not None:
            self.server.faults.remove(fault)
            time.sleep(fault.seconds)
        self.more: dict[str, str] = {}
        try:
            status, answer = (0, None) if fault and not fault.done and not fault.seconds else self.routed(text)
        except RefusalError as refusal:
            status, answer = refusal.status, {"message": refusal.message, "documentation_url": "https://docs"}
        if fault is not None and not fault.seconds:
            status, answer, self.more = fault.status, fault.body, fault.headers
        self.send(status, answer)

    def send(self, status: int, answer: Any) -> None:
        self.close_connection = True
        if not status:
            self.connection.close()
            return
        content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**self.more, "Content-Length": str(0 if status == 204 else len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"" if status == 204 else content)

    def routed(self, text: str) -> tuple[int, Any]:
        split = urlsplit(self.path)
        gitlab, path = split.path.startswith("/api/v4"), split.path.removeprefix("/api/v4")
        given = self.headers.get("PRIVATE-TOKEN" if gitlab else "Authorization")
        if given != (self.server.accepts if gitlab else f"Bearer {self.server.accepts}"):
            raise RefusalError(401, "401 Unauthorized" if gitlab else "Bad credentials")
        if path == "/user":
            if self.server.user is None:
                raise RefusalError(403, "Resource not accessible by integration")
            return 200, self.server.user
        if self.command != "GET" and not self.server.may_write:
            raise RefusalError(403, "403 Forbidden" if gitlab else "Resource not accessible by integration")
        self.body = json.loads(text) if text else {}
        self.query = {key: values[0] for key, values in parse_qs(split.query).items()}
        for pattern, act in (GITLAB if gitlab else GITHUB).items():
            method, _, place = pattern.partition(" ")
            match = re.fullmatch(place, path)
            if method == self.command and match:
                return act(self, *match.groups())
        raise RefusalError(404, "404 Not Found" if gitlab else "Not Found")

    def page(self, entries: list[Any], *, key: str = "") -> Any:
        """Return a page, at most 100 entries, and name the next one by an address of the forge's own choosing."""
        size, number = min(int(self.query.get("per_page", 30)), 100), int(self.query.get("page", 1))
        if number * size < len(entries):
            host = self.server.link_host or self.server.root
            kept = "&".join(f"{name}={value}" for name, value in self.query.items() if name != "page")
            following = f"{host}{urlsplit(self.path).path}?{kept}&page={number + 1}"
            self.more["link"] = f'<{following}>; rel="next", <{following}>; rel="last"'
        part = entries[(number - 1) * size : number * size]
        return {"total_count": len(entries), key: part} if key else part

    def pull(self, *_):
        if not self.server.head:
            raise RefusalError(403, "Resource not accessible by integration")
        return 200, {"head": {"sha": self.server.head}, "sha": self.server.head}

    def list_comments(self, *_):
        return 200, self.page(self.server.comments)

    def add_comment(self, *_):
        self.refuse_length()
        return 201, self.server.comment(self.body["body"], self.server.user or BOT)

    def change_comment(self, *places):
        self.refuse_length()
        return 200, self.found(self.server.comments, places[-1]) | self.update(
            self.server.comments, places[-1], self.body
        )

    def drop_comment(self, *places):
        self.server.comments.remove(self.found(self.server.comments, places[-1]))
        return 204, None

    def list_checks(self, commit):
        there = [one for one in self.server.checks if one["head_sha"] == commit]
        named = [one for one in there if self.query.get("check_name") in (None, one["name"])]
        return 200, self.page(named, key="check_runs")

    def add_check(self, *_):
        if not {"name", "head_sha"} <= self.body.keys():
            raise RefusalError(422, 'Invalid request.\n\n"name", "head_sha" weren\'t supplied.')
        self.refuse_output()
        self.server.ids += 1
        output = self.body.get("output", {})
        self.server.checks.append(self.body | {"id": self.server.ids, "annotations": output.get("annotations", [])})
        return 201, self.server.checks[-1]

    def change_check(self, id_):
        """Update a check run; annotations are added to those that there are, as GitHub does."""
        self.refuse_output()
        check = self.found(self.server.checks, id_)
        added = self.body.get("output", {}).get("annotations", [])
        return 200, self.update(self.server.checks, id_, self.body | {"annotations": check["annotations"] + added})

    def list_annotations(self, id_):
        return 200, self.page(self.found(self.server.checks, id_)["annotations"])

    def refuse_length(self) -> None:
        if not self.body.get("body"):
            raise RefusalError(422, "Validation Failed: body is missing")
        if len(self.body["body"]) > MOST_CHARACTERS:
            raise RefusalError(422, "Validation Failed: Body is too long (maximum is 65536 characters)")

    def refuse_output(self) -> None:
        output = self.body.get("output", {})
        if len(output.get("summary", "")) > MOST_CHARACTERS - 1:
            raise RefusalError(422, "Invalid request.\n\nOnly 65535 characters are allowed; were supplied.")
        annotations = output.get("annotations", [])
        if len(annotations) > MOST_ANNOTATIONS:
            raise RefusalError(422, f"Invalid request.\n\nNo more than 50 items are allowed; {len(annotations)} were.")
        for one in annotations:
            if not all(isinstance(one.get(name), kind) for name, kind in FIELDS.items()):
                raise RefusalError(422, "Invalid request.\n\nAn annotation lacks a field.")
            if one["annotation_level"] not in ("notice", "warning", "failure") or one["path"].startswith(("/", "..")):
                raise RefusalError(422, "Invalid request.\n\nAn annotation is wrong.")

    def found(self, entries: list[dict[str, Any]], id_: str) -> dict[str, Any]:
        found = next((one for one in entries if one["id"] == int(id_)), None)
        if found is None:
            raise RefusalError(404, "Not Found")
        return found

    def update(self, entries: list[dict[str, Any]], id_: str, body: dict[str, Any]) -> dict[str, Any]:
        entry = self.found(entries, id_)
        entry.update(body)
        return entry


REPOSITORY = "/repos/pose/net"
GITHUB = {
    f"GET {REPOSITORY}/pulls/7": Handler.pull,
    f"GET {REPOSITORY}/issues/7/comments": Handler.list_comments,
    f"POST {REPOSITORY}/issues/7/comments": Handler.add_comment,
    rf"PATCH {REPOSITORY}/issues/comments/(\d+)": Handler.change_comment,
    rf"DELETE {REPOSITORY}/issues/comments/(\d+)": Handler.drop_comment,
    rf"GET {REPOSITORY}/commits/(\w+)/check-runs": Handler.list_checks,
    f"POST {REPOSITORY}/check-runs": Handler.add_check,
    rf"PATCH {REPOSITORY}/check-runs/(\d+)": Handler.change_check,
    rf"GET {REPOSITORY}/check-runs/(\d+)/annotations": Handler.list_annotations,
}
NOTES = "/projects/42/merge_requests/7/notes"
GITLAB = {
    "GET /projects/42/merge_requests/7": Handler.pull,
    f"GET {NOTES}": Handler.list_comments,
    f"POST {NOTES}": Handler.add_comment,
    rf"PUT {NOTES}/(\d+)": Handler.change_comment,
    rf"DELETE {NOTES}/(\d+)": Handler.drop_comment,
}
