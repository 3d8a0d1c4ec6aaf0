"""A verdict on the pull request that it is about: one comment and one check run, found again and updated.

On GitHub a comment and a check run with annotations, on GitLab a note on the merge request. What is there is looked for
over all pages before anything is written, also again after a write whose answer was lost, so that ten pushes leave one
comment, and a commit has one check run. The forge and its token are named by the job's environment; the token goes into
a header of requests to that forge and nowhere else.

Source: https://docs.github.com/en/rest (issue comments, check runs, best practices); https://docs.gitlab.com/api.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from greenpose.check.output.markdown import LEVELS, marker, to_markdown
from greenpose.check.output.text import headline
from greenpose.check.verdict import CheckVerdict, sorted_findings
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
MOST_ANNOTATIONS = 50
"""Annotations that GitHub takes with one request."""
LEVEL_OF_CHECK = {"error": "failure", "warning": "warning", "notice": "notice"}


class RefusedError(GreenPoseError):
    """What a forge did not do, in words, and the status of its answer where there was one."""

    def __init__(self, says: str, status: int = 0) -> None:
        super().__init__(says)
        self.status = status


class _AgainError(RefusedError):
    """A fault that may be gone after a pause; None where the forge does not say how long."""

    def __init__(self, says: str, pause_s: float | None = None) -> None:
        super().__init__(says)
        self.pause_s = pause_s


def post(
    verdict: CheckVerdict,
    name: str,
    *,
    when: str,
    code: int,
    environment: Mapping[str, str] = os.environ,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Post a verdict, and return by `comment` and `check run` why that was not done; empty where it was.

    What was not asked for is left out: the comment with `never`, and where there is no pull request; the check run on
    GitLab, whose job is its check. With `on-change`, no comment is begun where nothing changed, but one that is there
    is updated. `code` is the exit code, which the check run shows.
    """
    try:
        forge = _forge(environment, now, sleep)
    except RefusedError as error:
        return {"comment": str(error)}
    done: dict[str, Callable[[], None]] = {}
    if isinstance(forge, GitHub):
        done["check run"] = lambda: forge.put_check(verdict, name, code)
    if when != "never" and forge.number is not None:
        body = to_markdown(verdict, name, remark=f"commit {forge.commit[:10]}")
        changed = any(one.word != "ok" for one in verdict.findings)
        done["comment"] = lambda: _put_comment(forge, body, marker(name), begin=changed or when == "always")
    return {what: _fault(forge, action) for what, action in done.items()}


def _fault(forge: "GitHub | GitLab", action: Callable[[], None]) -> str:
    """Do something, again where that may help, and return why it was not done in the end; empty where it was."""
    try:
        forge.api.insist(action)
    except RefusedError as error:
        return f"{error}; {forge.rights}" if error.status in (401, 403, 404) else str(error)
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # the verdict stands, whatever a forge says
        return f"the answer is not what the forge documents ({type(error).__name__}: {shown(str(error))[:100]})"
    return ""


def _forge(
    environment: Mapping[str, str], now: Callable[[], float], sleep: Callable[[float], None]
) -> "GitHub | GitLab":
    """Return the forge whose job this is.

    Raises:
        RefusedError: if this is no job of one, or has no token.
    """
    kind = GitHub if environment.get("GITHUB_REPOSITORY") else GitLab if environment.get("CI_API_V4_URL") else None
    if kind is None:
        raise RefusedError("this is no job of GitHub (GITHUB_REPOSITORY) or GitLab (CI_API_V4_URL)")
    secret = environment.get(kind.variable, "").strip()
    if not secret:
        raise RefusedError(f"{kind.variable} is not set; {kind.remedy}")
    root = environment.get("CI_API_V4_URL" if kind is GitLab else "GITHUB_API_URL") or "https://api.github.com"
    return kind.of(environment, Api(root, kind.header.format(secret), secret=secret, now=now, sleep=sleep))


def _put_comment(forge: "GitHub | GitLab", body: str, mark: str, *, begin: bool) -> None:
    """Update our comment; make it where there is none and it is to `begin`; keep only the first where jobs raced."""
    found = [one for one in forge.comments() if str(one.get("body", "")).rstrip().endswith(mark) and forge.is_ours(one)]
    if not found and begin:
        forge.api.ask("POST", forge.to_comment, {"body": body})
    for first in found[:1]:
        if str(first["body"]).strip() != body.strip():
            forge.api.ask(forge.update, forge.comment(first), {"body": body})
    for other in found[1:]:
        forge.api.ask("DELETE", forge.comment(other))


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """A repository on GitHub, and the commit and pull request that a job is about."""

    api: "Api"
    """Its interface."""
    repository: str
    """`owner/name`."""
    commit: str
    """Head of the pull request, not the merge that the job has checked out."""
    number: int | None
    """The pull request; None where the job is about none."""
    folder: Path
    """Checkout of the repository, which annotations' files are named from."""
    page: str
    """Address of the job's page; empty where it is not known."""

    variable = "GITHUB_TOKEN"
    remedy = "give the job's own: env: {GITHUB_TOKEN: ${{ github.token }}}"
    rights = "jobs of forks may only read; others need permissions: {checks: write, pull-requests: write}"
    header = "Authorization: Bearer {}"
    update = "PATCH"

    @classmethod
    def of(cls, environment: Mapping[str, str], api: "Api") -> "GitHub":
        """Return what a job's environment says."""
        event = _event(environment.get("GITHUB_EVENT_PATH", ""))
        pull = event.get("pull_request")
        pull = pull if isinstance(pull, dict) else {}
        head = pull.get("head")
        repository, run = environment["GITHUB_REPOSITORY"], environment.get("GITHUB_RUN_ID", "")
        server = environment.get("GITHUB_SERVER_URL", "https://github.com")
        return cls(
            api=api,
            repository=repository,
            commit=str(head["sha"]) if isinstance(head, dict) and "sha" in head else environment.get("GITHUB_SHA", ""),
            number=pull["number"] if isinstance(pull.get("number"), int) else None,
            folder=Path(environment.get("GITHUB_WORKSPACE") or Path.cwd()),
            page=f"{server}/{repository}/actions/runs/{run}" if run else "",
        )

    @property
    def to_comment(self) -> str:
        """Return where the pull request's comments are."""
        return f"/repos/{self.repository}/issues/{self.number}/comments"

    def comments(self) -> Iterator[dict[str, Any]]:
        """Yield the pull request's comments."""
        return self.api.pages(self.to_comment)

    def comment(self, one: Mapping[str, Any]) -> str:
        """Return where a comment is."""
        return f"/repos/{self.repository}/issues/comments/{one['id']}"

    def is_ours(self, one: Mapping[str, Any]) -> bool:
        """Return whether a comment is a job's, or of the person whose token this is: others may copy the marker."""
        user = one.get("user") or {}
        return bool(user.get("type") == "Bot" or user.get("login") == self.api.whoami("login"))

    def put_check(self, verdict: CheckVerdict, name: str, code: int) -> None:
        """Make the commit's check run of this name, or update it; an annotation that it has is not added again."""
        title, runs = f"GreenPose {name}", f"/repos/{self.repository}/check-runs"
        listed = (
            f"/repos/{self.repository}/commits/{quote(self.commit)}/check-runs?check_name={quote(title)}&filter=all"
        )
        found = [one for one in self.api.pages(listed, "check_runs") if one.get("external_id") == marker(name)]
        annotations = list(_annotations(verdict, self.folder))
        body: dict[str, Any] = {
            "name": title,
            "head_sha": self.commit,
            "external_id": marker(name),
            "status": "completed",
            "conclusion": _conclusion(verdict, code),
        } | ({"details_url": self.page} if self.page else {})
        if found:
            place = f"{runs}/{found[0]['id']}"
            there = [_place(one) for one in self.api.pages(f"{place}/annotations")]
            annotations = [one for one in annotations if _place(one) not in there]
            del body["head_sha"]
        left_out = len(annotations) - MOST_ANNOTATIONS
        said = f"\n{left_out} more annotations than GitHub takes at once are left out.\n" if left_out > 0 else ""
        body["output"] = {
            "title": shown(headline(verdict))[:250],
            "summary": to_markdown(verdict, name) + said,
            "annotations": annotations[:MOST_ANNOTATIONS],
        }
        self.api.ask("PATCH" if found else "POST", place if found else runs, body)


def _event(path: str) -> dict[str, Any]:
    """Return what started the job; nothing where that is not known."""
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, dict) else {}


def _conclusion(verdict: CheckVerdict, code: int) -> str:
    """Return the check run's word: as the exit code, and neutral where the answer is none."""
    unsure = verdict.outcome in ("inconclusive", "incomparable")
    return "failure" if code == 1 else "neutral" if unsure else "success"


def _annotations(verdict: CheckVerdict, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield an annotation for each finding that is not ok, gravest first, at the line that holds the other side.

    What no file holds stands at the head of the experiment; what is not a file of the repository has no annotation.
    """
    for one in sorted_findings(verdict.findings):
        path = _within(one.file or verdict.subject, folder)
        if one.word in LEVELS and path:
            yield {
                "path": path,
                "start_line": one.line or 1,
                "end_line": one.line or 1,
                "annotation_level": LEVEL_OF_CHECK[LEVELS[one.word]],
                "title": shown(f"{one.name} {one.outcome}")[:250],
                "message": f"{one.name}: {one.advised}"[:8000],
            }


def _within(file: str, folder: Path) -> str:
    """Return a file by its path from a folder; empty where it is none, or lies elsewhere."""
    try:
        path, top = Path(file).resolve(strict=True), folder.resolve()
    except (OSError, ValueError):
        return ""
    return path.relative_to(top).as_posix() if path.is_file() and path.is_relative_to(top) else ""


def _place(annotation: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(annotation.get(key) for key in ("path", "start_line", "title", "message"))


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLab:
    """A project on GitLab, and the merge request that a job is about."""

    api: "Api"
    """Its interface."""
    project: str
    """Number of the project that the merge request is in."""
    commit: str
    """What is checked."""
    number: int | None
    """The merge request; None where the job is about none."""

    variable = "GITLAB_TOKEN"
    remedy = "make a project access token with the scope api, and a masked variable of it (a job's own cannot comment)"
    rights = "the token needs the scope api and the role Developer; jobs of forks do not have it"
    header = "PRIVATE-TOKEN: {}"
    update = "PUT"

    @classmethod
    def of(cls, environment: Mapping[str, str], api: "Api") -> "GitLab":
        """Return what a job's environment says."""
        number = environment.get("CI_MERGE_REQUEST_IID", "")
        own = environment.get("CI_PROJECT_ID", "")
        return cls(
            api=api,
            project=environment.get("CI_MERGE_REQUEST_PROJECT_ID", own),
            commit=environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environment.get("CI_COMMIT_SHA", ""),
            number=int(number) if number.isdecimal() else None,
        )

    @property
    def to_comment(self) -> str:
        """Return where the merge request's notes are."""
        return f"/projects/{quote(self.project, safe='')}/merge_requests/{self.number}/notes"

    def comments(self) -> Iterator[dict[str, Any]]:
        """Yield the merge request's notes, oldest first."""
        return self.api.pages(f"{self.to_comment}?sort=asc&order_by=created_at")

    def comment(self, one: Mapping[str, Any]) -> str:
        """Return where a note is."""
        return f"{self.to_comment}/{one['id']}"

    def is_ours(self, one: Mapping[str, Any]) -> bool:
        """Return whether a note is of the one whose token this is: others may copy the marker."""
        return bool((one.get("author") or {}).get("id") == self.api.whoami("id"))


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
            except _AgainError as fault:
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
            except _AgainError:
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
            raise _AgainError(self._said(f"{method} {path}: no answer: {why}")) from None

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
            raise _AgainError(f"{words} (a limit on requests)", _pause(error.headers, self._now()))
        if error.code >= 500 or error.code == 408:
            raise _AgainError(words)
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
