"""NVML through a module that answers as it is told; the last test is the real thing, where there is a GPU."""

import threading
import time
from dataclasses import replace
from itertools import pairwise

import pynvml
import pytest
import torch.cuda
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import MeteringError
from greenpose.metering.doctor import probe
from greenpose.metering.machine import Absent, Unusable, host_of
from greenpose.metering.sources.nvidia import LONGEST_GAP_S, nvml, visible_gpus
from tests.fakes.meters import Board, FakeNvml, TickingClock, machine, write


def host(root, library, *, clock=None, gpus=None, workers=1, driver=True, listed=(), **environ):
    made = host_of(machine(gpus=listed), gpus=gpus, workers=workers, clock=clock or TickingClock())
    if driver:
        write(root, {"dev/nvidiactl": ""})
    return replace(made, root=root, environ=environ, nvml=lambda: library)


def unlisted():
    raise AssertionError("asked for the library")


def used(source, clock, seconds=10.0):
    before = source.read()
    clock.advance(seconds)
    return source.read() - before


def test_the_counter_is_measured(tmp_path, clock):
    source = nvml(host(tmp_path, FakeNvml(Board(clock, watts=200.0)), clock=clock))
    joules = used(source, clock)
    assert (joules.low, joules.mid, joules.high) == pytest.approx((1900, 2000, 2100))
    said = source.provenance
    assert (said.component, said.kind, said.device) == ("gpu", "measured", "A100")
    assert (said.resolution_j, said.update_period_s) == (1e-3, 0.1)
    assert said.version == "driver 550.54"


def test_gpus_are_added(tmp_path, clock):
    source = nvml(host(tmp_path, FakeNvml(Board(clock, watts=200.0), Board(clock, watts=50.0)), clock=clock))
    assert used(source, clock).mid == pytest.approx(2500)
    assert source.provenance.device == "A100, A100"
    assert "2 GPUs" in source.provenance.method


def test_the_first_gpu_alone_is_a_source_of_its_own(tmp_path, clock):
    for fails in ({}, {"energy": pynvml.NVML_ERROR_NOT_SUPPORTED}):
        boards = Board(clock, watts=200.0), Board(clock, watts=50.0)
        boards[0].fails = fails
        source = nvml(host(tmp_path, FakeNvml(*boards), clock=clock)).first()
        assert used(source, clock, 1.0).mid == pytest.approx(200)
        source.close()


@pytest.mark.parametrize(
    ("setting", "gpus", "watts"),
    [
        (None, None, 1 + 2 + 4),
        ("1", None, 2),
        ("2,0", None, 4 + 1),
        ("2,0", (0,), 4),
        ("2,0", (1,), 1),
        ("0,2,-1,1", None, 1 + 4),
        ("GPU-b", None, 2),
        ("GPU-c,GPU-a", (0,), 4),
        (None, (1,), 2),
        (None, (0, 2), 1 + 4),
    ],
)
def test_a_process_pays_for_the_gpus_that_it_sees_and_uses(tmp_path, clock, setting, gpus, watts):
    boards = [Board(clock, watts=2.0**n, uuid=f"GPU-{letter}") for n, letter in enumerate("abc")]
    environ = {} if setting is None else {"CUDA_VISIBLE_DEVICES": setting}
    source = nvml(host(tmp_path, FakeNvml(*boards), clock=clock, gpus=gpus, **environ))
    assert used(source, clock, 1.0).mid == pytest.approx(watts)


@pytest.mark.parametrize("setting", ["", " ", "-1"])
def test_gpus_that_are_hidden_are_not_there_and_nobody_is_asked(tmp_path, setting):
    answer = nvml(replace(host(tmp_path, None, CUDA_VISIBLE_DEVICES=setting), nvml=unlisted))
    assert isinstance(answer, Absent)
    assert "CUDA_VISIBLE_DEVICES" in answer.why


def test_a_list_that_names_no_gpu_hides_all(tmp_path, clock):
    answer = nvml(host(tmp_path, FakeNvml(Board(clock)), CUDA_VISIBLE_DEVICES="GPU-unknown"))
    assert isinstance(answer, Absent)


def test_work_on_the_cpu_does_not_pay_for_gpus_beside_it_and_nobody_is_asked(tmp_path):
    answer = nvml(replace(host(tmp_path, None, gpus=(), listed=("A100",)), nvml=unlisted))
    assert isinstance(answer, Absent)


def test_without_a_trace_of_a_driver_nobody_is_asked(tmp_path):
    assert isinstance(nvml(replace(host(tmp_path, None, driver=False), nvml=unlisted)), Absent)


def test_a_driver_without_gpus_is_no_gpu(tmp_path):
    assert isinstance(nvml(host(tmp_path, FakeNvml())), Absent)


def test_a_gpu_that_is_used_but_that_no_driver_shows_is_a_gap_and_not_absent(tmp_path):
    lost = FakeNvml(init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert isinstance(nvml(host(tmp_path, lost, gpus=(0,), driver=False)), Unusable)
    answer = nvml(host(tmp_path, FakeNvml(), gpus=(0,), driver=False))
    assert "cuda:0" in answer.why


@pytest.mark.parametrize("setting", ["MIG-GPU-aaaa/1/0", "MIG-c6d4f1ef-42e4-5de3"])
def test_a_slice_of_a_gpu_is_charged_nothing_and_told_why(tmp_path, clock, setting):
    answer = nvml(host(tmp_path, FakeNvml(Board(clock)), CUDA_VISIBLE_DEVICES=setting))
    assert isinstance(answer, Unusable)
    assert "whole board" in answer.why


def test_a_gpu_that_is_split_is_charged_to_nobody(tmp_path, clock):
    whole, split = Board(clock, name="A"), Board(clock, name="A")
    split.split = True
    library = FakeNvml(whole, split)
    assert "GPU 1 (A) is split" in nvml(host(tmp_path, library)).why
    assert not isinstance(nvml(host(tmp_path, library, gpus=(0,))), Unusable)


def test_a_gpu_too_old_for_slices_is_whole(tmp_path, clock):
    board = Board(clock, watts=50.0)
    board.fails["mig"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    assert used(nvml(host(tmp_path, FakeNvml(board), clock=clock)), clock, 1.0).mid == pytest.approx(50)


@pytest.mark.parametrize(("gpus", "setting"), [((0,), None), (None, "0")])
def test_which_of_different_gpus_is_used_is_told_by_their_order_or_refused(tmp_path, clock, gpus, setting):
    library = FakeNvml(Board(clock, name="T4", watts=10.0), Board(clock, name="A100", watts=100.0))
    environ = {} if setting is None else {"CUDA_VISIBLE_DEVICES": setting}
    answer = nvml(host(tmp_path, library, clock=clock, gpus=gpus, **environ))
    assert answer.remedy == "export CUDA_DEVICE_ORDER=PCI_BUS_ID"
    known = nvml(host(tmp_path, library, clock=clock, gpus=gpus, CUDA_DEVICE_ORDER="PCI_BUS_ID", **environ))
    assert used(known, clock, 1.0).mid == pytest.approx(10)
    by_uuid = host(tmp_path, library, clock=clock, gpus=(0,), CUDA_VISIBLE_DEVICES=library.boards[1].uuid)
    assert used(nvml(by_uuid), clock, 1.0).mid == pytest.approx(100)


@pytest.mark.parametrize(
    ("code", "why", "remedy"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "libnvidia-ml", "--gpus all"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not loaded", "modprobe nvidia"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "device files", "usermod"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "version", "reboot"),
        (pynvml.NVML_ERROR_UNKNOWN, "Unknown Error", "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_answer_is_told_with_its_remedy(tmp_path, code, why, remedy):
    answer = nvml(host(tmp_path, FakeNvml(init_error=code)))
    assert why in answer.why
    assert remedy in answer.remedy


def test_a_missing_package_is_told_with_its_name(tmp_path):
    def missing():
        raise ModuleNotFoundError("No module named 'pynvml'")

    answer = nvml(replace(host(tmp_path, None), nvml=missing))
    assert answer.remedy == "pip install nvidia-ml-py"


def test_one_gpu_that_is_lost_is_named_and_nothing_is_guessed(tmp_path, clock):
    boards = Board(clock), Board(clock, name="T4")
    source = nvml(host(tmp_path, FakeNvml(*boards), clock=clock))
    source.read()
    boards[1].fails["energy"] = pynvml.NVML_ERROR_GPU_IS_LOST
    with pytest.raises(MeteringError, match=r"GPU 1 \(T4\): GPU is lost"):
        source.read()
    boards[1].fails.clear()
    source.read()


def test_a_counter_that_begins_anew_is_refused_for_good(tmp_path, clock):
    board = Board(clock)
    source = nvml(host(tmp_path, FakeNvml(board), clock=clock))
    source.read()
    board.began = clock()
    with pytest.raises(MeteringError, match=r"GPU 0 \(A100\): its counter began anew"):
        source.read()
    clock.advance(1e6)
    with pytest.raises(MeteringError, match="began anew"):
        source.read()


def test_workers_divide_the_counter_and_the_part_is_an_estimate(tmp_path, clock):
    source = nvml(host(tmp_path, FakeNvml(Board(clock, watts=200.0)), clock=clock, workers=2))
    joules = used(source, clock)
    assert (joules.low, joules.mid, joules.high) == pytest.approx((475, 1000, 2100))
    assert source.provenance.kind == "estimated"
    assert "divided equally by 2 workers" in source.provenance.method


@pytest.fixture
def old(clock):
    """A GPU without counter."""
    board = Board(clock, name="P100", watts=100.0)
    board.fails["energy"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    return board


def test_without_a_counter_power_is_sampled_and_the_energy_is_an_estimate(tmp_path, clock, old):
    source = nvml(host(tmp_path, FakeNvml(old), clock=clock))
    source.read()
    clock.advance(1.0)
    old.watts = 300.0
    joules = source.read()
    source.close()
    assert (joules.low, joules.mid, joules.high) == pytest.approx((160, 200, 240))
    assert source.provenance.kind == "estimated"
    assert source.provenance.resolution_j is None
    assert source.provenance.update_period_s == 0.1


def test_one_gpu_without_counter_makes_the_sum_sampled(tmp_path, clock, old):
    source = nvml(host(tmp_path, FakeNvml(Board(clock, watts=50.0), old), clock=clock))
    assert source.provenance.kind == "estimated"
    assert used(source, clock, 1.0).mid == pytest.approx(150)
    source.close()


def test_without_counter_and_sensor_nothing_is_read(tmp_path, old):
    old.fails["power"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    answer = nvml(host(tmp_path, FakeNvml(old)))
    assert "GPU 0 (P100): Not Supported" in answer.why


def test_power_is_not_made_up_over_a_long_silence(tmp_path, clock, old):
    source = nvml(host(tmp_path, FakeNvml(old), clock=clock))
    source.read()
    source.close()
    clock.advance(LONGEST_GAP_S + 1)
    with pytest.raises(MeteringError, match="no power reading for 6 s"):
        source.read()
    with pytest.raises(MeteringError, match="no power reading for 6 s"):
        source.read()


def test_a_sampled_gpu_that_is_lost_is_named(tmp_path, clock, old):
    source = nvml(host(tmp_path, FakeNvml(old), clock=clock))
    source.read()
    source.close()
    old.fails["power"] = pynvml.NVML_ERROR_GPU_IS_LOST
    with pytest.raises(MeteringError, match=r"GPU 0 \(P100\)"):
        source.read()


def test_the_sampling_thread_runs_from_the_first_reading_until_closed_and_never_lets_energy_fall(tmp_path, old):
    before = set(threading.enumerate())
    library = FakeNvml(old)
    source = nvml(host(tmp_path, library, clock=time.monotonic))
    assert set(threading.enumerate()) == before
    readings = [source.read().mid]
    asked = len(library.asked)
    end = time.monotonic() + 10
    while len(library.asked) - asked - len(readings) < 3 and time.monotonic() < end:
        time.sleep(0.05)
        readings.append(source.read().mid)
    assert len(library.asked) - asked - len(readings) + 1 >= 3
    assert readings == sorted(readings)
    assert readings[-1] > 0
    source.close()
    assert set(threading.enumerate()) == before


@pytest.mark.gpu
def test_the_real_counter_moves_and_agrees_with_integrated_power():
    import torch

    place = host_of(gpus=(0,))
    source = nvml(place)
    assert source.provenance.kind == "measured", source
    pace = probe(source, 3.0)
    assert pace is not None
    assert 0.001 <= pace.update_period_s <= 1.0
    library = place.nvml()
    handle = library.nvmlDeviceGetHandleByIndex(source.provenance.model_params["gpus"][0])
    matrix = torch.randn(4096, 4096, device="cuda")
    samples = []
    start, begin = source.read(), time.monotonic()
    while (now := time.monotonic()) < begin + 10:
        for _ in range(20):
            matrix = torch.nn.functional.normalize(matrix @ matrix)
        torch.cuda.synchronize()
        samples.append((now, library.nvmlDeviceGetPowerUsage(handle) / 1e3))
    counted = (source.read() - start).mid
    seconds = time.monotonic() - begin
    integrated = sum((after[0] - before[0]) * (after[1] + before[1]) / 2 for before, after in pairwise(samples))
    assert counted / seconds == pytest.approx(integrated / (samples[-1][0] - samples[0][0]), rel=0.2)


UUIDS = ["GPU-aa10-1", "GPU-aa20-2", "GPU-bb30-3", "GPU-cc40-4"]


@pytest.mark.parametrize(
    ("setting", "seen"),
    [
        (None, (0, 1, 2, 3)),
        ("", ()),
        ("-1", ()),
        ("2", (2,)),
        ("2,0", (2, 0)),
        (" 1 , 3 ", (1, 3)),
        ("0,2,-1,1", (0, 2)),
        ("0,9,1", (0,)),
        ("none", ()),
        ("1,1", ()),
        ("1gpu,2", (1, 2)),
        ("GPU-bb30-3", (2,)),
        ("GPU-bb", (2,)),
        ("GPU-aa", ()),
        ("GPU-cc,GPU-aa10", (3, 0)),
        ("GPU-cc,GPU-zz,GPU-bb", (3,)),
        ("GPU-cc,0", (3,)),
        ("0,GPU-cc", (0,)),
        ("GPU-cc,GPU-cc40", ()),
    ],
)
def test_cuda_visible_devices_means_what_cuda_says(setting, seen):
    assert visible_gpus(setting, UUIDS) == seen


ENTRIES = st.one_of(
    st.integers(-2, 5).map(str), st.sampled_from(["", "x", " 2", "3b", "GPU-aa", "GPU-bb", "GPU-aa20", "GPU-q"])
)


@given(st.lists(ENTRIES, min_size=1, max_size=4, unique=True).map(",".join))
def test_torch_reads_it_the_same_way(setting):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", setting)
        parsed = torch.cuda._parse_visible_devices()
    if parsed and isinstance(parsed[0], str):
        parsed = torch.cuda._transform_uuid_to_ordinals(parsed, UUIDS)
    known = []
    for ordinal in parsed:
        if ordinal >= len(UUIDS):
            break
        known.append(ordinal)
    ours = visible_gpus(setting, UUIDS)
    # Torch looks for doubles in the whole list, CUDA's own rule ends the list at the first unknown entry.
    assert ours == tuple(known) or (not parsed and len(ours) > 0 and setting.split(",")[len(ours)].strip()[:1] > "3")
