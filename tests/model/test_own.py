"""A network of one's own behaves as HRNet does: exits, exits' own networks, names, weights; and what it may not do."""

import copy
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from greenpose.errors import ModelError
from greenpose.model import build, check_network, fold_batchnorm, load_weights
from tests.model.own_networks import NETS, leave, shape

WAYS = ("whole", "asked", "cut")
IMAGES = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))


def size(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("way", WAYS)
def test_every_exit_alone_says_what_the_whole_network_says(tmp_path, way):
    net = check_network(shape(tmp_path, way)).eval()
    together = net(IMAGES)
    assert list(together) == [1, 2]
    for exit_ in (1, 2):
        alone = net.truncate(exit_)
        assert (alone.exit, alone.exits, alone.training) == (exit_, (exit_,), False)
        torch.testing.assert_close(alone(IMAGES), together[exit_])
        torch.testing.assert_close(net.read(IMAGES, (exit_,))[exit_], together[exit_])
        torch.testing.assert_close(fold_batchnorm(alone)(IMAGES), together[exit_])


@pytest.mark.parametrize("way", WAYS)
def test_an_exit_alone_is_a_copy(tmp_path, way):
    net = build(shape(tmp_path, way)).eval()
    before = net.truncate(1)(IMAGES)
    sub = net.truncate(1)
    with torch.no_grad():
        for parameter in sub.parameters():
            parameter.zero_()
    torch.testing.assert_close(net.truncate(1)(IMAGES), before)


def test_what_an_exit_does_not_need_is_left_out_where_the_network_can_be_cut_or_asked(tmp_path):
    stem, deep, head = 3 * 4 * 9 + 4 + 8, 4 * 4 * 9 + 4, 4 * 12 + 12  # by hand: weights, biases, the norm's pairs
    for way in ("asked", "cut"):
        net = build(shape(tmp_path, way))
        assert [size(net.truncate(exit_)) for exit_ in (1, 2)] == [stem + head, stem + deep + head]
    whole = build(shape(tmp_path, "whole"))
    assert [size(whole.truncate(exit_)) for exit_ in (1, 2)] == [stem + deep + 2 * head] * 2


def test_methods_say_where_later_parts_may_have_been_computed(tmp_path):
    said = {way: [build(shape(tmp_path, way)).truncate(exit_).what for exit_ in (1, 2)] for way in WAYS}
    assert said["cut"] == ["truncated network"] * 2
    for way, how in (("asked", "asked for this exit alone"), ("whole", "as a whole")):
        assert said[way] == [
            f"network of one's own {how}; later parts may have been computed",
            f"network of one's own {how}",
        ]


@pytest.mark.parametrize("way", ["asked", "cut"])
def test_a_network_with_some_of_its_exits_computes_these_only(tmp_path, way):
    whole = shape(tmp_path, way)
    net = build(whole.only(1))
    assert list(net(IMAGES)) == [1]
    seen = []
    net.register_forward_hook(lambda *_: seen.append(1))
    deep = [module for name, module in net.named_modules() if name.endswith("deep")]
    for module in deep:
        module.register_forward_hook(lambda *_: pytest.fail("the part behind exit 1 was computed"))
    net(IMAGES)
    with pytest.raises(ModelError, match="exit 3 does not exist; this network has exits 1, 2"):
        whole.only(3)


def test_a_single_tensor_is_a_network_of_one_exit(tmp_path):
    net = check_network(shape(tmp_path, "one", exits=(1,)))
    assert net(IMAGES)[1].shape == (2, 12, 16, 8)
    assert net.truncate(1)(IMAGES).shape == (2, 12, 16, 8)


def test_names_in_files_are_the_networks_own_and_survive_averaging_and_copying(tmp_path):
    net = build(shape(tmp_path, "asked"))
    plain = net.inner.state_dict()
    assert net.state_dict().keys() == plain.keys()
    assert copy.deepcopy(net).state_dict().keys() == plain.keys()
    average = AveragedModel(net)
    state = average.state_dict()
    assert "module.stem.0.weight" in state
    other = AveragedModel(build(shape(tmp_path, "asked")))
    other.load_state_dict(state)
    torch.testing.assert_close(other.module(IMAGES), average.module(IMAGES))


def test_weights_load_under_the_networks_own_names_also_those_that_the_papers_files_use(tmp_path):
    net, other = (build(shape(tmp_path, "asked")) for _ in range(2))
    save_file(net.inner.state_dict(), tmp_path / "w.safetensors")
    report = load_weights(other, tmp_path / "w.safetensors")
    assert report.complete
    assert "final_layer.weight" in report.matched
    torch.testing.assert_close(other.eval()(IMAGES), net.eval()(IMAGES))


def test_random_numbers_are_the_run_s_not_the_look_s(tmp_path):
    own = shape(tmp_path, "asked")
    torch.manual_seed(3)
    first = build(own)(IMAGES)
    torch.manual_seed(3)
    check_network(own)
    torch.testing.assert_close(build(own)(IMAGES), first)


BAD = {
    "third": ["gives exit 3, which was not asked for; model.exits names [1, 2]"],
    "lacking": ["gives no heatmaps for exit 1, which model.exits names"],
    "short": ["gives 1 thing for exits 1, 2; one for each is needed"],
    "words": ["gives a str at exit 1, not a tensor"],
    "number": ["gives a float; it is to give heatmaps by exit: a dict such as {1: ..., 2: ...}"],
    "flat": [
        "exits 1 and 2 give 2 x 12 for 2 images of 32 x 64 px; 2 x 12 x 16 x 8 (images, keypoints, height, width)"
    ],
    "seventeen": ["exits 1 and 2 give 2 x 17 x 16 x 8", "the profile has 12 keypoints"],
    "odd": ["exits 1 and 2 give 2 x 12 x 16 x 7 for 2 images", "a pixel for 4 of the image"],
    "coarse": ["where a pixel is to stand for 8 of the image, say data.stride: 8"],
    "changing": ["called twice in eval mode with the same images, its network gives other numbers at exit 1 and 2"],
    "endless": ["exit 1 gives numbers that are not finite"],
    "unmoved": ["exit 1 cannot learn: no parameter of the network leads to it"],
    "frozen": ["gives a network without parameters"],
    "nothing": ["gives nothing (None), not a network"],
    "failing": ["net.py: line ", "RuntimeError: the lab's own reason"],
    "crashing": ["net.py: line ", "RuntimeError: "],
    "wrong_cut": ["truncate(1) gives other heatmaps than exit 1 of the whole network, by up to"],
    "uncut": ["the network of truncate(2) gives 2 things for exit 2; one for each is needed"],
    "constant": ["net.py has an int, no function, constant"],
    "whol": ["net.py has no function whol; did you mean whole?"],
}


@pytest.mark.parametrize("function", BAD)
def test_what_is_wrong_is_said_in_one_line_each_before_anything_is_trained(tmp_path, function):
    with pytest.raises(ModelError) as caught:
        check_network(shape(tmp_path, function))
    for fault in caught.value.faults:
        assert "\n" not in fault
        assert "net:" in fault or "net.py" in fault
    for part in BAD[function]:
        assert part in str(caught.value)


def test_settings_that_the_function_does_not_take_or_lacks_are_named_together(tmp_path):
    with pytest.raises(ModelError) as caught:
        build(shape(tmp_path, "asked", widht=3))
    assert caught.value.faults == ("net:asked takes no setting widht; did you mean width?",)
    (tmp_path / "needy").mkdir()
    needy = shape(tmp_path / "needy", "needy")
    assert needy.config.sha256 is not None


def test_a_module_that_cannot_be_imported_says_its_own_error_with_the_place(tmp_path):
    own = shape(tmp_path, "asked")
    (tmp_path / "net.py").write_text("import torch\nimport nowhere_at_all\n")
    changed = own.config.model_copy(update={"sha256": None}).model_dump_json()
    with pytest.raises(ModelError, match=r"net.py: line 2: ModuleNotFoundError: No module named 'nowhere_at_all'"):
        build(type(own)(described=changed, exits=(1, 2), num_joints=12, input_size=(32, 64), stride=4))


def test_a_source_that_is_not_what_it_was_is_not_built(tmp_path):
    own = shape(tmp_path, "asked")
    (tmp_path / "net.py").write_text(NETS.replace("width=4", "width=6"))
    with pytest.raises(ModelError, match=r"net.py: the network's source is not what it was when this run was planned"):
        build(own)


def test_two_files_of_one_name_in_two_folders_are_two_networks_and_python_s_path_stays_in_order(tmp_path):
    first = sys.path[0]
    narrow = shape(tmp_path / "a", "asked")
    leave(tmp_path / "b")
    (tmp_path / "b" / "net.py").write_text(NETS.replace("width=4", "width=6"))
    wide = type(narrow).of(
        narrow.config.model_copy(update={"folder": str(tmp_path / "b"), "sha256": None}),
        **{name: getattr(narrow, name) for name in ("num_joints", "input_size", "stride")},
    )
    assert size(build(narrow)) < size(build(wide))
    assert size(build(narrow)) < size(build(wide))
    assert sys.path[0] == first


def test_a_network_that_is_no_hrnet_is_never_folded(tmp_path):
    net = build(shape(tmp_path, "asked")).eval()
    assert any(isinstance(module, nn.BatchNorm2d) for module in fold_batchnorm(net).modules())
