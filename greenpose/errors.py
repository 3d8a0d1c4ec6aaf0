"""The errors that a user can cause; everything else is our own fault and an assertion."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class GreenPoseError(Exception):
    """A user's mistake or a missing thing: the message says what, where, and what would be right."""


def said(error: Exception) -> str:
    """Return what an error says in one line, with the file where the system names one."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'input/output'}: {error.strerror}"
    return str(error).partition("\n")[0] or type(error).__name__


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name a file in what the system says when it cannot be written, as on a full disk.

    Raises:
        GreenPoseError: instead of the system's error.
    """
    try:
        yield
    except OSError as error:
        raise GreenPoseError(f"{path}: cannot be written: {error.strerror or error}") from error


class FaultsError(GreenPoseError):
    """Several faults of one file, reported together.

    Attributes:
        faults: one line each, `where: what is wrong; what would be right`.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        """Keep the faults; the message is one a line."""
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class ConfigError(FaultsError):
    """An experiment, grid or profile that cannot be used."""


class DataError(FaultsError):
    """Images or annotations that cannot be used."""


class ModelError(FaultsError):
    """A network that cannot be built, fed or filled as asked."""


class MeteringError(GreenPoseError):
    """A quantity that cannot be metered as asked."""


class RecordError(FaultsError):
    """A record file that cannot be read."""


class CheckError(FaultsError):
    """A baseline, budgets or a candidate that cannot be checked."""


class ReportError(GreenPoseError):
    """A report that cannot be made in the form asked for."""


class ExportError(FaultsError):
    """A network that cannot be exported as asked."""


class ArtefactError(FaultsError):
    """An exported model that cannot be used: damaged, foreign, or without its runtime."""
