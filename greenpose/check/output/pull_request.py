"""A verdict on the pull request that it is about: one comment and one check run, found again and updated.

On GitHub a comment and a check run with annotations, on GitLab a note on the merge request. What is there is looked for
over all pages before anything is written, also again after a write whose answer was lost, so that ten pushes leave one
comment, and a commit has one check run. The forge and its token are named by the job's environment; the token goes into
a header of requests to that forge and nowhere else.

Source: https://docs.github.com/en/rest (issue comments, check runs), https://docs.gitlab.com/api (notes).
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from greenpose.check.output.forge_api import AgainError, Api, RefusedError
from greenpose.check.output.markdown import LEVELS, marker, to_markdown
from greenpose.check.output.text import headline
from greenpose.check.verdict import CheckVerdict, sorted_findings
from greenpose.formatting import shown

MOST_ANNOTATIONS = 50
"""Annotations that GitHub takes with one request."""
LEVEL_OF_CHECK = {"error": "failure", "warning": "warning", "notice": "notice"}


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
        # not its words: they may hold what was sent, and with it the token
        return (
            f"{forge.variable} cannot be sent, or the answer is not what the forge documents ({type(error).__name__})"
        )
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
    """Update our comment; make it where there is none and it is to `begin`; keep only the first where jobs raced.

    Raises:
        RefusedError: if the pull request has a newer commit: what its job said, or will say, must stand.
    """
    head = _head(forge)
    if head not in ("", forge.commit):
        raise RefusedError(
            f"commit {forge.commit[:10]} is no longer the newest, {head[:10]} is, and has a job of its own"
        )
    found = [one for one in forge.comments() if str(one.get("body", "")).rstrip().endswith(mark) and forge.is_ours(one)]
    if not found and begin:
        forge.api.ask("POST", forge.to_comment, {"body": body})
    for first in found[:1]:
        if str(first["body"]).strip() != body.strip():
            forge.api.ask(forge.update, forge.comment(first), {"body": body})
    for other in found[1:]:
        forge.api.ask("DELETE", forge.comment(other))


def _head(forge: "GitHub | GitLab") -> str:
    """Return the newest commit of the pull request; empty where that may not be asked."""
    try:
        return str(forge.newest(forge.api.ask("GET", forge.place)))
    except AgainError:
        raise
    except RefusedError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """A repository on GitHub, and the commit and pull request that a job is about."""

    api: Api
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
    def of(cls, environment: Mapping[str, str], api: Api) -> "GitHub":
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
    def place(self) -> str:
        """Return where the pull request is."""
        return f"/repos/{self.repository}/pulls/{self.number}"

    def newest(self, pull: Mapping[str, Any]) -> Any:
        """Return the head of the pull request."""
        return pull["head"]["sha"]

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

    api: Api
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
    def of(cls, environment: Mapping[str, str], api: Api) -> "GitLab":
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
    def place(self) -> str:
        """Return where the merge request is."""
        return f"/projects/{quote(self.project, safe='')}/merge_requests/{self.number}"

    def newest(self, merge: Mapping[str, Any]) -> Any:
        """Return the head of the merge request."""
        return merge["sha"]

    @property
    def to_comment(self) -> str:
        """Return where the merge request's notes are."""
        return f"{self.place}/notes"

    def comments(self) -> Iterator[dict[str, Any]]:
        """Yield the merge request's notes, oldest first."""
        return self.api.pages(f"{self.to_comment}?sort=asc&order_by=created_at")

    def comment(self, one: Mapping[str, Any]) -> str:
        """Return where a note is."""
        return f"{self.to_comment}/{one['id']}"

    def is_ours(self, one: Mapping[str, Any]) -> bool:
        """Return whether a note is of the one whose token this is: others may copy the marker."""
        return bool((one.get("author") or {}).get("id") == self.api.whoami("id"))
