"""Bfloat16 where there are units for it, refused in words elsewhere; chosen by measuring where that is asked for."""

import re
import time

import pytest
import torch

from greenpose.config import TrainConfig
from greenpose.errors import GreenPoseError
from greenpose.training import precision as of_training
from greenpose.training.precision import choose, has_bf16_units, require_precision
from tests.training.fitting import Listener, same, train

CPU = torch.device("cpu")


def cpuinfo(tmp_path, line):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: some CPU\n{line}\npower management:\n")
    return path


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("flags\t\t: fpu sse2 avx2", False),
        ("flags\t\t: fpu avx512f avx512_bf16 avx512_vnni", True),
        ("flags\t\t: fpu amx_tile amx_bf16", True),
        ("flags\t\t: fpu avx512_bf16x", False),
        ("Features\t: fp asimd svebf16 bf16", True),
        ("Features\t: fp asimd", False),
        ("", False),
    ],
)
def test_the_kernel_s_list_of_features_tells(tmp_path, line, has):
    assert has_bf16_units(cpuinfo(tmp_path, line)) is has


def test_without_a_list_there_are_none(tmp_path):
    assert not has_bf16_units(tmp_path / "nothing")


def test_a_cpu_without_units_is_refused_by_name_and_told_what_to_choose(tmp_path):
    path = cpuinfo(tmp_path, "flags : avx2")
    with pytest.raises(GreenPoseError, match=r"amx_bf16, avx512_bf16, bf16.*choose float32"):
        require_precision("bf16", "cpu", cpuinfo=path)
    require_precision("float32", "cpu", cpuinfo=path)
    require_precision("bf16", "cpu", cpuinfo=cpuinfo(tmp_path, "flags : avx512_bf16"))


def test_float32_is_what_a_recipe_says_by_default():
    assert TrainConfig().precision == "float32"


def busy(seconds):
    """A step that takes so many seconds of CPU."""

    def step():
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass

    return step


@pytest.mark.parametrize(
    ("bf16", "chosen", "said"),
    [
        (0.004, "bf16", r"bf16: bf16 is (4\.|5\.)\d+ times as fast \(.* turns of a step\)"),
        (0.020, "float32", r"float32: bf16 is (0\.9|1\.0)\d* times as fast .*, and 1\.05 is asked for"),
        (0.060, "float32", r"float32: bf16 is 0\.3\d* times as fast"),
    ],
    ids=["faster", "alike", "slower"],
)
def test_bfloat16_is_chosen_where_its_steps_are_clearly_faster(bf16, chosen, said):
    found = choose(lambda: {"float32": busy(0.02), "bf16": busy(bf16)}, CPU, seconds=0.3, lacking="")
    assert found.precision == chosen
    assert re.match(said, str(found)), str(found)


def test_steps_that_take_longer_than_the_time_are_taken_three_times_in_turn_after_one_that_warms_up():
    taken = []

    def steps():
        return {kind: lambda kind=kind: (taken.append(kind), busy(0.01)()) for kind in ("float32", "bf16")}

    choose(steps, CPU, seconds=0, lacking="")
    assert taken == ["float32", "bf16", *("bf16", "float32") * 1, "float32", "bf16", "bf16", "float32"]


def test_without_units_nothing_is_measured():
    found = choose(lambda: pytest.fail("measured"), CPU, lacking="this CPU has none")
    assert str(found) == "float32: this CPU has none"


def trained(folder, *, enough_after=None, **changes):
    """Return what was told, how training ended, and the weights."""
    told = Listener(enough_after=enough_after, minds=False)
    net, fitted = train(folder, ledger=told, **changes)
    return told, fitted, net.state_dict()


@pytest.mark.parametrize("kind", ["float32", "bf16"])
def test_a_training_that_chose_is_the_training_that_names_it(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(of_training, "lacks_units", lambda _: "")
    ratio = 2.0 if kind == "bf16" else 0.5
    monkeypatch.setattr(of_training, "_in_turns", lambda steps, *_: [step() and ratio for step in steps.values()])
    told, fitted, chosen = trained(tmp_path / "auto", precision="auto")
    named, plain, weights = trained(tmp_path / "named", precision=kind)
    assert told.chosen == [fitted.precision] != [""]
    assert fitted.precision.startswith(f"{kind}: bf16 is {ratio}")
    assert (named.chosen, plain.precision) == ([], "")
    assert [epoch.loss for epoch in told.epochs] == [epoch.loss for epoch in named.epochs]
    assert same(chosen, weights)


def test_a_training_that_goes_on_keeps_what_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setattr(of_training, "lacks_units", lambda _: "")
    monkeypatch.setattr(of_training, "_in_turns", lambda *_: [2.0, 2.0])
    first, begun, _ = trained(tmp_path, enough_after=1, precision="auto")
    monkeypatch.setattr(of_training, "_in_turns", lambda *_: pytest.fail("measured again"))
    second, fitted, weights = trained(tmp_path, precision="auto")
    assert fitted.precision == begun.precision
    assert second.chosen == first.chosen
    _, _, whole = trained(tmp_path / "whole", precision="bf16")
    assert same(weights, whole)
