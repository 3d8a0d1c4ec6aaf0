""""""

import os
import platform
import re
import shutil
import subprocess
import sys

import pytest

from greenpose.metering import is_pinned, pinned_environment, process_settings, software_versions
from greenpose.metering.interference import LoadMonitor
from greenpose.metering.machine import SHARED_NODE, allocator_of_process, instruction_sets, quota_cpus, read_machine
from tests.fakes.meters import kernel, machine, stat, write


def test_a_machine_is_read_from_its_files(tmp_path):
    root = kernel(tmp_path)
    write(
        root,
        {
            "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA A100\nIRQ: 7\n",
            "etc/os-release": 'NAME="D"\nPRETTY_NAME="Debian 12"\n',
        },
    )
    found = read_machine(root)
    assert found.cpu == "AMD EPYC 7763 64-Core Processor"
    assert (found.cpu_vendor, found.cpu_family, found.cpu_model, found.vcpus) == ("AuthenticAMD", 25, 1, 2)
    assert found.ram_gb == pytest.approx(16.0)
    assert found.virtualised is True
    assert found.gpus == ("NVIDIA A100",)
    assert found.os == "Debian 12"


def test_without_flags_nobody_knows_whether_it_is_virtual(tmp_path):
    assert read_machine(kernel(tmp_path, cpuinfo="processor : 0\nBogoMIPS : 50\n")).virtualised is None


def test_a_machine_without_linux_files_is_still_described(tmp_path):
    found = read_machine(tmp_path)
    assert found.vcpus == os.cpu_count()
    assert found.ram_gb > 0
    assert found.gpus == ()


def test_the_host_name_is_not_in_the_description(tmp_path):
    name = os.uname().nodename
    found = read_machine(kernel(tmp_path))
    assert len(found.host) == 12
    assert int(found.host, 16) >= 0
    assert found.host != name[:12]


def test_the_share_is_the_usable_part():
    assert machine(vcpus=8, usable_cpus=2.0).share == 0.25
    assert machine(vcpus=8, usable_cpus=9.0).share == 1.0


def test_a_quota_makes_fewer_cpus_usable(tmp_path):
    root = write(kernel(tmp_path), {"sys/fs/cgroup/cpu.max": "50000 100000"})
    assert read_machine(root).usable_cpus == 0.5


@pytest.mark.parametrize(
    "change", [{"cpu": "x"}, {"vcpus": 4}, {"ram_gb": 32.0}, {"gpus": ("A100",)}, {"cpu_model": 2}]
)
def test_another_machine_has_another_fingerprint(change):
    assert machine(**change).fingerprint != machine().fingerprint


@pytest.mark.parametrize(
    ("flags", "architecture", "sets"),
    [
        ("fpu sse2 avx2 avx512f avx512vl avx512_vnni", "x86_64", ("AVX2", "AVX-512", "VNNI")),
        (
            "fpu avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8",
            "x86_64",
            ("AVX2", "AVX-512", "VNNI", "BF16", "AMX"),
        ),
        ("fpu avx2 avx_vnni", "x86_64", ("AVX2", "VNNI")),
        ("fpu sse2 avx512", "x86_64", ()),
        ("fp asimd asimddp bf16", "aarch64", ("VNNI", "BF16", "NEON")),
        ("", "arm64", ("NEON",)),
        ("", "x86_64", ()),
    ],
)
def test_instruction_sets_are_those_that_the_cpu_announces(flags, architecture, sets):
    assert instruction_sets(flags, architecture) == sets


def test_instruction_sets_are_read_from_the_kernel_and_leave_the_fingerprint_as_it_was(tmp_path):
    """The fingerprint is one of a record from before they were read."""
    found = read_machine(kernel(tmp_path, cpuinfo="processor : 0\nflags : fpu avx2 hypervisor\n"))
    assert found.instruction_sets == ("AVX2",)
    assert found.as_dict()["instruction_sets"] == ["AVX2"]
    assert machine(instruction_sets=("AMX",)).fingerprint == machine().fingerprint == "510322257d59"


@pytest.mark.parametrize("change", [{"host": "1" * 12}, {"kernel": "7"}, {"ram_gb": 16.1}])
def test_a_twin_has_the_same_fingerprint(change):
    assert machine(**change).fingerprint == machine().fingerprint


def test_the_description_is_plain_data_with_its_fingerprint():
    data = machine(gpus=("A100",)).as_dict()
    assert data["gpus"] == ["A100"]
    assert data["fingerprint"] == machine(gpus=("A100",)).fingerprint


def test_measured_processes_keep_their_memory_and_do_not_spin():
    assert pinned_environment(2) == {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "17179869184",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": "2",
    }


def test_a_process_is_pinned_with_exactly_these_variables():
    assert is_pinned(pinned_environment())
    assert not is_pinned({})
    assert not is_pinned(pinned_environment() | {"MALLOC_MMAP_MAX_": "65536"})


@pytest.mark.parametrize("library", ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so"])
def test_a_preloaded_allocator_is_not_pinned_by_variables_that_only_glibc_hears(library):
    preloaded = pinned_environment() | {"LD_PRELOAD": f"/opt/other.so:/usr/lib/{library}"}
    assert not is_pinned(preloaded)
    assert process_settings(environ=preloaded)["pinned"] is False
    assert is_pinned(pinned_environment() | {"LD_PRELOAD": "/opt/other.so"})


@pytest.mark.parametrize(
    ("path", "pinned"),
    [
        ("/lib/x86_64-linux-gnu/libc.so.6", True),
        ("/lib/x86_64-linux-gnu/libc-2.31.so", True),
        ("", True),
        ("/usr/lib/libjemalloc.so.2", False),
        ("/lib/ld-musl-x86_64.so.1", False),
        ("/opt/conda/bin/python3.11", False),
    ],
)
def test_only_a_process_whose_memory_glibc_serves_is_pinned(path, pinned):
    assert is_pinned(pinned_environment(), allocator=path) is pinned


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks for glibc's own library")
def test_the_library_that_serves_memory_is_found_also_where_another_one_was_preloaded(tmp_path):
    assert re.search(r"/libc[.-]", allocator_of_process())
    source = tmp_path / "own.c"
    source.write_text(
        "#include <stddef.h>\nvoid *__libc_malloc(size_t);\nvoid *malloc(size_t size) { return __libc_malloc(size); }\n"
    )
    library = tmp_path / "libown.so"
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    program = "from greenpose.metering.machine import allocator_of_process, is_pinned; print(allocator_of_process()); "
    asked = subprocess.run(
        [sys.executable, "-c", program + "print(is_pinned())"],
        env=os.environ | pinned_environment() | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.split() == [str(library), "False"]


def test_settings_name_what_moves_numbers_and_nothing_private():
    environ = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "HOME": "/home/me", "API_TOKEN": "secret"}
    settings = process_settings(torch_threads=1, workers=3, environ=environ)
    assert settings["environment"] == {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    assert (settings["torch_threads"], settings["concurrent_workers"], settings["pinned"]) == (1, 3, False)
    assert "shared_node" not in settings
    assert process_settings(environ=environ | {SHARED_NODE: "1"})["shared_node"] is True


def test_versions_leave_out_what_is_not_installed():
    versions = software_versions(["numpy", "no-such-package-at-all"])
    assert set(versions) == {"python", "greenpose", "numpy"}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "stat").write_text(stat())
    return tmp_path / "stat"


@pytest.fixture
def load(clock, path):
    load = LoadMonitor(path, clock=clock)
    load.open()
    yield load
    load.close()


def test_foreign_share_is_busy_time_that_is_not_ours_over_all(load, clock, path):
    start = load.read()
    clock.advance(1)
    path.write_text(stat(user=160, idle=30, steal=10))
    seen = load.between(start, seconds=1.0, cpu_seconds=0.6)
    assert seen.foreign_cpu_share == pytest.approx(0.5)
    assert seen.steal_share == pytest.approx(0.05)
    assert seen.involuntary_switches >= 0
    assert seen.minor_faults >= 0


def test_more_own_time_than_the_kernel_saw_is_no_negative_share(load, clock, path):
    start = load.read()
    clock.advance(1)
    path.write_text(stat(user=50, idle=50))
    assert load.between(start, seconds=1.0, cpu_seconds=0.6).foreign_cpu_share == 0


def test_a_window_of_few_ticks_has_no_figures(load, clock, path):
    start = load.read()
    clock.advance(0.05)
    path.write_text(stat(user=5, idle=5))
    assert load.between(start, seconds=0.05, cpu_seconds=0.0) is None


def test_a_reading_younger_than_a_tick_is_used_again(load, clock, path):
    first = load.read()
    path.write_text(stat(user=5, idle=5))
    clock.advance(0.005)
    assert load.read() is first
    clock.advance(0.006)
    assert load.read().busy == pytest.approx(0.05)


def test_guest_time_is_not_counted_twice(load, clock, path):
    clock.advance(1)
    path.write_text("cpu  100 0 0 100 0 0 0 0 60 0\n")
    assert load.read().total == pytest.approx(2.0)


@pytest.mark.parametrize("text", ["", "cpu0 1 2 3\n", "cpu  1 2 3\n"])
def test_a_ledger_of_another_shape_is_no_ledger(clock, tmp_path, text):
    (tmp_path / "stat").write_text(text)
    load = LoadMonitor(tmp_path / "stat", clock=clock)
    load.open()
    assert load.read() is None
    load.close()


def test_without_a_ledger_nobody_watches(tmp_path):
    load = LoadMonitor(tmp_path / "none")
    load.open()
    assert load.read() is None
    assert load.between(None, seconds=5.0, cpu_seconds=1.0) is None
    load.close()


V1 = {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000"}


def below(folder, files):
    return {f"sys/fs/cgroup/{folder}{name}": text for name, text in files.items()}


def test_no_cgroups_no_quota(tmp_path):
    assert quota_cpus(tmp_path) is None


@pytest.mark.parametrize(("text", "cpus"), [("max 100000", None), ("150000 100000", 1.5), ("nonsense", None)])
def test_version_2(tmp_path, text, cpus):
    write(tmp_path, {"proc/self/cgroup": "0::/\n"} | below("", {"cpu.max": text}))
    assert quota_cpus(tmp_path) == cpus


def test_the_tightest_limit_on_the_way_up_holds(tmp_path):
    write(
        tmp_path,
        {"proc/self/cgroup": "0::/a/b\n"}
        | below("a/", {"cpu.max": "200000 100000"})
        | below("a/b/", {"cpu.max": "400000 100000"}),
    )
    assert quota_cpus(tmp_path) == 2.0


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_version_1(tmp_path, controllers):
    write(tmp_path, {"proc/self/cgroup": f"3:{controllers}:/job\n0::/\n"} | below("cpu/job/", V1))
    assert quota_cpus(tmp_path) == 1.5


def test_version_1_without_limit(tmp_path):
    write(tmp_path, {"proc/self/cgroup": "3:cpu:/\n"} | below("cpu/", V1 | {"cpu.cfs_quota_us": "-1"}))
    assert quota_cpus(tmp_path) is None
