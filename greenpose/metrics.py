"""The catalogue: a row for each quantity of an exit or a training: unit, kind, how it is judged, how it is shown.

Record, page, Markdown, CSV, LaTeX, terminal, gate, budgets and pytest plugin read it. A counted quantity is added here
and where it is counted (`counting/counts`), and nowhere else.
"""

from dataclasses import dataclass
from typing import Literal

from greenpose.formatting import NBSP
from greenpose.quantity import Kind

Cause = Literal["input", "keypoints", "torch"]
"""What else than a network moves one of its counts."""
MOST = 1e30
"""Beyond every amount that a run can come to, in whatever unit; arithmetic with greater ones leaves floating point."""
PERCENT = 100.0
MARGIN = 2.0
"""Points of AP by which what is cheaper may fall short of the best and still be recommended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One quantity: what it is in the record, how the gate takes it, and how the page words it."""

    name: str
    """Field name in the record."""
    recorded: str = ""
    """Unit in the record; empty for what is worked out on the page."""
    label: str
    """Heading."""
    unit: str
    """Display unit."""
    scale: float = 1.0
    """Factor from the record's unit to the display unit."""
    most_decimals: int | None = None
    """Most decimals ever printed."""
    words: str = ""
    """What it is, inside a sentence or a chart's title."""
    of_run: bool = False
    """True: a number of the whole run, False: of each exit."""
    kind: Kind | None = None
    """How it is always obtained: counted or computed; None: as the meter could."""
    method: str = ""
    """How it is counted or computed, as the record says it."""
    convention: str = ""
    """How the exact gate takes it, another convention making values incomparable; empty: not compared exactly."""
    moved_by: frozenset[Cause] = frozenset()
    """What its value belongs to besides the network, where it is compared exactly."""
    most: float = MOST
    """Greatest value that there can be; the least is zero unless it is `signed`."""
    signed: bool = False
    """Whether it can be negative."""
    short: str = ""
    """What budgets may call it."""
    table: Literal["exits", "counters", ""] = ""
    """Table of the page, and of the forms made from it, that has a column for it; empty: none."""
    latex: Literal["Accuracy", "Size", "One image", "Training", ""] = ""
    """Heading above its column in LaTeX's table, which says less in a column's own; empty: it has none."""
    lower: bool = False
    """Of what exits are judged by: whether less of it is better."""
    margin: float | None = None
    """By how much a cheaper exit may be worse and still be recommended, in the display unit; None: see `Study`."""
    floor: float | None = None
    """What an exit must reach to be recommended, in the display unit; None: nothing."""

    @property
    def per_machine(self) -> bool:
        """Return whether it depends on the machine, so that only figures of one machine compare."""
        return self.kind is None

    @property
    def suffix(self) -> str:
        """Return the display unit as it follows a number; empty for a plain one."""
        return f"{NBSP}{self.unit}" if self.unit else ""

    @property
    def points(self) -> str:
        """Return what a difference is counted in: points of a percentage or a plain number, else its unit."""
        return self.unit if self.unit not in ("%", "") else "points"

    @property
    def points_in_full(self) -> str:
        """Return the same with what the points are of: percentage points."""
        return "percentage points" if self.unit == "%" else self.points

    @property
    def best(self) -> str:
        """Return which of several is the best."""
        return "lowest" if self.lower else "highest"

    @property
    def below(self) -> str:
        """Return on which side of a number worse ones are."""
        return "above" if self.lower else "below"

    @property
    def utmost(self) -> float:
        """Return the greatest value that there can be, in the display unit."""
        return self.most * self.scale

    def gain(self, amount: float) -> float:
        """Return by how much a rise of it is an improvement."""
        return -amount if self.lower else amount

    @property
    def counted_unit(self) -> str:
        """Return the unit of a count beside other counts, which takes an SI prefix."""
        return "B" if self.recorded == "bytes" else self.recorded


PARAMS = Metric(
    name="params",
    recorded="parameters",
    label="Params",
    unit="M",
    scale=1e-6,
    words="parameters",
    kind="counted",
    method="parameters of the minimal sub-network",
    convention="parameters of the minimal sub-network",
    moved_by=frozenset({"keypoints"}),
    table="exits",
    latex="Size",
)
MACS = Metric(
    name="macs",
    recorded="MACs",
    label="MACs",
    unit="GMACs",
    scale=1e-9,
    words="MACs",
    kind="counted",
    method="convolutions, torch FlopCounterMode / 2, one image",
    convention="convolutions of the minimal sub-network by torch's counter, 1 MAC = 2 FLOPs, one image",
    moved_by=frozenset({"keypoints", "input"}),
    table="exits",
    latex="Size",
)
ACTIVATIONS = Metric(
    name="activation_bytes",
    recorded="bytes",
    label="Kept for backward",
    unit="MB",
    scale=1e-6,
    words="kept for backward",
    kind="counted",
    method="tensors saved for backward, one image",
    convention="storages saved for backward, per image",
    moved_by=frozenset({"keypoints", "input"}),
)
PEAK = Metric(
    name="peak_bytes",
    recorded="bytes",
    label="Memory at its peak",
    unit="MB",
    scale=1e-6,
    words="peak, inference",
    kind="counted",
    method="tensors alive at once in inference, one image",
    convention="storages alive at once in inference of one image, without weights",
    moved_by=frozenset({"keypoints", "input", "torch"}),
    table="counters",
)
COUNTED = (PARAMS, MACS, ACTIVATIONS, PEAK)
"""Sizes, exact by construction: a run, `profile`, the gate and the pytest plugin count all of them."""


def _accuracy(name: str, label: str, method: str, *, words: str = "", convention: str = "") -> Metric:
    return Metric(
        name=name,
        recorded="fraction",
        label=label,
        unit="%",
        scale=PERCENT,
        most_decimals=1,
        words=words,
        kind="computed",
        method=method,
        convention=convention,
        most=1.0,
        table="exits",
        latex="Accuracy" if name in ("ap", "ar", "pck") else "",
    )


AP = _accuracy(
    "ap",
    "AP",
    "mean OKS average precision over thresholds .50:.05:.95, by pycocotools",
    words="AP",
    convention="COCO OKS AP .50:.05:.95, one detection per annotated box",
)
BY_OKS = (
    AP,
    _accuracy("ap50", "AP50", "OKS average precision at threshold .50, by pycocotools"),
    _accuracy("ap75", "AP75", "OKS average precision at threshold .75, by pycocotools"),
    _accuracy("ar", "AR", "mean OKS average recall over thresholds .50:.05:.95, by pycocotools"),
)
"""Accuracies that an area scales, found in boxes."""
ACCURACIES = (
    *BY_OKS,
    _accuracy(
        "pck", "PCK", "PCK@0.5 as the paper's code computes it: a tenth of the heatmap's sides, swapped, times 0.5"
    ),
    _accuracy("pck_corrected", "PCK, corrected", "PCK@0.5 with the heatmap's sides the right way round"),
)
LATENCY = Metric(
    name="latency_s",
    recorded="s",
    label="Latency",
    unit="ms",
    scale=1e3,
    words="latency per image",
    short="latency",
    table="exits",
    latex="One image",
)
LATENCY_P95 = Metric(name="latency_p95_s", recorded="s", label="Latency, 95th percentile", unit="ms", scale=1e3)
CPU = Metric(
    name="cpu_s_per_image",
    recorded="s",
    label="CPU time",
    unit="ms",
    scale=1e3,
    words="CPU time per image",
    short="cpu",
    table="exits",
)
ENERGY = Metric(
    name="energy_j_per_image",
    recorded="J",
    label="Gross energy",
    unit="J/image",
    words="energy per image",
    short="energy",
    table="exits",
    latex="One image",
)
NET_ENERGY = Metric(
    name="net_energy_j_per_image",
    recorded="J",
    label="Net energy",
    unit="J/image",
    words="net energy per image",
    signed=True,
    table="exits",
)
CO2 = Metric(
    name="co2eq_g_per_1000_images",
    recorded="gCO2eq",
    label="CO2eq",
    unit="g/1000 images",
    words="emissions per 1000 images",
    table="exits",
    latex="One image",
)
EMBODIED = Metric(
    name="embodied_co2eq_g_per_1000_images",
    recorded="gCO2eq",
    label="Making the machine",
    unit="gCO2eq/1000 images",
    words="embodied emissions per 1000 images",
)
SCI = Metric(
    name="sci_g_per_1000_images",
    recorded="gCO2eq",
    label="SCI",
    unit="gCO2eq/1000 images",
    words="carbon intensity per 1000 images",
)
BREAK_EVEN = Metric(name="break_even_images", recorded="images", label="Break-even", unit="images")
ENERGY_PER_GMAC = Metric(name="energy_j_per_gmac", recorded="J", label="Gross energy", unit="J/GMAC")
"""What only `measure` works out."""
FILE = Metric(
    name="file_bytes",
    recorded="bytes",
    label="File",
    unit="MB",
    scale=1e-6,
    words="size of the file",
    kind="counted",
    method="bytes on disk, weights included",
    convention="bytes of the model file on disk, weights included",
)
MEMORY = Metric(
    name="memory_bytes", recorded="bytes", label="Memory of its process", unit="MB", scale=1e-6, words="memory"
)
CHANGES = tuple(
    Metric(
        name=f"{name}_change",
        recorded="fraction",
        label=f"{name.upper()} less torch float32’s",
        unit="points",
        scale=PERCENT,
        most_decimals=2,
        kind="computed",
        signed=True,
    )
    for name in ("ap", "ar", "pck")
)
OF_ARTEFACT = (FILE, MEMORY, *CHANGES)
"""What only exported models have, beside accuracy and cost of an image."""
OF_EXIT = (*COUNTED, *ACCURACIES, LATENCY, LATENCY_P95, CPU, ENERGY, NET_ENERGY, CO2, EMBODIED, SCI, BREAK_EVEN)
"""All numbers of an exit."""
ON_PAGE = tuple(metric for metric in OF_EXIT if metric.table == "exits")
"""Columns of the page's table of exits."""
COMPARED = (LATENCY, CPU, ENERGY)
"""Numbers of which the record has within-block ratios to the final exit."""

TRAIN_SECONDS = Metric(name="train_seconds", recorded="s", label="Training time", unit="s", of_run=True)
TRAIN_CPU = Metric(name="train_cpu_seconds", recorded="s", label="Training CPU time", unit="s", of_run=True)
TRAIN_ENERGY = Metric(
    name="train_energy_kwh",
    recorded="kWh",
    label="Training energy",
    unit="Wh",
    scale=1e3,
    words="training energy",
    of_run=True,
    latex="Training",
)
TRAIN_CO2 = Metric(
    name="train_co2eq_g",
    recorded="gCO2eq",
    label="Training CO2eq",
    unit="g",
    words="training emissions",
    of_run=True,
    latex="Training",
)
TRAIN_EMBODIED = Metric(
    name="train_embodied_co2eq_g", recorded="gCO2eq", label="Making the machine", unit="g", of_run=True
)
TRAIN_SCI = Metric(name="train_sci_g", recorded="gCO2eq", label="SCI", unit="g/training", of_run=True)
OF_TRAINING = (TRAIN_SECONDS, TRAIN_CPU, TRAIN_ENERGY, TRAIN_CO2, TRAIN_EMBODIED, TRAIN_SCI)
"""All numbers of a training."""

OPERATIONS = "operations"
"""Calls of torch's operators by name, which the exact gate compares one by one beside the numbers."""
CONVENTIONS = dict(
    sorted(
        [(metric.name, metric.convention) for metric in (*OF_EXIT, *OF_ARTEFACT) if metric.convention]
        + [(OPERATIONS, "calls that reach torch's dispatcher in inference")]
    )
)
"""What the exact gate compares, with the convention of this version; another one makes values incomparable."""
SCORE = Metric(
    name="score",
    label="Score",
    unit="",
    words="score",
    kind="computed",
    signed=True,
    convention="what exits of an own loop are judged by, in its own unit",
)
"""What the gate and budgets call the metric of a loop that is not ours, whatever it is."""
BY_NAME = {metric.name: metric for metric in (*OF_EXIT, *OF_ARTEFACT, *OF_TRAINING, SCORE)}


def convention_of(name: str) -> str:
    """Return the convention by which this version counts what the exact gate compares; empty for anything else."""
    return SCORE.convention if name == SCORE.name else CONVENTIONS.get(name, "")


def moved_by(name: str, cause: Cause) -> bool:
    """Return whether a count that the exact gate compares belongs to an input size, to keypoints, or to a torch."""
    return cause == "torch" if name == OPERATIONS else name in BY_NAME and cause in BY_NAME[name].moved_by
