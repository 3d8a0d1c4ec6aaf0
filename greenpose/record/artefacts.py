"""What a run's artefacts cost: the document beside its record that `greenpose measure ARTEFACT` adds to."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from greenpose.quantity import Grade
from greenpose.record.numbers import Numbers
from greenpose.record.run import Carbon, Component, Record
from greenpose.schema import Document

ARTEFACTS_SCHEMA: Literal["greenpose.artefacts/1"] = "greenpose.artefacts/1"
Arithmetic = Literal["fp32", "bf16", "int8"]
PRECISIONS = {"fp32": "float32", "bf16": "bf16", "int8": "int8"}
"""What computing in each precision is called, by runtimes too."""


class ArtefactCost(Numbers):
    """One model file, or the trained network of an exit in torch that took turns with it: what an image costs."""

    exit: int = Field(ge=1)
    """Exit of the network."""
    file: str
    """Name of the model file; of the trained network in torch, that of its weights."""
    format: Literal["openvino", "onnx", "pt2", "torch"]
    """Kind of file; `torch`: no file, but the run's own network, which the others are held against."""
    precision: Arithmetic
    """Numbers that its convolutions are meant to be computed in."""
    runtime: str
    """Package that ran it, with its version."""
    arithmetic: str
    """Numbers that most of its convolutions were computed in here, as the runtime says: `float32`, `bf16` or `int8`."""
    evidence: str
    """How that was found out."""
    sha256: str
    """Digest of the file."""
    weights_sha256: str | None = None
    """Digest of the second file, which holds OpenVINO's weights; null where there is none."""
    folded: bool
    """Whether norms are part of the convolutions."""
    outputs: Literal["heatmaps", "keypoints"]
    """What comes out."""
    calibrated_on: int | None = None
    """Training images that int8 took its ranges from; null for other arithmetic."""
    ap: float | None = None
    """OKS average precision of this file on the run's test split, as a fraction."""
    ar: float | None = None
    """OKS average recall of this file on the run's test split, as a fraction."""
    pck: float | None = None
    """PCK@0.5 of this file on the run's test split, as a fraction."""
    ap_change: float | None = None
    """AP less that of the same exit in torch float32, paired over the same patients."""
    ar_change: float | None = None
    """AR less that of the same exit in torch float32."""
    pck_change: float | None = None
    """PCK less that of the same exit in torch float32."""
    file_bytes: int
    """Size on disk, of both files where there are two."""
    memory_bytes: int | None = None
    """Most memory that a fresh process held which loaded it and ran one batch, interpreter and runtime included."""
    latency_s: float | None = None
    """Wall time of one image at the measured batch size (batch time / batch), median."""
    latency_p95_s: float | None = None
    """95th percentile of the same over the calls."""
    cpu_s_per_image: float | None = None
    """CPU-seconds of one image, all threads."""
    energy_j_per_image: float | None = None
    """Gross energy of one image: everything the machine's metered components drew while it was computed."""
    net_energy_j_per_image: float | None = None
    """Net energy of one image: gross minus idle power times wall time."""
    co2eq_g_per_1000_images: float | None = None
    """Operational emissions of 1000 images, gross energy x PUE x grid intensity."""
    embodied_co2eq_g_per_1000_images: float | None = None
    """What making the hardware costs for the time of 1000 images: its part that is held, spread over its life."""
    sci_g_per_1000_images: float | None = None
    """Software Carbon Intensity (ISO/IEC 21031:2024) per 1000 images: operational and embodied emissions together."""
    relative_to_final: dict[str, float] = Field(default_factory=dict)
    """Within-block ratios to torch in float32 at the final exit: keys `latency_s`, `cpu_s_per_image`,
    `energy_j_per_image`."""
    measurement: dict[str, Any] = Field(default_factory=dict)
    """How it was measured: batch, blocks, window seconds, `converged`, contamination."""

    @property
    def digests(self) -> tuple[str, str | None]:
        """Return what tells its content from every other."""
        return self.sha256, self.weights_sha256

    @property
    def is_trained_network(self) -> bool:
        """Return whether it is no file but the run's own network in torch."""
        return self.format == "torch"


class Turns(Document):
    """What took turns on one machine, in the same interleaved blocks: only within them may costs be divided."""

    measured_at: str
    """UTC time of the end, ISO 8601."""
    converged: bool
    """Whether blocks agree on everybody's energy and its ratio to within `measure.rel_ci`."""
    blocks: int
    """Interleaved blocks that the medians are over."""
    warnings: list[str]
    """What to mind, and what to try next."""
    costs: list[ArtefactCost] = Field(min_length=1)
    """The trained network's exits in torch, shallow to deep, then the model files, as they were named."""
    carbon: Carbon
    """What turns energy into emissions."""
    components: list[Component]
    """Where each component's energy readings come from."""
    grade: Grade
    """A: every material component measured; B: mixed; C: modelled."""
    host: dict[str, Any]
    """Fingerprint of the machine, and its instruction sets."""
    process: dict[str, Any]
    """Threads, allocator, environment and device of the measured process."""
    software: dict[str, str]
    """Versions of Python, GreenPose, the runtimes and the packages that matter."""
    git: dict[str, Any] = Field(default_factory=dict)
    """Commit and dirty flag of the code, where it runs from a repository."""

    @property
    def files(self) -> list[ArtefactCost]:
        """Return what is a model file."""
        return [each for each in self.costs if not each.is_trained_network]

    @property
    def reference(self) -> ArtefactCost | None:
        """Return what ratios are to: the run's final exit in torch; None where no run was at hand."""
        return max((each for each in self.costs if each.is_trained_network), key=lambda each: each.exit, default=None)

    @property
    def machine(self) -> str:
        """Return what tells the machine from others."""
        return str(self.host.get("fingerprint"))


class ArtefactCosts(Document):
    """All that is known of what the artefacts of one run cost, on every machine that measured them."""

    schema_: Literal["greenpose.artefacts/1"] = Field(default=ARTEFACTS_SCHEMA, alias="schema")
    """Version of this layout."""
    run: str
    """Name of the run."""
    config_hash: str
    """SHA-256 of the run's configuration."""
    run_finished_at: str
    """When the run finished, as its record says: the artefacts come from this training and no other."""
    measurements: list[Turns]
    """One entry for each measurement of which something still holds, the newest last."""

    def with_turns(self, new: Turns) -> "ArtefactCosts":
        """Return the document with a measurement added: what it measured anew on its machine counts no more as before.

        A file is the same if its content is. An earlier measurement of which no file is left goes.
        """
        again = {each.digests for each in new.files}
        kept = [turns if turns.machine != new.machine else _without(turns, again) for turns in self.measurements]
        return ArtefactCosts(
            run=self.run,
            config_hash=self.config_hash,
            run_finished_at=self.run_finished_at,
            measurements=[*(each for each in kept if each.files), new],
        )

    def belongs_to(self, record: Record) -> bool:
        """Return whether the artefacts come from the training that a record is of."""
        ours = (self.run, self.config_hash, self.run_finished_at)
        return ours == (record.name, record.config_hash, record.finished_at)

    def costs(self) -> Iterator[tuple[Turns, ArtefactCost]]:
        """Yield every model file with the measurement that it belongs to."""
        for turns in self.measurements:
            for each in turns.files:
                yield turns, each


def _without(turns: Turns, digests: set[tuple[str, str | None]]) -> Turns:
    left = [each for each in turns.costs if each.is_trained_network or each.digests not in digests]
    return turns.model_copy(update={"costs": left})
