"""Exported models as candidates: each model file of an artefact is held against what was accepted of its kind.

Apart from `footprint`, since reading an artefact takes OpenCV, which no other check needs.
"""

from collections.abc import Iterator

from greenpose.artefact import Artefact
from greenpose.artefact.folder import operators_of
from greenpose.check.footprint import Footprint
from greenpose.metrics import ACCURACIES, FILE
from greenpose.quantity import Quantity
from greenpose.record.artefacts import ArtefactCost


def of_artefact(artefact: Artefact, cost: ArtefactCost | None) -> Footprint:
    """Return the footprint of a model file: its size, its operators, its accuracy, and what it was measured to cost.

    It is called by its experiment, format and precision; budgets may leave the experiment out.
    """
    card, file, exit_ = artefact.card, artefact.file, artefact.card.exit
    variant = "-".join([file.format, file.precision, *(["folded"] if card.folded else [])])
    variant += "" if file.outputs == "heatmaps" else f"-{file.outputs}"
    numbers = {name: each.quantity for name, each in file.accuracy.items()}
    quantities = {f"exit{exit_}.{name}": each for name, each in numbers.items()}
    quantities |= dict(_measured(exit_, cost)) if cost else {}
    size = Quantity(value=file.bytes, unit=FILE.counted_unit, kind="counted", method=FILE.convention)
    quantities |= {
        f"exit{exit_}.{name}": each.quantity for name, each in card.numbers.items() if each.basis.kind == "counted"
    }
    told = f"format {file.format}, joints {card.profile.num_keypoints}, precision {file.precision}"
    width, height = card.framing.input_size
    return Footprint(
        labels=(variant, f"{card.run.rpartition('-')[0] or card.run}.{variant}"),
        network=f"{told}, norms {'folded' if card.folded else 'apart'}, output {file.outputs}",
        input=f"{width}x{height}",
        torch="",
        data=f"{card.profile.name}: {numbers['ap'].method}" if "ap" in numbers else None,
        exits=(exit_,),
        quantities=quantities | {f"exit{exit_}.{FILE.name}": size},
        operations={exit_: operators_of(artefact)},
        exported=True,
    )


def _measured(exit_: int, cost: ArtefactCost) -> Iterator[tuple[str, Quantity]]:
    """Yield what a model file was measured to cost, and its shares of the final exit in torch float32."""
    of_the_card = (FILE.name, *(metric.name for metric in ACCURACIES))
    for name in cost.basis:
        share = name.removeprefix("relative_to_final.")
        if share != name:
            yield f"exit{exit_}/final.{share}", cost.quantity(name)
        elif name not in of_the_card:
            yield f"exit{exit_}.{name}", cost.quantity(name)
