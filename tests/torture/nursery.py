"""Commands in processes that begin warm: forked from one that has loaded everything and trained once.

A whole run takes half a second then instead of five. What `greenpose run` starts as its worker is forked likewise: a
child of its own in a group of its own, which gets the same pipes, signals and environment.
"""

import inspect
import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from functools import partial
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import psutil

from tests.network import GUARD

ROOT = Path(__file__).parents[2]
GRID = """
name: t
base:
  data:
    input_size: [32, 32]
    synthetic:
      size: [64, 48]
      patients: {train: 2, val: 1, test: 1}
      frames: {train: 3, val: 2, test: 2}
  model: {width: 4, stem_width: 4, modules: [1, 1, 1], blocks: 1}
  loss: {kd_weight: 42}
  train: {epochs: 2, batch: 4, lr: 2.0e-3, milestones: [1], patience: 9}
  measure: {batch: 1, min_window_seconds: 0.005, max_blocks: 2, max_seconds: 1, step_blocks: 1}
  carbon: {country: ITA}
experiments:
  A: {model.exits: [2]}
  B: {model.exits: [2, 3], wiring.teach: [3->2], wiring.supervise: [2, 3]}
"""
SHARED = "GREENPOSE_TESTS_NURSERY"
"""Where it is said to workers where their processes come from."""
PARAMETERS = [name for name in inspect.signature(subprocess.Popen._execute_child).parameters if name != "self"]
RUN = ("run", "--grid", "t.yaml", "--no-report")


class Child:
    """One command that is at work in a folder."""

    def __init__(self, *arguments, cwd, plan=None, cold=False):
        number, self.log = tempfile.mkstemp(dir=cwd.parent, prefix="said-")
        os.close(number)
        self.cold, environment = cold, {**os.environ, "PYTHONPATH": str(ROOT), **settings(cwd)}
        if cold:
            command, how = [sys.executable, "-m", "greenpose", *arguments], {"stdin": subprocess.DEVNULL}
            with Path(self.log).open("wb") as said:
                how |= {"stdout": said, "stderr": said, "start_new_session": True}
                self.process = subprocess.Popen(command, cwd=cwd, env=environment, **how)
        else:
            act, how = partial(be, plan), {"out": self.log, "err": self.log, "environment": environment}
            self.process = forked(arguments, cwd=cwd, act=act, **how)

    @property
    def said(self):
        """Return what it wrote to both streams."""
        return Path(self.log).read_text(errors="replace")

    def wait(self, seconds=600):
        """Return the code that it ended with."""
        if self.cold:
            return self.process.wait(seconds)
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still at work after {seconds} s: {self.said}"
        return self.process.exitcode

    def tree(self):
        """Return its process and those below it that live."""
        try:
            me = psutil.Process(self.process.pid)
            return [me, *me.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def nursery():
    """Return where processes come from; the first call takes some seconds."""
    context, server = multiprocessing.get_context("forkserver"), forkserver._forkserver
    context.set_forkserver_preload(["__main__", "tests.torture.warm"])
    os.environ["PYTHONPATH"] = str(ROOT)
    if SHARED in os.environ and server._forkserver_address is None:
        server._forkserver_address, pipe = os.environ[SHARED].split()
        server._forkserver_alive_fd = os.open(pipe, os.O_WRONLY)  # it ends when nobody holds this any more
        server.ensure_running = resource_tracker.ensure_running
    return context


def share():
    """Start now what processes come from, for all workers that are started from here: they need not each have one."""
    server = forkserver._forkserver
    if Path("/proc/self/fd").exists() and not hasattr(server, "_forkserver_authkey"):  # Python 3.14 has a key as well
        path = os.environ.get("PYTHONPATH")
        nursery()
        server.ensure_running()
        _restore(path)
        os.environ[SHARED] = f"{server._forkserver_address} /proc/{os.getpid()}/fd/{server._forkserver_alive_fd}"


def settings(cwd):
    """Return what a command's environment says."""
    return {"GREENPOSE_CACHE": str(Path(cwd) / "cache"), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


def be(plan, arguments):
    """Return the code that the command line ends with; a plan says who is watched, and what comes of their changes."""
    from greenpose.cli.app import main

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv, Forking.plan, os.execve = ["greenpose", *arguments], plan, _again
    encoding = os.environ.get("PYTHONIOENCODING")
    sys.stdin, sys.stdout, sys.stderr = (_opened(number, how, encoding) for number, how in enumerate("rww"))
    if plan and plan["who"] == arguments[0]:
        from tests.torture.shim import install

        install(Path.cwd(), plan)
    return ended(main)


def _opened(number, how, encoding):
    """Return a standard stream as Python opens it at its start; None where it is closed."""
    try:
        return os.fdopen(os.dup(number), how, encoding=encoding)
    except OSError:
        return None


def ended(program):
    """Return the code that a process ends with which does this, its streams written out."""
    try:
        program()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        code = 1
        try:
            sys.excepthook(type(error), error, error.__traceback__)
        except SystemExit as end:
            code = end.code
    else:
        code = 0
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    return code


COMMAND = partial(be, None)


def _again(program, arguments, environment):
    """Begin anew with another environment, as a command does that finds itself unpinned; what is loaded is kept.

    What is pinned acts from a program's start only, which matters to figures, and no test holds those to anything.
    """
    assert (program, arguments[1:3]) == (sys.executable, ["-m", "greenpose"])
    os.environ.clear()
    os.environ.update(environment)
    raise SystemExit(be(None, arguments[3:]))


def _restore(path):
    """Take back what only where processes come from is started with."""
    if path is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = path


def forked(words, *, cwd, out, err, environment, act=COMMAND, stdin=os.devnull):
    """Start a warm command, or what else is done with its words, in a session of its own; its streams are files.

    It is kept from the network where its environment says so.
    """
    path = os.environ.get("PYTHONPATH")
    context = nursery()
    forkserver._forkserver.ensure_running()
    _restore(path)
    streams = (stdin, str(out), str(err))
    process = context.Process(target=_live, args=(list(words), str(cwd), streams, dict(environment), act))
    process.start()
    return process


def _live(words, cwd, streams, environment, act):
    os.setsid()
    for number, file in enumerate(streams):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    if "GREENPOSE_TEST_NOTES" in environment:
        runpy.run_path(str(GUARD / "sitecustomize.py"))
    subprocess.Popen = Forking
    code = act(words)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    os._exit(code)


class HangError(BaseException):
    """A command took too long."""


def command(*arguments, call=None, seconds=60):
    """Return code, words and fault of a command, or of a function that one calls, in this process.

    The code is 2 where a user's mistake was found; the fault is an exception that nobody caught, or None. It may take
    so many seconds of the processor, since the machine may be busy.
    """
    from greenpose.cli.app import main
    from greenpose.errors import GreenPoseError

    def late(*_):
        raise HangError

    code, fault, why, said = 0, None, "", os.memfd_create("said")
    streams, kept = (sys.stdout, sys.stderr), [os.dup(number) for number in (1, 2)]
    sys.argv, sys.stdout, sys.stderr = ["greenpose", *map(str, arguments)], *map(_stream, (said, said), (1, 2))
    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        call() if call else main()
    except SystemExit as end:
        code = end.code or 0
    except GreenPoseError as error:
        code, why = 2, str(error)
    except BaseException as error:
        code, fault = 1, error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        for stream, number, was in zip((sys.stdout, sys.stderr), (1, 2), kept, strict=True):
            stream.flush()
            os.dup2(was, number)
            os.close(was)
        sys.stdout, sys.stderr = streams
    os.lseek(said, 0, os.SEEK_SET)
    with os.fdopen(said, "rb") as words:
        return code, why or words.read().decode(errors="replace"), fault


def _stream(file, number):
    """Return a stream of this process, led into a file: by its number, since that is what a command goes by."""
    os.dup2(file, number)
    return io.TextIOWrapper(io.FileIO(number, "w", closefd=False), encoding="utf-8", write_through=True)


class Forking(subprocess.Popen):
    """Starts GreenPose by forking; everything else as ever."""

    plan = None

    def _execute_child(self, *given):
        got = dict(zip(PARAMETERS, given, strict=True))
        if list(got["args"])[1:3] != ["-m", "greenpose"]:
            super()._execute_child(*given)
            return
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                self._settle(got)
                code = be(self.plan, got["args"][3:])
            finally:
                os._exit(code)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(got[name] for name in pipes))

    def _settle(self, got):
        """Do in the child what starting a program does."""
        if got["start_new_session"]:
            os.setsid()
        if got.get("process_group", -1) >= 0:
            os.setpgid(0, got["process_group"])
        for stream, name in enumerate(("p2cread", "c2pwrite", "errwrite")):
            if got[name] >= 0:
                os.dup2(got[name], stream)
        if got["preexec_fn"]:
            got["preexec_fn"]()
        os.chdir(got["cwd"] or Path.cwd())
        if got["env"] is not None:
            os.environ.clear()
            os.environ.update(got["env"])
        first = 3
        for number in sorted(got["pass_fds"]):
            os.closerange(first, number)
            first = number + 1
        os.closerange(first, 4096)
