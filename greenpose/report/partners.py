"""Runs of the page that differ from a run in one thing only: trained alone, without a teacher, or less supervised."""

import json
from typing import Any

from greenpose.record import Record
from greenpose.report.study import Group, Study, setting

ALONE = ("model", "wiring", "loss", "name", "seed", "measure")
"""Sections of a configuration in which a stand-alone training may differ from the joint one that it stands beside."""


class Partners:
    """Finds, for a run, another of the same seed, setting, side, trunk, data and recipe."""

    def __init__(self, study: Study) -> None:
        self._groups = {id(run): group for group in study.groups for run in group.runs}
        recipes = {id(group): (comparable(group.runs[0]), group.side) for group in study.groups}
        self._recipes = {id(run): (*recipes[id(self.group(run))], run.seed) for run in study.records}
        self._alone: dict[Any, Record] = {}
        self._untaught: dict[Any, Record] = {}
        self._taught_alike: dict[Any, list[Record]] = {}
        for run in study.records:
            recipe, exits = self._recipes[id(run)], _exits(run)
            if len(exits) == 1:
                self._alone.setdefault((recipe, exits[0]), run)
            if not _wiring(run).get("teach"):
                self._untaught.setdefault((recipe, _shape(run)), run)
            self._taught_alike.setdefault((recipe, _lessons(run)), []).append(run)

    def group(self, run: Record) -> Group:
        """Return the group that a run belongs to."""
        return self._groups[id(run)]

    def alone(self, run: Record, exit_: int) -> Record | None:
        """Return the run that trained one exit of `run` by itself; None where the page holds none."""
        return self._alone.get((self._recipes[id(run)], exit_))

    def untaught(self, run: Record, exit_: int) -> Record | None:
        """Return the run that differs in having no teacher: same exits, same supervision; None where none is there."""
        del exit_
        if not _wiring(run).get("teach"):
            return None
        return self._untaught.get((self._recipes[id(run)], _shape(run)))

    def less_supervised(self, run: Record, exit_: int) -> Record | None:
        """Return the run that differs in the labels being shown to fewer exits; None where none is there."""
        del exit_
        found = self._taught_alike[self._recipes[id(run)], _lessons(run)]
        return next((each for each in found if _supervised(each) < _supervised(run)), None)


def comparable(run: Record) -> str:
    """Return what two runs share of which one may be held against the other."""
    trunk = {key: value for key, value in run.config.get("model", {}).items() if key != "exits"}
    rest = {key: value for key, value in run.config.items() if key not in ALONE}
    return json.dumps([setting(run), trunk, rest], sort_keys=True, default=str)


def _shape(run: Record) -> tuple[tuple[int, ...], str]:
    """Return a run's exits, and those that see the labels."""
    return _exits(run), json.dumps(_wiring(run).get("supervise"))


def _lessons(run: Record) -> tuple[tuple[int, ...], str]:
    """Return a run's exits, who teaches whom, and how loudly."""
    return _exits(run), json.dumps([_wiring(run).get("teach") or [], run.config.get("loss")], sort_keys=True)


def _supervised(run: Record) -> frozenset[int]:
    """Return the exits that see the labels: the final one where the configuration does not say."""
    return frozenset(_wiring(run).get("supervise") or _exits(run)[-1:])


def _exits(run: Record) -> tuple[int, ...]:
    return tuple(entry.exit for entry in run.exits)


def _wiring(run: Record) -> dict[str, Any]:
    return dict(run.config.get("wiring") or {})
