"""The footprint card of an exported exit: what the files are, what they were measured to cost and to be worth."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from greenpose.data import MEAN, STD
from greenpose.formatting import plain
from greenpose.record import Basis, Exit, Record
from greenpose.record.numbers import Numbers, basis_of
from greenpose.schema import Document

CARD_SCHEMA: Literal["greenpose.card/1"] = "greenpose.card/1"
NUMBERS = (
    *("params", "macs", "ap", "ap50", "ap75", "ar", "pck"),
    *("latency_s", "energy_j_per_image", "net_energy_j_per_image", "co2eq_g_per_1000_images"),
)
"""What of the record's entry of the exit goes on its card."""


class CardFile(Document):
    """One exported file."""

    file: str
    """Name, in the card's folder."""
    format: str
    """`safetensors`, `pt2` or `onnx`."""
    bytes: int
    """Size."""
    sha256: str
    """Digest."""
    error: float | None = None
    """Largest difference of its output from the network's, over the largest output, on noise, when it was run again;
    null: not verified, since nothing here could run it."""


class CardNumber(Document):
    """A number with its basis, as readers of records pass it around."""

    __qualname__ = "Quantity"  # its name in the published schema
    model_config = ConfigDict(title=__qualname__)

    name: str
    """Field name in the record."""
    value: float | None
    """The number, or null where it was not obtained."""
    basis: Basis
    """How it was obtained."""


class Card(Document):
    """What somebody needs to know who finds the files without the run."""

    schema_: Literal["greenpose.card/1"] = Field(default=CARD_SCHEMA, alias="schema")
    """Version of this layout."""
    run: str
    """Name of the run."""
    exit: int
    """Exit of the network; nothing behind it is in the files."""
    config_hash: str
    """SHA-256 of the run's configuration."""
    trained_at: str
    """When the run finished."""
    files: list[CardFile]
    """What was written."""
    folded: bool
    """Whether norms are part of the convolutions."""
    folding_error: float | None
    """Largest change of an output by folding, over the largest output, on noise; null where nothing was folded."""
    input: dict[str, Any]
    """Name, shape, type and normalisation of the images."""
    output: dict[str, Any]
    """Name, shape and keypoints of the heatmaps."""
    numbers: dict[str, CardNumber]
    """The record's numbers of this exit, each with unit, method and intervals. They are those of the network before it
    was folded."""
    train_energy_kwh: CardNumber
    """Energy of the whole training, which all exits of the run came out of."""
    train_co2eq_g: CardNumber
    """Its operational emissions."""
    grade: Literal["A", "B", "C"]
    """A: every material component of energy measured; B: mixed; C: modelled."""
    measured_on: dict[str, Any]
    """Machine and process that latency and energy belong to."""
    software: dict[str, str]
    """Versions that the files were written with."""


def make_card(
    record: Record, exit_: int, *, files: list[CardFile], folding_error: float | None, software: dict[str, str]
) -> Card:
    """Return the card of one exit of a run."""
    entry = record.exit(exit_)
    width, height = record.config["data"]["input_size"]
    keypoints = list(record.dataset.get("keypoints", ()))
    return Card(
        run=record.name,
        exit=exit_,
        config_hash=record.config_hash,
        trained_at=record.finished_at,
        files=files,
        folded=folding_error is not None,
        folding_error=folding_error,
        input={
            "name": "images",
            "shape": ["batch", 3, height, width],
            "dtype": "float32",
            "normalisation": {"scale": 1 / 255, "mean": list(MEAN), "std": list(STD), "grey": "repeated in 3 channels"},
            "padding": record.config["data"].get("padding"),
        },
        output={
            "name": "heatmaps",
            "shape": ["batch", len(keypoints) or "keypoints", height // 4, width // 4],
            "dtype": "float32",
            "keypoints": keypoints,
        },
        numbers={name: _number(entry, name) for name in NUMBERS},
        train_energy_kwh=_number(record, "train_energy_kwh"),
        train_co2eq_g=_number(record, "train_co2eq_g"),
        grade=record.grade,
        measured_on={"host": _host(record), "process": record.process, "batch": _batch(entry)},
        software=software,
    )


def _number(numbers: Numbers, name: str) -> CardNumber:
    quantity = numbers.quantity(name)
    return CardNumber(name=name, value=quantity.value, basis=basis_of(quantity))


def card_text(card: Card) -> str:
    """Return the card as Markdown."""
    rows = [f"| {name} | {_amount(each)} | {_ends(each)} | {each.basis.kind} |" for name, each in _told(card)]
    files = [f"- `{each.file}`: {each.bytes} bytes, SHA-256 `{each.sha256}`, {verdict(each)}" for each in card.files]
    folded = "folded into the convolutions" if card.folded else "as trained"
    shape = ", ".join(map(str, card.input["shape"]))
    return "\n".join(
        [
            f"# {card.run}, exit {card.exit}",
            "",
            f"Input `images` [{shape}], float32, normalised as in `card.json`; output `heatmaps`. Norms {folded}.",
            "",
            *files,
            "",
            f"Grade {card.grade}. Latency and energy are of the network before folding, on the machine in `card.json`; "
            "elsewhere they are others.",
            "",
            "| number | value | 95 % interval | how |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def verdict(file: CardFile) -> str:
    """Return whether a file was run, and how far it was from the network."""
    if file.error is None:
        return "not verified: nothing here could run it"
    return f"run again: {file.error:.1g} of the largest output off" if file.error else "run again: as the network"


def _told(card: Card) -> list[tuple[str, CardNumber]]:
    training = [("train_energy_kwh", card.train_energy_kwh), ("train_co2eq_g", card.train_co2eq_g)]
    return [*card.numbers.items(), *training]


def _amount(each: CardNumber) -> str:
    if each.value is None:
        return f"not measured: {each.basis.missing}"
    return f"{plain(each.value)} {each.basis.unit}".strip()


def _ends(each: CardNumber) -> str:
    interval = each.basis.type_a or each.basis.type_b
    if interval is None or each.value is None:
        return ""
    kind = "" if each.basis.type_a else " (systematic)"
    return f"{plain(interval.low)} to {plain(interval.high)}{kind}"


def _host(record: Record) -> dict[str, Any]:
    return {name: record.host.get(name) for name in ("cpu", "usable_cpus", "ram_gb", "gpus", "os", "fingerprint")}


def _batch(entry: Exit) -> Any:
    return entry.measurement.get("items_per_call")
