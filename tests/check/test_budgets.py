import pytest

from greenpose.check import read_budgets
from greenpose.errors import CheckError, ConfigError


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
def test_a_line_is_one_comparison(read, line, where, metric, at_most, limit):
    (budget,) = read(line)
    assert (budget.where, budget.metric, budget.at_most, budget.limit) == (where, metric, at_most, limit)
    assert budget.experiment is None


@pytest.mark.parametrize(
    "rest", ["exit3.macs <= 1", "exit2/final energy <= 0.4", "final.ap >= 0.5", "train.seconds <= 9"]
)
def test_an_experiment_before_it_restricts_it(read, rest):
    (budget,) = read(f"HRNet4-OKD-DS/{rest}")
    assert budget.experiment == "HRNet4-OKD-DS"
    assert budget.entry.budget == f"HRNet4-OKD-DS/{rest}"


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
