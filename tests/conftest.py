"""Shapes and types in signatures are enforced while tests run; one thread keeps arithmetic repeatable."""

import gc
import os
import signal
import sys

import pytest
from filelock import FileLock

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Hundreds of processes start here; each would compile everything anew where no compiled files may be written.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from hypothesis import HealthCheck, settings

from tests import typechecker
from tests.torture import nursery

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # how fast this one is just now is no property of the code

sys.dont_write_bytecode = False
os.fsync = lambda _: None  # no power fails while tests run, and disks take their time
# jsonschema's import would build 38 grammars for formats of addresses, which nothing here asks it for: 3 s a worker.
sys.modules["rfc3987_syntax"] = None
typechecker.watch()


for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        # A shell starts its background jobs so, and every process that a test interrupts would inherit it.
        signal.signal(number, usual)


gc.set_threshold(50_000, 20, 20)  # of the many objects that torch and the tests hold few ever become garbage


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="accept what the code produces as golden")


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Return the folder of a name, which the first worker to ask for it has had made; nobody writes into it."""

    def made(name, make):
        folder = tmp_path_factory.getbasetemp() / name
        if "PYTEST_XDIST_WORKER" in os.environ:
            folder = folder.parents[1] / name
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                unfinished = folder.with_suffix(".unfinished")
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return made


SLOWEST = (
    *("test_typed", "torture/test_runs", "export/test_deploy", "run/test_end_to_end", "run/test_own_network"),
    *("test_network", "cli/test_manners", "check/test_bisect", "store/test_claim", "export/test_run_py", "test_extras"),
    *("cli/test_report", "cli/test_init", "training/test_checkpoint", "grid/test_grid_budget", "cli/test_console"),
    *("model/test_hrnet", "data/test_conventions", "counting/test_counts", "metering/test_command", "test_own_loops"),
    *("cli/test_measure", "test_examples", "cli/test_check", "launch/test_array", "cli/test_predict"),
    *(
        "benchmarks/test_reference_loop",
        "training/test_fit",
        "adoption/test_pytest_plugin",
        "run/test_measure_artefacts",
    ),
    *("report/test_repeated_runs", "run/test_budget_end_to_end", "report/test_honesty", "cli/test_estimate"),
)
"""Files that take a worker longest. They come first, so that no worker is still at one when the others have ended."""


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # xdist would begin with the files of most tests
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        nursery.share()


def pytest_collection_modifyitems(items):
    place = {f"tests/{name}.py": number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(SLOWEST)))


def pytest_collection_finish():
    gc.freeze()  # what is loaded stays
