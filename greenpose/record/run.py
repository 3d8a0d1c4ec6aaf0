"""The record of a finished run and its parts, and the note on one that did not finish."""

from typing import Any, Literal

from pydantic import Field

from greenpose.record.exit import Exit
from greenpose.record.numbers import Numbers
from greenpose.record.surroundings import Carbon, Component, CrossCheck
from greenpose.record.training import Allocation, Forecast, Phase, TrainingStep, Validation

SCHEMA: Literal["greenpose.record/1"] = "greenpose.record/1"
FAILURE_SCHEMA: Literal["greenpose.failure/1"] = "greenpose.failure/1"


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
    beyond a limit; the checkpoint is kept)."""
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
    on other data. `shared_subjects` is how many patients are in training and test both: where there are any, accuracy
    is not about new ones."""
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
    exits: list[Exit]
    """One entry per exit, shallow to deep."""
    carbon: Carbon
    """What turned energy into emissions."""
    components: list[Component]
    """Where each component's energy readings came from."""
    grade: Literal["A", "B", "C"]
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
    reason: Literal["failed", "interrupted", "lost"]
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
