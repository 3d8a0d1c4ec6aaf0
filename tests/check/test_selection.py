import pytest

from greenpose.check import Selection
from greenpose.errors import CheckError

NAMES = ["HRNet4/exit3.macs", "HRNet4/exit4.macs", "b/exit3.macs", "b/exit3.operations.add", "exit2/final.latency_s"]


def selected(*patterns):
    return [name for name in NAMES if name in Selection(patterns)]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ((), NAMES),
        (("exit3.macs",), ["HRNet4/exit3.macs", "b/exit3.macs"]),
        (("b/exit3.macs",), ["b/exit3.macs"]),
        (("b/*",), ["b/exit3.macs", "b/exit3.operations.add"]),
        (("exit3.operations",), ["b/exit3.operations.add"]),
        (("exit2/final",), ["exit2/final.latency_s"]),
        (("*.macs", "exit2/*"), ["HRNet4/exit3.macs", "HRNet4/exit4.macs", "b/exit3.macs", "exit2/final.latency_s"]),
        (("exit",), []),
        (("final.latency_s",), []),
        (("b",), ["b/exit3.macs", "b/exit3.operations.add"]),
        (("exit2",), []),
    ],
)
def test_a_pattern_means_a_name_with_or_without_its_experiment_or_what_it_belongs_to(patterns, names):
    assert selected(*patterns) == names


def test_what_selects_nothing_is_told_what_can_be_named():
    for known, words in (
        (["exit3.activation_bytes", "exit3.macs"], "name an exit or a quantity, as exit3 or exit3.activation_bytes"),
        (NAMES, "name an exit or a quantity, as exit3 or exit3.macs, or an experiment: HRNet4 and b"),
    ):
        with pytest.raises(CheckError) as error:
            Selection(("Unheard of",)).require(known)
        assert str(error.value) == f"--only Unheard of: matches no quantity here; {words}"
    with pytest.raises(CheckError, match=r"did you mean HRNet4"):
        Selection(("HRNet3",)).require(NAMES)


def test_patterns_that_select_nothing_are_refused_together():
    with pytest.raises(CheckError) as error:
        Selection(("exit3.macs", "exit3.mac", "exit5")).require(NAMES)
    assert [fault.split(":")[0] for fault in error.value.faults] == ["--only exit3.mac", "--only exit5"]
    Selection(("exit3.macs",)).require(NAMES)
