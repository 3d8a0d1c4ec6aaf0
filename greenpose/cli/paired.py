"""`greenpose check --against` and `--self-test`: paired turns, with their progress on standard error."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.table import Table
from rich.text import Text

from greenpose.check import Selection, Verdict
from greenpose.check.against import Options, check_against, paired_names
from greenpose.check.paired import Rule
from greenpose.check.selftest import SelfTest, remember, self_test
from greenpose.check.verdict import signed_percent
from greenpose.cli.console import err, out, print_json
from greenpose.formatting import shown

WALL_PAIRS = 120
"""Most pairs where wall time is judged, unless told otherwise: it scatters more than CPU time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What the options ask of a paired check."""

    against: str | None
    """Git revision."""
    environment: Path | None
    """Another Python environment."""
    exits: tuple[int, ...]
    """Exits to compare; all where none is named."""
    max_pairs: int | None
    """Most pairs of turns; None for the usual number."""
    wall: bool
    """Whether wall time is judged too."""
    install: bool
    """Whether pip may make an environment for the revision."""

    def names(self, candidate: Path) -> list[str]:
        """Return the names of what can be measured of a candidate.

        Raises:
            GreenPoseError: if it cannot be read, or has no such exit.
        """
        return paired_names(candidate, self.exits)

    def verdict(self, candidate: Path, *, only: Selection, quiet: bool) -> Verdict:
        """Return what both sides' turns led to.

        Raises:
            GreenPoseError: if there is no such side, or it cannot be run.
        """
        usual = Rule()
        most = self.max_pairs or (WALL_PAIRS if self.wall else usual.max_pairs)
        rule = replace(usual, max_pairs=most, batch=min(usual.batch, most))
        with err(quiet=quiet).status("starting both sides") as status:
            options = Options(
                rule=rule,
                exits=self.exits,
                only=only,
                wall=self.wall,
                install=self.install,
                heard=lambda words: status.update(Text(shown(words))),
            )
            return check_against(candidate, against=self.against, environment=self.environment, options=options)


def show_self_test(candidate: Path | None, *, as_json: bool, quiet: bool) -> bool:
    """Test what a paired check can do on this machine, keep and print it, and return whether that is enough."""
    with err(quiet=quiet).status("comparing equal processes") as status:
        result = self_test(candidate, heard=lambda words: status.update(Text(words)))
    file = remember(result)
    if as_json:
        print_json(asdict(result) | {"bound": result.bound, "fine": result.fine, "file": str(file)})
        return result.fine
    console = out()
    console.print(_table(result))
    console.print(f"kept in {file}; later verdicts on this machine quote it", style="dim", soft_wrap=True)
    if not result.fine:
        console.print(
            Text("This machine is too restless for a paired check now; the exact gate works anywhere.", "yellow")
        )
    return result.fine


def _table(result: SelfTest) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    least = "none up to +30 %" if result.smallest_change is None else signed_percent(result.smallest_change)
    real = ", ".join(signed_percent(change) for change in sorted(result.heavier))
    rows = {
        "run": f"{result.subject}; {result.meetings} pairs of processes, {result.seconds:.0f} s",
        "false alarms": f"{result.alarms} in {result.comparisons} comparisons of equal sides",
        "": f"below {100 * result.bound:.2g} % of comparisons (95 %), before restarts, which a real check adds",
        "smallest change": f"{least}, found by 95 % of checks",
        "really heavier": f"{result.heavier_found} of {len(result.heavier)} found",
        " ": f"{result.pixels:.3g} times the pixels; CPU time {real}",
        "cost": f"{result.cpu_s:.2g} s of CPU a side for a comparison",
    }
    for name, text in rows.items():
        table.add_row(Text(name, "bold"), text)
    return table
