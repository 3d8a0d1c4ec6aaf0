"""The picture that a run leaves: what each exit says about a dozen test images, its best, its median and its worst."""

import io
from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from greenpose.data import Samples
from greenpose.data.crops import transform_points
from greenpose.data.instances import Profile
from greenpose.data.overlay import LOOKS, draw_pose, side_of
from greenpose.data.samples import matrix_of
from greenpose.errors import GreenPoseError, said
from greenpose.files import write_parts
from greenpose.formatting import listed
from greenpose.record import Record
from greenpose.run.callbacks import LOGGER
from greenpose.store import RunFolder
from greenpose.store.pictures import MOST_BYTES, with_texts
from greenpose.training import ExitPredictions, similarities

Group = tuple[str, list[int]]
GROUPS = ("best", "median", "worst")
"""The images that are shown, by the OKS of the final exit."""
EACH = 4
"""How many of each."""
_FINER = 2
"""Tiles are drawn so many times as large, since lines get thin by it."""
_STEPS = ((92, 12), (92, 8), (92, 5), (80, 5), (72, 5), (64, 5), (56, 4), (48, 3))
"""Longer side of a tile, and its shades of grey: the first step whose picture is small enough is taken."""
_DIM, _BLUR = 0.6, 0.7
"""Brightness that is left to images, so that poses stand out; and how far they are blurred, in pixels of a tile."""
_GAP, _TEXT, _NAMES = 4, 15, 44
"""Pixels between tiles, of a line of text, and of the names of exits."""
_INK, _GROUND = (255, 255, 255), (0, 0, 0)
_FONT, _SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.36
"""Of the letters, in OpenCV's measure: some 8 pixels."""


def leave_picture(folder: RunFolder, samples: Samples, found: Mapping[int, ExitPredictions], record: Record) -> None:
    """Write the picture of a run's test split beside its record.

    What prevents that is told in the log and ends nothing: the run is done.
    """
    try:
        write_parts(folder.predictions, [predictions_png(samples, found, record)])
    except (GreenPoseError, OSError, ValueError, MemoryError, cv2.error) as error:
        LOGGER.warning("no %s: %s", folder.predictions.name, said(error))


def predictions_png(samples: Samples, found: Mapping[int, ExitPredictions], record: Record) -> bytes:
    """Return a PNG of at most `MOST_BYTES` that says what it shows: a column is a test image, a row is an exit.

    Images are as the network sees them, in grey; the deepest exit comes first, and its OKS chose them.

    Raises:
        GreenPoseError: they do not fit into that, at any size.
    """
    groups = chosen(similarities(samples, found[max(found)]))
    some = [index for _, indices in groups for index in indices]
    few, shown = samples.take(some), {exit_: _of(found[exit_], some) for exit_ in sorted(found, reverse=True)}
    oks = {exit_: similarities(few, each) for exit_, each in shown.items()}
    for side, shades in _STEPS:
        png = with_texts(_encoded(_composed(few, shown, oks, groups, side), shades), _words(groups, oks), record)
        if len(png) <= MOST_BYTES:
            return png
    raise GreenPoseError(f"it would have {len(png)} bytes, more than the {MOST_BYTES} that are kept")


def chosen(oks: Float[np.ndarray, " sample"]) -> list[Group]:
    """Return which samples are shown, none twice: the best, those in the middle, and the worst, best first."""
    order = np.argsort(-np.nan_to_num(oks), kind="stable").tolist()
    count = min(EACH, -(-len(order) // len(GROUPS)))
    starts = (0, (len(order) - count) // 2, len(order) - count)
    found, taken = list[Group](), set[int]()
    for name, start in zip(GROUPS, starts, strict=True):
        mine = [index for index in order[start : start + count] if index not in taken]
        taken |= {*mine}
        found.append((name, mine))
    return [group for group in found if group[1]]


def _of(found: ExitPredictions, some: Sequence[int]) -> ExitPredictions:
    return ExitPredictions(joints=found.joints[some], peaks=found.peaks[some], places=found.places[some])


def _words(groups: Sequence[Group], oks: Mapping[int, np.ndarray]) -> str:
    """Return what the picture shows, for those who do not see it."""
    names, last = [str(exit_) for exit_ in oks], max(oks)
    values = iter(oks[last])
    told = [f"{name} {listed([f'{next(values):.2f}' for _ in indices])}" for name, indices in groups]
    exits = f"exit{'s' if len(names) > 1 else ''} {listed(names)}"
    count = sum(len(indices) for _, indices in groups)
    return f"{count} test images with the annotated pose and that of {exits}. OKS of exit {last}: {'; '.join(told)}."


def _composed(
    samples: Samples,
    shown: Mapping[int, ExitPredictions],
    oks: Mapping[int, np.ndarray],
    groups: Sequence[Group],
    side: int,
) -> UInt8[np.ndarray, "height width 3"]:
    """Return tiles in rows and columns, with names beside and above them, each with its OKS below."""
    input_size = np.array(samples.framing.input_size)
    width, height = np.maximum(1, np.rint(input_size * side / input_size.max())).astype(int).tolist()
    lefts = list(_lefts(groups, width))
    row = height + _TEXT
    canvas = np.full((2 * _TEXT + len(shown) * row, max(lefts) + width + _GAP, 3), _GROUND, dtype=np.uint8)
    for (name, indices), first in zip(groups, np.cumsum([0, *(len(each) for _, each in groups)]), strict=False):
        _write(canvas, name if len(indices) > 1 or len(groups) > 1 else "", lefts[first], _TEXT - 4)
    for line, (exit_, found) in enumerate(shown.items()):
        top = _TEXT + line * row
        _write(canvas, f"exit {exit_}", _GAP, top + height // 2)
        for index, left in enumerate(lefts):
            tile = _tile(samples, index, found, (width, height))
            canvas[top : top + height, left : left + width] = tile
            _write(canvas, f"{oks[exit_][index]:.2f}", left, top + height + _TEXT - 4)
    _write(canvas, _fitting(_legend(samples.profile), canvas.shape[1]), _GAP, canvas.shape[0] - 4)
    return canvas


def _lefts(groups: Sequence[Group], width: int) -> Iterator[int]:
    """Yield where each column begins; groups stand apart."""
    left = _NAMES
    for _, indices in groups:
        for _ in indices:
            yield left
            left += width + _GAP
        left += 3 * _GAP


def _legend(profile: Profile) -> list[str]:
    """Return what poses are drawn like, a part for each side that the profile has."""
    sides = {side_of(profile, keypoint) for keypoint in range(profile.num_keypoints)}
    return [
        "hollow: annotated",
        *(f"{look.words}: {side}" for side, look in LOOKS.items() if side in sides),
        "faint: unsure",
    ]


def _fitting(parts: Sequence[str], width: int) -> str:
    """Return as many parts of a line as there is room for."""
    lines = ["   ".join(parts[:count]) for count in range(len(parts) + 1)]
    return next(line for line in reversed(lines) if cv2.getTextSize(line, _FONT, _SIZE, 1)[0][0] <= width - 2 * _GAP)


def _write(canvas: np.ndarray, text: str, left: int, bottom: int) -> None:
    cv2.putText(canvas, text, (left, bottom), _FONT, _SIZE, _INK, 1, cv2.LINE_AA)


def _tile(
    samples: Samples, index: int, found: ExitPredictions, size: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a sample's crop with what is annotated and what was found."""
    crop = samples.crops([index])[0]
    grey = crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    fine = (_FINER * size[0], _FINER * size[1])
    factor = np.array(fine) / samples.framing.input_size
    joints = transform_points(found.joints[index], matrix_of(samples.instances[index], samples.framing))
    true = np.where(samples.visibility[index][:, None] > 0, samples.joints[index], np.nan)
    joints, true = ((each + 0.5) * factor - 0.5 for each in (joints, true))
    large = cv2.resize(grey, fine, interpolation=cv2.INTER_LINEAR if factor[0] > 1 else cv2.INTER_AREA)
    dim = cv2.GaussianBlur(large, (0, 0), _FINER * _BLUR) * _DIM
    drawn = draw_pose(dim.astype(np.uint8), joints, found.peaks[index], profile=samples.profile, truth=true, least_px=1)
    tile: np.ndarray = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
    return tile


def _encoded(picture: UInt8[np.ndarray, "height width 3"], shades: int) -> bytes:
    """Return a picture as PNG, in so many shades of grey and the colours that poses are drawn in."""
    from PIL import Image

    greys = np.concatenate([np.linspace(0, 255 * _DIM, shades), [205, 255]])
    colours = np.array([look.colour for look in LOOKS.values()])
    palette = np.concatenate([np.repeat(greys[:, None], 3, 1), colours, 0.6 * colours]).astype(np.uint8)
    table = Image.new("P", (1, 1))
    table.putpalette(palette.tobytes())
    file = io.BytesIO()
    Image.fromarray(picture).quantize(palette=table, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
