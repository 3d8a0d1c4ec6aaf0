"""Inference measured on its own: real tiny networks on this machine, and fake machines for the numbers."""

import json
from pathlib import Path

import jsonschema
import pytest
import torch

import greenpose.run.measure
from greenpose import counting
from greenpose.errors import GreenPoseError
from greenpose.metering import read_windows
from greenpose.model import SubNetwork
from greenpose.run.measure import OF_TRAINING, Measurement, compose_measurement, measure, trained_networks
from tests.fakes.meters import BrokenSource
from tests.metering.test_inference import Bench
from tests.run.measuring import experiment, fake_measurement, finished_run, network

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(scope="module")
def measured():
    """Both exits of a tiny network with fresh weights, as this machine has them."""
    return measure(experiment(), exits=(2, 3))


def compose(measured) -> Measurement:
    return compose_measurement(measured, experiment(), source="tiny.yaml", name="tiny", config_hash="00", trained=False)


def test_a_network_is_measured_without_data_and_without_training(measured):
    for exit_ in measured.exits.values():
        assert exit_.blocks >= 1
        assert exit_.items_per_call == 2
        assert exit_.latency_s.value > 0
        assert exit_.latency_p95_s.value > 0
        assert exit_.energy_j_per_item.value > exit_.net_energy_j_per_item.value
    assert measured.exits[3].ratios["energy_j_per_item"].value == 1


def test_what_is_counted_is_what_each_exit_needs(measured):
    counts = counting.count(experiment())
    assert {number: count.macs for number, count in measured.counts.items()} == {
        number: count.macs for number, count in counts.items()
    }
    assert measured.counts[2].params < measured.counts[3].params


def test_an_image_of_a_test_with_mirrors_is_measured_in_two_passes_of_which_a_gmac_is_of_both(monkeypatch):
    sizes, config = [], experiment(test={"flip": True})

    def listening(runners, *_, items_per_call, **__):
        for number, run in runners.items():
            assert run().shape == (items_per_call, 12, 8, 8)
            sizes.append((number, len(seen)))
            seen.clear()
        return real(runners, *_, items_per_call=items_per_call, **__)

    real, seen = greenpose.run.measure.measure_in_turns, []
    monkeypatch.setattr("greenpose.run.measure.measure_in_turns", listening)
    with torch.nn.modules.module.register_module_forward_hook(
        lambda module, *_: seen.append(module) if isinstance(module, SubNetwork) else None
    ):
        measured = measure(config, exits=(2, 3))
    assert sizes == [("exit 2", 2), ("exit 3", 2)]
    found = compose_measurement(measured, config, source="tiny.yaml", name="tiny", config_hash="00", trained=False)
    for entry in found.exits:
        assert entry.passes == 2
        assert entry.energy_j_per_gmac == pytest.approx(entry.energy_j_per_image / (2 * entry.macs / 1e9))


def test_windows_are_logged_where_a_file_is_named(tmp_path):
    measured = measure(experiment(), exits=(2,), log=tmp_path / "windows.jsonl")
    assert read_windows(tmp_path / "windows.jsonl") == measured.meter.windows
    assert {window.name for window in measured.meter.windows} == {"inference exit 2", "inference idle"}


def test_whoever_listens_hears_of_every_block():
    heard = []
    measured = measure(experiment(), exits=(2,), on_progress=lambda *said: heard.append(said))
    assert [blocks for blocks, _ in heard] == list(range(measured.exits[2].blocks + 1))


def test_only_the_exits_asked_for_run():
    measured = measure(experiment(), exits=(2,))
    assert set(measured.exits) == set(measured.counts) == {2}
    assert not [window for window in measured.meter.windows if "exit 3" in window.name]


def test_trained_networks_compute_what_the_whole_network_computes(tmp_path):
    torch.manual_seed(3)
    net = network(experiment())
    folder = finished_run(tmp_path, net=net)
    torch.manual_seed(4)
    subs = trained_networks(network(experiment()), folder, (2, 3))
    images = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        whole = net.eval()(images)
        for number, sub in subs.items():
            assert not sub.training
            torch.testing.assert_close(sub(images), whole[number], rtol=1e-4, atol=1e-6)


def test_weights_of_another_network_are_refused_in_words(tmp_path):
    folder = finished_run(tmp_path)
    folder.best(2).unlink()
    folder.best(3).rename(folder.best(2))
    with pytest.raises(GreenPoseError, match=r"best-exit2.*another network.*heads\.2"):
        trained_networks(network(experiment()), folder, (2,))


def test_a_damaged_file_of_weights_is_refused_in_words(tmp_path):
    folder = finished_run(tmp_path)
    folder.best(2).write_bytes(b"half a file")
    with pytest.raises(GreenPoseError, match=r"best-exit2.*damaged"):
        measure(experiment(), exits=(2,), trained=folder)


def test_the_document_reads_back_as_it_was_written(measured):
    found = compose(measured)
    data = found.as_dict()
    assert Measurement.model_validate(data) == found
    assert data["schema"] == "greenpose.measurement/1"
    assert not OF_TRAINING & data["exits"][0].keys()
    jsonschema.validate(data, json.loads((DOCS / "schema" / "measurement.schema.json").read_text()))


def test_every_number_of_the_document_has_a_unit_a_kind_and_its_intervals(measured):
    for entry in compose(measured).exits:
        for name, value in entry:
            if isinstance(value, float):
                assert entry.quantity(name).unit, name
                assert entry.quantity(name).kind != "not_covered", name
        for name in ("energy_j_per_image", "co2eq_g_per_1000_images", "energy_j_per_gmac"):
            basis = entry.quantity(name)
            assert basis.type_b.low < entry.quantity(name).value < basis.type_b.high


def test_the_document_says_with_which_settings_it_was_measured(measured):
    found = compose(measured)
    assert found.process["torch_threads"] == 1
    assert found.process["device"] == "cpu"
    assert found.host["fingerprint"]
    assert found.software["torch"]
    assert found.config["measure"]["batch"] == 2
    assert found.carbon.country == "ITA"
    assert {part.component for part in found.components} >= {"cpu", "ram"}
    assert found.final.exit == 3


def test_energy_over_compute_is_energy_divided_by_macs_with_its_intervals():
    """Exit 2: 0.25 s a call of 4 images at 30 W; the fake source is off by a factor of two either way."""
    entry = fake_measurement(Bench(), {2: 0.25, 3: 0.5}).exits[0]
    joules = 0.25 / 4 * 30
    assert entry.energy_j_per_image == pytest.approx(joules)
    assert entry.energy_j_per_gmac == pytest.approx(joules / (entry.macs / 1e9))
    interval = entry.quantity("energy_j_per_gmac").type_b
    assert (interval.low, interval.high) == pytest.approx((entry.energy_j_per_gmac / 2, entry.energy_j_per_gmac * 2))


def test_shares_of_the_final_exit_are_ratios_of_cost_and_of_compute():
    found = fake_measurement(Bench(), {2: 0.25, 3: 0.5})
    shares = found.exits[0].relative_to_final
    assert shares["latency_s"] == pytest.approx(0.5)
    assert shares["energy_j_per_image"] == pytest.approx(0.5 * 30 / 40)
    assert shares["macs"] == pytest.approx(found.exits[0].macs / found.exits[1].macs)
    assert set(found.exits[1].relative_to_final.values()) == {1.0}


def test_without_the_final_exit_every_share_is_missing_and_says_why():
    found = fake_measurement(Bench(), {2: 0.25}, left_out=3)
    assert found.final is None
    shares = [name for name in found.exits[0].basis if name.startswith("relative_to_final.")]
    assert len(shares) == 4
    for name in shares:
        quantity = found.exits[0].quantity(name)
        assert quantity.value is None
        assert "final exit, 3, was left out" in quantity.missing


def test_energy_that_cannot_be_read_is_null_with_its_reason():
    bench = Bench()
    bench.sources = [BrokenSource(bench.clock, good=9)]
    entry = fake_measurement(bench, {2: 0.25, 3: 0.5}).exits[0]
    for name in ("energy_j_per_image", "net_energy_j_per_image", "co2eq_g_per_1000_images", "energy_j_per_gmac"):
        assert entry.quantity(name).value is None
        assert entry.quantity(name).kind == "not_covered"
        assert entry.quantity(name).missing == "the counter is gone"
    assert entry.quantity("relative_to_final.energy_j_per_image").missing == "the counter is gone"
    assert entry.relative_to_final["latency_s"] == pytest.approx(0.5)


def test_a_warning_of_all_exits_is_said_once_and_that_of_one_with_its_number():
    noisy = Bench(noise=0.9, resolution_j=1.0)
    found = fake_measurement(noisy, {2: 0.25, 3: 0.5})
    assert not found.converged
    assert sum("blocks do not agree to within" in warning for warning in found.warnings) == 1
    assert [warning[:7] for warning in found.warnings if "counter's step" in warning] == ["exit 2:", "exit 3:"]
