"""What a truncated exit really takes of the whole network: `python -m benchmarks.exits`, about five minutes.

Promised: at W32 and 256x192, with batch norms folded and channels last, the latency of exits 2 and 3 is at most 4
points above their part of the multiply-accumulates (23.5 % and 61.3 % of exit 4).

1. Every exit's network, folded, in interleaved blocks; ratios to exit 4 within blocks, medians with 95 % intervals. In
   the same blocks exit 4 not folded: what folding brings.
2. Where a part is above that of the multiply-accumulates: by operator and by stage, from torch's profiler, how many
   points of it are whose. The gap of an operator is its time at the exit, less its time at exit 4 times the exit's part
   of the multiply-accumulates, over all of exit 4's time: the gaps of all operators add up to the gap.

On one thread and with fewer than 16 images a call, torch does 1x1 convolutions by a loop of its own instead of oneDNN
(`aten::_slow_conv2d_forward`): layer1 is full of them, all exits share it, and shallow ones pay most of their time for
it. `--batch 8` shows it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.job import start_again_pinned
from benchmarks.verdict import conclude
from greenpose.counting import census
from greenpose.formatting import with_prefix
from greenpose.metering import ExitMeasurement, Plan, measure_exits, meter
from greenpose.model import HRNet, SubNetwork, fold_batchnorm
from greenpose.quantity import Quantity

POINTS = 4.0
JUDGED = (2, 3)
PROFILED_CALLS = 5
SHOWN = 8
STAGE = "stage: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The exits as they are deployed, and images for them."""

    folded: Mapping[int, nn.Module]
    """Each exit's network with folded norms, channels last."""
    plain: nn.Module
    """The final exit's network with its norms."""
    macs: Mapping[int, int]
    """Multiply-accumulates of each exit."""
    images: Tensor
    """A batch, channels last."""

    @property
    def final(self) -> int:
        """The deepest exit."""
        return max(self.folded)

    def part(self, exit_: int) -> float:
        """Return an exit's part of the final one's multiply-accumulates."""
        return self.macs[exit_] / self.macs[self.final]


def build(width: int, size: tuple[int, int], batch: int) -> Networks:
    """Return the networks of all exits with random weights: costs do not depend on them."""
    torch.manual_seed(0)
    net = HRNet(width=width).eval()
    subs = {exit_: net.truncate(exit_) for exit_ in net.exits}
    small = torch.zeros(1, 3, 32, 32)
    return Networks(
        folded={exit_: _last(fold_batchnorm(sub)) for exit_, sub in subs.items()},
        plain=_last(subs[max(subs)]),
        macs={exit_: census(sub, small).conv_macs for exit_, sub in subs.items()},
        images=torch.randn(batch, 3, size[1], size[0]).contiguous(memory_format=torch.channels_last),
    )


def _last(net: SubNetwork) -> nn.Module:
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stubs lack it


def measure(networks: Networks, plan: Plan) -> tuple[dict[int, ExitMeasurement], ExitMeasurement]:
    """Return what each folded exit costs, with ratios to the final one, and the latter's cost with its norms."""
    calls = [networks.plain, *networks.folded.values()]
    runners = {number: _call(net, networks.images) for number, net in enumerate(calls, start=1)}
    with torch.inference_mode(), meter() as opened:
        found = list(measure_exits(runners, opened, items_per_call=len(networks.images), plan=plan).values())
    return dict(zip(networks.folded, found[1:], strict=True)), found[0]


def _call(net: nn.Module, images: Tensor) -> Callable[[], object]:
    return lambda: net(images)


def breakdown(networks: Networks) -> dict[int, dict[str, float]]:
    """Return the microseconds that each operator, and each stage, takes of a call at each exit: means over calls."""
    return {exit_: _profiled(net, networks.images) for exit_, net in networks.folded.items()}


def _profiled(net: nn.Module, images: Tensor) -> dict[str, float]:
    handles = [handle for name, stage in _stages(net) for handle in _named(stage, STAGE + name)]
    with torch.inference_mode():
        net(images)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(PROFILED_CALLS):
                net(images)
    for handle in handles:
        handle.remove()
    found = {event.key: event for event in profiler.key_averages()}
    operators = {name: event.self_cpu_time_total for name, event in found.items() if name.startswith("aten::")}
    stages = {name: event.cpu_time_total for name, event in found.items() if name.startswith(STAGE)}
    return {name: microseconds / PROFILED_CALLS for name, microseconds in (operators | stages).items()}


def _stages(net: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, child) for name, child in net.named_children() if name not in {"relu", "heads"}]


def _named(stage: nn.Module, name: str) -> list[torch.utils.hooks.RemovableHandle]:
    """Let the profiler know when a stage works; transitions are lists, whose members are named alike."""
    modules = [each for each in stage if each is not None] if isinstance(stage, nn.ModuleList) else [stage]
    opened: list[record_function] = []

    def enter(*_: object) -> None:
        opened.append(record_function(name))
        opened[-1].__enter__()  # type: ignore[no-untyped-call]  # torch's stubs

    def leave(*_: object) -> None:
        opened.pop().__exit__(None, None, None)

    return [handle for each in modules for handle in _hooks(each, enter, leave)]


def _hooks(
    module: nn.Module, enter: Callable[..., None], leave: Callable[..., None]
) -> list[torch.utils.hooks.RemovableHandle]:
    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]


def gaps(times: Mapping[str, float], final: Mapping[str, float], part: float) -> dict[str, float]:
    """Return how many points of the final exit's time each operator lies above the exit's part of it, largest first."""
    whole = sum(final.values())
    names = {**times, **final}
    found = {name: 100 * (times.get(name, 0.0) - part * final.get(name, 0.0)) / whole for name in names}
    return dict(sorted(found.items(), key=lambda each: -abs(each[1])))


def main() -> int:
    """Measure, print, and return 0 if the promise is kept."""
    parser = argparse.ArgumentParser(description="What truncated exits take of the whole network.")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 256), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--batch", type=int, default=16, help="below 16, see above")
    parser.add_argument("--seconds", type=float, default=240.0, help="begin no block after this time")
    parser.add_argument("--always", action="store_true", help="break down by operator and stage in any case")
    arguments = parser.parse_args()
    start_again_pinned("benchmarks.exits")
    torch.set_num_threads(1)
    networks = build(arguments.width, tuple(arguments.size), arguments.batch)
    plan = Plan(rel_ci=0.02, max_blocks=60, max_seconds=arguments.seconds)
    found, plain = measure(networks, plan)
    faults = _told(networks, found, plain)
    if arguments.always or faults or _above(networks, found):
        _explain(networks)
    return conclude(faults)


def _told(networks: Networks, found: Mapping[int, ExitMeasurement], plain: ExitMeasurement) -> list[str]:
    """Print the parts, and return what was promised and is not so."""
    faults = []
    final = found[networks.final]
    print(f"1. exit {networks.final}: {with_prefix(final.latency_s.known, 's')} an image, {final.blocks} blocks")
    for exit_, each in found.items():
        part, latency, cpu = 100 * networks.part(exit_), each.ratios["latency_s"], each.ratios["cpu_s_per_item"]
        print(f"1. exit {exit_}: {part:.1f} % of the MACs, latency {_percent(latency)}, CPU time {_percent(cpu)}")
        if exit_ in JUDGED and latency.value > part / 100 + POINTS / 100:
            faults.append(f"exit {exit_} takes {100 * latency.value:.1f} %, promised {part + POINTS:.1f} %")
    print(f"1. exit {networks.final} with its norms not folded: {_percent(plain.ratios['latency_s'])} of it folded")
    return faults


def _above(networks: Networks, found: Mapping[int, ExitMeasurement]) -> bool:
    return any(found[exit_].ratios["latency_s"].value > networks.part(exit_) for exit_ in JUDGED)


def _percent(each: Quantity) -> str:
    ends = "" if each.type_a is None else f" [{100 * each.type_a.low:.1f}, {100 * each.type_a.high:.1f}]"
    return f"{100 * each.value:.1f} %{ends}"


def _explain(networks: Networks) -> None:
    times = breakdown(networks)
    for exit_ in JUDGED:
        for title, chosen in (("operator", _operators), ("stage", _stage_times)):
            ours, final = chosen(times[exit_]), chosen(times[networks.final])
            whole = gaps(ours, final, networks.part(exit_))
            print(f"2. exit {exit_}, {sum(whole.values()):+.1f} points by {title}, while it is profiled:")
            for name, points in list(whole.items())[:SHOWN]:
                print(
                    f"   {points:+5.1f}  {name}: {ours.get(name, 0) / 1e3:.1f} ms of {final.get(name, 0) / 1e3:.1f} ms"
                )


def _operators(times: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in times.items() if not name.startswith(STAGE)}


def _stage_times(times: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix(STAGE): value for name, value in times.items() if name.startswith(STAGE)}


if __name__ == "__main__":
    sys.exit(main())
