""""""

from datetime import date

import pytest

from greenpose.check import CheckVerdict, Selection, check_budgets, read_budgets, tighten
from greenpose.errors import CheckError, ConfigError
from tests.check.candidates import profiled, ran


@pytest.fixture
def read(tmp_path):
    def reading(*lines: str):
        file = tmp_path / "budgets.yaml"
        file.write_text("# ours\nbudgets:\n" + "".join(f"  - {line}\n" for line in lines))
        return read_budgets(file)

    return reading


@pytest.mark.parametrize(
    ("line", "where", "metric", "at_most", "limit"),
    [
        ("exit3.macs <= 1.9e9", "exit3", "macs", True, 1.9e9),
        ("final.energy_j_per_image <= 4.0", "final", "energy_j_per_image", True, 4.0),
        ("exit2/final energy <= 0.45", "exit2/final", "energy_j_per_image", True, 0.45),
        ("exit2/final macs<=.5", "exit2/final", "macs", True, 0.5),
        ("exit1/final cpu_s_per_image  <=  1", "exit1/final", "cpu_s_per_image", True, 1.0),
        ("train.energy_kwh <= 0.2", "train", "energy_kwh", True, 0.2),
        ("exit3.ap >= 0.90", "exit3", "ap", False, 0.9),
        ("{budget: exit3.peak_bytes <= 3E+6, level: warn}", "exit3", "peak_bytes", True, 3e6),
    ],
)
def test_a_line_is_one_comparison_for_every_experiment_or_for_the_one_before_it(
    read, line, where, metric, at_most, limit
):
    budgets = read(line) if line.startswith("{") else read(line, f"HRNet4-OKD-DS/{line}")
    for budget in budgets:
        assert (budget.where, budget.metric, budget.at_most, budget.limit) == (where, metric, at_most, limit)
    assert [budget.experiment for budget in budgets] == [None, "HRNet4-OKD-DS"][: len(budgets)]


def test_each_budget_knows_where_it_stands(read, tmp_path):
    budgets = read("exit3.macs <= 1", "{reason: why, budget: 'exit4.macs <= 2'}", "\n      budget: exit3.ap >= 0.1")
    text = (tmp_path / "budgets.yaml").read_text()
    assert [budget.line for budget in budgets] == [3, 4, 6]
    for budget in budgets:
        assert budget.entry.budget in text[budget.start : budget.stop]
        assert budget.entry.budget in text.splitlines()[budget.line - 1]


def test_what_belongs_to_a_budget_is_kept(read):
    (budget,) = read("{budget: exit3.macs <= 1, level: warn, until: 2026-12-31, reason: why, ratchet: true}")
    entry = budget.entry
    assert (entry.level, str(entry.until), entry.reason, entry.ratchet) == ("warn", "2026-12-31", "why", True)


def test_every_line_that_means_nothing_is_named_with_near_matches_and_everything_known(read):
    with pytest.raises(CheckError) as error:
        read(
            "exit3.mac <= 1",
            "exit5.macs <= 1",
            "exit3.macs < 1",
            "exit3.macs <= few",
            "exit2/exit3 energy <= 1",
            "exit2/final enrgy <= 1",
            "train.macs <= 1",
            "exit3.macs <= 1 and exit4.macs <= 2",
            "exit3.macs <= 1e400",
        )
    faults = [fault.partition("budgets.yaml:")[2] for fault in error.value.faults]
    for fault, (line, says) in zip(
        faults,
        {
            3: "mac is unknown; did you mean macs? (known: activation_bytes, ap,",
            4: "exit5 is unknown; did you mean",
            5: "'exit3.macs < 1' is no budget; write e.g. exit3.macs <= 1.9e9",
            6: "'exit3.macs <= few' is no budget",
            7: "shares are of the final exit; write exit2/final energy",
            8: "enrgy is unknown; did you mean energy?",
            9: "macs is unknown; known: ",
            10: "is no budget",
            11: "1e400 is beyond what any number comes to; it is 1e+30 at most",
        }.items(),
        strict=True,
    ):
        assert fault.startswith(f"{line}: ")
        assert says in fault


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{budget: exit3.macs <= 1, lvl: warn}", r"budgets\[0\].lvl: unknown key; did you mean level"),
        ("{budget: exit3.macs <= 1, level: fatal}", r"budgets\[0\].level"),
        ("{budget: exit3.macs <= 1, until: soon}", r"budgets\[0\].until"),
        ("{level: warn}", r"budgets\[0\].budget: is missing"),
        ("3", r"budgets\[0\]"),
        ("{budget: final.energy_j_per_image <= 4, ratchet: true}", "ratchet is for what is counted exactly"),
    ],
)
def test_what_a_budget_cannot_have_is_refused(read, line, says):
    with pytest.raises(CheckError, match=says):
        read(line)


def test_a_file_without_budgets_is_refused(tmp_path):
    file = tmp_path / "budgets.yaml"
    file.write_text("budgets: []\n")
    with pytest.raises(CheckError, match="budgets"):
        read_budgets(file)
    file.write_text("- exit3.macs <= 1\n")
    with pytest.raises(ConfigError, match="holds a list, not keys and values"):
        read_budgets(file)


def test_what_is_merged_in_from_elsewhere_is_a_budget_that_stands_where_it_was_taken(tmp_path):
    file = tmp_path / "budgets.yaml"
    file.write_text("<<: {budgets: [&one {budget: exit3.macs <= 1}, {<<: *one, level: warn}]}\n")
    first, second = read_budgets(file)
    assert (first.entry.level, second.entry.level) == ("error", "warn")
    for budget in (first, second):
        assert file.read_text()[budget.start : budget.stop] == "exit3.macs <= 1"


TODAY = date(2026, 11, 25)


@pytest.fixture
def held(tmp_path):
    """Return a function that holds candidates to budgets."""

    def holding(lines, *footprints, today=TODAY, only=()):
        file = tmp_path / "budgets.yaml"
        file.write_text("budgets:\n" + "".join(f"  - {line}\n" for line in lines))
        return check_budgets(
            read_budgets(file), footprints, file="budgets.yaml", today=today, only=Selection(tuple(only))
        )

    return holding


def the_only(judged):
    (finding,) = judged.findings
    return finding


def interval(footprint, name):
    low, high = footprint.quantities[name].type_a
    return low, high


@pytest.mark.parametrize(("limit", "outcome"), [(6_000_000_000, "ok"), (5_999_999_999, "regressed")])
def test_a_count_may_reach_its_budget_and_not_exceed_it(held, limit, outcome):
    finding = the_only(held([f"exit3.macs <= {limit}"], profiled()))
    assert (finding.outcome, finding.level) == (outcome, "error")
    assert (finding.base, finding.head, finding.unit) == (limit, 6e9, "MACs")


@pytest.mark.parametrize(("place", "outcome"), [("below", "regressed"), ("inside", "inconclusive"), ("above", "ok")])
@pytest.mark.parametrize(
    "name", ["exit3.energy_j_per_image", "exit3.cpu_s_per_image", "exit3/final.energy_j_per_image"]
)
def test_a_measured_number_is_beyond_only_where_all_of_its_interval_is(held, name, place, outcome):
    run = ran(grade="A")
    low, high = interval(run, name)
    limit = {"below": 0.999 * low, "inside": (low + high) / 2, "above": 1.001 * high}[place]
    line = f"{name} <= {limit}" if "/" not in name else f"{name.replace('.', ' ')} <= {limit}"
    finding = the_only(held([line], run))
    assert finding.outcome == outcome
    assert finding.fails == (outcome == "regressed")


@pytest.mark.parametrize(("place", "outcome"), [("above", "regressed"), ("inside", "inconclusive"), ("below", "ok")])
def test_accuracy_must_not_be_less_than_its_budget(held, place, outcome):
    run = ran(ap={3: 0.9})
    low, high = interval(run, "exit3.ap")
    limit = {"above": high + 0.001, "inside": (low + high) / 2, "below": low - 0.001}[place]
    finding = the_only(held([f"exit3.ap >= {limit}"], run))
    assert finding.outcome == outcome
    assert finding.floor


@pytest.mark.parametrize("line", ["final.energy_j_per_image <= 1e-9", "train.energy_kwh <= 1e-9"])
def test_modelled_joules_alone_never_fail(held, line):
    modelled, measured = (the_only(held([line], ran(grade=grade))) for grade in "CA")
    assert (modelled.outcome, modelled.fails) == ("regressed", False)
    assert "modelled, not measured, so it only warns" in modelled.says
    assert measured.fails


def test_a_share_of_the_final_exit_fails_even_where_joules_are_modelled(held):
    assert the_only(held(["exit3/final energy <= 0.01"], ran(grade="C"))).fails


def test_grams_never_fail_since_the_grid_moves_them(held):
    finding = the_only(held(["final.co2eq_g_per_1000_images <= 1e-9"], ran(grade="A")))
    assert (finding.outcome, finding.fails) == ("regressed", False)
    assert "grid" in finding.says


@pytest.mark.parametrize("place", ["below", "inside", "above"])
@pytest.mark.parametrize("grade", ["A", "C"])
def test_where_a_budget_only_warns_the_verdict_is_fine_wherever_the_limit_lies(held, grade, place):
    """Of modelled joules every budget only warns; of measured ones that which says so."""
    run = ran(grade=grade)
    low, high = interval(run, "exit3.energy_j_per_image")
    limit = {"below": 0.999 * low, "inside": (low + high) / 2, "above": 1.001 * high}[place]
    budget = f"exit3.energy_j_per_image <= {limit}"
    judged = held([budget if grade == "C" else f"{{budget: {budget}, level: warn}}"], run)
    assert the_only(judged).level == "warn"
    assert CheckVerdict(subject="a", against="b", findings=judged.findings).outcome == "ok"


@pytest.mark.parametrize(("today", "fails"), [(date(2026, 6, 30), True), (date(2026, 7, 1), False)])
def test_a_budget_that_has_ended_only_warns_and_is_reported(held, today, fails):
    judged = held(["{budget: exit3.macs <= 1, until: 2026-06-30}"], profiled(), today=today)
    assert the_only(judged).fails == fails
    assert bool(judged.notes) == (not fails)
    assert all("budgets.yaml:2" in note and "2026-06-30" in note for note in judged.notes)


def test_what_takes_a_run_is_noted_for_what_was_only_profiled(held):
    judged = held(["final.energy_j_per_image <= 4", "exit3.macs <= 7e9", "exit3/final macs <= 0.9"], profiled())
    assert [finding.name for finding in judged.findings] == ["exit3.macs", "exit3/final.macs"]
    assert judged.notes == ("final.energy_j_per_image: not checked, for that takes a run",)


def test_what_a_run_does_not_have_is_incomparable_with_the_reason(held):
    finding = the_only(held(["final.energy_j_per_image <= 4"], ran(metered=False)))
    assert finding.outcome == "incomparable"
    assert "no component's energy could be read" in finding.says


def test_counted_shares_are_exact(held):
    assert the_only(held(["exit3/final macs <= 0.75"], profiled())).outcome == "ok"
    assert the_only(held(["exit3/final macs <= 0.7499"], profiled())).outcome == "regressed"


def test_a_budget_holds_for_every_candidate_that_has_its_exit_unless_it_names_one(held):
    lines = ["exit3.macs <= 1", "final.macs <= 1", "b/final.params <= 1"]
    judged = held(lines, profiled(4), profiled(3, experiment="b"))
    assert [(finding.name, finding.head) for finding in judged.findings] == [
        ("b/exit3.macs", 6e9),
        ("HRNet4/final.macs", 8e9),
        ("b/final.macs", 6e9),
        ("b/final.params", 3e6),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("HRNet5/final.macs <= 1", "no experiment HRNet5 here; did you mean HRNet4"),
        ("exit2.macs <= 1", "the candidate has exits 3 and 4"),
        ("exit4/final macs <= 1", "the candidate has exits 3 and 4"),
    ],
)
def test_a_budget_for_what_is_not_there_is_noted(held, line, says):
    judged = held([line], profiled(3, 4))
    assert not judged.findings
    assert says in judged.notes[0]


def test_only_selected_budgets_are_held(held):
    judged = held(["exit3.macs <= 1", "exit3.params <= 1"], profiled(), only=["exit3.params"])
    assert [finding.name for finding in judged.findings] == ["exit3.params"]


FILE = """\
# what the device bears
budgets:
  - exit3.macs <= 1.9e10   # one image
  - {budget: "exit3.macs  <=  1.9e10", ratchet: true}  # two
  - budget: exit4.params <= 5e6
    ratchet: true
  - budget: exit3/final macs <= 0.9
    ratchet: true
  - {budget: exit4.macs <= 7e9, ratchet: true}
"""
"""exit3 has 6 G of exit4's 8 GMACs, and exit4 4 M parameters: its MACs are beyond their budget."""


@pytest.fixture
def tightened(tmp_path):
    def tightening(*footprints, only=()):
        file = tmp_path / "budgets.yaml"
        file.write_text(FILE)
        return tighten(FILE, read_budgets(file), footprints, only=Selection(tuple(only)))

    return tightening


def test_a_ratchet_lowers_its_limit_to_what_was_reached_and_touches_nothing_else(tightened):
    expected = (
        FILE.replace('"exit3.macs  <=  1.9e10"', '"exit3.macs  <=  6000000000"')
        .replace("<= 5e6", "<= 4000000")
        .replace("<= 0.9", "<= 0.7500")
    )
    assert tightened(profiled()) == expected


def test_a_ratchet_lets_the_worst_candidate_pass(tightened):
    text = tightened(profiled(), profiled(experiment="b", exit3={"macs": 6_000_000_001}))
    assert "exit3.macs  <=  6000000001" in text


def test_a_ratchet_never_loosens(tightened):
    assert tightened(profiled(exit3={"macs": 10**11}, exit4={"params": 10**7})) == FILE


def test_a_tightened_budget_is_kept_by_what_it_was_tightened_to(tightened, tmp_path):
    odd = profiled(exit3={"macs": 4_694_831_234}, exit4={"macs": 7_644_512_256})
    file = tmp_path / "after.yaml"
    file.write_text(tightened(odd))
    judged = check_budgets(read_budgets(file), [odd], file="after.yaml", today=TODAY, only=Selection(("exit3/final",)))
    assert the_only(judged).outcome == "ok"


def test_only_selected_budgets_are_tightened(tightened):
    assert tightened(profiled(), only=["exit4.params"]) == FILE.replace("<= 5e6", "<= 4000000")


def test_a_reason_cannot_begin_a_line_nor_steer_a_terminal(held):
    line = '{budget: exit3.macs <= 1, reason: "so\\n::error::y \\e[31m \\ufffe"}'
    says = the_only(held([line], profiled())).says
    assert says.isprintable() or "\xa0" in says
    assert r"(so\n::error::y \x1b[31m \ufffe)" in says
