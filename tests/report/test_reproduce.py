"""Configurations on the page: the first in full, the others by what they change."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from greenpose.report.page import configurations, differing
from greenpose.report.study import study
from tests.report.records import paper_grid

SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2)
CONFIGS = st.recursive(
    SCALARS, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3), max_leaves=8
).filter(lambda each: isinstance(each, dict))


def merged(base, changed):
    """Return `base` with what `changed` says, key by key."""
    whole = dict(base)
    for key, value in changed.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        whole[key] = merged(base[key], value) if both else value
    return whole


def pruned(config):
    """Return a configuration without what is null: not set and null are one."""
    inner = {key: pruned(value) if isinstance(value, dict) else value for key, value in config.items()}
    return {key: value for key, value in inner.items() if value is not None}


@given(CONFIGS, CONFIGS)
def test_what_differs_put_on_the_base_gives_the_configuration(config, base):
    assert pruned(merged(base, differing(config, base))) == pruned(merged({}, config))


def test_every_experiment_can_be_put_together_again_from_the_page():
    found = study(paper_grid((1, 2)))
    text = configurations(found)
    base, *others = yaml.safe_load_all(text)
    assert base == found.groups[0].runs[0].config
    assert len(others) == len(found.groups) - 1
    for group, changed in zip(found.groups[1:], others, strict=True):
        wanted = group.runs[0].config | {"name": base["name"], "seed": base["seed"]}
        assert merged(base, changed or {}) == wanted


def test_seeds_are_named_beside_each_experiment():
    text = configurations(study(paper_grid((1, 3), ("HRNet3", "HRNet4"))))
    assert text.splitlines()[0] == "# HRNet3, in full; seeds 1, 3"
    assert "# HRNet4, what differs from HRNet3; seeds 1, 3" in text
