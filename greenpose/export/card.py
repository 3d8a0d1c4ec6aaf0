"""The footprint card of an exported exit, filled in from the run's record, and as Markdown."""

from typing import Any

from greenpose.artefact.card import STRIDE, Card, CardFile, CardNumber, CropRule, Decoding, Normalisation, Port
from greenpose.config.profile import Profile
from greenpose.formatting import plain
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
    profile: Profile,
    window: tuple[float, float] | None,
    files: list[CardFile],
    folding_error: float | None,
    software: dict[str, str],
) -> Card:
    """Return the card of one exit of a run, whose network sees depth through a `window` in mm, if there is one."""
    entry, data = record.exit(exit_), record.config["data"]
    width, height = data["input_size"]
    heatmaps: list[str | int] = ["batch", profile.num_keypoints, height // STRIDE, width // STRIDE]
    return Card(
        run=record.name,
        exit=exit_,
        config_hash=record.config_hash,
        trained_at=record.finished_at,
        files=files,
        folded=folding_error is not None,
        folding_error=folding_error,
        profile=profile,
        input=Port(name="images", shape=["batch", 3, height, width]),
        normalisation=Normalisation(),
        crop=CropRule(aspect=width / height, padding=data["padding"], as_given=False),
        depth_window_mm=window,
        output=Port(name="heatmaps", shape=heatmaps),
        decoding=Decoding(),
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
    files = [f"- `{each.file}`: {each.bytes} bytes, SHA-256 `{each.sha256}`, {verdict(each)}" for each in card.files]
    folded = "folded into the convolutions" if card.folded else "as trained"
    shape = ", ".join(map(str, card.input.shape))
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
