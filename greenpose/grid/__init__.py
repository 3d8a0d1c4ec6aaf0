"""Many runs: what is left to do, and one fresh process after the other that does it."""

from greenpose.grid.launch import TIED, Command, Outcome, run_all, worker_command, worker_environment
from greenpose.grid.plan import Planned, plan, select, set_aside

__all__ = [
    "TIED",
    "Command",
    "Outcome",
    "Planned",
    "plan",
    "run_all",
    "select",
    "set_aside",
    "worker_command",
    "worker_environment",
]
