"""A lock has one holder, whatever became of those before it; git is asked about the folder that is meant."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from greenpose.errors import GreenPoseError
from greenpose.files import ask_git, cache_folder, head_commit, is_locked, locked, write_parts

RIVALS = 4
ROUNDS = 60

RIVAL = """
import sys
from contextlib import ExitStack
from pathlib import Path
from greenpose.files import locked
for line in sys.stdin:
    with ExitStack() as held:
        print(held.enter_context(locked(Path(line.strip()), wait=False)), flush=True)
        sys.stdin.readline()  # holds it until all have tried
    print("let go", flush=True)
"""
HOLDER = """
import sys
from pathlib import Path
from greenpose.files import locked
with locked(Path(sys.argv[1]), wait=False) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def begin():
    """Start Python scripts with pipes; none outlives the test."""
    processes = []

    def started(script, *arguments, before=()):
        command = [*before, sys.executable, "-c", script, *map(str, arguments)]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def tell(process, line):
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def winners(rivals, path):
    """Let all try at once, and return how many got it; who did holds it until every one has tried."""
    for rival in rivals:
        tell(rival, path)
    won = [rival.stdout.readline() for rival in rivals].count("True\n")
    for rival in rivals:
        tell(rival, "")
    assert [rival.stdout.readline() for rival in rivals] == ["let go\n"] * len(rivals)
    return won


@pytest.mark.parametrize("before", ["nothing", "what a killed holder left"])
def test_of_rivals_exactly_one_gets_it_every_time(tmp_path, begin, before):
    rivals = [begin(RIVAL) for _ in range(RIVALS)]
    won = []
    for number in range(ROUNDS):
        path = tmp_path / f"{number}.lock"
        if before != "nothing":
            path.write_text('{"pid": 999999, "process_started": 1.0}')
        won.append(winners(rivals, path))
        assert not path.exists()
    assert won == [1] * ROUNDS


def test_rivals_on_one_file_that_comes_and_goes_with_its_holder_are_never_two(tmp_path, begin):
    hurried = """
import os, sys, time
from pathlib import Path
from greenpose.files import locked
path, inside = Path(sys.argv[1]), Path(sys.argv[2])
held = 0
while held < 150:
    with locked(path, wait=False) as mine:
        if mine:
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails where another one is inside
            held += 1
            inside.unlink()
print(held)
"""
    rivals = [begin(hurried, tmp_path / "a.lock", tmp_path / "inside") for _ in range(RIVALS)]
    assert [rival.communicate(timeout=120)[0] for rival in rivals] == ["150\n"] * RIVALS
    assert list(tmp_path.iterdir()) == []


def test_who_asks_whether_it_is_held_is_in_nobodys_way(tmp_path, begin):
    path = tmp_path / "a.lock"
    asks = "import sys\nfrom pathlib import Path\nfrom greenpose.files import is_locked\nprint('asks', flush=True)\n"
    asks += "while True: is_locked(Path(sys.argv[1]))"
    for asking in [begin(asks, path) for _ in range(2)]:
        assert asking.stdout.readline() == "asks\n"
    path.touch()
    assert not is_locked(path)
    for _ in range(100):
        with locked(path, wait=False) as mine:
            assert mine
            assert is_locked(path)


def test_a_holder_killed_and_not_yet_waited_for_holds_nothing_any_more(tmp_path, begin):
    path = tmp_path / "a.lock"
    holder = begin(HOLDER, path)
    assert holder.stdout.readline() == "True\n"
    assert is_locked(path)
    os.kill(holder.pid, signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    with locked(path, wait=False) as mine:
        assert mine


def test_a_stopped_holder_holds_it_still(tmp_path, begin):
    path = tmp_path / "a.lock"
    holder = begin(HOLDER, path)
    assert holder.stdout.readline() == "True\n"
    os.kill(holder.pid, signal.SIGSTOP)
    with locked(path, wait=False) as mine:
        assert not mine


def test_a_holder_in_another_pid_namespace_is_alive(tmp_path, begin):
    apart = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a pid namespace")
    path = tmp_path / "a.lock"
    holder = begin(HOLDER, path, before=apart)
    assert holder.stdout.readline() == "True\n"
    assert is_locked(path)
    with locked(path, wait=False) as mine:
        assert not mine


def test_whoever_waits_gets_it_when_it_is_free(tmp_path, begin):
    path = tmp_path / "a.lock"
    holder = begin(HOLDER, path)
    assert holder.stdout.readline() == "True\n"
    waiting = begin(HOLDER.replace("wait=False", "wait=True"), path)
    time.sleep(0.2)
    holder.communicate("")
    assert waiting.stdout.readline() == "True\n"


def test_the_lock_of_a_folder_made_again_is_not_taken_away_with_the_old_one(tmp_path):
    path = tmp_path / "run" / "a.lock"
    path.parent.mkdir()
    with locked(path) as mine:
        assert mine
        path.parent.rename(tmp_path / "old")
        path.parent.mkdir()
        path.write_text("another process's")
    assert path.read_text() == "another process's"


def test_where_nothing_can_be_locked_the_message_names_the_file(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.lock"
    with pytest.raises(GreenPoseError, match=r"file/a\.lock: cannot be locked \("), locked(path):
        pass


def test_a_file_system_without_locks_is_said_by_the_path(tmp_path):
    code = (
        "import errno, fcntl, sys\n"
        "def flock(*_): raise OSError(errno.{}, 'no locks here')\n"
        "fcntl.flock = flock\n"
        "from pathlib import Path\n"
        "from greenpose.errors import GreenPoseError\n"
        "from greenpose.files import is_locked, locked\n"
        "path = Path(sys.argv[1]); path.touch()\n"
        "assert not is_locked(path)\n"
        "try:\n"
        "    with locked(path, wait=False): print('held')\n"
        "except GreenPoseError as error: print(error)"
    )
    for error in ("ENOSYS", "ENOLCK", "EOPNOTSUPP"):
        script = [sys.executable, "-c", code.format(error), str(tmp_path / "a.lock")]
        done = subprocess.run(script, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"{tmp_path / 'a.lock'}: cannot be locked (no locks here); without a lock two")


NO_HOME = 54321
"""A uid that no passwd file knows."""


def test_a_tilde_stands_for_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/somebody")
    monkeypatch.setenv("GREENPOSE_CACHE", "~/kept")
    assert cache_folder() == Path("/home/of/somebody/kept")
    monkeypatch.delenv("GREENPOSE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/of/somebody/.cache/greenpose")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"GREENPOSE_CACHE": "/var/kept"}, "/var/kept"),
        ({"XDG_CACHE_HOME": "/var/kept"}, "/var/kept/greenpose"),
        ({}, "GREENPOSE_CACHE is not set, and this user has no home folder: set it to a folder"),
        ({"GREENPOSE_CACHE": "~/kept"}, "GREENPOSE_CACHE is ~/kept, and this user has no home folder"),
    ],
)
def test_a_user_without_a_home_folder_is_told_to_set_one_or_has(settings, said):
    code = (
        f"import os; from greenpose.files import cache_folder; from greenpose.errors import GreenPoseError\n"
        f"os.setuid({NO_HOME})\n"
        "try: print(cache_folder())\n"
        "except GreenPoseError as error: print(error)\n"
    )
    kept = {key: value for key, value in os.environ.items() if key not in ("HOME", "GREENPOSE_CACHE", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", code], env=kept | settings, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(said)


NAMED = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """A repository of ours and another one, for which a hook of git's is running."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in ("ours", "theirs"):
        subprocess.run(["git", "init", "-q", tmp_path / name], check=True)
        (tmp_path / name / "file").write_text(name)
        for command in (["add", "file"], [*NAMED, "commit", "-qm", name]):
            subprocess.run(["git", "-C", tmp_path / name, *command], check=True)
    commit = rev_parse(tmp_path / "ours")
    assert commit != rev_parse(tmp_path / "theirs")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs/.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "theirs/.git/index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "theirs"))
    return tmp_path / "ours", commit


def rev_parse(folder):
    done = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_folder_also_in_a_hook_of_another_repository(ours):
    folder, commit = ours
    assert rev_parse(folder) != commit, "the hook's variables are not heard at all"
    assert head_commit(folder) == commit


def test_a_record_names_the_commit_of_greenposes_own_code_also_in_a_hook_of_another_repository(ours, monkeypatch):
    import greenpose
    from greenpose.run.setup import git_state

    inside = git_state()
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name)
    assert inside == git_state()
    tracked = ask_git(Path(greenpose.__file__).parent, "ls-files", "--error-unmatch", "__init__.py")
    assert ("commit" in inside) == (tracked.returncode == 0)


def test_a_users_own_settings_of_git_are_heard(ours, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "greenpose.test")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "heard")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'greenpose.test'='by a hook'")
    assert ask_git(ours[0], "config", "greenpose.test").stdout.strip() == "heard"


def test_outside_a_repository_or_without_git_there_is_no_commit(tmp_path, monkeypatch):
    assert head_commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_git(tmp_path, "--version") is None
    assert head_commit(tmp_path) is None


def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside_it(tmp_path):
    def parts():
        yield b"half of it"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "record.json").write_text("old")
    with pytest.raises(GreenPoseError, match=r"record\.json: cannot be written: No space left on device"):
        write_parts(tmp_path / "record.json", parts())
    assert (tmp_path / "record.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
