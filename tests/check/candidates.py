"""Footprints and findings to check: profiled ones with made-up counts, and those of fake runs."""

from typing import Any

from greenpose.check import CheckFinding, CheckVerdict, Footprint, RatioSpan, of_counts, of_record
from greenpose.config import Experiment
from tests.report.records import record

TORCH = "2.13.0+cpu"


def counts(number: int, **changes: Any) -> dict[str, Any]:
    """Return made-up counts of an exit, growing with its number."""
    return {
        "params": 1_000_000 * number,
        "macs": 2_000_000_000 * number,
        "activation_bytes": 3_000_000 * number,
        "peak_bytes": 400_000 * number,
        "operations": {"add": 3 * number, "convolution": 10 * number, "relu_": 7 * number},
    } | changes


def profiled(
    *exits: int,
    experiment: str = "HRNet4",
    torch: str = TORCH,
    labels: tuple[str, ...] = (),
    data: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    **changes: dict[str, Any],
) -> Footprint:
    """Return what was only profiled; `exit3={"macs": 5}` changes counts."""
    exits = exits or (3, 4)
    config = Experiment.model_validate(
        {
            "name": experiment,
            "model": {"exits": exits, "width": 16, "stem_width": 16} | (model or {}),
            "data": {"input_size": [64, 64]} | (data or {}),
            "wiring": {"supervise": exits},
            "carbon": {"country": "ITA"},
        }
    )
    return of_counts(
        config,
        {number: counts(number, **changes.get(f"exit{number}", {})) for number in exits},
        labels=labels or (experiment,),
        num_joints=12,
        torch=torch,
    )


def ran(
    experiment: str = "HRNet4-OKD", *, counted: dict[int, dict[str, Any]] | None = None, **settings: Any
) -> Footprint:
    """Return the footprint of a fake run with operators and peak bytes; `counted={3: {"macs": 5}}` changes counts."""
    fake = record(experiment, **settings)
    exits = [
        entry.model_copy(
            update={"peak_bytes": 400_000 * entry.exit, "operations": counts(entry.exit)["operations"]}
            | (counted or {}).get(entry.exit, {})
        )
        for entry in fake.exits
    ]
    return of_record(fake.model_copy(update={"exits": exits}))


def finding(where: str = "exit3", metric: str = "macs", outcome: str = "regressed", **changes: Any) -> CheckFinding:
    """Return a finding of the exact gate."""
    fields: dict[str, Any] = {
        "where": where,
        "metric": metric,
        "way": "exact",
        "outcome": outcome,
        "says": f"{metric} is what it is",
        "unit": "MACs",
        "base": 2e9,
        "head": {"regressed": 2.2e9, "improved": 1.8e9, "incomparable": None}.get(outcome, 2e9),
        "file": "greenpose-baseline.json",
        "line": 7,
    }
    return CheckFinding(**(fields | changes))


def mixed() -> CheckVerdict:
    """Return a verdict with every outcome, every way of comparing, and text that needs escaping everywhere."""
    findings = (
        finding("exit2", "params", "ok", unit="parameters", base=919_116.0, head=919_116.0),
        finding("exit3", "macs", "regressed", line=12),
        finding(
            "exit3",
            "operations",
            "regressed",
            says="operators are called otherwise: <conv> & co, 40 → 42: 5 % more\nof them",
            unit="calls",
            base=86.0,
            head=88.0,
            line=14,
        ),
        finding("exit4", "macs", "improved", line=20),
        finding(
            "exit4", "peak_bytes", "incomparable", says="not compared: it belongs to torch 2.12", unit="B", base=4e5
        ),
        finding("exit3", "ap", "inconclusive", says="AP 88 %: below it", unit="fraction", base=0.91, head=0.88, line=5),
        finding(
            "final",
            "energy_j_per_image",
            "regressed",
            way="budget",
            says="4.31 J, beyond the budget of at most 4.00 J",
            unit="J",
            base=4.0,
            head=4.31,
            level="warn",
            file="budgets.yaml",
            line=3,
        ),
        finding(
            "exit3",
            "cpu_s_per_image",
            "ok",
            way="paired",
            says="+1.2 %",
            unit="s",
            base=0.0154,
            head=0.0156,
            ratio=RatioSpan(1.001, 1.012, 1.024),
            pairs=20,
            file=None,
            line=None,
        ),
    )
    return CheckVerdict(
        subject="experiments/quick.yaml",
        against="greenpose-baseline.json and budgets.yaml",
        findings=findings,
        notes=("budgets.yaml:9: ended on 2026-01-01 and only warns now",),
        samples={"pairs": [[0.0154, float("inf")]]},
    )
