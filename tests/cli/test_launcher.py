"""`greenpose run --launcher`: the plan, the files for sbatch, and what is said where there is no Slurm."""

import yaml

from tests.cli.running import greenpose
from tests.run.tiny import TINY, write_grid

NO_SLURM = {"PATH": "/nowhere"}


def test_the_plan_says_what_would_be_asked_of_the_cluster(tmp_path):
    (tmp_path / "tiny.yaml").write_text(
        TINY + "launcher: {kind: slurm, partition: gpu, time: '60', slurm: {mem: 8G}}\n"
    )
    asked = ("run", "--grid", "tiny.yaml", "--dry-run", "--seed", 1, "--seed", 2)
    options = (*asked, "--share", "--setup", "module load x")
    done = greenpose(*options, cwd=tmp_path)
    assert done.out.splitlines()[-1] == (
        "launcher slurm: 2 jobs, each of all runs of a seed: partition gpu, time 60, shared nodes, mem=8G, "
        "setup `module load x`"
    )
    told = greenpose(*options, "--json", cwd=tmp_path).json
    assert (told["launcher"]["kind"], told["launcher"]["exclusive"], len(told["runs"])) == ("slurm", False, 4)
    write_grid(tmp_path)
    plain = greenpose(*asked, "--json", cwd=tmp_path).json
    assert (plain["runs"], "launcher" in plain) == (told["runs"], False)


def test_of_a_plan_of_very_many_runs_those_that_are_quiet_are_counted(tmp_path):
    seeds = ", ".join(map(str, range(251)))
    (tmp_path / "tiny.yaml").write_text(TINY + f"axes: {{seed: [{seeds}]}}\n")
    (name,) = greenpose("run", "--grid", "tiny.yaml", "--dry-run", "--only", "*seed=7-*", cwd=tmp_path).out.split()[3:4]
    folder = tmp_path / "runs/tiny" / name
    folder.mkdir(parents=True)
    (folder / "windows.jsonl").write_text("")
    done = greenpose("run", "--grid", "tiny.yaml", "--dry-run", cwd=tmp_path)
    assert [line.split()[:2] for line in done.out.splitlines()[1:-1]] == [[name, "started"]]
    assert done.out.splitlines()[-1] == "502\N{NO-BREAK SPACE}runs: 501 to do and 1 started"


def test_without_slurm_its_launcher_says_so_and_leaves_nothing(tmp_path):
    write_grid(tmp_path)
    asked = ("run", "--grid", "tiny.yaml", "--launcher", "slurm")
    done = greenpose(*asked, "--time", 10, cwd=tmp_path, **NO_SLURM)
    assert (done.code, done.err) == (
        2,
        "error: --launcher slurm: sbatch is not on the PATH: it starts on a login node of a Slurm cluster; "
        "--launcher script writes files to take there\n",
    )
    done = greenpose(*asked, "--time", 10, "--workers", 2, cwd=tmp_path, **NO_SLURM)
    assert done.err == "error: --workers 2: is for runs on this machine; --parallel is for Slurm's jobs\n"
    assert not (tmp_path / "runs").exists()


def test_files_for_sbatch_start_a_worker_for_each_run_and_are_to_be_typed(tmp_path):
    write_grid(tmp_path)
    asked = ("run", "--grid", "tiny.yaml", "--launcher", "script", "--time", "1:00:00", "--budget-kwh", 1)
    done = greenpose(*asked, cwd=tmp_path, **NO_SLURM)
    assert (done.code, done.out) == (0, "sbatch runs/tiny/.slurm/block-1.sh\n")
    lines = (tmp_path / "runs/tiny/.slurm/block-1.sh").read_text().splitlines()
    workers = [line for line in lines[1:] if not line.startswith("#SBATCH ")]
    folders = sorted(folder.relative_to(tmp_path) for folder in (tmp_path / "runs/tiny").glob("HRNet*"))
    assert sorted(line.split("greenpose worker ")[1] for line in workers) == [
        f"{folder} --budget-kwh=1.0" for folder in folders
    ]
    cells = [yaml.safe_load((tmp_path / folder / "config.yaml").read_text()) for folder in folders]
    assert [cell["grid"] for cell in cells] == ["tiny", "tiny"]
