"""What ended a run early, written down where the run lies."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from greenpose.errors import GreenPoseError
from greenpose.run.compose import now
from greenpose.run.observer import LOGGER, Stage
from greenpose.store import RunFolder
from greenpose.store.records import write_failure


class FailureNote:
    """Writes down what ended a run early, in which phase, and what it had cost by then."""

    def __init__(self, folder: RunFolder) -> None:
        """Keep where to write; the phase is `start` until a stage is given."""
        self._folder = folder
        self.stage: Stage | None = None

    def __enter__(self) -> "FailureNote":
        """Watch the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the note if the block ended with an exception, which goes on."""
        if error is None:
            return
        LOGGER.error("%s", "".join(traceback.format_exception(kind, error, trace)))
        interrupted = isinstance(error, KeyboardInterrupt)
        message = "interrupted" if interrupted else f"{type(error).__name__}: {error}"
        if isinstance(error, GreenPoseError):
            message = str(error)
        with suppress(OSError, GreenPoseError):  # a full disk, a folder that is gone: what ended the run goes on
            write_failure(
                self._folder,
                reason="interrupted" if interrupted else "failed",
                message=message,
                phase=self.stage.phase if self.stage else "start",
                at=now(),
            )


class _Log(logging.FileHandler):
    """A log that goes without what it cannot write: the run itself says so when it cannot write."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # its name there
        """Go on."""
        del record


@contextmanager
def logging_to(folder: RunFolder) -> Iterator[None]:
    """Write GreenPose's log, and Python's warnings, to the run's log file."""
    handler = _Log(folder.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = (LOGGER, logging.getLogger("py.warnings"))
    logging.captureWarnings(True)
    LOGGER.setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
        logging.captureWarnings(False)
