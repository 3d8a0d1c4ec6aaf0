"""A command is run unchanged, and everything that its processes use is metered, whoever waits for them."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from greenpose.metering.command import Command

DRIVER = """
import json, os, resource, sys, time
from greenpose.metering import meter
from greenpose.metering.command import Command, CommandError, meter_command, signals_held
asked = json.loads(sys.argv[1])
with signals_held() as before, meter(log=asked["log"]) as m:
    own = time.process_time()
    if asked["full"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(asked["log"]),) * 2)
    try:
        command = Command(asked["words"], held_before=before)
        faults = meter_command(command, m, interval_s=asked["interval_s"], for_all=asked["for_all"])
    except CommandError as error:
        print(json.dumps({"code": error.code, "says": str(error)}), file=sys.stderr)
        sys.exit()
    said = {"code": command.code, "ended_by": command.ended_by, "sent": command.sent, "faults": faults}
    said["left"] = [each.command for each in command.left()]
    said["own_s"] = time.process_time() - own
total = m.total
said |= {"cpu_s": total.cpu_seconds, "seconds": total.seconds}
said["windows_s"] = {each.name: each.seconds for each in m.windows}
said["in_windows_s"] = sum(each.cpu_seconds for each in m.windows)
print(json.dumps(said), file=sys.stderr)
"""
ASKED = {"interval_s": None, "for_all": False, "full": False}
BURN = "import time, os, sys\ndef burn(s):\n end = time.process_time() + s\n while time.process_time() < end: pass\n"
"""A function that uses so many CPU-seconds, by the process's own clock."""


class Metered:
    """A driver that meters a command."""

    def __init__(self, tmp_path, words, **asked):
        told = {"words": words, "log": str(tmp_path / "windows.jsonl")} | ASKED | asked
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=dict(os.environ),
        )

    def children(self):
        """The commands of the driver's children, that of a zombie empty: it has not taken leave of that one."""
        found = []
        for each in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                found.append(" ".join(each.as_dict(["cmdline"], ad_value=())["cmdline"]))
        return found

    def end(self, given=""):
        """What the command wrote, and what the driver says of it."""
        out, err = self.process.communicate(given, timeout=100)
        *_, last = err.splitlines()
        return out, json.loads(last)


@pytest.fixture
def metered(tmp_path):
    """Meters a command; what a test that fails leaves at work, or unread, ends with it."""
    begun = []

    def begin(*words, **asked):
        begun.append(Metered(tmp_path, words, **asked))
        return begun[-1]

    yield begin
    for each in begun:
        if each.process.returncode is None:
            os.killpg(each.process.pid, signal.SIGKILL)  # the command is of its meter's group
            each.process.communicate()


def python(text):
    return sys.executable, "-c", BURN + text


def test_input_output_arguments_folder_environment_and_open_files_are_the_commands_own(metered):
    seen = "print(sys.stdin.read(), sys.argv[1:], os.getcwd(), dict(os.environ)); sys.exit(3)"
    out, said = metered(*python(seen), "a b", "--", "-x").end("given")
    environment = ast.literal_eval(out[out.index("{") :])
    assert out.startswith(f"given ['a b', '--', '-x'] {Path.cwd()} ")
    assert {**environment, "LC_CTYPE": ""} == {**os.environ, "LC_CTYPE": ""}
    assert (said["code"], said["ended_by"], said["left"], said["faults"]) == (3, None, [], [])


def masks(status):
    """The signals that are blocked and ignored, without the two that the C library keeps for itself."""
    return [int(line.split()[1], 16) & 0x7FFF_FFFF for line in status.splitlines()]


def test_signals_are_to_the_command_what_they_were_to_us(metered):
    probe = ["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"]
    out, _ = metered(*probe).end()
    assert masks(out) == masks(subprocess.run(probe, stdout=subprocess.PIPE, text=True, check=True).stdout)
    assert masks(out)[0] == 0


TREES = {
    "itself": "burn(0.3)",
    "a child that is waited for": "os.fork() or (burn(0.3), os._exit(0))\nos.wait()",
    "a grandchild whose parent went before it": "r, w = os.pipe()\n"
    "if os.fork() == 0:\n if os.fork() == 0: burn(0.3)\n os._exit(0)\nos.close(w); os.read(r, 1)",
    "a daemon of a session of its own": "r, w = os.pipe()\n"
    "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0: burn(0.3)\n os._exit(0)\nos.close(w); os.read(r, 1)",
}


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """What is said of a command that does nothing."""
    return Metered(tmp_path_factory.mktemp("nothing"), python("")).end()[1]


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_what_any_process_of_the_tree_uses_is_counted_once(metered, nothing, tree):
    _, said = metered(*python(tree)).end()
    assert said["cpu_s"] - nothing["cpu_s"] == pytest.approx(0.3, abs=0.1)
    assert said["in_windows_s"] == pytest.approx(said["cpu_s"], abs=0.05)
    assert (said["code"], said["left"]) == (0, [])


def daemon(seconds):
    """A command that ends at once, and leaves a process that lets go of its output and sleeps."""
    left = f"os.closerange(0, 3); burn(0.3); time.sleep({seconds})"
    return python(f"if os.fork() == 0:\n os.setsid()\n if os.fork() == 0: {left}\n os._exit(0)\nos.wait()")


def test_what_goes_on_after_the_command_is_named(metered):
    _, said = metered(*daemon(20)).end()
    (left,) = said["left"]
    assert "time.sleep(20)" in left
    assert said["code"] == 0


def test_what_is_started_while_one_looks_by_what_then_ends_is_named(monkeypatch):
    def process(pid, status):
        return SimpleNamespace(pid=pid, status=lambda: status, cmdline=lambda: [f"number {pid}"])

    looks = iter([[process(7, "zombie")], *[[process(8, "sleeping")]] * 2])
    monkeypatch.setattr("psutil.Process", lambda: SimpleNamespace(children=lambda **_: next(looks)))
    assert [each.command for each in Command(["true"]).left()] == ["number 8"]


def test_what_goes_on_after_the_command_is_waited_for_where_asked(metered):
    _, said = metered(*daemon(1), for_all=True).end()
    assert (said["code"], said["left"], said["seconds"] > 1) == (0, [], True)
    assert said["cpu_s"] > 0.3


def test_waiting_for_what_goes_on_ends_with_a_signal(metered):
    started = metered("sh", "-c", "setsid sleep 30 > /dev/null 2>&1 & exit 5", for_all=True)
    while started.children() != ["sleep 30"]:  # an orphan of ours, once the shell has been taken leave of
        assert started.process.poll() is None
        time.sleep(0.02)
    started.process.terminate()
    _, said = started.end()
    assert (said["code"], said["left"]) == (5, ["sleep 30"])


LISTENS = """
import signal
listened = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1
signal.pthread_sigmask(signal.SIG_BLOCK, listened)
print("ready", flush=True)
while True:
    print(int(signal.sigwait(listened)), flush=True)
"""
"""Takes signals one by one: a handler that prints would break off where it interrupts the printing of `ready`."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_meter_is_passed_on_once(metered, number):
    started = metered(*python(LISTENS))
    assert started.process.stdout.readline() == "ready\n"
    started.process.send_signal(number)
    assert started.process.stdout.readline() == f"{number:d}\n"
    (child,) = psutil.Process(started.process.pid).children()
    child.kill()
    out, said = started.end()
    assert (out, said["code"], said["ended_by"], said["sent"]) == ("", 128 + signal.SIGKILL, signal.SIGKILL, number)


def test_what_the_terminal_sends_to_both_reaches_the_command_once(tmp_path):
    import pty
    import termios

    told = {"words": python(LISTENS), "log": str(tmp_path / "w")} | ASKED
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", DRIVER, json.dumps(told)])
    kept = termios.tcgetattr(terminal)
    kept[3] |= termios.NOFLSH  # else Ctrl-C throws away what the command says before the terminal has done with it
    termios.tcsetattr(terminal, termios.TCSANOW, kept)
    seen = b""
    while b"ready" not in seen:
        seen += os.read(terminal, 1000)
    os.kill(pid, signal.SIGSTOP)  # so that two signals, if it passed one on, are not taken for one
    os.write(terminal, b"\x03")
    seen = b""
    while b"2" not in seen:
        seen += os.read(terminal, 1000)
    os.kill(pid, signal.SIGCONT)
    time.sleep(1)
    os.write(terminal, b"?")
    while b"?" not in seen:
        seen += os.read(terminal, 1000)
    os.write(terminal, b"\x1c")  # the command does not listen to SIGQUIT
    os.waitpid(pid, 0)
    os.close(terminal)
    assert seen.replace(b"^C", b"").split() == [b"2", b"?"]  # the terminal's own ^C may come before or after


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("no-such-command",), 127, "no-such-command: no command of this name in any folder of PATH; nothing was run"),
        (("./no-such-file",), 127, "./no-such-file: no such file; nothing was run"),
        (("/etc/passwd",), 126, "/etc/passwd: may not be executed: chmod +x, or name what executes it"),
        (("/etc",), 126, "/etc: is a folder"),
    ],
)
def test_a_command_that_cannot_be_started_has_a_shells_code(metered, words, code, says):
    assert metered(*words).end() == ("", {"code": code, "says": says})


def test_scripts_are_executed_as_by_a_shell(metered, tmp_path):
    script = tmp_path / "script"
    script.write_text("echo $1\n")
    script.chmod(0o755)
    out, said = metered(str(script), "word").end()
    assert (out, said["code"]) == ("word\n", 0)
    script.write_text("#!/no/such/interpreter\n")
    _, said = metered(str(script)).end()
    assert (said["code"], "first line" in said["says"]) == (127, True)


@pytest.mark.slow
def test_a_thousand_forks_cost_the_meter_little(metered):
    forks = "for _ in range(1000):\n if os.fork() == 0: burn(0.002); os._exit(0)\n os.wait()"
    _, said = metered(*python(forks)).end()
    assert (said["code"], said["own_s"] < 0.02 * said["cpu_s"]) == (0, True), said


@pytest.mark.slow
def test_a_thousand_processes_at_a_time_are_looked_at_less_often(metered):
    forks = "for _ in range(1000):\n os.fork() or (time.sleep(4), os._exit(0))\nburn(1)\nwhile True:\n os.wait()"
    _, said = metered(*python(f"try:\n exec({forks!r})\nexcept ChildProcessError: pass"), interval_s=0.05).end()
    assert (said["code"], said["own_s"] < 0.15 * said["seconds"]) == (0, True), said


def test_windows_are_as_long_as_asked_and_else_as_a_kill_may_cost(metered):
    for length, lasting, asked in (0.1, "0.5", {"interval_s": 0.1}), (1.0, "1.3", {}):
        _, said = metered("sleep", lasting, **asked).end()
        windows = said["windows_s"]
        assert [*windows] == [f"command {number}" for number in range(1, len(windows) + 1)]
        *whole, _ = windows.values()
        assert length <= min(whole) < 5 * length


def test_a_disk_that_is_full_ends_neither_the_command_nor_the_metering(metered):
    _, said = metered(*python("burn(0.3); sys.exit(4)"), full=True, interval_s=60).end()
    assert (said["code"], len(said["windows_s"]), len(said["faults"])) == (4, 1, 1)
    assert "File too large" in said["faults"][0]
