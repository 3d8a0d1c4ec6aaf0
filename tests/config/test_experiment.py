"""What no experiment can mean is refused before anything runs."""

import pytest
from pydantic import TypeAdapter, ValidationError

from greenpose.config import Experiment, load_experiment
from greenpose.config.grid import identity
from greenpose.errors import ConfigError
from greenpose.schema import field_at, parse, paths, shown

SETTINGS = """
seed=-1 seed=1180591620717411303424 seed=1.5 seed=yes
train.lr=1e30 train.lr=0 train.lr=-1e-3 train.lr=.inf train.lr=.nan train.lr=1e-300
train.epochs=0 train.epochs=-5 train.epochs=1e9 train.epochs=yes train.epochs=2.5
train.batch=0 train.batch=1000000000 train.gamma=0 train.gamma=1e9 train.gamma=-1
train.milestones=[0] train.milestones=[-3] train.milestones=30 train.milestones=[1e12]
train.warmup=1 train.warmup=-0.1 train.average=1 train.average=2 train.mirror=1.5 train.mirror=on
train.patience=0 train.validate_every=0 train.validate_every=1e7 train.grow={4:0.5} train.grow={9:0.5}
train.grow={2:1.5} train.augment=on train.augment.rotation=181 train.augment.scale=[1.2,0.8] train.augment.scale=0.35
train.augment.scale=[0,1] train.augment.shift=-0.1 train.augment.half_body=2 train.augment.brightness=[-2,0]
train.augment.blur=[0.5] train.augment.depth_noise_mm=-1 train.augment.depth_dropout=yes train.augment.mirror=0.5
train.recipe=red train.precision=float8 train.selection=best
model.width=0 model.width=1e6 model.width=-32 model.width=true model.stem_width=1e6 model.modules=[0,1,1]
model.modules=[1,1] model.modules=[1000,1,1] model.blocks=0 model.blocks=1e4 model.exits=[] model.exits=[5]
model.exits=[3,3] model.exits=3 model.init=zeros
data.input_size=[32,3200000] data.input_size=[0,0] data.input_size=[33,64] data.input_size=64 data.input_size=[-64,64]
data.sigma=1e9 data.sigma=0 data.sigma=1e-9 data.sigma=-2 data.sigma=40
data.padding=1e-9 data.padding=0 data.padding=1e9 data.padding=-1
data.depth_window_mm=[900,350] data.depth_window_mm=[-1,5] data.depth_window_mm=[0,1e12] data.depth_window_mm=[1]
data.synthetic.seed=-1 data.synthetic.frames.train=0 data.synthetic.patients.val=1e12 data.synthetic.size=[1,1]
data.synthetic.size=[100000,100000] data.synthetic.frame_step=0 data.synthetic.yaw_spread_deg=720
loss.kd_weight=-1 loss.kd_weight=1e30 loss.temperature=0 loss.temperature=1e30 loss.temperature=1e-30
loss.teacher_weight=-1 loss.ds_weight=.inf
measure.batch=0 measure.batch=1e9 measure.rel_ci=0 measure.rel_ci=1e9 measure.max_blocks=0 measure.max_seconds=1e30
measure.min_window_seconds=0 measure.min_window_seconds=1e9 measure.step_blocks=0
carbon.embodied_kg=1e308 carbon.embodied_kg=-1 carbon.pue=0.5 carbon.pue=1e9 carbon.lifetime_years=0
carbon.lifetime_years=1e9 carbon.lifetime_years=1e-300 carbon.intensity_g_per_kwh=400
process.threads=0 process.threads=100000 process.threads=-1 process.replicas=0 process.replicas=100000
process.device=gpu process.device=cuda:-1 process.device=cuda:99999999999
"""
NONSENSE = [setting for line in SETTINGS.splitlines() for setting in line.split()]


@pytest.mark.parametrize("setting", NONSENSE)
def test_a_setting_that_nobody_can_mean_is_refused_by_its_name(tmp_path, setting):
    file = tmp_path / "e.yaml"
    file.write_text("carbon: {country: ITA}\n")
    key, _, value = setting.partition("=")
    setting = f"{key}={value.replace(':0', ': 0')}"
    with pytest.raises(ConfigError) as caught:
        load_experiment(file, settings=[setting])
    section, last = key.split(".")[0], key.split(".")[-1]
    for fault in caught.value.faults:
        assert fault.startswith((f"--set {section}", f"{file}: {section}"))
    assert last in str(caught.value)


def test_every_number_has_a_least_and_a_most():
    schema = Experiment.model_json_schema()

    def numbers(node, place):
        if isinstance(node, dict):
            if node.get("type") in ("integer", "number"):
                yield place, node
            for key, inner in node.items():
                yield from numbers(inner, f"{place}.{key}")
        elif isinstance(node, list):
            for index, inner in enumerate(node):
                yield from numbers(inner, f"{place}[{index}]")

    found = dict(numbers(schema, ""))
    assert len(found) > 40
    open_ended = [
        place
        for place, node in found.items()
        if not ({"minimum", "exclusiveMinimum"} & node.keys() and {"maximum", "exclusiveMaximum"} & node.keys())
    ]
    assert open_ended == []


def test_no_number_takes_a_truth_value():
    def kinds(schema):
        return {part.get("type") for part in schema.get("anyOf", [schema])}

    fields = {path: field_at(Experiment, path) for path in paths(Experiment)}
    adapters = {path: TypeAdapter(field.rebuild_annotation()) for path, field in fields.items()}
    numbers = {path: one for path, one in adapters.items() if kinds(one.json_schema()) & {"integer", "number"}}
    assert len(numbers) > 30
    for adapter in numbers.values():
        with pytest.raises(ValidationError, match="truth value"):
            adapter.validate_python(True)


TEACHING = {"model": {"exits": [3, 4]}, "wiring": {"teach": ["4->3"], "supervise": [3, 4]}}


def written(**sections):
    return {"name": "x", "carbon": {"country": "ITA"}, **sections}


def faults(**sections):
    return parse(Experiment, written(**sections), where="x.yaml")[1]


@pytest.mark.parametrize(
    ("input_size", "weight"),
    [([192, 256], 2000), ([128, 128], 2000 * 32 * 32 / 3072), ([96, 128], 500), ([64, 64], 166.67)],
)
@pytest.mark.parametrize("given", [{}, {"kd_weight": "auto"}])
def test_without_a_number_distillation_weighs_as_in_the_paper_whatever_the_size(input_size, weight, given):
    config = Experiment.model_validate(written(**TEACHING, data={"input_size": input_size}, loss=given))
    assert config.loss.kd_weight == pytest.approx(weight, rel=1e-4)
    assert config.doubts == []
    kept = Experiment.model_validate(config.model_dump(mode="json"))
    assert kept == config
    assert isinstance(kept.loss.kd_weight, float)


def test_at_the_papers_size_auto_is_the_same_run_as_its_number():
    by_hand = Experiment.model_validate(written(**TEACHING, loss={"kd_weight": 2000}))
    assert identity(Experiment.model_validate(written(**TEACHING))) == identity(by_hand)


def test_auto_has_no_number_for_a_divergence_by_keypoints():
    (fault,) = faults(**TEACHING, loss={"normalise": "keypoints"})
    assert "loss.kd_weight: auto follows the size of heatmaps" in fault
    assert faults(**TEACHING, loss={"normalise": "keypoints", "kd_weight": 8}) == []


@pytest.mark.parametrize("wrong", ["much", -1, [2], float("inf"), None])
def test_a_weight_that_is_none_is_one_fault(wrong):
    (fault,) = faults(**TEACHING, loss={"kd_weight": wrong})
    assert fault == f"x.yaml: loss.kd_weight: must be auto, or a number from 0 to 1e+09 (got {shown(wrong)})"


def test_a_weight_by_hand_on_another_size_is_doubted():
    config = Experiment.model_validate(written(**TEACHING, data={"input_size": [128, 128]}, loss={"kd_weight": 2000}))
    (doubt,) = config.doubts
    assert doubt.startswith("loss.kd_weight is 2000 on heatmaps of 32x32, where 667 weighs as much")


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"input_size": [192, 256]}, "loss": {"kd_weight": 2}},
        {"data": {"input_size": [64, 64]}, "loss": {"kd_weight": 167}},
        {"data": {"input_size": [64, 64]}, "loss": {"kd_weight": 2000}, "wiring": {"supervise": [3, 4]}},
    ],
    ids=["the paper's size", "rounded", "nobody teaches"],
)
def test_a_weight_on_the_papers_size_or_near_to_it_or_without_teachers_is_not_doubted(change):
    assert Experiment.model_validate(written(**{**TEACHING, **change})).doubts == []


@pytest.mark.parametrize(
    ("wiring", "loss", "said"),
    [
        ({"supervise": [3, 4]}, {"teacher_weight": 0}, "exit 4 learns nothing, since loss.teacher_weight is 0"),
        ({"supervise": [3, 4]}, {"ds_weight": 0}, "exit 3 learns nothing, since loss.ds_weight is 0"),
        ({"teach": ["4->3"]}, {"kd_weight": 0}, "exit 3 learns nothing, since loss.kd_weight is 0"),
        (
            {"teach": ["4->3"], "supervise": [3, 4]},
            {"kd_weight": 0, "ds_weight": 0},
            "exit 3 learns nothing, since loss.ds_weight and loss.kd_weight are 0",
        ),
        ({"teach": ["4->3"]}, {"teacher_weight": 0}, "exit 3 learns nothing"),
        ({"teach": ["4->3", "3->4"], "supervise": []}, {}, "exit 3 learns nothing; supervise it"),
        ({"teach": ["2->3"]}, {}, "wiring.teach[0]: exit 2 does not exist; this network has exits 3, 4"),
        ({"supervise": [2]}, {}, "wiring.supervise[0]: exit 2 does not exist; this network has exits 3, 4"),
        ({"teach": ["4->3", "4->3"]}, {}, "wiring.teach[1]: 4->3 is named twice"),
        ({"teach": ["3->3"]}, {}, "wiring.teach[0]: exit 3 cannot teach itself"),
    ],
)
def test_a_wiring_in_which_an_exit_learns_nothing_or_that_does_not_fit_is_refused(wiring, loss, said):
    (fault,) = faults(model={"exits": [3, 4]}, wiring=wiring, loss=loss)
    assert said in fault


def test_an_exit_may_learn_from_its_teacher_alone():
    for wiring, loss in (
        ({"teach": ["4->3"]}, {"ds_weight": 0}),
        ({"teach": ["3->4"], "supervise": [3]}, {"teacher_weight": 0}),
    ):
        assert faults(model={"exits": [3, 4]}, wiring=wiring, loss=loss) == []


def test_growing_needs_the_weight_of_whatever_exit_is_last():
    wiring = {"teach": ["3->4"], "supervise": [3]}
    (fault,) = faults(model={"exits": [3, 4]}, wiring=wiring, loss={"teacher_weight": 0}, train={"grow": {3: 0.5}})
    assert "train.grow" in fault


BASE = {"name": "x", "carbon": {"country": "ITA"}}


def train_of(train, exits=(2, 3, 4)):
    supervise = list(exits)
    return Experiment.model_validate(
        BASE | {"model": {"exits": list(exits)}, "wiring": {"supervise": supervise}, "train": train}
    ).train


def test_it_fills_what_is_not_given_and_no_more():
    plain, green = train_of({}), train_of({"recipe": "green", "lr": 4e-3})
    assert (green.schedule, green.warmup, green.lr, green.grow) == ("one-cycle", 0.4, 4e-3, {2: 0.3, 3: 0.45})
    assert (green.mirror, plain.mirror) == (0.5, 0.0)
    assert green.epochs == 0.6 * plain.epochs
    assert (green.batch, green.patience, green.augment) == (plain.batch, plain.patience, plain.augment)
    assert (green.precision, plain.precision) == ("auto", "float32")
    assert (plain.grow, plain.whole_steps) == ({}, 0)
    assert green.whole_steps > 0
    assert train_of({"recipe": "green", "grow": {2: 0.3}}).whole_steps == 0  # as it was written before there was one


def test_images_that_are_seen_often_are_augmented_instead_of_mirrored_unless_one_says_how():
    def changes(**train):
        green = train_of({"recipe": "green", **train})
        return green.mirror, green.augment and green.augment.rotation

    assert changes(epochs=59) == (0.5, None)
    assert changes(epochs=60) == (0.0, 30)
    assert changes(epochs=60, mirror=0.3) == (0.3, None)
    assert changes(epochs=60, augment={"rotation": 10}) == (0.0, 10)
    assert changes(epochs=13, augment={"rotation": 10}) == (0.0, 10)
    kept = train_of({"recipe": "green", "epochs": 60})
    assert train_of(kept.model_dump(mode="json")) == kept


@pytest.mark.parametrize(
    ("exits", "grow"), [((4,), {}), ((2, 3), {2: 0.3}), ((3, 4), {3: 0.45}), ((1, 2, 3, 4), {2: 0.3, 3: 0.45})]
)
def test_it_grows_only_beyond_exits_that_the_network_has(exits, grow):
    assert train_of({"recipe": "green"}, exits).grow == grow


def test_what_it_filled_in_is_read_back_as_it_was():
    wired = {"model": {"exits": [3, 4]}, "wiring": {"supervise": [3, 4]}, "train": {"recipe": "green"}}
    once = Experiment.model_validate(BASE | wired)
    assert Experiment.model_validate(once.model_dump(mode="json")) == once


@pytest.mark.parametrize("left_out", [{"mirror": 0}, {"whole_steps": 0}, {"grow": {}}, {"grow": {3: 0.4}, "mirror": 0}])
def test_what_was_left_out_of_it_is_read_back_as_left_out(left_out):
    once = train_of({"recipe": "green", **left_out})
    assert {name: getattr(once, name) for name in left_out} == left_out
    assert train_of(once.model_dump(mode="json")) == once


def test_a_run_from_before_there_was_a_floor_stays_what_it_was():
    """Its settings as a published record has them, which knows of none that came later."""
    first = {"recipe": "green", "epochs": 13, "lr": 6e-3, "schedule": "one-cycle", "warmup": 0.4, "mirror": 0.5}
    first |= {"grow": {"2": 0.3, "3": 0.45}}
    kept = train_of(first).model_dump(mode="json")
    assert kept.items() >= first.items()
    assert "whole_steps" not in kept


@pytest.mark.parametrize(
    ("grow", "said"),
    [
        ({4: 0.5}, "train.grow: exit 4 is not one before the last, 4; those are: 2, 3"),
        ({1: 0.5}, "train.grow: exit 1 is not one before the last, 4; those are: 2, 3"),
        ({3: 0.3, 2: 0.5}, "train.grow: parts must rise from exit to exit"),
        ({2: 0.5, 3: 0.5}, "train.grow: parts must rise from exit to exit"),
    ],
)
def test_a_growth_that_does_not_fit_the_network_is_refused(grow, said):
    with pytest.raises(ValidationError) as caught:
        train_of({"grow": grow})
    assert said in str(caught.value)


def test_an_exit_that_is_no_number_is_refused_as_ever():
    with pytest.raises(ValidationError, match="exits"):
        Experiment.model_validate(BASE | {"model": {"exits": ["deep", 4]}, "train": {"recipe": "green"}})
