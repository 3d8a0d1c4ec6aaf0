"""One side of a paired check: a process of its own that runs exits of a network when it is told to.

It is run by its path, with the code of *its* side on the import path, which may be older than this file: it asks for no
more of GreenPose than public names, and for two helpers of the run where they are. One JSON document a line; the
request is the only argument, commands come in on standard input, answers go out on standard output:

    <- {"exits": [3, 4], "torch": "2.13.0", ...}       once, when ready
    -> {"exit": 3, "calls": 5}
    <- {"calls": 5, "cpu_s": 0.021, "seconds": 0.022, "gpu_s": null, "faults": 0, "switches": 1}
"""

import importlib.util
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

Runner = Callable[[], object]
EXITS = "exits"
"""What is run unless the request's `work` says `train` or `data`."""
MISFITS = (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)
"""What code raises that does not know what is asked of it."""
Piece = int | str
"""What is run: an exit by its number, `train`, or `data`."""


class LackingError(Exception):
    """This side's code has not got what it takes to run this, in words."""


def main() -> None:
    """Answer until standard input ends."""
    request = json.loads(sys.argv[1])
    answers = _claim_stdout()
    if request.get("core") is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {request["core"]})
    from greenpose.errors import GreenPoseError

    try:
        hello, runners, synchronize = _prepare(request)
    except GreenPoseError as error:
        _say(answers, {"error": str(error)})
        return
    except LackingError as error:
        _say(answers, {"lacks": str(error)})
        return
    _say(answers, hello)
    for line in sys.stdin:
        command = json.loads(line)
        _say(answers, _window(runners[command["exit"]], command["calls"], synchronize))


def _claim_stdout() -> TextIO:
    """Return standard output, and send whatever else is printed in this process to standard error."""
    mine = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return mine


def _say(answers: TextIO, document: Mapping[str, Any]) -> None:
    answers.write(json.dumps(document) + "\n")
    answers.flush()


def _window(run: Runner, calls: int, synchronize: Runner | None) -> dict[str, Any]:
    """Return what some calls took; on a GPU by its own events too."""
    timer = _gpu_timer() if synchronize else None
    before = resource.getrusage(resource.RUSAGE_SELF)
    began, cpu_began = time.perf_counter(), time.process_time()
    for _ in range(calls):
        run()
    if synchronize:
        synchronize()
    cpu_s, seconds = time.process_time() - cpu_began, time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "calls": calls,
        "cpu_s": cpu_s,
        "seconds": seconds,
        "gpu_s": timer() if timer else None,
        "faults": after.ru_minflt - before.ru_minflt,
        "switches": after.ru_nivcsw - before.ru_nivcsw,
    }


def _gpu_timer() -> Callable[[], float]:
    """Start a CUDA event; what comes back ends it and returns the seconds between."""
    import torch

    event: Any = torch.cuda.Event
    start, end = event(enable_timing=True), event(enable_timing=True)
    start.record()

    def stop() -> float:
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3

    return stop


def _prepare(request: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Piece, Runner], Runner | None]:
    """Return what to say of this side, a call for each exit, and what waits for the device (None on a CPU)."""
    import torch

    config, exits = _network_of(request)
    if (work := request.get("work", EXITS)) != EXITS:
        return _prepare_other(work, request, config)
    subs, built_by = _build(config, exits)
    torch.set_num_threads(1)
    images = _images(config)
    device, synchronize = config.process.device, None
    if device.startswith("cuda"):
        torch.cuda.set_device(device)  # events are of the current device
        synchronize = torch.cuda.synchronize
    runners: dict[Piece, Runner] = {exit_: _runner(sub, images) for exit_, sub in subs.items()}
    return _hello(config, subs, built_by), runners, synchronize


def _prepare_other(
    work: str, request: Mapping[str, Any], config: Any
) -> tuple[dict[str, Any], dict[Piece, Runner], None]:
    """Return the same for work that is not an exit's, which a file beside this one knows how to do.

    Raises:
        LackingError: in words, where this side's code cannot do that work.
    """
    file = Path(__file__).with_name(f"paired_{work}.py")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    beside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(beside)
    try:
        facts, runner = beside.prepare(request, config)
    except MISFITS as error:
        said = " ".join(str(error).split())
        raise LackingError(f"{work}: its code cannot run that: {type(error).__name__}: {said}") from error
    return {"exits": [work], **_about(config), **facts}, {work: runner}, None


def _network_of(request: Mapping[str, Any]) -> tuple[Any, tuple[int, ...]]:
    """Return a configuration, and those of its network's exits that the file's runs have and that are asked for."""
    from greenpose.config import expand, load_experiment, load_grid, read_yaml
    from greenpose.errors import GreenPoseError

    file = Path(request["file"])
    data = read_yaml(file)
    load = load_grid if "base" in data or "experiments" in data else load_experiment  # older code has no `is_grid`
    cells = expand(load(file, settings=request.get("settings", ())), where=str(file))
    only = request.get("only") or []
    configs = {cell.name.rpartition("-")[0]: cell.config for cell in cells}
    chosen = [config for name, config in configs.items() if not only or name in only]
    if len({_shape(config) for config in chosen}) != 1:
        wanted = f"{' and '.join(only)} as one network" if only else "one network"
        raise GreenPoseError(f"{file}: does not hold {wanted}; it holds {', '.join(configs)}")
    have = {exit_ for config in chosen for exit_ in config.model.exits}
    return chosen[0], tuple(sorted(have & set(request.get("exits") or have)))


def _shape(config: Any) -> str:
    """Return what the cost of an exit depends on, as text."""
    model = config.model.model_dump(mode="json", exclude={"exits", "weights", "init"})
    profile = config.data.model_dump(mode="json", include={"profile"})
    data = [*profile.values(), config.data.input_size, config.measure.batch, config.process.device]
    return json.dumps([model, data], sort_keys=True)


def _build(config: Any, exits: tuple[int, ...]) -> tuple[dict[int, Any], str]:
    """Return each exit's stand-alone network in eval mode, built as runs of this side build theirs."""
    model = config.model.model_copy(update={"exits": exits, "weights": None})
    try:
        from greenpose.run.setup import build_network, channels_last, seed_everything
    except ImportError:
        return _build_from_public_names(config, exits), "greenpose.model.HRNet"
    seed_everything(config)
    net, _ = build_network(config.model_copy(update={"model": model}))
    return {exit_: channels_last(net.truncate(exit_).eval()) for exit_ in exits}, "greenpose.run.setup"


def _build_from_public_names(config: Any, exits: tuple[int, ...]) -> dict[int, Any]:
    """Return the same from a revision that lacks these helpers, by what they do today."""
    import torch

    from greenpose.data import load_profile
    from greenpose.model import HRNet

    torch.use_deterministic_algorithms(config.process.device == "cpu")
    torch.manual_seed(config.seed)
    model = config.model
    net = HRNet(
        width=model.width,
        num_joints=load_profile(config.data.profile).num_keypoints,
        exits=exits,
        stem_width=model.stem_width,
        modules=model.modules,
        blocks=model.blocks,
    ).to(config.process.device)
    subs: dict[int, Any] = {exit_: net.truncate(exit_).eval() for exit_ in exits}
    return {exit_: sub.to(memory_format=torch.channels_last) for exit_, sub in subs.items()}


def _images(config: Any) -> Any:
    """Return a fixed batch, laid out as runs lay out theirs: channels last."""
    import torch

    width, height = config.data.input_size
    images = torch.rand(config.measure.batch, height, width, 3, generator=torch.Generator().manual_seed(0))
    return images.to(config.process.device).permute(0, 3, 1, 2)


def _runner(sub: Any, images: Any) -> Runner:
    import torch

    def run() -> object:
        with torch.inference_mode():
            return sub(images)

    return run


def _hello(config: Any, subs: Mapping[int, Any], built_by: str) -> dict[str, Any]:
    return {
        "exits": sorted(subs),
        "params": {str(exit_): sum(p.numel() for p in sub.parameters()) for exit_, sub in subs.items()},
        "built_by": built_by,
        **_about(config),
    }


def _about(config: Any) -> dict[str, Any]:
    import torch

    import greenpose

    return {
        "input_size": list(config.data.input_size),
        "batch": config.measure.batch,
        "device": config.process.device,
        "greenpose": greenpose.__version__,
        "package": str(Path(greenpose.__file__).parent),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "tick_s": _tick(),
    }


def _tick() -> float:
    """Return the smallest step that the CPU clock makes, by watching it: what it claims may be finer."""
    steps = []
    for _ in range(5):
        began = now = time.process_time()
        while now == began:
            now = time.process_time()
        steps.append(now - began)
    return max(statistics.median(steps), time.get_clock_info("process_time").resolution)


if __name__ == "__main__":
    main()
