"""RAPL over trees of files that look as the kernel's do."""

import threading
from dataclasses import replace

import pytest

from greenpose.errors import MeteringError
from greenpose.metering.machine import SHARED_NODE, OpenFile, Unusable, host_of
from greenpose.metering.sources.rapl import rapl, rapl_dram
from tests.fakes.meters import RANGE_UJ, TickingClock, machine, powercap, zone

INTEL, AMD, HYGON = "GenuineIntel", "AuthenticAMD", "HygonGenuine"


def host(root, *, clock=None, workers=1, open_file=OpenFile, **facts):
    facts = {"cpu_vendor": INTEL, "virtualised": False, "kernel": "6.1"} | facts
    made = host_of(machine(**facts), workers=workers, clock=clock or TickingClock())
    return replace(made, root=root, environ={}, open_file=open_file)


def draw(root, zones, microjoules):
    """Let a zone's counter go on, wrapping as it does."""
    for number in zones:
        path = root / "sys/class/powercap" / number / "energy_uj"
        path.write_text(str((int(path.read_text()) + microjoules) % RANGE_UJ))


def used(source, root, zones, microjoules):
    """What a source says that these counters drew."""
    before = source.read()
    draw(root, zones, microjoules)
    return source.read() - before


def test_the_package_is_measured_and_its_parts_are_not_added(tmp_path):
    root = powercap(
        tmp_path, rapl_0=zone("package-0"), rapl_0_0=zone("core"), rapl_0_1=zone("uncore"), rapl_1=zone("psys")
    )
    source = rapl(host(root))
    all_of_them = ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:1")
    joules = used(source, root, all_of_them, 2_000_000)
    assert (joules.low, joules.mid, joules.high) == pytest.approx((1.8, 2.0, 2.2))
    assert source.component == source.provenance.component == "cpu"
    assert source.provenance.kind == "measured"


def test_two_sockets_are_added(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"), rapl_1=zone("package-1", 77))
    source = rapl(host(root))
    assert used(source, root, ("intel-rapl:0", "intel-rapl:1"), 1_000_000).mid == pytest.approx(2.0)
    assert "2 packages" in source.provenance.method


def test_counters_that_see_other_jobs_too_are_not_read(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"), rapl_0_0=zone("dram"))
    shared = replace(host(root), environ={SHARED_NODE: "1"})
    for probe in (rapl, rapl_dram):
        assert not isinstance(probe(host(root)), Unusable)
        assert probe(shared).why == "other jobs may be at work on this node, and it counts them too"


def test_one_socket_may_wrap_while_the_other_does_not(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0", RANGE_UJ - 10), rapl_1=zone("package-1", 10))
    assert used(rapl(host(root)), root, ("intel-rapl:0", "intel-rapl:1"), 500_000).mid == pytest.approx(1.0)


def test_equal_sockets_are_not_taken_for_one(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0", 5), rapl_1=zone("package-1", 5))
    assert used(rapl(host(root)), root, ("intel-rapl:0", "intel-rapl:1"), 1_000_000).mid == pytest.approx(2.0)


def test_a_package_seen_through_two_interfaces_is_counted_once(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"), mmio_0=zone("package-0"))
    source = rapl(host(root))
    assert used(source, root, ("intel-rapl:0", "intel-rapl-mmio:0"), 1_000_000).mid == pytest.approx(1.0)
    assert used(source, root, ("intel-rapl-mmio:0",), 1_000_000).mid == 0


def test_a_package_seen_through_the_second_interface_only_is_counted(tmp_path):
    root = powercap(tmp_path, mmio_0=zone("package-0"))
    assert used(rapl(host(root)), root, ("intel-rapl-mmio:0",), 1_000_000).mid == pytest.approx(1.0)


@pytest.mark.parametrize(("vendor", "joules"), [(AMD, 2.0), (HYGON, 2.0), (INTEL, 4.0)])
def test_dies_mirror_one_counter_a_package_on_amd_and_have_their_own_on_intel(tmp_path, vendor, joules):
    dies = {f"rapl_{2 * package + die}": f"package-{package}-die-{die}" for package in (0, 1) for die in (0, 1)}
    root = powercap(tmp_path, **{place: zone(name) for place, name in dies.items()})
    source = rapl(host(root, cpu_vendor=vendor))
    assert used(source, root, [f"intel-rapl:{n}" for n in range(4)], 1_000_000).mid == pytest.approx(joules)


def test_memory_is_the_sum_of_the_packages_dram(tmp_path):
    root = powercap(
        tmp_path,
        rapl_0=zone("package-0"),
        rapl_0_0=zone("dram"),
        rapl_1=zone("package-1"),
        rapl_1_0=zone("dram"),
        mmio_0=zone("package-0"),
        mmio_0_0=zone("dram"),
    )
    source = rapl_dram(host(root))
    drams = ("intel-rapl:0:0", "intel-rapl:1:0", "intel-rapl-mmio:0:0")
    assert used(source, root, (*drams, "intel-rapl:0"), 1_000_000).mid == pytest.approx(2.0)
    assert source.component == "ram"
    assert source.provenance.kind == "measured"


def test_without_dram_the_memory_has_no_counter(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"))
    assert "there is none" in rapl_dram(host(root)).why


def test_a_counter_for_root_only_comes_with_the_command_that_opens_it_and_why_it_is_closed(tmp_path):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    root = powercap(tmp_path, rapl_0=zone("package-0"), rapl_0_0=zone("dram"))
    for answer in (rapl(host(root, open_file=refuse)), rapl_dram(host(root, open_file=refuse))):
        assert "/sys/class/powercap/intel-rapl:0" in answer.why
        assert "root only" in answer.why
        assert "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in answer.remedy
        assert "udev" in answer.remedy
        assert "CVE-2020-8694" in answer.remedy


def test_one_socket_that_cannot_be_read_leaves_no_half_sum(tmp_path):
    def second_fails(path):
        if path.parent.name == "intel-rapl:1":
            raise OSError(5, "Input/output error")
        return OpenFile(path)

    root = powercap(tmp_path, rapl_0=zone("package-0"), rapl_1=zone("package-1"))
    answer = rapl(host(root, open_file=second_fails))
    assert isinstance(answer, Unusable)
    assert "intel-rapl:1" in answer.why
    assert "Input/output error" in answer.why


def test_a_counter_that_vanishes_is_told_by_name_at_the_reading(tmp_path):
    gone = []

    class Vanishing(OpenFile):
        def __call__(self):
            if gone:
                raise OSError(19, "No such device")
            return super().__call__()

    root = powercap(tmp_path, rapl_0=zone("package-0"), rapl_0_0=zone("dram"))
    place = host(root, open_file=Vanishing)
    package, memory = rapl(place), rapl_dram(place)
    gone.append(True)
    with pytest.raises(MeteringError, match=r"RAPL package-0: .*No such device"):
        package.read()
    with pytest.raises(MeteringError, match=r"RAPL package-0 dram: .*No such device"):
        memory.read()


def test_a_counter_that_stands_at_zero_is_no_counter(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0", 0))
    assert "stands at zero" in rapl(host(root)).why


@pytest.mark.parametrize("broken", ["", "much"])
def test_a_counter_or_range_that_is_no_number_is_refused_with_its_place(tmp_path, broken):
    for file in ("energy_uj", "max_energy_range_uj"):
        root = powercap(tmp_path / file, rapl_0=zone("package-0", **{file: broken} if file != "energy_uj" else {}))
        (root / "sys/class/powercap/intel-rapl:0" / file).write_text(broken)
        assert "intel-rapl:0/energy_uj cannot be read" in rapl(host(root)).why


def test_zones_without_a_name_are_not_guessed_at(tmp_path):
    root = powercap(tmp_path, rapl_0=zone(None), rapl_0_0=zone("core"))
    assert "none of the counters is a package's: core, one without a name" in rapl(host(root)).why


def test_counters_hidden_by_a_container_are_told_from_none(tmp_path):
    (tmp_path / "sys/class/powercap/intel-rapl:0").mkdir(parents=True)
    answer = rapl(host(tmp_path))
    assert "hides" in answer.why
    assert "--privileged" in answer.remedy


def test_a_virtual_machine_is_told_that_its_host_hides_the_counter(tmp_path):
    answer = rapl(host(tmp_path, virtualised=True))
    assert "virtual machine" in answer.why
    assert "bare metal" in answer.remedy


def test_bare_metal_without_counter_is_told_which_module_to_load(tmp_path):
    assert "modprobe" in rapl(host(tmp_path)).remedy


def test_other_processors_are_not_sent_for_a_module(tmp_path):
    answer = rapl(host(tmp_path, architecture="aarch64"))
    assert "x86" in answer.why
    assert "modprobe" not in answer.remedy


def test_a_counter_inside_a_virtual_machine_is_its_host_s_estimate(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"))
    source = rapl(host(root, virtualised=True))
    assert source.provenance.kind == "estimated"
    joules = used(source, root, ("intel-rapl:0",), 1_000_000)
    assert (joules.low, joules.high) == pytest.approx((0.8, 1.2))


def test_workers_divide_the_counter_and_the_part_is_an_estimate(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"))
    source = rapl(host(root, workers=4))
    joules = used(source, root, ("intel-rapl:0",), 8_000_000)
    assert (joules.low, joules.mid, joules.high) == pytest.approx((2 * 0.9 / 2, 2.0, 2 * 1.1 * 2))
    assert source.provenance.kind == "estimated"
    assert "divided equally by 4 workers" in source.provenance.method


def test_the_provenance_says_unit_period_error_and_what_is_left_out(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"))
    said = rapl(host(root)).provenance
    assert said.resolution_j == pytest.approx(2**-14, rel=1e-4)
    assert said.update_period_s == 0.001
    assert said.model_params["relative_error"] == 0.10
    assert "2015" in said.source
    assert said.scope == "the whole package, whoever used it"
    for part in ("memory", "GPU", "board", "power supply"):
        assert part in said.coverage
    assert "AMD" not in said.coverage
    assert "model" in rapl(host(root, cpu_vendor=AMD)).provenance.coverage


def test_the_files_show_whole_microjoules_however_fine_the_unit(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0", range_uj=2**31))
    assert rapl(host(root)).provenance.resolution_j == 1e-6


@pytest.mark.parametrize(
    ("constraints", "watts"),
    [
        ({}, 1000.0),
        ({"constraint_0_max_power_uw": 0}, 1000.0),
        ({"constraint_0_max_power_uw": 205_000_000}, 410.0),
        ({"constraint_0_max_power_uw": 55_000_000, "constraint_2_power_limit_uw": 246_000_000}, 492.0),
        ({"constraint_0_max_power_uw": 15_000_000}, 100.0),
        ({"constraint_0_power_limit_uw": 4_095_000_000}, 1000.0),
    ],
)
def test_silence_is_refused_after_the_time_in_which_the_largest_power_fills_the_counter(tmp_path, constraints, watts):
    """The fourth package is a real one: its largest power is four times what the kernel calls its maximum."""
    clock = TickingClock()
    root = powercap(tmp_path, rapl_0=zone("package-0", **constraints))
    source = rapl(host(root, clock=clock))
    horizon = RANGE_UJ / 1e6 / watts
    clock.advance(0.99 * horizon)
    source.read()
    source.close()
    clock.advance(1.01 * horizon)
    with pytest.raises(MeteringError, match="wrapped more than once"):
        source.read()


def test_a_thread_keeps_up_with_wraps_from_the_first_reading_until_closed(tmp_path):
    """With a range of a joule a beat comes every quarter of a millisecond."""
    before = set(threading.enumerate())
    readings = threading.Semaphore(0)

    class Heard(OpenFile):
        def __call__(self):
            readings.release()
            return super().__call__()

    root = powercap(tmp_path, rapl_0=zone("package-0", 1, range_uj=1_000_000))
    source = rapl(host(root, open_file=Heard))
    assert set(threading.enumerate()) == before
    source.read()
    assert all(readings.acquire(timeout=10) for _ in range(20))
    source.close()
    assert set(threading.enumerate()) == before


def test_the_first_counter_alone_is_a_source_of_its_own(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"), rapl_1=zone("package-1"))
    source = rapl(host(root)).first()
    assert used(source, root, ("intel-rapl:0", "intel-rapl:1"), 1_000_000).mid == pytest.approx(1.0)
