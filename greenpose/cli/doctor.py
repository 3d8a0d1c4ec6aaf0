"""`greenpose doctor`: what this machine can measure, why not better, and how to mend that."""

from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from rich.table import Table

from greenpose.cli.console import EXIT_OK, EXIT_REGRESSED, PLAIN, Manner, delivered, out, print_json, with_manners
from greenpose.metering import Choice, CodeCarbon, Diagnosis, examine, process_settings
from greenpose.metering.sources.source import MachineFinding
from greenpose.tables import Cell, TableCell, terminal_table

MARKS = {"good": ("✓", "green"), "note": ("·", "blue"), "warning": ("!", "yellow")}
SECTIONS = {
    "Energy": {"cpu": "CPU", "gpu": "GPU", "ram": "memory"},
    "This process": {
        "allocator": "allocator",
        "threads": "threads",
        "load": "load",
        "steal": "steal",
        "codecarbon": "codecarbon",
    },
    "Arithmetic": {"runtimes": "runtimes", "openvino": "OpenVINO", "onnxruntime": "onnxruntime", "torch": "torch"},
    "What that means": {"numbers": ""},
}
"""Headings, and under each its topics with their names."""


@with_manners
def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 where no component is read from a counter.")] = False,
    manner: Manner = PLAIN,
) -> None:
    """Say what this machine can measure, with which source, why not better, and how to mend that."""
    # The country matters to codecarbon's grams only, which are not shown here; it will not start without one.
    diagnosis = examine(codecarbon=CodeCarbon("ITA"))
    if manner.json or not manner.quiet:
        diagnosis = replace(diagnosis, findings=(*diagnosis.findings, *_arithmetic()))
    if manner.json:
        print_json(_document(diagnosis))
    else:
        _print(diagnosis, quiet=manner.quiet, verbose=manner.verbose)
    if strict:
        raise typer.Exit(delivered(EXIT_OK if diagnosis.measured else EXIT_REGRESSED))


def _arithmetic() -> list[MachineFinding]:
    """Return what each runtime computes in here; without OpenCV none of them has anything to do."""
    try:
        from greenpose.artefact.arithmetic import arithmetic_findings
    except ModuleNotFoundError as error:
        says = f"none is used without {error.name}, which makes the crops"
        return [MachineFinding("runtimes", "note", says, "pip install 'greenpose[predict]'")]
    return arithmetic_findings()


def _print(diagnosis: Diagnosis, *, quiet: bool, verbose: bool) -> None:
    """Print the verdict, and unless told to be quiet what it rests on."""
    console = out()
    console.print(diagnosis.verdict, style="bold")
    if quiet:
        return
    machine = diagnosis.machine
    virtual = ", virtual machine" if machine.virtualised else ""
    sets = ", ".join(machine.instruction_sets) or "no instruction set known that computes on many numbers at once"
    console.print(f"{machine.cpu}, {machine.usable_cpus:g} CPUs, {machine.ram_gb:.0f} GB{virtual}; {sets}")
    for heading, topics in SECTIONS.items():
        console.print(f"\n{heading}", style="bold")
        console.print(_table(diagnosis, topics))
    if verbose:
        console.print("\nSources", style="bold")
        for choice in diagnosis.choices:
            console.print(f"  {_source(choice)}")


def _table(diagnosis: Diagnosis, topics: dict[str, str]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    before = ""
    for finding in diagnosis.findings:
        if finding.topic not in topics:
            continue
        name = "" if finding.topic == before else topics[finding.topic]
        before = finding.topic
        mark, colour = MARKS[finding.level]
        rows.append((TableCell(value=mark, style=colour), name, finding.says))
        if finding.remedy:
            rows.append(("", "", TableCell(value=f"→ {finding.remedy}", style="dim")))
    return terminal_table(("", "", ""), rows)


def _source(choice: Choice) -> str:
    provenance = choice.provenance
    if provenance is None:
        return f"{choice.component}: none"
    return (
        f"{choice.component}: {provenance.method}; covers {provenance.scope}; limits: {provenance.coverage}; "
        f"source: {provenance.source} ({provenance.version})"
    )


def _document(diagnosis: Diagnosis) -> dict[str, Any]:

    return {
        "verdict": diagnosis.verdict,
        "grade": diagnosis.grade,
        "measured": diagnosis.measured,
        "machine": diagnosis.machine.as_dict(),
        "components": [_component(diagnosis, choice) for choice in diagnosis.choices],
        "findings": [finding._asdict() for finding in diagnosis.findings],
        "process": process_settings(),
    }


def _component(diagnosis: Diagnosis, choice: Choice) -> dict[str, Any]:

    look = diagnosis.looks.get(choice.component)
    return {
        "component": choice.component,
        "absent": choice.absent,
        "source": None if choice.provenance is None else choice.provenance.as_dict(),
        "now": None if look is None else asdict(look),
        "rejected": [asdict(unusable) for unusable in choice.rejected],
    }
