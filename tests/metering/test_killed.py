"""A metered run that is killed with SIGKILL at random moments loses no window that had closed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from greenpose.metering import Window, read_windows
from greenpose.store.records import outermost

KILLER = Path(__file__).with_name("killed.py")


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> list[dict]:
    """The lines of the killer."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run([sys.executable, KILLER, folder], capture_output=True, check=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def victims(killed) -> list[tuple[list[Window], list[str], bytes]]:
    """What lies on disk of each killed run, what it had said to be closed, and the raw log."""
    seed, *victims = killed
    sys.stdout.write(f"the same moments again: python {KILLER} FOLDER {seed['seed']}\n")  # shown with a failure
    logs = [Path(victim["log"]) for victim in victims]
    return [
        (read_windows(log) if log.exists() else [], victim["closed"], log.read_bytes() if log.exists() else b"")
        for log, victim in zip(logs, victims, strict=True)
    ]


def test_thirty_runs_were_killed_in_all_ages(victims):
    assert len(victims) == 30
    assert sum(bool(closed) for _, closed, _ in victims) >= 15
    assert len({len(closed) for _, closed, _ in victims}) > 10


def test_some_were_killed_in_the_middle_of_a_line(victims):
    assert sum(bool(raw) and not raw.endswith(b"\n") for _, _, raw in victims) >= 3


def test_every_window_that_was_closed_is_there_once_and_whole(victims):
    for windows, closed, _ in victims:
        names = [window.name for window in windows]
        assert set(closed) <= set(names)
        own = [name for name in names if "/" not in name]
        assert len(own) == len(set(own))
        assert len(set(own) - set(closed)) <= 1  # the one that was written when the kill came before it could be said
        assert all(window.seconds > 0 and window.joules and window.ok for window in windows)


def test_at_most_the_last_line_is_torn(victims):
    for _, _, raw in victims:
        whole, _, _ = raw.rpartition(b"\n")
        for line in filter(None, whole.split(b"\n")):
            json.loads(line)


@pytest.mark.parametrize("torn", [b"", b'{"id":77,"par'])
def test_the_next_attempt_goes_on_in_the_same_log(victims, tmp_path, torn):
    from greenpose.metering import meter

    windows, _, raw = max(victims, key=lambda victim: len(victim[0]))
    log = tmp_path / "windows.jsonl"
    log.write_bytes(raw + torn)
    with meter(log=log) as second, second.window("after"):
        pass
    assert second.attempt == 2
    assert [window.name for window in read_windows(log)] == [window.name for window in windows] + ["after"]


def test_what_lies_in_no_closed_window_counts_once(victims):
    for windows, _, _ in victims:
        roots = outermost(windows)
        inside_open = [window for window in roots if window.parent is not None]
        assert all(window.name.startswith(("inner ", "outer ")) for window in roots)
        assert len(inside_open) <= 3  # of the one outer window that was open
        assert sum(w.parent is None for w in windows) + len(inside_open) == len(roots)
