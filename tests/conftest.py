"""Shapes and types in signatures are enforced while tests run; one thread keeps arithmetic repeatable."""

import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Hundreds of processes start here; each would compile everything anew where no compiled files may be written.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from hypothesis import HealthCheck, settings

from tests import typechecker

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # how fast this one is just now is no property of the code

sys.dont_write_bytecode = False
typechecker.watch()


for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        # A shell starts its background jobs so, and every process that a test interrupts would inherit it.
        signal.signal(number, usual)


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="accept what the code produces as golden")
