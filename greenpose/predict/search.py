"""The search: images one after the other, read ahead of the network, their poses written as they come."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from greenpose.accuracy.oks import detect
from greenpose.data.crops import Framing, crop, frame_box
from greenpose.data.heatmaps import SCALE_UNIT_PX
from greenpose.data.samples import stacked
from greenpose.errors import DataError, ModelError
from greenpose.predict.boxes import Located, Regions
from greenpose.predict.estimator import Estimator
from greenpose.predict.inputs import Inputs, View
from greenpose.predict.outputs import Results

AHEAD = 2
"""Batches that are read ahead."""
Item = TypeVar("Item")


class Task(NamedTuple):
    """An image that is read, and what was cut out of it."""

    view: View
    """The image; without its pixels where nothing is drawn on them."""
    scores: Sequence[float] = ()
    """How sure each box is."""
    crops: Sequence[np.ndarray] = ()
    """Of each box, grey or RGB."""
    centers: Sequence[np.ndarray] = ()
    """Of each crop, in image pixels."""
    scales: Sequence[np.ndarray] = ()
    """Width and height of each crop in image pixels, over 200."""


@dataclass(slots=True, kw_only=True)
class Account:
    """What has become of the images so far."""

    images: int = 0
    """Searched."""
    poses: int = 0
    """Found."""
    faults: list[str] = field(default_factory=list)
    """Of each image that could not be searched: why."""
    eight_bit: int = 0
    """Images taken as they are by a model that looks at depth through a window."""
    turned: int = 0
    """Images that were turned as their EXIF note says."""
    interrupted: bool = False
    """Whether it was asked to end before the last image."""


def search(
    inputs: Inputs,
    estimator: Estimator,
    regions: Regions,
    results: Results,
    *,
    batch: int,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Account], object] = lambda _: None,
) -> Account:
    """Return what became of the images, after their poses were written.

    Once `stop` says so, it ends after the batch that is being worked on. Memory holds a few batches of images, however
    many there are.

    Raises:
        GreenPoseError: something cannot be written.
    """
    account = Account()
    framing = replace(estimator.framing, as_given=regions.as_given)
    views = inputs.views(estimator.window)
    tasks = ahead(_cut(views, regions, framing, keep=results.keeps_images), most=AHEAD * batch)
    for group in _in_batches(tasks, batch):
        _settle(group, estimator, results, account, batch=batch, category=inputs.category)
        on_progress(account)
        if stop():
            account.interrupted = True
            break
    return account


def ahead(items: Iterable[Item], *, most: int) -> Iterator[Item]:
    """Yield items in order, of which a thread makes up to `most` while others are used."""
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1)
    try:
        waiting = deque(pool.submit(next, iterator, end) for _ in range(most))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]  # the end, of another type, is not yielded
    finally:
        pool.shutdown(cancel_futures=True)


def _cut(views: Iterable[View], regions: Regions, framing: Framing, *, keep: bool) -> Iterator[Task]:
    """Yield each image with the crops of its boxes; what is wrong with one becomes its fault."""
    for view in views:
        regions.awaited.pop(view.id, None)
        if view.image is None:
            yield Task(view)
            continue
        try:
            task = _task(view, regions.of(view), framing)
        except DataError as error:
            task = Task(view._replace(image=None, fault="; ".join(f"{view.name}: {fault}" for fault in error.faults)))
        yield task if keep else task._replace(view=task.view._replace(image=None))


def _task(view: View, boxes: Sequence[Located], framing: Framing) -> Task:
    assert view.image is not None
    frames = [frame_box(box, view.size, framing) for box, _ in boxes]
    matrices = [framing.matrix(*frame) for frame in frames]
    return Task(
        view,
        scores=[score for _, score in boxes],
        crops=[crop(view.image, matrix, framing.input_size) for matrix in matrices],
        centers=[center for center, _ in frames],
        scales=[scale for _, scale in frames],
    )


def _in_batches(tasks: Iterable[Task], batch: int) -> Iterator[list[Task]]:
    """Yield images in groups that have a batch of crops or more, or as many images; the last may have fewer."""
    group: list[Task] = []
    crops = 0
    for task in tasks:
        group.append(task)
        crops += len(task.crops)
        if crops >= batch or len(group) >= 2 * batch:
            yield group
            group, crops = [], 0
    if group:
        yield group


def _settle(
    group: Sequence[Task], estimator: Estimator, results: Results, account: Account, *, batch: int, category: int
) -> None:
    """Find the poses of some images and write them, image by image; what has a fault has no crops."""
    crops = [cut for task in group for cut in task.crops]
    centers = np.array([row for task in group for row in task.centers], dtype=np.float32).reshape(-1, 2)
    scales = np.array([row for task in group for row in task.scales], dtype=np.float32).reshape(-1, 2)
    joints, peaks = _found(crops, centers, scales, estimator, batch)
    searched = [task for task in group if not task.view.fault]
    poses = detect(
        joints,
        peaks,
        image_ids=[task.view.id for task in searched for _ in task.crops],
        areas=np.prod(scales.astype(np.float64) * SCALE_UNIT_PX, axis=-1),
        sigmas=estimator.profile.sigmas,
        box_scores=[score for task in searched for score in task.scores],
        category_id=category,
    )
    of_image: dict[int, list[dict[str, Any]]] = {}
    for pose in poses:
        of_image.setdefault(pose["image_id"], []).append(pose)
    for task in searched:
        results.add(task.view, of_image.get(task.view.id, []))
        account.eight_bit += task.view.eight_bit
        account.turned += task.view.turned
    account.faults += [task.view.fault for task in group if task.view.fault]
    account.images += len(searched)
    account.poses += len(poses)


def _found(
    crops: Sequence[np.ndarray], centers: np.ndarray, scales: np.ndarray, estimator: Estimator, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the poses in some crops, computed in the fewest batches, all of nearly the same size.

    Raises:
        ModelError: the network puts out what is no number.
    """
    if not crops:
        return np.zeros((0, estimator.profile.num_keypoints, 2)), np.zeros((0, estimator.profile.num_keypoints))
    parts = [
        estimator(stacked([crops[place] for place in some]), centers[some], scales[some])
        for some in np.array_split(np.arange(len(crops)), -(-len(crops) // batch))
    ]
    joints, peaks = (np.concatenate(each) for each in zip(*parts, strict=True))
    if not np.isfinite(peaks).all():
        raise ModelError([f"{estimator.said}: gives values that are no numbers; its weights are damaged, or overflow"])
    return joints, peaks
