from dataclasses import replace

import pytest

from greenpose.metering import choose, host_of
from tests.metering.fakes import TickingClock, machine, write


def host(root, *, environ=None, **facts):
    made = host_of(machine(**facts), share=1.0, clock=TickingClock(), cpu_clock=TickingClock())
    return replace(made, root=root, environ=environ or {})


def chosen(host):
    return {choice.component: choice for choice in choose(host)}


def remedy(choice):
    return choice.rejected[0].remedy or ""


def test_without_counters_the_models_cover_cpu_and_memory(tmp_path):
    choices = chosen(host(tmp_path))
    assert choices["cpu"].source.provenance.kind == "modelled"
    assert choices["ram"].source.provenance.kind == "modelled"
    assert choices["gpu"].source is None
    assert choices["gpu"].provenance is None


def test_a_virtual_machine_is_told_that_its_host_hides_the_counter(tmp_path):
    choice = chosen(host(tmp_path, virtualised=True))["cpu"]
    assert "virtual machine" in choice.rejected[0].why
    assert "bare metal" in remedy(choice)


def test_bare_metal_without_counter_is_told_which_module_to_load(tmp_path):
    choice = chosen(host(tmp_path, virtualised=False))["cpu"]
    assert "modprobe" in remedy(choice)


def test_a_counter_for_root_only_comes_with_the_command_that_opens_it(tmp_path):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    root = write(tmp_path, {"sys/class/powercap/intel-rapl:0/energy_uj": "1"})
    choice = chosen(replace(host(root), read=refuse))["cpu"]
    assert "root only" in choice.rejected[0].why
    assert "chmod a+r /sys/class/powercap" in remedy(choice)
    assert "udev" in remedy(choice)


def test_a_counter_that_cannot_be_read_says_why(tmp_path):
    def fail(path):
        raise OSError(5, "Input/output error")

    root = write(tmp_path, {"sys/class/powercap/intel-rapl:0/energy_uj": "1"})
    assert "Input/output error" in chosen(replace(host(root), read=fail))["cpu"].rejected[0].why


def test_a_readable_counter_is_honestly_not_read_by_this_version(tmp_path):
    root = write(
        tmp_path,
        {
            "sys/class/powercap/intel-rapl:0/energy_uj": "1",
            "sys/class/powercap/intel-rapl:0:0/name": "dram\n",
        },
    )
    choices = chosen(host(root, virtualised=False))
    for component in ("cpu", "ram"):
        assert "this version does not read it" in choices[component].rejected[0].why
        assert choices[component].source.provenance.kind == "modelled"


def test_a_gpu_that_nothing_reads_is_not_covered(tmp_path):
    choice = chosen(host(tmp_path, gpus=("A100",)))["gpu"]
    assert choice.source is None
    assert choice.provenance.kind == "not_covered"
    assert choice.provenance.component == "gpu"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_hidden_from_this_process_is_not_there(tmp_path, hidden):
    environ = {"CUDA_VISIBLE_DEVICES": hidden}
    assert chosen(host(tmp_path, gpus=("A100",), environ=environ))["gpu"].provenance is None


def test_the_share_reaches_the_models():
    choices = choose(host_of(machine(), share=0.5))
    assert {choice.source.provenance.model_params["share"] for choice in choices if choice.source} == {0.5}


def test_the_share_is_by_default_the_usable_part_of_the_machine():
    assert host_of(machine(vcpus=4, usable_cpus=1.0)).share == 0.25
