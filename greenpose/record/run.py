"""The record of a finished run and its parts, and the note on one that did not finish."""

from operator import not_
from typing import Any, Literal

from pydantic import Field

from greenpose.metrics import ACCURACIES, AP, Metric
from greenpose.quantity import Grade, Kind
from greenpose.record.exits import Allocation, Exit, TrainingStep
from greenpose.record.frames import bill_words, to_frame, to_html
from greenpose.record.metric import OwnMetric, described
from greenpose.record.numbers import Interval, Numbers
from greenpose.schema import Document


class Forecast(Numbers):
    """What the run was expected to cost in all, early in training, by itself; to be held against the truth."""

    epoch: int
    """Epochs that had been trained."""
    energy_kwh: float
    """Expected energy of training, all epochs."""
    seconds: float
    """Expected wall time of training, all epochs."""


class Validation(Document):
    """How accurate every exit was at one moment of training, and what training had used by then."""

    epoch: int
    """Epochs trained."""
    energy_kwh: float
    """Energy of training up to then, of every attempt; obtained as `train_energy_kwh` is."""
    cpu_seconds: float
    """CPU time of training up to then, of every attempt."""
    seconds: float
    """Wall time of training up to then, of every attempt."""
    ap: dict[int, float]
    """Validation AP of each exit."""


class Phase(Numbers):
    """What one phase of the run cost (sum of its metered windows)."""

    name: str
    """`data`, `count`, `train`, `validate`, `checkpoint`, `test`, `inference`, `segments` (the training step's
    parts, measured after it); `other`: between them, last attempt."""
    seconds: float
    """Wall time."""
    cpu_seconds: float
    """CPU time of the process and its children."""
    energy_kwh: float
    """Energy of all metered components."""
    energy_kwh_by_component: dict[str, float]
    """The same for `cpu`, `gpu`, `ram` apart."""
    windows: int
    """Number of metered windows."""
    co2eq_g: float | None = None
    """Operational emissions, with hourly data by the hours of these windows; null for parts of a phase, and in records
    from before it was kept."""


class Hardware(Document):
    """One part of the machine, what it took to make it, and how much of it the run held."""

    name: str
    """What it is."""
    kg: float
    """What it took to make it (TE), in kgCO2eq."""
    kg_interval: Interval
    """Systematic interval of `kg`; for the assumed host of a virtual machine its unknown size is in it too."""
    share: float
    """Part of it that the run held (RR / ToR), 0 to 1."""
    basis: Literal["given", "sourced", "derived", "default"]
    """given: by the user; sourced: published; derived: a sum or quotient of published figures; default: ours."""
    source: str
    """Where the figure comes from."""


class Embodied(Document):
    """Emissions of making the hardware: the M of the Software Carbon Intensity is TE x TiR / EL x RR / ToR."""

    kind: Literal["modelled", "given", "excluded"]
    """modelled: from the machine's parts; given: the user's own figure; excluded: left out by the user."""
    parts: list[Hardware]
    """The hardware; empty where it is left out."""
    lifetime_years: float
    """Years that it lasts (EL)."""
    note: str
    """How the part that the run held was found."""


class Carbon(Document):
    """What turns energy, and the making of the machine, into emissions."""

    country: str
    """ISO 3166 alpha-3 code, `custom` for a user's own factor, `hourly` for a user's own hourly file."""
    intensity_g_per_kwh: float
    """Grid carbon intensity of training: an annual mean, the user's own, or with an hourly file the mean of the hours
    of training, each counted by the energy used in it."""
    intensity_interval: Interval
    """Systematic interval of that intensity."""
    source: str
    """Table or file that the intensity was taken from, and how much of training lies outside the file."""
    vintage: str
    """Year or version of the table, or the span of an hourly file."""
    pue: float
    """Power usage effectiveness: the building's energy over the machine's."""
    mean_g_per_kwh: float | None = None
    """Mean of the whole hourly file, which images are charged with: nobody knows at what hour they will be computed;
    null without such a file."""
    mean_interval: Interval | None = None
    """Systematic interval of that mean."""
    embodied: Embodied | None = None
    """What it took to make the hardware; null in records from before it was counted."""


class Component(Document):
    """Where one component's energy readings come from."""

    component: str
    """`cpu`, `gpu` or `ram`."""
    kind: Kind
    """How its energy was obtained."""
    method: str
    """The source: counter, model and coefficients."""
    details: dict[str, Any] = Field(default_factory=dict)
    """Scope, resolution, update period, coverage, model parameters, version."""


class CrossCheck(Document):
    """Another tool's figure for the same training windows."""

    tool: str
    """Name and version."""
    energy_kwh: float | None
    """Its energy for the windows that it covered; null where it failed."""
    covered_seconds: float
    """Wall time of those windows."""
    ratio: float | None
    """Its energy over ours, for the same windows."""
    note: str
    """Mode and assumptions of the tool, or why it failed."""


SCHEMA: Literal["greenpose.record/1"] = "greenpose.record/1"
FAILURE_SCHEMA: Literal["greenpose.failure/1"] = "greenpose.failure/1"
Reason = Literal["failed", "interrupted", "lost"]


class Record(Numbers):
    """One finished run."""

    schema_: Literal["greenpose.record/1"] = Field(default=SCHEMA, alias="schema")
    """Version of this layout."""
    name: str
    """Name of the run: experiment, axes and the first 8 digits of the configuration hash."""
    experiment: str
    """Name of the experiment that the run repeats, e.g. `HRNet4-OKD-DS`."""
    grid: str
    """Name of the grid."""
    axes: dict[str, Any] = Field(default_factory=dict)
    """The values that distinguish this run inside its grid, e.g. `seed`."""
    config: dict[str, Any]
    """The resolved configuration."""
    config_hash: str
    """SHA-256 of the canonical configuration, without paths."""
    seed: int
    """Seed of weights and batches."""
    started_at: str
    """UTC time of the first attempt, ISO 8601."""
    finished_at: str
    """UTC time of the end, ISO 8601."""
    attempts: int = 1
    """How often the run was started until it finished; what all of them metered counts in the totals."""
    stopped: str
    """Why training ended: `epochs` (all done), `patience` (no exit improved) or `budget` (another epoch would have gone
    beyond a limit; the checkpoint is kept); `end` where an own loop or a command came to its end."""
    budget: dict[str, float] = Field(default_factory=dict)
    """Limits that the run was given: `energy_kwh`, `co2eq_g`, `seconds`, those that were set."""
    epochs: int
    """Epochs trained."""
    images: dict[str, int]
    """Images per split: `train`, `val`, `test`."""
    subjects: dict[str, int]
    """Subjects (patients) per split; 0 where they are not known."""
    dataset: dict[str, Any] = Field(default_factory=dict)
    """Where the images come from: source, profile, keypoints, sigmas and their origin; which `area` scales OKS; and in
    which `boxes` the test split was searched: `annotated`, or `detected` with their file, its hash and their number.
    `annotations_sha256` is the hash of each split's annotation file, of a run on a folder: with another one it is a run
    on other data; of an own loop it is, as `test`, the digest that was given of its data. `shared_subjects` is how many
    patients are in training and test both: where there are any, accuracy is not about new ones."""
    train_seconds: float
    """Wall time of training, validation included."""
    train_cpu_seconds: float
    """CPU time of training, validation included."""
    train_energy_kwh: float
    """Energy of training, validation included: every epoch of every attempt."""
    train_energy_kwh_by_component: dict[str, float]
    """The same for `cpu`, `gpu`, `ram` apart."""
    train_co2eq_g: float
    """Operational emissions of training: energy x PUE x grid intensity."""
    train_embodied_co2eq_g: float | None = None
    """What making the hardware costs for the time of training: its part that was held, spread over its life."""
    train_sci_g: float | None = None
    """Software Carbon Intensity (ISO/IEC 21031:2024) of one training: operational and embodied emissions together."""
    phases: list[Phase]
    """All that was metered, phase by phase; of an attempt that was killed, what its open window drew is missing."""
    train_parts: list[Phase] = Field(default_factory=list)
    """What the phase `train` is made of: `data`, `forward`, `backward`, `step` (weights updated), `other`."""
    training_step: TrainingStep | None = None
    """What a training step is made of, exit by exit; null for a network with a single exit."""
    validations: list[Validation] = Field(default_factory=list)
    """How accuracy came with cost, one entry for each validation; empty in records of versions that did not keep it."""
    forecast: Forecast | None = None
    """What was expected after the first epochs; null where their windows are lost, and in records of earlier versions
    of runs that were resumed after them or took over another one's training."""
    allocation: Allocation
    """The training footprint split over the exits."""
    metric: OwnMetric | None = Field(default=None, exclude_if=not_)
    """What exits are judged by in a record of an own loop; left out where that is `ap`."""
    own: Literal["builder", "command"] | None = Field(default=None, exclude_if=not_)
    """Whose work was metered where it was no experiment of GreenPose: `builder`, a program's own loop
    (`greenpose.experiment`), or `command`, a whole program (`greenpose meter`); left out for an experiment."""
    notes: list[str] = Field(default_factory=list, exclude_if=not_)
    """What the user wanted to be told with it; left out where that is nothing."""
    exits: list[Exit]
    """One entry per exit, shallow to deep; none where no exit was given, as of a metered command."""
    carbon: Carbon
    """What turned energy into emissions."""
    components: list[Component]
    """Where each component's energy readings came from."""
    grade: Grade
    """A: every material component measured; B: mixed, or in part missing; C: modelled."""
    trained_in: str | None = None
    """Run whose training this is, where only metering or accounting differ and it was not trained again: its cost is in
    both records, and was paid once; null where this run was trained itself."""
    gaps: list[str] = Field(default_factory=list)
    """What is missing from the log of windows, in words, and whether the totals hold it; empty where nothing is."""
    doubts: list[str] = Field(default_factory=list)
    """What was found wrong while metering: counters that failed, stood still, went back or jumped, clocks that lie, a
    process that was stopped; where, and what it does to the numbers. What is in doubt is in no mean, and energy that
    could not be believed is in no sum. Also distillation that outweighed the labels tenfold in an epoch."""
    crosscheck: list[CrossCheck] = Field(default_factory=list)
    """Other tools' figures for the same work."""
    host: dict[str, Any]
    """Fingerprint of the machine; runs on different fingerprints are not compared. A run that another machine went on
    with has both machines' fingerprints, joined by `+`."""
    process: dict[str, Any]
    """Threads, allocator and environment of the measured process, concurrent workers."""
    software: dict[str, str]
    """Versions of Python, GreenPose and the packages that matter."""
    git: dict[str, Any] = Field(default_factory=dict)
    """Commit and dirty flag of the code, where it runs from a repository."""

    def exit(self, number: int) -> Exit:
        """Return the entry of one exit.

        Raises:
            KeyError: if this run has no such exit.
        """
        for entry in self.exits:
            if entry.exit == number:
                return entry
        raise KeyError(number)

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it: its bill, and its exits."""
        bill = bill_words(
            self,
            name=self.name,
            seconds=sum(phase.seconds for phase in self.phases),
            kwh=sum(phase.energy_kwh for phase in self.phases),
            grade=self.grade,
        )
        exits = {entry.exit: entry for entry in self.exits}
        twice = ["test.flip: each image is computed twice"] if any(each.passes > 1 for each in self.exits) else []
        return to_html(bill, exits, self.accuracies, notes=[*twice, *self.notes, *self.doubts])

    def to_frame(self) -> Any:
        """Return its exits as a pandas frame, a line each; `attrs["units"]` has the unit of each column.

        Raises:
            GreenPoseError: if pandas is not installed.
        """
        return to_frame(self.name, {entry.exit: entry for entry in self.exits}, self.accuracies)

    @property
    def factory(self) -> str:
        """Return the function that gave a network of one's own; empty for HRNet, and where there is no network."""
        return str((self.config.get("model") or {}).get("factory") or "")

    @property
    def accuracy(self) -> Metric:
        """Return what its exits are judged by: AP of pose, or its own metric."""
        return AP if self.metric is None else self.metric.row

    @property
    def accuracies(self) -> tuple[Metric, ...]:
        """Return all that accuracy is told by, the one that exits are judged by first."""
        if self.metric is None:
            return ACCURACIES
        others = dict.fromkeys(name for entry in self.exits for name in entry.metrics if name != self.metric.name)
        return (self.accuracy, *(described(name, self.exits[0].basis.get(f"metrics.{name}")) for name in others))

    @property
    def final_exit(self) -> Exit:
        """Return the deepest exit."""
        return max(self.exits, key=lambda entry: entry.exit)


class Failure(Numbers):
    """A run that did not finish: what went wrong, and what it cost up to then."""

    schema_: Literal["greenpose.failure/1"] = Field(default=FAILURE_SCHEMA, alias="schema")
    """Version of this layout."""
    name: str
    """Name of the run."""
    experiment: str
    """Name of the experiment."""
    grid: str
    """Name of the grid."""
    axes: dict[str, Any] = Field(default_factory=dict)
    """The values that distinguish this run inside its grid."""
    own: Literal["builder", "command"] | None = Field(default=None, exclude_if=not_)
    """Whose work was metered, as in a record; left out for an experiment of GreenPose."""
    reason: Reason
    """failed: it raised an error; interrupted: somebody stopped it; lost: its process died without a word."""
    message: str
    """What it said last, in one line."""
    phase: str
    """What it was doing, e.g. `train` or `validate`; empty where unknown."""
    seconds: float
    """Wall time of the windows that were closed before it ended."""
    energy_kwh: float
    """Energy of those windows."""
    co2eq_g: float | None = None
    """Their emissions; null where nobody knows the grid."""
    at: str
    """UTC time of the end, ISO 8601."""
