"""What `greenpose doctor` prints for a person and for a script."""

import pytest

from tests.cli.running import greenpose


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    return greenpose("doctor", "--verbose", cwd=tmp_path_factory.mktemp("doctor"))


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return greenpose("doctor", "--json", cwd=tmp_path_factory.mktemp("doctor")).json


def test_the_verdict_is_the_first_line_and_one_sentence(printed, document):
    first = printed.out.splitlines()[0]
    assert first.startswith(("Energy is measured", "Part of the energy", "No energy"))
    assert first.endswith(f"(grade {document['grade']}).")
    assert document["verdict"].count(". ") == 0


def test_then_come_energy_process_arithmetic_and_meaning(printed):
    lines = printed.out.splitlines()
    headings = ("Energy", "This process", "Arithmetic", "What that means", "Sources")
    places = [lines.index(heading) for heading in headings]
    assert places == sorted(places)
    energy = "\n".join(lines[places[0] : places[1]])
    for name in ("CPU", "GPU", "memory"):
        assert name in energy


def test_what_every_runtime_computes_in_is_said_to_both(printed, document):
    for finding in document["findings"]:
        if finding["topic"] in {"openvino", "onnxruntime", "torch"}:
            assert finding["says"].split(",")[0] in printed.out
    assert {"openvino", "onnxruntime", "torch"} < {finding["topic"] for finding in document["findings"]}


def test_quiet_leaves_the_verdict(tmp_path):
    done = greenpose("doctor", "--quiet", cwd=tmp_path)
    assert len(done.out.splitlines()) == 1
    assert "grade" in done.out


def test_a_script_gets_source_reading_and_rejected_ones_of_every_component(document):
    components = {entry["component"]: entry for entry in document["components"]}
    assert components.keys() == {"cpu", "gpu", "ram"}
    for name in ("cpu", "ram"):
        entry = components[name]
        assert entry["source"]["kind"] in ("measured", "estimated", "modelled")
        watts = entry["now"]["watts"]
        assert 0 < watts["low"] < watts["mid"] < watts["high"]
        assert all({"name", "why", "remedy"} <= bad.keys() for bad in entry["rejected"])
        assert entry["source"]["kind"] == "measured" or entry["rejected"]
    assert components["gpu"]["source"] is None or components["gpu"]["absent"] is None
