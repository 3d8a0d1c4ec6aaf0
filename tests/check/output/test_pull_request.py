"""A verdict on a pull request, by requests to a forge on this machine that behaves as the real ones document it."""

import itertools
import json
import time

import pytest

from greenpose.check import CheckVerdict
from greenpose.check.output import forge_api
from greenpose.check.output.forge_api import PATIENCE_S
from greenpose.check.output.markdown import marker, to_markdown
from greenpose.check.output.pull_request import post
from tests.check.candidates import finding, mixed
from tests.fakes.forge import CREDENTIAL, FakeTime, Fault, Forge

FINE = CheckVerdict(subject="a", against="b", findings=(finding(outcome="ok"),))
PERSON = {"login": "octocat", "type": "User", "id": 5}
POSTED = {"check run": "", "comment": ""}


@pytest.fixture
def forge():
    with Forge() as server:
        yield server


@pytest.fixture
def github(forge, tmp_path):
    """Return a function that posts as a job on GitHub does: what became of it, and the time that it took."""

    def push(verdict=None, *, commit="c1", when="always", code=1, number=7, clock=None, name="quick", **environment):
        event = tmp_path / "event.json"
        pull = {"pull_request": {"number": number, "head": {"sha": commit}}} if number else {}
        event.write_text(json.dumps(pull))
        told = {
            "GITHUB_REPOSITORY": "pose/net",
            "GITHUB_API_URL": forge.root,
            "GITHUB_TOKEN": CREDENTIAL,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_SHA": "merge",
            "GITHUB_WORKSPACE": str(tmp_path),
            "GITHUB_RUN_ID": "99",
        }
        clock = clock or FakeTime()
        return post(
            verdict or mixed(),
            name,
            when=when,
            code=code,
            environment=told | environment,
            now=clock.now,
            sleep=clock.sleep,
        )

    return push


def ours(forge, name="quick"):
    return [one for one in forge.comments if one["body"].rstrip().endswith(marker(name))]


def test_ten_pushes_leave_one_comment_and_one_check_run_a_commit(forge, github):
    for number in range(250):
        forge.comment(f"comment {number} of somebody", PERSON)
    for push in range(10):
        for _ in range(2):  # the job is run again for the same commit
            assert github(commit=f"c{push}") == POSTED
    (comment,) = ours(forge)
    assert len(forge.comments) == 251
    assert "<br>commit c9" in comment["body"]
    assert comment["body"].startswith("### ❌ Regressed: exit3.macs rose by 10.0\u00a0%")
    assert [one["head_sha"] for one in forge.checks] == [f"c{push}" for push in range(10)]
    assert forge.asked("POST").count("/repos/pose/net/issues/7/comments") == 1


def test_the_check_run_is_of_the_pull_request_s_head_and_annotates_files_of_the_repository(
    forge, github, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    for file in ("greenpose-baseline.json", "experiments/quick.yaml"):
        (tmp_path / file).write_text("")
    paired = finding("exit2", "cpu_s_per_image", file=None, line=None, way="paired")
    verdict = CheckVerdict(subject="experiments/quick.yaml", against="b", findings=(*mixed().findings, paired))
    github(verdict)
    (check,) = forge.checks
    assert (check["name"], check["status"], check["conclusion"]) == ("GreenPose quick", "completed", "failure")
    assert check["details_url"] == "https://github.com/pose/net/actions/runs/99"
    assert check["output"]["title"].startswith("Regressed: exit3.macs rose by 10.0\u00a0%")
    places = [(one["annotation_level"], one["path"], one["start_line"]) for one in check["annotations"]]
    assert places == [
        ("failure", "greenpose-baseline.json", 12),
        ("failure", "greenpose-baseline.json", 14),
        ("failure", "experiments/quick.yaml", 1),
        ("warning", "greenpose-baseline.json", 7),
        ("warning", "greenpose-baseline.json", 5),
        ("notice", "greenpose-baseline.json", 20),
    ]  # budgets.yaml is no file here
    github(verdict)
    assert len(check["annotations"]) == 6  # GitHub adds what an update brings


@pytest.mark.parametrize(
    ("outcome", "code", "conclusion"),
    [
        ("ok", 0, "success"),
        ("improved", 0, "success"),
        ("regressed", 1, "failure"),
        ("inconclusive", 3, "neutral"),
        ("incomparable", 0, "neutral"),
        ("inconclusive", 1, "failure"),
    ],
)
def test_the_check_run_ends_as_the_command_does(forge, github, outcome, code, conclusion):
    github(CheckVerdict(subject="a", against="b", findings=(finding(outcome=outcome),)), code=code)
    assert [one["conclusion"] for one in forge.checks] == [conclusion]


def test_more_annotations_than_github_takes_are_counted(forge, github, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "greenpose-baseline.json").write_text("")
    many = tuple(finding("exit3", f"m{k}", line=k + 1) for k in range(120))
    assert github(CheckVerdict(subject="a", against="b", findings=many)) == POSTED
    (check,) = forge.checks
    assert len(check["annotations"]) == 50
    assert "70 more annotations" in check["output"]["summary"]


@pytest.mark.parametrize(("number", "when"), [(None, "always"), (7, "never")])
def test_without_a_pull_request_or_where_none_is_wanted_there_is_no_comment(forge, github, number, when):
    assert github(number=number, when=when) == {"check run": ""}
    assert [one["head_sha"] for one in forge.checks] == ["c1" if number else "merge"]
    assert forge.comments == []


def test_on_change_a_comment_is_begun_only_where_something_changed_but_is_always_kept_up_to_date(forge, github):
    github(FINE, when="on-change")
    assert forge.comments == []
    github(mixed(), when="on-change")
    github(FINE, when="on-change")
    (comment,) = ours(forge)
    assert comment["body"].startswith("### ✅ Ok: 1\u00a0quantity unchanged")


def test_what_stands_there_already_is_not_written_again(forge, github):
    github()
    github()
    assert [path for path in forge.asked("PATCH") if "comments" in path] == []


def test_checks_of_other_names_have_comments_of_their_own(forge, github):
    for name in ("quick", "slow", "quick", "slow"):
        github(name=name)
    assert (len(ours(forge, "quick")), len(ours(forge, "slow")), len(forge.checks)) == (1, 1, 2)


def test_a_comment_of_somebody_else_with_our_marker_is_left_alone(forge, github):
    theirs = forge.comment(f"all is well\n{marker('quick')}", PERSON)
    quoted = forge.comment(f"> {marker('quick')}\n\nwhat is this?")
    github()
    assert (theirs["body"][:11], quoted["body"][-13:]) == ("all is well", "what is this?")
    assert len(ours(forge)) == 2


def test_with_a_person_s_token_the_person_s_comment_is_updated(forge, github):
    forge.user = PERSON
    for commit in ("c1", "c2"):
        github(commit=commit)
    (comment,) = ours(forge)
    assert "c2" in comment["body"]


def test_where_two_jobs_raced_one_comment_is_left(forge, github):
    text = to_markdown(mixed(), "quick")
    first = forge.comment(text)
    forge.comment("between", PERSON)
    forge.comment(text)
    forge.comment(text)
    assert github() == POSTED
    assert [one["id"] for one in ours(forge)] == [first["id"]]
    assert len(forge.comments) == 2


@pytest.mark.parametrize("forge_of", ["github", "gitlab"])
def test_a_job_that_ends_after_that_of_a_newer_push_leaves_its_comment_alone(forge, request, forge_of):
    push = request.getfixturevalue(forge_of)
    forge.head = "c2"
    assert push(commit="c2")["comment"] == ""
    done = push(FINE, commit="c1")
    assert done["comment"] == "commit c1 is no longer the newest, c2 is, and has a job of its own"
    (comment,) = ours(forge)
    assert "Regressed" in comment["body"]
    assert [one["head_sha"] for one in forge.checks] == (["c2", "c1"] if forge_of == "github" else [])


def test_a_fork_s_job_may_not_write_and_is_told_so(forge, github):
    forge.may_write = False
    done = github()
    assert set(done) == {"comment", "check run"}
    assert all(
        "403 Resource not accessible by integration; jobs of forks may only read" in why for why in done.values()
    )


def test_what_is_hidden_or_gone_is_told(forge, github):
    forge.faults += [Fault("*", 404, body={"message": "Not Found"}) for _ in range(3)]
    done = github()
    assert all("404 Not Found; jobs of forks" in why for why in done.values())


def test_what_is_refused_as_wrong_is_told(forge, github):
    forge.faults.append(Fault("POST", 422, body={"message": "Validation Failed"}))
    assert "422 Validation Failed" in github()["check run"]


def test_the_longest_text_is_not_refused(forge, github):
    long = "&" * 5000
    many = tuple(
        finding(
            f"{long}{k}", long, ["regressed", "ok"][k % 2], says=f"{k}{long}", way=way, file=long, head=None, unit="x"
        )
        for k, way in enumerate(["exact", "budget", "paired"] * 200)
    )
    verdict = CheckVerdict(subject=long, against=long, findings=many, notes=tuple(f"{k}{long}" for k in range(9)))
    assert github(verdict) == POSTED
    assert 25_000 < len(ours(forge)[0]["body"]) <= 65_536


RESET = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0"}
PRIMARY = {"message": "API rate limit exceeded for installation ID 1."}
SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [
        (Fault("*", 403, {**RESET, "X-RateLimit-Reset": "SOON"}, PRIMARY), 19, 22),
        (Fault("*", 403, {**RESET, "X-RateLimit-Reset": "SOON"}, "<html>"), 19, 22),
        (Fault("*", 429, {"Retry-After": "7"}, SECONDARY), 7, 7),
        (Fault("*", 403, {"Retry-After": "9"}, SECONDARY), 9, 9),
        (Fault("*", 403, {}, SECONDARY), 60, 60),
        (Fault("*", 500, {}, "<html>"), 1, 1),
        (Fault("*", 502, {}, {"message": "Server Error"}), 1, 1),
        (Fault("*", 503, {"Retry-After": "3"}, ""), 1, 1),
        (Fault("*", 0), 1, 1),
    ],
    ids=[
        "primary",
        "primary, by its headers",
        "secondary 429",
        "secondary 403",
        "no word how long",
        "500",
        "502",
        "503",
        "broken off",
    ],
)
def test_a_busy_forge_is_asked_again_when_it_says(forge, github, fault, least, most):
    clock = FakeTime()
    if "X-RateLimit-Reset" in fault.headers:
        fault.headers["X-RateLimit-Reset"] = str(int(clock.at) + 20)
    forge.faults.append(fault)
    assert github(clock=clock) == POSTED
    (pause,) = clock.pauses
    assert least <= pause <= most
    assert (len(ours(forge)), len(forge.checks)) == (1, 1)


def test_a_limit_that_lasts_longer_than_a_job_should_wait_is_told_at_once(forge, github):
    clock = FakeTime()
    reset = {**RESET, "X-RateLimit-Reset": str(int(clock.at) + 3000)}
    forge.faults += [Fault("*", 403, reset, PRIMARY) for _ in range(2)]
    done = github(clock=clock)
    assert all("rate limit exceeded" in why and "given up" in why for why in done.values())
    assert clock.pauses == []


def test_a_forge_that_stays_down_is_given_up_within_the_time_for_it(forge, github):
    clock = FakeTime()
    forge.faults += [Fault("*", 503, {}, "") for _ in range(200)]
    began = clock.at
    done = github(clock=clock)
    assert all("503" in why for why in done.values())
    assert clock.at - began <= PATIENCE_S
    assert clock.pauses[:3] == [1, 2, 4]


@pytest.mark.parametrize("lost", [Fault("POST", 502, {}, "", done=True), Fault("POST", 0, done=True)])
def test_a_write_whose_answer_was_lost_is_not_made_twice(forge, github, lost):
    forge.faults += [lost, Fault(lost.method, lost.status, body="", done=True)]
    assert github() == POSTED
    assert (len(ours(forge)), len(forge.checks)) == (1, 1)


def test_a_slow_forge_is_not_waited_for_for_ever(forge, github, monkeypatch):
    monkeypatch.setattr(forge_api, "TIMEOUT_S", 1.0)
    forge.faults += [Fault("GET", seconds=2.5)]
    assert github() == POSTED
    monkeypatch.setattr(forge_api, "TIMEOUT_S", 0.1)
    forge.faults += [Fault("*", seconds=2.5) for _ in range(100)]
    began = time.monotonic()
    assert set(github(commit="c2")) == {"comment", "check run"}
    assert time.monotonic() - began < 30


OURS_WITHOUT_A_NUMBER = json.dumps([{"body": marker("quick"), "user": {"type": "Bot"}}])


@pytest.mark.parametrize(
    "page", [OURS_WITHOUT_A_NUMBER, "<html>sign in</html>", "[1, 2]", '{"check_runs": 3}', "null", "7", '[{"body": 5}]']
)
def test_an_answer_of_another_kind_is_no_crash(forge, github, page):
    forge.faults += [Fault("GET", 200, {}, page) for _ in range(2)]
    assert set(github()) == {"comment", "check run"}


def test_the_token_goes_into_one_header_and_nowhere_else(forge, github):
    with Forge(accepts="another") as elsewhere:
        forge.link_host = elsewhere.root
        for number in range(150):
            forge.comment(f"comment {number}", PERSON)
        moved = {"Location": f"{elsewhere.root}/repos/pose/net/issues/7/comments"}
        forge.faults += [Fault("POST", 307, moved, ""), Fault("GET", 302, moved, "")]
        forge.faults += [Fault("PATCH", 401, {}, {"message": f"Bad credentials: {CREDENTIAL}"})]
        told = [github(commit=f"c{push}") for push in range(5)]
    assert elsewhere.requests == []
    assert CREDENTIAL not in json.dumps(told)
    assert any("***" in why for one in told for why in one.values())
    for _, path, headers, body in forge.requests:
        assert [name for name, value in headers.items() if CREDENTIAL in value] == ["Authorization"]
        assert CREDENTIAL not in path + body


@pytest.mark.parametrize("broken", ["ghs_first\nghs_second", "ghs_\u20ac", "ghs_\r\nX-Other: 1"])
def test_a_token_that_no_header_takes_is_not_told_either(forge, github, broken):
    done = github(GITHUB_TOKEN=broken)
    assert all("GITHUB_TOKEN cannot be sent" in why for why in done.values())
    assert "ghs_" not in json.dumps(done)
    assert forge.requests == []


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "no job of GitHub"),
        ({"GITHUB_REPOSITORY": "a/b"}, "GITHUB_TOKEN is not set; give the job's own"),
        ({"CI_API_V4_URL": "https://x/api/v4"}, "GITLAB_TOKEN is not set; make a project access token"),
        ({"GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": "x", "GITHUB_API_URL": "file:///etc"}, "is no address"),
    ],
)
def test_where_there_is_nowhere_to_post_that_is_told(environment, why):
    assert why in post(mixed(), "quick", when="always", code=1, environment=environment)["comment"]


@pytest.fixture
def gitlab(forge):
    forge.user = {"id": 3, "username": "project_42_bot"}

    def push(verdict=None, *, commit="c1", when="always", **environment):
        clock = FakeTime()
        told = {
            "CI_API_V4_URL": f"{forge.root}/api/v4",
            "GITLAB_TOKEN": CREDENTIAL,
            "CI_PROJECT_ID": "43",  # the fork's own
            "CI_MERGE_REQUEST_PROJECT_ID": "42",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_COMMIT_SHA": commit,
        }
        return post(
            verdict or mixed(),
            "quick",
            when=when,
            code=1,
            environment=told | environment,
            now=clock.now,
            sleep=clock.sleep,
        )

    return push


def test_on_gitlab_ten_pushes_leave_one_note(forge, gitlab):
    for number in range(250):
        forge.comment(f"note {number}", PERSON)
    theirs = forge.comment(f"mine\n{marker('quick')}", PERSON)
    forge.link_host = "http://inside.invalid:1"  # behind a proxy GitLab names addresses that nobody outside can reach
    for push in range(10):
        assert gitlab(commit=f"c{push}") == {"comment": ""}
    assert theirs["body"].startswith("mine")
    ours_ = [one for one in ours(forge) if one is not theirs]
    assert len(ours_) == 1
    assert "commit c9" in ours_[0]["body"]
    assert all("Authorization" not in headers for _, _, headers, _ in forge.requests)


def test_gitlab_s_refusals_and_limits_are_told_and_waited_for(forge, gitlab):
    forge.faults.append(Fault("*", 429, {"Retry-After": "5"}, "Retry later\n"))
    assert gitlab() == {"comment": ""}
    forge.may_write = False
    forge.comments.clear()
    assert "403 Forbidden; the token needs the scope api" in gitlab()["comment"]


def test_a_pipeline_of_a_branch_has_no_note(forge, gitlab):
    assert gitlab(CI_MERGE_REQUEST_IID="") == {}
    assert forge.requests == []


def test_ten_pushes_through_a_storm_of_faults_leave_one_comment_and_a_check_run_each(forge, github):
    storm = itertools.cycle(
        [
            Fault("POST", 502, {}, "", done=True),
            Fault("GET", 0),
            Fault("PATCH", 500, {}, "", done=True),
            Fault("GET", 429, {"Retry-After": "2"}, SECONDARY),
            Fault("POST", 0, done=True),
            Fault("PATCH", 403, {"Retry-After": "1"}, SECONDARY),
        ]
    )
    for push in range(10):
        forge.faults += [next(storm), next(storm), next(storm)]
        assert github(commit=f"c{push}") == POSTED
    assert (len(ours(forge)), len(forge.checks)) == (1, 10)
