"""`greenpose doctor`: what this machine can measure, why not better, and how to mend that."""

from typing import Annotated

import typer
from rich.table import Table

from greenpose.cli.console import EXIT_REGRESSED, JsonOption, QuietOption, VerboseOption, out, print_json

MARKS = {"good": "[green]✓[/green]", "note": "[blue]·[/blue]", "warning": "[yellow]![/yellow]"}


def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 where no component is read from a counter.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Say what this machine can measure, with which source, why not better, and how to mend that."""
    from dataclasses import asdict

    from greenpose.metering import CodeCarbon, examine, process_settings

    del quiet, verbose
    # The country matters to codecarbon's grams only, which are not shown here; it will not start without one.
    diagnosis = examine(codecarbon=CodeCarbon("ITA"))
    machine = diagnosis.machine
    if as_json:
        print_json(
            {
                "machine": machine.as_dict(),
                "measured": diagnosis.measured,
                "findings": [asdict(finding) for finding in diagnosis.findings],
                "process": process_settings(),
            }
        )
    else:
        console = out()
        virtual = ", virtual machine" if machine.virtualised else ""
        console.print(f"[bold]{machine.cpu}[/bold], {machine.usable_cpus:g} CPUs, {machine.ram_gb:.0f} GB{virtual}\n")
        table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
        for finding in diagnosis.findings:
            table.add_row(MARKS[finding.level], f"[bold]{finding.topic}[/bold]", finding.says)
            if finding.remedy:
                table.add_row("", "", f"[dim]to mend: {finding.remedy}[/dim]")
        console.print(table)
    if strict and not diagnosis.measured:
        raise typer.Exit(EXIT_REGRESSED)
