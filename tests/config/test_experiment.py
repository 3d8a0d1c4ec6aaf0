"""What no experiment can mean is refused before anything runs."""

import pytest
from pydantic import TypeAdapter, ValidationError

from greenpose.config import Experiment, load_experiment
from greenpose.errors import ConfigError
from greenpose.schema import field_at, paths

SETTINGS = """
seed=-1 seed=1180591620717411303424 seed=1.5 seed=yes
train.lr=1e30 train.lr=0 train.lr=-1e-3 train.lr=.inf train.lr=.nan train.lr=1e-300
train.epochs=0 train.epochs=-5 train.epochs=1e9 train.epochs=yes train.epochs=2.5
train.batch=0 train.batch=1000000000 train.gamma=0 train.gamma=1e9 train.gamma=-1
train.milestones=[0] train.milestones=[-3] train.milestones=30 train.milestones=[1e12]
train.warmup=1 train.warmup=-0.1 train.average=1 train.average=2 train.mirror=1.5 train.mirror=on
train.patience=0 train.validate_every=0 train.validate_every=1e7 train.grow={4:0.5} train.grow={9:0.5}
train.grow={2:1.5}
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
