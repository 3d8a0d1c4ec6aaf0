"""The footprint card of an exported exit, filled in from the run's record, and as Markdown."""

from typing import Any

from greenpose.artefact.card import (
    Card,
    CardFile,
    CardNumber,
    CropRule,
    Decoding,
    Normalisation,
    Port,
    Validated,
)
from greenpose.config.experiment import STRIDE
from greenpose.data import Samples
from greenpose.formatting import plain
from greenpose.metrics import PERCENT
from greenpose.quantity import Quantity
from greenpose.record import Exit, Record
from greenpose.record.numbers import Numbers

NUMBERS = (
    *("params", "macs", "ap", "ap50", "ap75", "ar", "pck"),
    *("latency_s", "energy_j_per_image", "net_energy_j_per_image", "co2eq_g_per_1000_images"),
)
"""What of the record's entry of the exit goes on its card."""


def make_card(
    record: Record,
    exit_: int,
    *,
    samples: Samples,
    window: tuple[float, float] | None,
    files: list[CardFile],
    folding_error: float | None,
    software: dict[str, str],
) -> Card:
    """Return the card of one exit of a run: `samples` are its test split, `window` is the depth in mm that it sees."""
    entry, framing = record.exit(exit_), samples.framing
    width, height = framing.input_size
    heatmaps: list[str | int] = ["batch", samples.profile.num_keypoints, height // STRIDE, width // STRIDE]
    return Card(
        run=record.name,
        exit=exit_,
        config_hash=record.config_hash,
        trained_at=record.finished_at,
        files=files,
        folded=folding_error is not None,
        folding_error=folding_error,
        profile=samples.profile,
        input=Port(name="images", shape=["batch", 3, height, width]),
        normalisation=Normalisation(),
        crop=CropRule(aspect=width / height, padding=framing.padding, as_given=False),
        depth_window_mm=window,
        output=Port(name="heatmaps", shape=heatmaps),
        decoding=Decoding(method=framing.decode, sigma=None if framing.decode == "quarter" else framing.sigma),
        numbers={name: _number(entry, name) for name in NUMBERS},
        train_energy_kwh=_number(record, "train_energy_kwh"),
        train_co2eq_g=_number(record, "train_co2eq_g"),
        grade=record.grade,
        measured_on={"host": _host(record), "process": record.process, "batch": _batch(entry)},
        software=software,
    )


def _number(numbers: Numbers, name: str) -> CardNumber:
    return CardNumber.of(name, numbers.quantity(name))


def card_text(card: Card) -> str:
    """Return the card as Markdown."""
    rows = [f"| {name} | {_amount(each)} | {_ends(each)} | {each.basis.kind} |" for name, each in _told(card)]
    folded = "part of the convolutions" if card.folded else "as trained; in ONNX and OpenVINO, part of the convolutions"
    shape = ", ".join(map(str, card.input.shape))
    how = f"a box is grown to {card.crop.aspect:g} (width over height), times {card.crop.padding:g}; {card.crop.order}"
    by = "" if card.decoding.method == "quarter" else f", decoded by {card.decoding.method}"
    return "\n".join(
        [
            f"# {card.run}, exit {card.exit}",
            "",
            f"Input `images` [{shape}], float32, normalised as in `card.json`: {how}. Output:"
            f" {card.output.name}{by}, or keypoints where a file says so. Norms {folded}.",
            *([f"16-bit depth is seen from {_window(card)} mm."] if card.depth_window_mm else []),
            "",
            "| file | bytes | SHA-256 | AP | against float32 | off by |",
            "|---|---|---|---|---|---|",
            *map(_file_row, card.files),
            "",
            *[f"- {line}" for each in card.files for line in _told_of(each)],
            "",
            f"Grade {card.grade}. Latency and energy are of the network before folding and conversion, on the machine"
            " in `card.json`; elsewhere they are others.",
            "",
            "| number | value | 95 % interval | how |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _window(card: Card) -> str:
    near, far = card.depth_window_mm or (0, 0)
    return f"{near:g} to {far:g}"


def _file_row(each: CardFile) -> str:
    names = " ".join(f"`{name}`" for name in (each.file, each.weights) if name)
    ap, change = each.accuracy["ap"].quantity * PERCENT, each.accuracy_change["ap"]
    error = "" if each.error is None else f"{each.error:.1g} of the largest output"
    reached = "" if ap.value is None else f"{ap.value:.1f} %"
    return f"| {names} | {each.bytes} | `{each.sha256}` | {reached} | {change.in_points()} | {error} |"


def _told_of(each: CardFile) -> list[str]:
    """Return how a file was run, and what it was calibrated on."""
    peaks = "" if each.peaks_same is None else f"; {each.peaks_same:.1%} of keypoints peak at the same pixel"
    said = [f"`{each.file}` was run: {each.arithmetic}{peaks}."]
    made = each.calibration
    if made is not None:
        kept = f"; in float: {', '.join(made.kept_in_float)}" if made.kept_in_float else ""
        said.append(f"`{each.file}`: {made.method}; {made.images} training images of {made.patients} patients{kept}.")
    if each.validation is not None:
        said.append(f"`{each.file}`: decided on {_seen(each.validation)}")
    return said


def _seen(given: Validated) -> str:
    """Return what a file did to the validation patients."""
    return (
        f"{given.images} validation images of {given.patients} patients: AP {PERCENT * given.ap_change:+.2f} points,"
        f" {given.peaks_same:.1%} of peaks at the same pixel. The test split had no part in it."
    )


def _told(card: Card) -> list[tuple[str, CardNumber]]:
    training = [("train_energy_kwh", card.train_energy_kwh), ("train_co2eq_g", card.train_co2eq_g)]
    return [*card.numbers.items(), *training]


def _amount(each: CardNumber) -> str:
    number, unit = _shown(each)
    if number.value is None:
        return f"not measured: {number.missing}"
    return f"{plain(number.value)} {unit}".strip()


def _ends(each: CardNumber) -> str:
    number, _ = _shown(each)
    interval = number.type_a or number.type_b
    if interval is None or number.value is None:
        return ""
    kind = "" if number.type_a else " (systematic)"
    return f"{plain(interval.low)} to {plain(interval.high)}{kind}"


def _shown(each: CardNumber) -> tuple[Quantity, str]:
    """Return a number in the unit that people read it in: shares in percent."""
    number = each.quantity
    return (number * PERCENT, "%") if each.basis.unit == "fraction" else (number, each.basis.unit)


def _host(record: Record) -> dict[str, Any]:
    return {name: record.host.get(name) for name in ("cpu", "usable_cpus", "ram_gb", "gpus", "os", "fingerprint")}


def _batch(entry: Exit) -> Any:
    return entry.measurement.get("items_per_call")
