"""One prediction: from what the user named to a folder of results and its bill."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from greenpose.data.folders import whole_folder
from greenpose.data.samples import shortened
from greenpose.errors import DataError, writing
from greenpose.files import write_text
from greenpose.formatting import plural
from greenpose.metering import Meter
from greenpose.predict.bill import LOADING, SEARCHING, PredictionBill, make_bill
from greenpose.predict.boxes import Regions, find_regions, unasked
from greenpose.predict.estimator import Estimator
from greenpose.predict.inputs import find_inputs
from greenpose.predict.outputs import BILL, Drawn, Results
from greenpose.predict.search import Account, search
from greenpose.record import dumps


@runtime_checkable
class Watcher(Protocol):
    """Hears how a prediction goes, and says when to end."""

    def begin(self, estimator: Estimator, regions: Regions, images: int) -> None:
        """Hear what is searched by what; of films the number of images is what they say of themselves."""

    def on_progress(self, account: Account) -> None:
        """Hear what has become of the images so far."""

    def stop(self) -> bool:
        """Return whether to end after this batch, and keep what is done."""


def find_poses(
    opened: Callable[[], Estimator],
    named: Sequence[str],
    output: Path,
    *,
    meter: Meter,
    watcher: Watcher,
    boxes: str | None = None,
    drawn: Collection[Drawn] = (),
    batch: int = 8,
) -> tuple[Account, PredictionBill]:
    """Return what became of the images and what that took; the results lie in the new folder `output`, or nothing does.

    `opened` loads the network; `named` are files, folders, patterns, films or one COCO file; `boxes` names a file of
    boxes, `auto` or `whole`. A watcher that stops it keeps what is done.

    Raises:
        DataError: something that is named is not there or not usable, `output` is in use, or no image could be read.
        GreenPoseError: the network cannot be loaded, or results cannot be written.
    """
    with meter.window(LOADING):
        estimator = opened()
    inputs = find_inputs(named, estimator.profile)
    regions = find_regions(boxes, inputs, estimator.profile, of_depth=estimator.window is not None)
    with writing(output), whole_folder(output) as unfinished:
        watcher.begin(estimator, regions, inputs.count())
        results = Results(unfinished.path, inputs, estimator.profile, drawn=drawn)
        with meter.window(SEARCHING) as window, results.written():
            account = search(
                inputs,
                estimator,
                regions,
                results,
                batch=batch,
                stop=watcher.stop,
                on_progress=watcher.on_progress,
            )
            window.items = account.images
        if account.faults and not account.images:
            raise DataError(shortened(account.faults))
        if not account.interrupted:
            account.faults += unasked(regions)
        bill = make_bill(meter, estimator, account, boxes=regions.said)
        write_text(unfinished.path / BILL, dumps(bill))
    return account, bill


def remarks(account: Account, regions: Regions) -> Iterator[str]:
    """Yield what was done to images that their owner may not have expected."""
    if account.eight_bit:
        said = "of 8 bits, taken as they are: they should show depth through the model's window already"
        yield f"{plural(account.eight_bit, 'image')} {said}"
    if account.turned:
        yield f"{plural(account.turned, 'image')} turned as EXIF says; places are in the turned image"
    if regions.rough is not None and regions.rough.without:
        yield f"in {plural(regions.rough.without, 'image')} nothing moved or stood out: the whole was searched"
