"""What an image costs in each runtime: `python -m benchmarks.deploy`, some ten minutes, most of it conversion.

HRNet-W32 at 192x256 with random weights, one thread, exits 3 and 4, every format and precision that `greenpose export`
writes and a runtime runs: CPU time of an image as a share of torch's in float32 at exit 4, in rounds that take turns.
Promised of the best file of exit 3: at most 10 % on a CPU with AMX, 25 % with VNNI only, 50 % with AVX2 only.
`--isa avx2` starts again with the switches that make torch and OpenVINO take the CPU for one with AVX2 only, reference
included, and prints which implementations they then chose; onnxruntime has no such switch and is left out, and so is
bf16, which is emulated there.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks import conclude
from greenpose.artefact.folder import RUNTIMES
from greenpose.artefact.runtime import OPENERS, load_openvino, openvino_convolutions, openvino_settings
from greenpose.export.formats import Kind, onnx_model, openvino_model, to_openvino, to_pt2
from greenpose.export.quantise import quantised_onnx, quantised_openvino
from greenpose.intervals import order_interval
from greenpose.metering.machine import this_machine
from greenpose.model import HRNet, InBfloat16, SubNetwork, fold_batchnorm

EXITS = (3, 4)
SIZE = (256, 192)
BATCH = 4
ROUNDS = 12
CALIBRATION = 8
"""Images of noise that int8 takes its ranges from: values do not change what an image costs."""
KINDS = (
    *(Kind("openvino", "fp32"), Kind("openvino", "bf16"), Kind("openvino", "int8")),
    *(Kind("onnx", "fp32"), Kind("onnx", "int8"), Kind("pt2", "bf16")),
)
AS_IF = {
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions of torch and OpenVINO
        "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # its matrix products
    }
}
"""What makes runtimes take the CPU for a lesser one; it has to be there before they are loaded."""
SWITCHED = ("openvino", "torch")
"""Runtimes that heed it."""
GOALS = {"AMX": 0.10, "VNNI": 0.25, "AVX2": 0.50}
"""Largest share of torch in float32 at exit 4, by the best of these that the CPU has."""
REFERENCE = "exit 4 torch fp32"
Run = Callable[[np.ndarray], np.ndarray]


def network(exit_: int) -> SubNetwork:
    """Return an exit's stand-alone network with random weights, norms folded."""
    torch.manual_seed(0)
    return fold_batchnorm(HRNet(width=32, num_joints=12, exits=EXITS).truncate(exit_).eval())


def in_torch(net: SubNetwork) -> Run:
    """Return the network in torch, as GreenPose runs it."""
    fast = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            heatmaps: np.ndarray = fast(torch.from_numpy(images).to(memory_format=torch.channels_last)).numpy()
        return heatmaps

    return run


def written(kind: Kind, net: SubNetwork, onnx: bytes, folder: Path) -> Path:
    """Return the path of a model file."""
    path, crops = folder / kind.name(net.exit), noise(CALIBRATION)
    if kind.format == "pt2":
        to_pt2(InBfloat16(net), torch.from_numpy(noise(2)), path)
    elif kind.format == "onnx":
        path.write_bytes(quantised_onnx(onnx, crops, [], folder) if kind.precision == "int8" else onnx)
    else:
        model = openvino_model(onnx, folder)
        to_openvino(quantised_openvino(model, crops, []) if kind.precision == "int8" else model, kind, path)
    return path


def opened(kind: Kind, path: Path) -> tuple[Run, str]:
    """Return what runs a file with one thread, and what its runtime computes in."""
    model = OPENERS[kind.format](path, kind.precision, 1)
    return model, model.arithmetic


def noise(number: int) -> np.ndarray:
    """Return normalised images of noise."""
    return np.random.default_rng(0).normal(size=(number, 3, *SIZE)).astype(np.float32)


def shares(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return the CPU time of each in every round over the reference's in the same round, in an order that turns."""
    images, found = noise(BATCH), {name: list[float]() for name in runs}
    for run in runs.values():
        run(images)
    names = list(runs)
    for number in range(rounds):
        seconds = {name: _cpu_seconds(runs[name], images) for name in np.roll(names, number)}
        for name in names:
            found[name].append(seconds[name] / seconds[REFERENCE])
    return found


def _cpu_seconds(run: Run, images: np.ndarray) -> float:
    began = time.process_time()
    run(images)
    return time.process_time() - began


def all_runs(folder: Path, kinds: Sequence[Kind]) -> tuple[dict[str, Run], dict[str, str]]:
    """Return everything that takes turns, and what each computes in."""
    runs: dict[str, Run] = {}
    computed: dict[str, str] = {}
    for exit_ in EXITS:
        net = network(exit_)
        runs[f"exit {exit_} torch fp32"], computed[f"exit {exit_} torch fp32"] = in_torch(network(exit_)), "float32"
        onnx = onnx_model(net, torch.from_numpy(noise(2)))
        for kind in kinds:
            name = f"exit {exit_} {RUNTIMES[kind.format]} {kind.precision}"
            path = written(kind, net, onnx, folder)
            runs[name], computed[name] = opened(kind, path)
            if kind.format == "openvino":
                computed[name] += f" by {implementations(path, kind.precision)}"
            print(f"made {name}", file=sys.stderr, flush=True)
    return runs, computed


def implementations(path: Path, precision: str) -> str:
    """Return what OpenVINO runs most of a model's convolutions by: `jit_avx2_I8`."""
    model = load_openvino().Core().compile_model(path, "CPU", openvino_settings(precision, 1))
    return ", ".join(f"{number} {name}" for (_, name), number in openvino_convolutions(model).most_common(2))


def goal_of(sets: Sequence[str]) -> tuple[str, float] | None:
    """Return the best instruction set that a goal is set for, and the goal; None where the CPU has none of them."""
    return next(((name, share) for name, share in GOALS.items() if name in sets), None)


def as_if(isa: str | None) -> None:
    """Start this program again as if the CPU had no more than an instruction set, unless it was started so."""
    switches = AS_IF.get(isa or "", {})
    if any(os.environ.get(name) != value for name, value in switches.items()):
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.deploy", *sys.argv[1:]], os.environ | switches)


def asked() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deploy")
    parser.add_argument("--isa", choices=AS_IF, help="as if the CPU had no more than this")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    return parser.parse_args()


def main() -> int:
    """Print the table, and return whether the goal was missed."""
    options = asked()
    as_if(options.isa)
    torch.set_num_threads(1)
    machine = this_machine()
    sets = ", ".join(machine.instruction_sets) + (f", taken for {options.isa} only" if options.isa else "")
    print(f"{machine.cpu}: {sets}; W32, 192x256, batch {BATCH}, one thread, {options.rounds} rounds")
    print(f"torch's own kernels: {torch.backends.cpu.get_cpu_capability()}")
    kinds = [
        kind for kind in KINDS if not options.isa or (RUNTIMES[kind.format] in SWITCHED and kind.precision != "bf16")
    ]
    with TemporaryDirectory(prefix="greenpose-") as folder:
        runs, computed = all_runs(Path(folder), kinds)
        found = shares(runs, options.rounds)
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        low, high = order_interval(values)
        print(f"{name:30} {middle[name]:6.3f} [{low:.3f} to {high:.3f}]  computed in {computed[name]}")
    best = min(
        (name for name in runs if name.startswith("exit 3") and "torch fp32" not in name), key=middle.__getitem__
    )
    goal = goal_of([options.isa.upper()] if options.isa else machine.instruction_sets)
    if goal is None:
        print(f"best of exit 3: {best}, {middle[best]:.1%} of {REFERENCE}; no goal is set for this CPU")
        return 0
    said = f"best of exit 3: {best}, {middle[best]:.1%} of {REFERENCE}; at most {goal[1]:.0%} with {goal[0]}"
    print(said)
    return conclude([said] if middle[best] > goal[1] else [])


if __name__ == "__main__":
    sys.exit(main())
