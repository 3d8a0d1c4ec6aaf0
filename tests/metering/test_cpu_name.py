"""codecarbon learns the CPU's name once a host, and finds everything else as it did without that."""

import cpuinfo
import pytest
from codecarbon.core import hardware_cache
from codecarbon.core.util import detect_cpu_model

from greenpose.metering import CodeCarbon
from greenpose.metering.codecarbon import kept_at, teach_codecarbon
from tests.metering.fakes import machine


@pytest.fixture(autouse=True)
def forgetful():
    """codecarbon remembers for its process: forget before and after."""
    hardware_cache.clear_cache()
    detect_cpu_model.cache_clear()
    yield
    hardware_cache.clear_cache()
    detect_cpu_model.cache_clear()


@pytest.fixture
def searches(monkeypatch):
    """How often py-cpuinfo was asked, which finds a CPU of ours."""
    asked = []
    monkeypatch.setattr(cpuinfo, "get_cpu_info", lambda: asked.append(1) or {"brand_raw": "Ours 9000 ® @ 3 GHz"})
    return asked


def test_the_next_process_need_not_search(tmp_path, searches):
    path = tmp_path / "new" / "name.txt"
    assert teach_codecarbon(path) == "Ours 9000 ® @ 3 GHz"
    detect_cpu_model.cache_clear()
    search = cpuinfo.get_cpu_info
    assert teach_codecarbon(path) == "Ours 9000 ® @ 3 GHz"
    assert detect_cpu_model() == "Ours 9000 ® @ 3 GHz"
    assert len(searches) == 1
    assert cpuinfo.get_cpu_info is search
    assert [entry.name for entry in path.parent.iterdir()] == ["name.txt"]


@pytest.mark.parametrize("damage", [b"", b"Theirs", b"0123456789abcdef Theirs\n", b"\xff\xfe\x00", None])
def test_a_damaged_file_is_searched_again_and_mended(tmp_path, searches, damage):
    path = tmp_path / "name.txt"
    teach_codecarbon(path)
    good = path.read_bytes()
    path.write_bytes(good[:-3] if damage is None else damage)
    detect_cpu_model.cache_clear()
    assert teach_codecarbon(path) == "Ours 9000 ® @ 3 GHz"
    assert len(searches) == 2
    assert path.read_bytes() == good


def test_a_file_that_cannot_be_written_is_done_without(tmp_path, searches):
    (tmp_path / "file").write_text("")
    assert teach_codecarbon(tmp_path / "file" / "name.txt") == "Ours 9000 ® @ 3 GHz"


def test_another_machine_has_another_file(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENPOSE_CACHE", str(tmp_path))
    assert kept_at().parent == tmp_path
    assert kept_at(machine()) == kept_at(machine())
    assert kept_at(machine()) != kept_at(machine(cpu="Xeon"))


def test_codecarbon_sees_the_same_machine_with_and_without_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENPOSE_CACHE", str(tmp_path))

    def seen():
        hardware_cache.clear_cache()
        detect_cpu_model.cache_clear()
        tool = CodeCarbon("ITA", mode="machine")
        tool.prepare()
        ram = next(part for part in tool._tracker._hardware if type(part).__name__ == "RAM")
        return tool.describe(), tool._tracker.get_detected_hardware(), ram.total_power().W

    fresh = seen()
    monkeypatch.setattr(cpuinfo, "get_cpu_info", lambda: pytest.fail("the file was not read"))
    assert kept_at().exists()
    assert seen() == fresh
    assert fresh[0]["missing"] is None
