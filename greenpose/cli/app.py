"""The application: its commands together, and what every failure turns into."""

import ast
import inspect
import signal
import sys
from types import TracebackType
from typing import Annotated, Any, cast

import typer

from greenpose import __version__
from greenpose.cli.check import check
from greenpose.cli.console import EPILOG, EXIT_USAGE, last_streams
from greenpose.cli.data import app as data_app
from greenpose.cli.doctor import doctor
from greenpose.cli.estimate import estimate
from greenpose.cli.export import export
from greenpose.cli.init import init
from greenpose.cli.measure import measure
from greenpose.cli.meter import meter
from greenpose.cli.policy import policy
from greenpose.cli.predict import predict
from greenpose.cli.profile import profile
from greenpose.cli.report import report
from greenpose.cli.retest import retest
from greenpose.cli.run import run, worker
from greenpose.cli.status import status

AGAIN_SECONDS = 0.01
"""Until Ctrl-C is tried again where it could not be heard."""


class _App(typer.Typer):
    """The commands, without the hook by which typer's own call ends every crash with 1."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line."""
        return typer.main.get_command(self)(*arguments, **options)


app = _App(
    name="greenpose",
    help="What does this accuracy cost, in parameters, compute, seconds, energy and CO2, per exit of a pose network?",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=EPILOG)(init)
app.command(epilog=EPILOG)(run)
app.command(epilog=EPILOG)(status)
app.command(epilog=EPILOG)(estimate)
app.command(epilog=EPILOG)(report)
app.command(epilog=EPILOG)(profile)
app.command(epilog=EPILOG)(measure)
app.command(epilog=EPILOG)(retest)
app.command(epilog=EPILOG)(policy)
app.command(epilog=EPILOG)(export)
app.command(epilog=EPILOG)(predict)
app.command(epilog=EPILOG)(check)
app.command(epilog=EPILOG, context_settings={"allow_interspersed_args": False})(meter)
app.command(epilog=EPILOG)(doctor)
app.add_typer(data_app, name="data")
app.command(hidden=True)(worker)


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"greenpose {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit with its code; a user's mistake ends in words, never in a traceback."""
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        if signal.getsignal(each) is not signal.SIG_IGN:  # as under nohup, which the user's run is to outlive
            signal.signal(each, _interrupt)
    sys.excepthook, sys.unraisablehook = _crashed, _ignored
    last_streams()
    _keep_help()
    try:
        app()
    finally:  # all is said and written: a signal could only show where the interpreter was leaving off
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(each, signal.SIG_IGN)


def _keep_help() -> None:
    """Give commands the words of their help back, which `python -OO` drops with all docstrings."""
    if sys.flags.optimize < 2:
        return
    for command in (*app.registered_commands, *data_app.registered_commands):
        function: Any = command.callback
        (parsed,) = ast.parse(inspect.getsource(function)).body
        function.__doc__ = ast.get_docstring(cast("ast.FunctionDef", parsed), clean=False)


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show a fault of our own and end with a code that no pipeline takes for a verdict; Ctrl-C is none, and ends it."""
    if issubclass(kind, KeyboardInterrupt):
        return
    sys.__excepthook__(kind, error, trace)
    sys.stderr.write("greenpose failed by a fault of its own, or of a changed model: nothing was compared\n")
    raise SystemExit(EXIT_USAGE)


def _ignored(fault: "sys.UnraisableHookArgs") -> None:
    """Interrupt again, a moment later, where Ctrl-C met a destructor or a callback, at which Python forgets it."""
    if issubclass(fault.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    else:
        sys.__unraisablehook__(fault)


def _interrupt(number: int, frame: Any) -> None:
    """Treat a polite request to end, or a closed terminal, like Ctrl-C."""
    del number, frame
    raise KeyboardInterrupt
