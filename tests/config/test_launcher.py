"""Who starts runs, from options, the grid's section and the user's file; nothing of it is in a run's identity."""

import pytest
import yaml

from greenpose.config import Grid, expand
from greenpose.config.launcher import Launcher, launcher_of, minutes_of, settings_of, user_file
from greenpose.errors import ConfigError

GRID = {"name": "g", "base": {"carbon": {"country": "ITA"}}, "experiments": {"A": {}, "B": {}}}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        *(("90", 90), ("90:00", 90), ("90:01", 91), ("1:30:00", 90), ("12:00:00", 720), ("0:0:1", 1)),
        *(("1-0", 1440), ("2-12", 3600), ("1-1:30", 1530), ("1-1:30:30", 1531)),
        *(("", 0), ("1h", 0), ("1:2:3:4", 0), ("-1", 0), ("43200.0", 0)),
    ],
)
def test_times_are_read_as_slurm_writes_them(text, minutes):
    """The forms of sbatch(1), --time."""
    assert minutes_of(text) == minutes


def test_options_come_before_the_grids_section_and_that_before_the_users_file(tmp_path):
    file = tmp_path / "launcher.yaml"
    file.write_text(yaml.safe_dump({"account": "lab", "partition": "old", "slurm": {"mem": "8G", "qos": "low"}}))
    section = Launcher(kind="slurm", partition="gpu", time="60", slurm={"mem": "32G"})
    found = launcher_of({"time": "120", "slurm": settings_of(["gres=gpu:1", "no-kill"])}, section, file)
    assert found == Launcher(
        kind="slurm",
        account="lab",
        partition="gpu",
        time="120",
        slurm={"mem": "32G", "qos": "low", "gres": "gpu:1", "no-kill": True},
    )
    assert launcher_of({}, Launcher(), file).kind == "local"
    assert user_file({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "greenpose/launcher.yaml"


def test_the_section_changes_no_run():
    plain = expand(Grid.model_validate(GRID), where="g")
    assert expand(Grid.model_validate(GRID | {"launcher": {"kind": "slurm", "time": "60"}}), where="g") == plain


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"partition": "gpu"}, "--partition: asks something of a cluster; add --launcher slurm"),
        ({"exclusive": False}, "--exclusive/--share: asks something of a cluster"),
        ({"kind": "slurm"}, "--launcher slurm: needs --time, e.g. --time 12:00:00"),
        ({"kind": "slrum"}, "--launcher: kind: must be 'local', 'slurm' or 'script' (got 'slrum')"),
        ({"kind": "slurm", "time": "soon"}, "'soon' is no time as Slurm writes it"),
        ({"kind": "slurm", "time": "9", "slurm": {"time": "8"}}, "time is a setting of its own: --time"),
        ({"kind": "slurm", "time": "9", "slurm": {"array": "1-9"}}, "array is set by GreenPose"),
        ({"kind": "slurm", "time": "9", "slurm": {"mem": "1\n#SBATCH x"}}, "give an option of sbatch and its value"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_words(tmp_path, given, says):
    with pytest.raises(ConfigError) as caught:
        launcher_of(given, Launcher(), tmp_path / "none.yaml")
    assert says in caught.value.faults[0]


def test_a_time_that_yaml_makes_a_number_of_is_to_stand_in_quotes(tmp_path):
    (tmp_path / "launcher.yaml").write_text("time: 12:00:00\n")
    with pytest.raises(ConfigError) as caught:
        launcher_of({}, Launcher(), tmp_path / "launcher.yaml")
    assert "launcher.yaml: time: must be text; 43200 is a number: put it in quotes" in caught.value.faults[0]


def test_setup_ends_the_job_at_the_line_that_fails():
    lines = Launcher(setup=["cd nowhere  # a comment", "true"]).checked_setup
    assert [line.split(" ||")[0] for line in lines] == [
        "cd nowhere  # a comment",
        "[ $? -eq 0 ]",
        "true",
        "[ $? -eq 0 ]",
    ]
