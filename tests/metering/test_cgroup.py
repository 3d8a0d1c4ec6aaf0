import pytest

from greenpose.metering.machine import quota_cpus
from tests.metering.fakes import write

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
