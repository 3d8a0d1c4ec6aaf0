"""A stranger's network goes every way that HRNet goes, or it is said why not: from file to run, figures, verdicts."""

import json
from importlib.util import find_spec

import pytest
import yaml

from greenpose.check.paired.work import most_images
from greenpose.config import Experiment
from greenpose.errors import ModelError
from greenpose.run import paired_worker, peak_memory
from greenpose.run.setup import build_network
from greenpose.store import RunFolder, collect
from greenpose.subject import read_networks
from tests.cli.running import greenpose
from tests.model.own_networks import NETS, leave

TRAIN = {"epochs": 2, "batch": 4, "lr": 2e-3, "milestones": [1], "patience": 9}


def run_of(workplace):
    (folder,) = (workplace / "runs" / "own").glob("*/config.yaml")
    return RunFolder(folder.parent)


@pytest.fixture(scope="module", params=["asked", "cut", "whole"])
def trained(request, tmp_path_factory):
    """A finished run of a network that is asked for its exits, cut, or neither; it was started from elsewhere."""
    workplace = tmp_path_factory.mktemp(request.param)
    leave(
        workplace / "lab",
        f"net:{request.param}",
        run={"train": TRAIN | ({"grow": {1: 0.5}} if request.param == "asked" else {})},
    )
    done = greenpose("run", "lab/own.yaml", cwd=workplace)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    return request.param, workplace, run_of(workplace), done


ASKED = pytest.mark.parametrize("trained", ["asked"], indirect=True)
"""For what hangs on the file alone, not on the way that its network is used."""


def test_the_record_says_what_was_run_and_from_which_source(trained):
    way, workplace, run, _ = trained
    (record,) = collect([run.path])
    model = record.config["model"]
    assert (model["factory"], model["folder"]) == (f"net:{way}", str(workplace / "lab"))
    assert len(model["sha256"]) == 64
    shallow, final = record.exits
    later = "later parts may have been computed"
    assert (
        (later in shallow.basis["energy_j_per_image"].method)
        == (later in shallow.basis["macs"].method)
        == (way != "cut")
    )
    assert later not in final.basis["energy_j_per_image"].method
    assert (shallow.macs < final.macs) == (way != "whole")
    assert any("exit 1 computed as much as the final exit" in doubt for doubt in record.doubts) == (way == "whole")
    assert record.training_step is not None


def test_the_page_shows_it(trained):
    _, workplace, _, done = trained
    page = (workplace / done.out.strip().splitlines()[-1]).read_text()
    assert "HRNet" not in page.partition("<main")[2].partition("</main>")[0]


def test_it_is_measured_again_with_its_weights(trained):
    _, workplace, run, _ = trained
    done = greenpose("measure", run.path, "--json", "--set", "measure.max_seconds=0.5", cwd=workplace)
    assert done.code == 0, done.err
    assert [each["exit"] for each in done.json["exits"]] == [1, 2]
    assert done.json["weights"] == "trained"


def test_it_finds_poses_in_pictures(trained):
    import cv2
    import numpy as np

    _, workplace, run, _ = trained
    picture = workplace / "picture.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 255, (60, 40, 3), dtype=np.uint8))
    done = greenpose("predict", run.path, picture, "-o", "poses", "--country", "ITA", cwd=workplace)
    assert done.code == 0, done.err


@ASKED
def test_its_runs_are_the_gate_s_candidates(trained):
    _, workplace, run, _ = trained
    update = ("check", "lab/own.yaml", "--baseline", "b.json")
    assert greenpose(*update, "--update", "--reason", "first", cwd=workplace).code == 0
    assert greenpose(*update, cwd=workplace).code == 0
    assert greenpose("check", run.path, "--baseline", "b.json", cwd=workplace).code in (0, 3)


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="ONNX files are run by onnxruntime")
def test_it_is_exported_run_and_judged(trained):
    _, workplace, run, _ = trained
    done = greenpose("export", run.path, "--exit", 1, "--to", "onnx,safetensors", "-o", "out", cwd=workplace)
    assert done.code == 0, done.err
    card = json.loads((workplace / "out" / "card.json").read_text())
    assert {file["format"] for file in card["files"]} == {"onnx", "safetensors"}


@ASKED
def test_its_norms_are_not_folded(trained):
    _, workplace, run, _ = trained
    refused = greenpose("export", run.path, "--exit", 1, "--to", "pt2", "--fold-bn", "-o", "folded", cwd=workplace)
    assert refused.code == 2
    assert "which convolution a norm of net:" in refused.err


@ASKED
def test_leaving_early_is_refused_in_words(trained):
    _, workplace, run, _ = trained
    done = greenpose("policy", run.path, cwd=workplace)
    assert done.code == 2
    assert "computes every exit from the image on" in done.err
    assert "Traceback" not in done.err


@ASKED
def test_a_changed_source_ends_what_the_run_can_be_used_for_and_makes_another_run(trained):
    _, workplace, run, _ = trained
    (workplace / "lab/net.py").write_text(NETS.replace("width=4", "width=16"))
    refused = greenpose("measure", run.path, cwd=workplace)
    planned = greenpose("run", "lab/own.yaml", "--dry-run", "--json", cwd=workplace)
    (workplace / "lab/net.py").write_text(NETS)
    assert refused.code == 2
    assert "net.py: the network's source is not what it was" in refused.err
    assert [each["state"] for each in planned.json["runs"]] == ["to do"]
    assert greenpose("run", "lab/own.yaml", "--dry-run", "--json", cwd=workplace).json["runs"][0]["state"] == "done"


@ASKED
def test_a_source_that_lies_elsewhere_now_is_found_where_it_is_said_to_be(trained):
    _, workplace, run, _ = trained
    (workplace / "lab").rename(workplace / "moved")
    call = ("measure", run.path, "--set", "measure.max_seconds=0.5")
    lost = greenpose(*call, cwd=workplace)
    found = greenpose(*call, "--set", f"model.folder={workplace}/moved", cwd=workplace)
    (workplace / "moved").rename(workplace / "lab")
    assert lost.code == 2
    assert "net: no such module in" in lost.err
    assert "let measure know its place now: --set model.folder=FOLDER" in lost.err
    assert found.code == 0, found.err


@ASKED
def test_a_fresh_interpreter_finds_it_from_anywhere(trained, monkeypatch):
    monkeypatch.chdir("/")
    assert peak_memory.of_exit(trained[2].path, 1, batch=1, threads=1) > 10**7


def test_it_is_estimated_profiled_and_its_stride_may_be_another(tmp_path):
    leave(
        tmp_path,
        "net:coarse",
        run={
            "data": {
                "input_size": [64, 64],
                "stride": 8,
                "sigma": 1.5,
                "synthetic": {
                    "size": [160, 120],
                    "patients": {"train": 3, "val": 2, "test": 2},
                    "frames": {"train": 4, "val": 2, "test": 2},
                },
            }
        },
    )
    profile = greenpose("profile", "own.yaml", "--json", cwd=tmp_path)
    assert profile.code == 0, profile.err
    assert [each["exit"] for each in profile.json[0]["exits"]] == [1, 2]
    assert "network of one's own" in greenpose("profile", "own.yaml", cwd=tmp_path).out
    estimate = greenpose("estimate", "own.yaml", "--json", "--seconds", 1, cwd=tmp_path)
    assert estimate.code == 0, estimate.err
    done = greenpose("run", "own.yaml", "--no-report", cwd=tmp_path)
    assert done.code == 0, done.err
    refused = greenpose("export", run_of(tmp_path).path, "--to", "pt2", cwd=tmp_path)
    assert refused.code == 2
    assert "a pixel for 4 of the image only" in refused.err


BAD = {
    "seventeen": "model.factory: net:seventeen: exits 1 and 2 give 2 x 17 x 16 x 8",
    "changing": "model.factory: net:changing: called twice in eval mode",
    "failing": "model.factory: net:failing cannot be used: ",
    "nothing": "model.factory: net:nothing gives nothing (None)",
    "frozen": "model.factory: net:frozen gives a network without parameters",
}


CALLS = [("run", function) for function in BAD] + [(name, "changing") for name in ("profile", "measure", "estimate")]


@pytest.mark.parametrize(("command", "function"), CALLS)
def test_what_cannot_be_trained_is_refused_with_code_2_before_anything_is_written(tmp_path, function, command):
    leave(tmp_path, f"net:{function}")
    done = greenpose(command, "own.yaml", cwd=tmp_path)
    assert done.code == 2
    assert BAD[function].removeprefix("" if command != "profile" else "model.factory: ") in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "runs").exists()


def test_one_that_cannot_be_asked_does_not_grow(tmp_path):
    leave(tmp_path, "net:whole", run={"train": TRAIN | {"grow": {1: 0.5}}})
    done = greenpose("run", "own.yaml", cwd=tmp_path)
    assert done.code == 2
    assert "train.grow: {1: 0.5}: a network of one's own grows where its forward takes exits=" in done.err


def test_weights_fill_it_under_its_own_names(tmp_path):
    from safetensors.torch import save_file

    file = leave(tmp_path)
    config = Experiment.model_validate(yaml.safe_load(file.read_text()) | {"name": "x"})
    config = config.model_copy(update={"model": config.model.model_copy(update={"folder": str(tmp_path)})})
    net, _ = build_network(config)
    save_file({name: each.contiguous() for name, each in net.state_dict().items()}, tmp_path / "w.safetensors")
    done = greenpose("run", "own.yaml", "--no-report", "--set", f"model.weights={tmp_path}/w.safetensors", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "entries of the network loaded" in done.err
    (tmp_path / "few").mkdir()
    save_file({"side.weight": net.state_dict()["side.weight"].contiguous()}, tmp_path / "few" / "w.safetensors")
    weights = f"model.weights={tmp_path}/few/w.safetensors"
    refused = greenpose("run", "own.yaml", "--set", weights, "--out", "other", cwd=tmp_path)
    assert refused.code == 2
    assert "fills 1 of the" in refused.err
    with pytest.raises(ModelError, match="give weights of this shape of net:asked"):
        build_network(
            config.model_copy(
                update={"model": config.model.model_copy(update={"weights": str(tmp_path / "few" / "w.safetensors")})}
            )
        )


def test_both_sides_of_a_paired_check_run_its_exits_and_its_training_step(tmp_path):
    file = leave(tmp_path)
    hello, runners, _ = paired_worker._prepare({"file": str(file), "exits": [1]})
    assert (hello["exits"], hello["built_by"]) == ([1], "greenpose.run.setup")
    runners[1]()
    told, steps, _ = paired_worker._prepare({"file": str(file), "work": "train", "images": 2})
    steps["train"]()
    assert told["counts"]["forward_macs"] > 0
    for network in read_networks(file, tmp_path):
        assert paired_worker._network_of(network.request())[1] == network.exits == (1, 2)
        assert most_images(network.config) >= 2
