"""A Slurm of its own: munged, slurmctld and slurmd of this machine, in a folder, stopped by the numbers they leave."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress

import pytest

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={slurmd}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """Start Slurm, and let its commands find it."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if lacking or os.geteuid():
        pytest.fail(f"needs root, and {', '.join(lacking) or 'all is there'}: apt-get install slurm-wlm munge")
    folder = tmp_path_factory.mktemp("slurm")
    patched = pytest.MonkeyPatch()
    patched.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    patched.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    ports = {name: _free_port() for name in ("ctld", "slurmd")}
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, host=host, cpus=os.cpu_count(), **ports))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    try:
        _start(folder)
        yield folder
    finally:
        for name in ("slurmd", "slurmctld", "munge/munged"):
            _stop(folder / f"{name}.pid")
        patched.undo()


def _start(folder):
    """Start all three; a machine that lets none of them run, as a container may, is no fault of ours and is said."""
    try:
        _munge(folder)
        for name in ("slurmctld", "slurmd"):
            subprocess.run([name], check=True)
        asks = ["sinfo", "--noheader", "--format=%T"]
        _until(lambda: subprocess.run(asks, check=False, capture_output=True, text=True).stdout.strip() == "idle")
    except (OSError, subprocess.SubprocessError, AssertionError) as error:
        logs = [log.read_text(errors="replace")[-300:] for log in folder.glob("slurm*.log")]
        pytest.skip(f"no Slurm starts on this machine: {error} {' '.join(logs)}")


def _munge(folder):
    """Start munged with a key of its own; it minds who may write into the folders above its socket."""
    place = folder / "munge"
    place.mkdir(mode=0o755)
    (place / "key").write_bytes(os.urandom(1024))
    (place / "key").chmod(0o600)
    options = {"key-file": "key", "socket": "socket", "pid-file": "munged.pid", "log-file": "log", "seed-file": "seed"}
    subprocess.run(["munged", "--force", *(f"--{name}={place}/{file}" for name, file in options.items())], check=True)


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _until(there, seconds=30.0):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.1)


def _stop(file):
    with suppress(FileNotFoundError, ProcessLookupError):
        number = int(file.read_text())
        os.kill(number, signal.SIGTERM)
        for _ in range(100):
            os.kill(number, 0)
            time.sleep(0.1)
        os.kill(number, signal.SIGKILL)
