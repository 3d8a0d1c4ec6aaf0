"""What we read of codecarbon beyond its public surface is still there, and nothing ambient or online moves it."""

import inspect
import socket
import time

import pytest

from greenpose.metering import CodeCarbon, intensity
from greenpose.metering.sources.codecarbon import _offline_tracker, _settings


@pytest.fixture
def sealed(monkeypatch, tmp_path):
    """No network, and settings lying about that would triple or quintuple every figure."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\npue=3\nforce_cpu_power=500\nregion=quebec\nemissions_endpoint=http://127.0.0.1:9\n"
        "force_carbon_intensity_g_co2e_kwh=8888\noutput_dir=/nowhere\ncloud_provider=gcp\ncloud_region=us-east1\n"
    )
    monkeypatch.setenv("CODECARBON_PUE", "2")
    monkeypatch.setenv("CODECARBON_FORCE_CARBON_INTENSITY_G_CO2E_KWH", "9999")


def test_a_real_window_is_whole_offline_and_untouched_by_ambient_settings(sealed, capfd):
    tool = CodeCarbon("CAN")
    tool.start()
    began = time.process_time()
    while time.process_time() - began < 0.1:
        pass
    reading = tool.stop()
    assert reading.missing is None
    assert reading.joules > 0
    assert reading.intensity_g_per_kwh == pytest.approx(intensity("CAN").g_per_kwh)
    assert reading.mode
    assert tool._tracker._pue == 1.0
    assert tool._tracker._force_cpu_power is None
    assert tool._tracker._tasks == {}
    assert tool._tracker._output_handlers == []
    assert reading.tdp_w != 500
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_the_private_fields_that_are_read_exist():
    tool = CodeCarbon("ITA")
    tool.prepare()
    assert isinstance(tool._tracker._tasks, dict)
    cpus = [hardware for hardware in tool._tracker._hardware if hasattr(hardware, "_mode")]
    assert len(cpus) == 1
    assert hasattr(cpus[0], "_tdp")


def test_every_setting_is_a_parameter_of_the_tracker():
    import codecarbon

    known = set(inspect.signature(codecarbon.OfflineEmissionsTracker.__init__).parameters)
    known |= set(inspect.signature(codecarbon.EmissionsTracker.__init__).parameters)
    assert set(_settings("ITA")) <= known


def test_the_default_build_is_the_offline_tracker():
    import codecarbon

    assert isinstance(_offline_tracker(**_settings("FRA")), codecarbon.OfflineEmissionsTracker)
