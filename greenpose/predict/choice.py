"""The choice: which file of an artefact or a run finds poses: the cheapest measured one that is accurate enough."""

import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from greenpose.artefact import Artefact, read_artefact
from greenpose.errors import ArtefactError, RecordError
from greenpose.formatting import percent, plural
from greenpose.metering.machine import this_machine
from greenpose.metrics import CPU, ENERGY, PERCENT, Metric
from greenpose.record import Record
from greenpose.record.artefacts import ArtefactCost, ArtefactCosts, Turns
from greenpose.schema import loaded
from greenpose.store import RunFolder
from greenpose.store.records import read_text

Digests = tuple[str, str | None]
MARGIN = 0.02
"""AP, as a fraction, by which what is cheaper may fall short of the best: the page's own margin."""
CARDS = ("*/card.json", "*/*/card.json")
"""Where exported files lie in a run's folder."""
UNMEASURED = "the first by format and precision: none of its files was measured (greenpose measure)"


def chosen_file(artefacts: Sequence[Artefact]) -> tuple[Artefact, str]:
    """Return which of an exit's files to use, and why: by `artefacts.json` beside them or their run, else the first."""
    card = artefacts[0].card
    for folder in (artefacts[0].folder, artefacts[0].folder / "..", artefacts[0].folder / "../.."):
        known = _read(RunFolder(folder).artefacts)
        if known and (known.config_hash, known.run_finished_at) == (card.config_hash, card.trained_at):
            files = {_digests(each): each for each in artefacts}
            found = _cheapest(known, files, exits={card.exit}, with_torch=False)
            if found:
                return files[found[0].digests], found[1]
    return artefacts[0], UNMEASURED


def chosen_of_run(folder: RunFolder, record: Record, exits: Iterable[int]) -> tuple[int, Artefact | None, str] | None:
    """Return which of a run's exits to use, its exported file or None for its own network in torch, and why.

    None if nothing was measured that is there.
    """
    known = _read(folder.artefacts)
    if known is None or not known.belongs_to(record):
        return None
    artefacts = [each for pattern in CARDS for card in sorted(folder.path.glob(pattern)) for each in _files(card)]
    files = {_digests(each): each for each in artefacts if each.card.exit in exits}
    found = _cheapest(known, files, exits={*exits}, with_torch=True)
    return found and (found[0].exit, files.get(found[0].digests), found[1])


def _read(path: Path) -> ArtefactCosts | None:
    """Return what artefacts cost; None where nothing says so, or nothing that can be read."""
    try:
        return loaded(ArtefactCosts, read_text(path), where=str(path), error=RecordError) if path.is_file() else None
    except RecordError:
        return None


def _files(card: Path) -> list[Artefact]:
    try:
        return read_artefact(card.parent)
    except ArtefactError:  # others may do
        return []


def _digests(artefact: Artefact) -> Digests:
    return artefact.file.sha256, artefact.file.weights_sha256


def _cheapest(
    known: ArtefactCosts, files: Collection[Digests], *, exits: set[int], with_torch: bool
) -> tuple[ArtefactCost, str] | None:
    """Return what costs least of what took turns in one measurement, and why: costs of several are not compared."""
    turns = _turns(known, files)
    if turns is None:
        return None
    usable = [each for each in turns.costs if each.digests in files or (with_torch and each.is_trained_network)]
    usable = [each for each in usable if each.exit in exits and each.ap is not None]
    metric = ENERGY if all(each.energy_j_per_image is not None for each in usable) else CPU
    enough = [each for each in usable if _lost(each, turns, exits) <= MARGIN]
    best = min(enough, key=lambda each: each.quantity(metric.name).value or math.inf, default=None)
    return None if best is None else (best, _why(best, turns, metric, len(enough)))


def _why(best: ArtefactCost, turns: Turns, metric: Metric, number: int) -> str:
    where = "on this machine" if turns.machine == this_machine().fingerprint else "on another machine"
    share, final = best.relative_to_final.get(metric.name), turns.reference
    ratio = f", {percent(share)} of torch float32 at exit {final.exit}" if share and final else ""
    what = "energy" if metric is ENERGY else "CPU time"
    among = f"{plural(number, 'model')} measured {where} within {PERCENT * MARGIN:g} points of AP"
    return f"the least {what} of {among}{ratio}"


def _turns(known: ArtefactCosts, files: Collection[Digests]) -> Turns | None:
    """Return the newest measurement of any of the files, one of this machine before others."""
    some = [turns for turns in known.measurements if any(each.digests in files for each in turns.files)]
    here = [turns for turns in some if turns.machine == this_machine().fingerprint]
    return next(reversed(here or some), None)


def _lost(each: ArtefactCost, turns: Turns, exits: set[int]) -> float:
    """Return by how much a model's AP lies below that of the best of the exits in torch that took turns."""
    own = (each.ap or 0.0) - (each.ap_change or 0.0)
    torch = [cost.ap or 0.0 for cost in turns.costs if cost.is_trained_network and cost.exit in exits]
    return max([*torch, own]) - (each.ap or 0.0)
