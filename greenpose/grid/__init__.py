"""Many runs: what is left to do, and one fresh process after the other that does it."""

from greenpose.grid.launch import Outcome, run_all
from greenpose.grid.plan import Planned, plan, set_aside

__all__ = ["Outcome", "Planned", "plan", "run_all", "set_aside"]
