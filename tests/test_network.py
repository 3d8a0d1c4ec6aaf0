"""GreenPose never calls the network: everything that it does is run where the network is refused.

So is every other command of these tests, since all go through `tests.cli.running`: a grid from data to report, too.
"""

import subprocess
import sys
import textwrap

import pytest

from tests.cli.running import greenpose
from tests.network import Offline


@pytest.fixture
def offline(tmp_path) -> Offline:
    return Offline(tmp_path / "notes")


def run(offline: Offline, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PATH": "", **offline.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(
    "call",
    [
        "socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))",
        "socket.getaddrinfo('example.org', 443)",
        "urllib.request.urlopen('http://192.0.2.1', timeout=1)",
    ],
)
def test_a_call_is_noted_though_it_is_made_in_a_child_and_swallowed(offline, call):
    child = f"import contextlib, socket, urllib.request\nwith contextlib.suppress(OSError):\n    {call}"
    done = run(offline, f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}], check=True)")
    assert done.returncode == 0, done.stderr
    assert len(offline.processes) == 2
    assert offline.tries
    assert any("<string>" in line for line in offline.tries[0]["where"])


def test_processes_on_one_machine_may_talk(offline):
    done = run(offline, "import socket\na, b = socket.socketpair()\na.sendall(b'x')\nassert b.recv(1) == b'x'")
    assert done.returncode == 0, done.stderr
    assert offline.tries == []


def test_a_command_that_tries_fails_its_test(tmp_path, monkeypatch):
    """Planted: a module that the command line imports early calls out."""
    (tmp_path / "typer.py").write_text("import socket\nsocket.getaddrinfo('example.org', 443)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(AssertionError, match=r"example\.org"):
        greenpose("doctor", cwd=tmp_path, cold=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("profile", "--set", "model.modules=[1, 1, 1]", "--set", "model.blocks=1", "--set", "model.width=4"),
        ("doctor",),
        ("data", "synth", "infants", "--patients", 1, 1, 1, "--frames", 1, 1, 1),
    ],
)
def test_a_command_never_calls_out(tmp_path, arguments):
    done = greenpose(*arguments, cwd=tmp_path, cold=True)
    assert done.code == 0, done.err
    assert done.processes


def test_data_are_checked_without_a_call(tmp_path):
    greenpose("data", "synth", "infants", "--patients", 1, 1, 1, "--frames", 1, 1, 1, cwd=tmp_path)
    assert greenpose("data", "check", "infants", "--profile", "babypose", cwd=tmp_path).code == 0


def test_a_meter_with_its_crosscheck_never_calls_out(offline):
    done = run(
        offline,
        """
        import greenpose
        with greenpose.meter(country="ITA") as m, m.window("work", crosscheck=True) as opened:
            sum(range(10**6))
        assert opened.result.crosscheck.joules is not None, opened.result.crosscheck
        print(m)
        """,
    )
    assert done.returncode == 0, done.stderr
    assert "Italy" in done.stdout
    assert offline.tries == []
