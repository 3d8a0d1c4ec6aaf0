"""Outputs: COCO results, a table, pictures and films with poses drawn on; each written as it comes."""

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from jaxtyping import UInt8

from greenpose.data.images import encode_png
from greenpose.data.instances import Profile
from greenpose.data.overlay import draw_pose
from greenpose.errors import GreenPoseError, writing
from greenpose.formatting import in_csv
from greenpose.predict.inputs import Inputs, View, film_rate, quieten

POSES, TABLE, BILL, OVERLAYS = "poses.json", "poses.csv", "bill.json", "overlays"
Drawn: TypeAlias = Literal["overlays", "films"]
"""What poses are drawn on: pictures of their own, or films."""
STILLS_RATE = 5.0
"""Images per second of a film that is made of single images."""
CODEC = "mp4v"
"""MPEG-4 Part 2, which OpenCV's package carries everywhere; it has no H.264, which is under patents."""
_JPEG_QUALITY = 90
_PLAIN_COLOURS = 2
"""Dimensions of a grey image."""


class Results:
    """The files of one prediction, in a folder that is not shown before it is whole."""

    def __init__(self, folder: Path, inputs: Inputs, profile: Profile, *, drawn: Collection[Drawn] = ()) -> None:
        """Keep what is to be written; the files are opened by `written`."""
        self._folder, self._inputs, self._profile = folder, inputs, profile
        self._drawn = drawn
        self._film: _Film | None = None
        self._stack = ExitStack()
        self._first = True

    @property
    def keeps_images(self) -> bool:
        """Return whether poses are drawn, for which the images are needed."""
        return bool(self._drawn)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Keep the files open for the block, and make them whole at its end.

        Raises:
            GreenPoseError: one cannot be written, as on a full disk.
        """
        with writing(self._folder / POSES), self._stack:
            self._poses = self._stack.enter_context((self._folder / POSES).open("w", encoding="utf-8"))
            table = self._stack.enter_context((self._folder / TABLE).open("w", encoding="utf-8", newline=""))
            self._table = csv.writer(table, lineterminator="\n")
            self._table.writerow(self._heads())
            self._poses.write("[")
            yield
            self._poses.write("\n]\n")
            self._close_film()

    def add(self, view: View, poses: Sequence[Mapping[str, Any]]) -> None:
        """Write the poses of an image, as COCO results.

        Raises:
            GreenPoseError: a picture or film of them cannot be written.
        """
        where = {} if self._inputs.ids else self._where(view)
        for person, pose in enumerate(poses, start=1):
            self._poses.write(("" if self._first else ",") + "\n" + json.dumps({**pose, **where}))
            self._first = False
            self._table.writerow(self._row(view, person, pose))
        if self.keeps_images:
            assert view.image is not None
            self._draw(view, view.image, poses)

    def _where(self, view: View) -> dict[str, Any]:
        return {"file_name": str(view.file)} | ({} if view.frame is None else {"frame": view.frame})

    def _heads(self) -> list[str]:
        named = [f"{keypoint}_{part}" for keypoint in self._profile.keypoints for part in ("x", "y", "confidence")]
        return ["image_id", "file", "frame", "person", "score", *named]

    def _row(self, view: View, person: int, pose: Mapping[str, Any]) -> list[object]:
        frame = "" if view.frame is None else view.frame
        decimals = [(2, 2, 4)[place % 3] for place in range(len(pose["keypoints"]))]
        numbers = [f"{value:.{digits}f}" for value, digits in zip(pose["keypoints"], decimals, strict=True)]
        return [view.id, in_csv(str(view.file)), frame, person, f"{pose['score']:.4f}", *numbers]

    def _draw(self, view: View, image: UInt8[np.ndarray, "height width *channel"], poses: Sequence[Any]) -> None:
        rows = np.array([pose["keypoints"] for pose in poses], dtype=np.float64).reshape(
            -1, self._profile.num_keypoints, 3
        )
        drawn = draw_pose(image, rows[..., :2], rows[..., 2], profile=self._profile)
        if "overlays" in self._drawn:
            self._keep(view, drawn, grey=image.ndim == _PLAIN_COLOURS)
        if "films" in self._drawn:
            self._film_of(view).add(drawn)

    def _keep(self, view: View, drawn: UInt8[np.ndarray, "height width 3"], *, grey: bool) -> None:
        """Write an overlay: a PNG of grey depth, whose flat greys JPEG would stain, a JPEG of a photograph."""
        bgr = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
        ending = ".png" if grey else ".jpg"
        path = self._folder / OVERLAYS / f"{view.id:06d}-{view.file.stem}{ending}"
        encoded = encode_png(bgr) if grey else cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(encoded))

    def _film_of(self, view: View) -> "_Film":
        """Return the film that a view goes into: that of its own film, or one of all single images in a row."""
        source = None if view.frame is None else view.file
        if self._film is None or self._film.source != source:
            self._close_film()
            stem = "images" if source is None else source.stem
            path = _unused(self._folder, stem)
            self._film = _Film(path, source, rate=STILLS_RATE if source is None else film_rate(source))
        return self._film

    def _close_film(self) -> None:
        film, self._film = self._film, None
        if film is not None:
            film.close()


def _unused(folder: Path, stem: str) -> Path:
    """Return the path of a film that is not there yet."""
    names = (f"{stem}{number}.mp4" for number in ("", *(f"-{n}" for n in range(2, 10**6))))
    return next(path for name in names if not (path := folder / name).exists())


class _Film:
    """A film in the making."""

    def __init__(self, path: Path, source: Path | None, *, rate: float) -> None:
        self.source = source
        self._path, self._rate, self._frames = path, rate, 0
        self._size = (0, 0)
        self._writer: Any = None

    def add(self, drawn: UInt8[np.ndarray, "height width 3"]) -> None:
        """Append a picture; one of another size than the first is fitted into it, on black."""
        if self._writer is None:
            self._size = (drawn.shape[1] // 2 * 2, drawn.shape[0] // 2 * 2)  # colours are kept for each four pixels
            quieten()
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*CODEC), self._rate, self._size)
        self._writer.write(cv2.cvtColor(_fitted(drawn, self._size), cv2.COLOR_RGB2BGR))
        self._frames += 1

    def close(self) -> None:
        """Make the film whole; OpenCV says nothing of what could not be written, so it is read again."""
        self._writer.release()
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) != self._frames:
            raise GreenPoseError(
                f"{self._path}: cannot be written as a film of {self._frames} frames; is the disk full?"
            )


def _fitted(picture: np.ndarray, size: tuple[int, int]) -> UInt8[np.ndarray, "height width 3"]:
    """Return a picture scaled to fit a size, in its upper left; cut by a pixel where only that is needed."""
    height, width = picture.shape[:2]
    if 0 <= width - size[0] <= 1 and 0 <= height - size[1] <= 1:
        return picture[: size[1], : size[0]]
    zoom = min(size[0] / width, size[1] / height)
    canvas = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    inner = cv2.resize(picture, (max(1, int(width * zoom)), max(1, int(height * zoom))), interpolation=cv2.INTER_AREA)
    canvas[: inner.shape[0], : inner.shape[1]] = inner
    return canvas
