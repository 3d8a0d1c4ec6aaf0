import io

import pytest
from rich.console import Console
from rich.table import Table

from greenpose.cli.console import Output
from greenpose.cli.progress import RunProgress
from tests.metering.fakes import TickingClock


def test_minutes_left_stand_beside_the_energy_while_it_trains():
    clock, shown = TickingClock(), io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100)
    with RunProgress(console, clock=clock) as progress:
        progress.phase("training", 1000)
        progress.training(done=100, rate=1.0, loss=0.5, energy_wh=2.0)
        clock.advance(100.0)
        progress.training(done=200, rate=1.0, loss=0.5, energy_wh=4.0)
    assert "4.00 Wh, 13 min left  loss 0.500" in shown.getvalue()
    assert shown.getvalue().count("left") == 1


@pytest.mark.parametrize("columns", [10, 24, 60])
def test_no_number_of_a_table_is_cut_in_a_narrow_terminal(columns):
    table = Table("run", "macs", "energy")
    table.add_row("HRNet4-OKD-DS-4e2a8fdc", "1,234,567,890", "51.2 [47.1-55.9]")
    text = {}
    for kind in (Output, Console):
        file = io.StringIO()
        console = kind(file=file, width=columns)
        console.print(table)
        assert console.width == columns
        text[kind] = file.getvalue()
    assert all(part in text[Output] for part in ("HRNet4-OKD-DS-4e2a8fdc", "1,234,567,890", "[47.1-55.9]"))
    assert "…" not in text[Output]
    assert columns == 60 or "1,234,567,890" not in text[Console]
