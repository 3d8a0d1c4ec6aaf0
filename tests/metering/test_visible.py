import pytest
import torch.cuda
from hypothesis import given
from hypothesis import strategies as st

from greenpose.metering.nvidia import visible_gpus

UUIDS = ["GPU-aa10-1", "GPU-aa20-2", "GPU-bb30-3", "GPU-cc40-4"]


@pytest.mark.parametrize(
    ("setting", "seen"),
    [
        (None, (0, 1, 2, 3)),
        ("", ()),
        ("-1", ()),
        ("2", (2,)),
        ("2,0", (2, 0)),
        (" 1 , 3 ", (1, 3)),
        ("0,2,-1,1", (0, 2)),
        ("0,9,1", (0,)),
        ("none", ()),
        ("1,1", ()),
        ("1gpu,2", (1, 2)),
        ("GPU-bb30-3", (2,)),
        ("GPU-bb", (2,)),
        ("GPU-aa", ()),
        ("GPU-cc,GPU-aa10", (3, 0)),
        ("GPU-cc,GPU-zz,GPU-bb", (3,)),
        ("GPU-cc,0", (3,)),
        ("0,GPU-cc", (0,)),
        ("GPU-cc,GPU-cc40", ()),
    ],
)
def test_cuda_visible_devices_means_what_cuda_says(setting, seen):
    assert visible_gpus(setting, UUIDS) == seen


ENTRIES = st.one_of(
    st.integers(-2, 5).map(str), st.sampled_from(["", "x", " 2", "3b", "GPU-aa", "GPU-bb", "GPU-aa20", "GPU-q"])
)


@given(st.lists(ENTRIES, min_size=1, max_size=4, unique=True).map(",".join))
def test_torch_reads_it_the_same_way(setting):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", setting)
        parsed = torch.cuda._parse_visible_devices()
    if parsed and isinstance(parsed[0], str):
        parsed = torch.cuda._transform_uuid_to_ordinals(parsed, UUIDS)
    known = []
    for ordinal in parsed:
        if ordinal >= len(UUIDS):
            break
        known.append(ordinal)
    ours = visible_gpus(setting, UUIDS)
    # Torch looks for doubles in the whole list, CUDA's own rule ends the list at the first unknown entry.
    assert ours == tuple(known) or (not parsed and len(ours) > 0 and setting.split(",")[len(ours)].strip()[:1] > "3")
