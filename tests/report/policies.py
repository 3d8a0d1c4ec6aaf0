"""Fake curves of leaving early, as `greenpose policy` writes them beside fake records."""

from greenpose.record import Record
from greenpose.record.policy import PolicyCurve, PolicyExit, PolicyPoint, PolicyTrial
from tests.report.exits import AP, MACS, basis

HEAD = 1_179_648


def policy_of(run: Record, *, metered: bool = True, kind: str = "modelled", steps: int = 6) -> PolicyCurve:
    """Return a curve over the exits of a run that rises from the shallowest to the deepest."""
    exits = [_exit(entry.exit, place, metered=metered, kind=kind) for place, entry in enumerate(run.exits)]
    points = [_point(exits, step / (steps - 1), metered=metered, kind=kind) for step in range(steps)]
    ratio = {"relative_to_final.energy_j_per_image": basis("fraction", "measured", "blocks", a=(0.7, 0.74))}
    trial = PolicyTrial(
        images=32,
        elsewhere=0,
        energy_j_per_image=0.9,
        expected_j_per_image=0.88,
        relative_to_final={"energy_j_per_image": 0.72},
        basis=ratio,
    )
    return PolicyCurve(
        run=run.name,
        config_hash=run.config_hash,
        run_finished_at=run.finished_at,
        made_at="2025-06-02T12:00:00+00:00",
        confidence="peak",
        wanted_ap=0.93,
        chosen=steps - 2,
        images={"val": 96, "test": 192},
        subjects={"val": 8, "test": 12},
        resampled="patients",
        weights="every exit has its own best weights: all are of one epoch",
        exits=exits,
        points=points,
        trial=trial if metered else None,
        grade="C" if metered else None,
        converged=True if metered else None,
    )


def _exit(number: int, place: int, *, metered: bool, kind: str) -> PolicyExit:
    ap, joules = AP[number], 1e-9 * MACS[number] / 6
    return PolicyExit(
        exit=number,
        own_weights=True,
        ap_val=ap + 0.004,
        ap=ap,
        macs=MACS[number],
        macs_on_way=MACS[number] + place * HEAD,
        energy_j_per_image=joules if metered else None,
        energy_j_on_way=1.01 * joules if metered else None,
        basis=_bases(ap, joules, metered=metered, kind=kind) | {"macs": basis("MACs", "counted", "convolutions")},
    )


def _point(exits: list[PolicyExit], deep: float, *, metered: bool, kind: str) -> PolicyPoint:
    """Return a choice under which a part of the images goes to the deepest exit and the others leave at once."""
    first, last = exits[0], exits[-1]
    macs = (1 - deep) * first.macs + deep * last.macs_on_way
    joules, ap = 1e-9 * macs / 6, first.ap + (last.ap - first.ap) * deep**0.5
    left = {each.exit: 0.0 for each in exits} | {first.exit: 1 - deep, last.exit: deep}
    bases = _bases(ap, joules, metered=metered, kind=kind)
    return PolicyPoint(
        thresholds={each.exit: 0.2 + 0.5 * deep if each is first else None for each in exits[:-1]},
        left_val=left,
        left=left,
        ap_val=ap + 0.006,
        ap=ap,
        ap_less_final=ap - last.ap,
        macs_per_image=macs,
        energy_j_per_image=joules if metered else None,
        basis=bases
        | {
            "ap_less_final": basis("fraction", "computed", "paired", a=(ap - last.ap - 0.004, ap - last.ap + 0.004)),
            "macs_per_image": basis("MACs", "counted", "mean", a=(0.98 * macs, 1.02 * macs)),
        },
    )


def _bases(ap: float, joules: float, *, metered: bool, kind: str) -> dict:
    energy = basis("J", kind, "gross", a=(0.96 * joules, 1.04 * joules), b=(0.47 * joules, 2 * joules))
    missing = basis("J", "not_covered", "gross", missing="energy was not asked for (--no-measure)")
    return {
        "ap_val": basis("fraction", "computed", "OKS AP"),
        "ap": basis("fraction", "computed", "OKS AP", a=(ap - 0.01, ap + 0.01)),
        "energy_j_per_image": energy if metered else missing,
    }
