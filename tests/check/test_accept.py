import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenpose.check import Filed, Selection, accept, changes, compare, differs, dumps, refuse_unsure
from greenpose.check.baseline import _parse
from greenpose.errors import CheckError
from tests.check.candidates import finding, profiled, ran

EVERYTHING = Selection()
ACCEPTANCE = {"reason": "because", "at": "2026-11-25T08:00:00+00:00", "commit": "0badc0de", "version": "0.1.0"}
COUNTS = st.fixed_dictionaries(
    {name: st.integers(0, 2**52) for name in ("params", "macs", "activation_bytes", "peak_bytes")}
    | {
        "operations": st.dictionaries(
            st.from_regex(r"[a-z_][a-z0-9_.]*", fullmatch=True), st.integers(1, 999), min_size=1
        )
    }
)


def written(*footprints, before=None, only=EVERYTHING, acceptance=ACCEPTANCE) -> Filed:
    """Return the baseline that accepting leaves, through its text."""
    return _parse(dumps(accept(before, footprints, only=only, **acceptance)), "b.json")


def outcomes(footprint, filed):
    return {one.name: one.outcome for one in compare([footprint], filed, only=EVERYTHING).findings}


@settings(max_examples=30)
@given(COUNTS, COUNTS)
def test_exactly_what_differs_is_found_and_is_ok_once_it_is_accepted(before, after):
    candidates = profiled(3, exit3=after), profiled(4, experiment="b", exit4=before)
    old = written(profiled(3, exit3=before), candidates[1])
    seen = {one.name: one.outcome for one in compare(candidates, old, only=EVERYTHING).findings}
    differ = {f"HRNet4/exit3.{name}" for name in before if before[name] != after[name]}
    assert {name for name, outcome in seen.items() if outcome != "ok"} == differ
    filed = written(candidates[0], before=old)
    assert {one.outcome for one in compare(candidates, filed, only=EVERYTHING).findings} == {"ok"}
    assert dumps(filed.baseline) == dumps(written(*candidates).baseline)


def test_an_operator_that_is_called_as_accuracy_is_goes_with_the_others():
    filed = written(profiled(3, exit3={"operations": {"ap": 1}}))
    after = profiled(3, exit3={"operations": {"relu": 1}})
    assert "exit3.operations.ap" not in written(after, before=filed).baseline.values


def test_only_what_is_selected_is_accepted():
    changed = profiled(exit3={"macs": 5, "params": 5}, exit4={"macs": 5})
    filed = written(changed, before=written(profiled()), only=Selection(("exit3.macs",)))
    assert {name for name, outcome in outcomes(changed, filed).items() if outcome != "ok"} == {
        "exit3.params",
        "exit4.macs",
    }


def test_a_baseline_of_one_number_is_possible():
    filed = written(profiled(), only=Selection(("exit3.macs",)))
    assert filed.baseline.values == {"exit3.macs": 6_000_000_000}


def test_what_is_not_selected_cannot_stay_beside_another_network():
    before = written(profiled())
    with pytest.raises(CheckError, match=r"exit4.macs: cannot stay beside what is accepted: the network is another"):
        written(profiled(model={"width": 18}), before=before, only=Selection(("exit3",)))


def test_another_torch_forbids_to_accept_only_some_of_what_belongs_to_it():
    before = written(profiled())
    with pytest.raises(CheckError, match=r"exit4.peak_bytes: cannot stay .* torch 2.13"):
        written(profiled(torch="2.14"), before=before, only=Selection(("exit3",)))
    filed = written(profiled(torch="2.14"), before=before, only=Selection(("*.peak_bytes", "*.operations")))
    assert filed.baseline.experiments["HRNet4"].torch == "2.14"


def test_other_experiments_stay_and_a_second_one_brings_names_with_it():
    filed = written(profiled(3, experiment="b"), before=written(profiled(4)))
    assert {key.split("/")[0] for key in filed.baseline.values} == {"HRNet4", "b"}
    assert set(outcomes(profiled(4), filed).values()) == {"ok"}
    assert set(outcomes(profiled(3, experiment="b"), filed).values()) == {"ok"}


def test_other_experiments_cannot_stay_under_another_convention():
    before = written(profiled(4))
    old = before.baseline.model_copy(update={"conventions": before.baseline.conventions | {"macs": "by hand"}})
    with pytest.raises(CheckError, match="accept all of it together"):
        written(profiled(3, experiment="b"), before=Filed(name="b", baseline=old, lines={}))


def test_margins_that_somebody_wrote_stay():
    before = written(profiled())
    margins = before.baseline.margins.model_copy(update={"ap": 0.05})
    edited = Filed(name="b", baseline=before.baseline.model_copy(update={"margins": margins}), lines={})
    assert written(profiled(), before=edited).baseline.margins.ap == 0.05


def as_in(run):
    """Return the profile of the network that fake runs have."""
    return profiled(3, 4, labels=run.labels, model={"width": 32, "stem_width": 64}, data={"input_size": [192, 256]})


def test_the_accuracy_floor_stays_when_the_same_network_is_only_profiled():
    run = ran()
    filed = written(as_in(run), before=written(run))
    assert filed.baseline.values["exit3.ap"] == written(run).baseline.values["exit3.ap"]
    assert filed.baseline.experiments == written(run).baseline.experiments
    assert outcomes(run, filed)["exit3.ap"] == "ok"


def test_the_accuracy_of_another_network_goes():
    run = ran()
    filed = written(profiled(labels=run.labels, model={"width": 18}), before=written(run))
    assert not any(key.endswith(".ap") for key in filed.baseline.values)
    assert filed.baseline.experiments["HRNet4-OKD"].data is None


def test_what_changed_is_said_with_both_values():
    before, after = written(profiled(3)), written(profiled(3, exit3={"macs": 7}))
    assert changes(before.baseline, after.baseline) == {"exit3.macs": (6_000_000_000, 7)}
    assert changes(None, written(profiled(3), only=Selection(("exit3.macs",))).baseline) == {"exit3.macs": (None, 6e9)}


def test_a_second_experiment_changes_none_of_the_first():
    before = written(profiled(4))
    after = written(profiled(3, experiment="b"), before=before)
    assert all(key.startswith("b/") for key in changes(before.baseline, after.baseline))


def test_who_accepted_when_and_why_is_kept_and_signing_again_is_no_difference():
    later = {"reason": "again", "at": "2027-01-01T00:00:00+00:00", "commit": None, "version": "9"}
    before = written(profiled()).baseline
    assert (before.reason, before.accepted_at, before.commit) == ("because", ACCEPTANCE["at"], "0badc0de")
    assert not differs(before, written(profiled(), acceptance=later).baseline)
    assert differs(before, written(profiled(exit3={"macs": 1})).baseline)


def test_nothing_inconclusive_is_accepted():
    unsure = finding(metric="ap", outcome="inconclusive", says="AP 88 %: below it")
    with pytest.raises(CheckError, match=r"exit3.ap: cannot be accepted: AP 88 %") as refused:
        refuse_unsure([finding(outcome="ok"), unsure])
    assert "--only" in refused.value.faults[-1]
    refuse_unsure([finding(outcome="ok"), finding(outcome="regressed"), finding(outcome="incomparable")])


def test_a_pattern_that_selects_nothing_is_refused_with_near_matches():
    with pytest.raises(CheckError, match=r"--only exit3.mac: matches no quantity here; did you mean exit3.macs"):
        written(profiled(), only=Selection(("exit3.mac",)))


def test_the_file_is_sorted_with_one_value_a_line():
    text = dumps(written(profiled(), profiled(experiment="a")).baseline)
    document = json.loads(text)
    assert text == json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert all(text.count(f'\n  "{key}": ') == 1 for key in document["values"])
