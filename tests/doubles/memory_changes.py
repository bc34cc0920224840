"""Which settled days are no longer what a run was computed from: `queries/run_changes.sql` in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

Row = tuple[Any, ...]
Arguments = Mapping[str, Any]
NOTED_AT = datetime(2026, 8, 2, tzinfo=UTC)


class RunChangesAnswers:
    """Answers them from `Tables`."""

    _tables: Any

    def _open_runs(self, a: Arguments) -> list[Row]:
        rows = self._tables.runs.items()
        return [(run, row[2]) for run, row in rows if row[1] == a["site"] and row[3] != "superseded"]

    def _keep_before(self, a: Arguments) -> None:
        for place in self._covered(a, zip(a["nodes"], a["quantities"], a["days"], strict=True)):
            self._tables.run_changes.setdefault(place, (*self._standing_of(a["site"], place), None, None, 0))

    def _keep_after(self, a: Arguments) -> None:
        touched = list(zip(a["nodes"], a["quantities"], a["days"], strict=True))
        for place, row in self._tables.run_changes.items():
            if place[0] in a["runs"] and place[1:] in touched:
                self._tables.run_changes[place] = (*row[:2], *self._standing_of(a["site"], place), row[4] + 1)

    def _forget_unchanged(self, a: Arguments) -> None:
        touched = set(zip(a["nodes"], a["quantities"], a["days"], strict=True))
        for place, row in list(self._tables.run_changes.items()):
            if place[0] in a["runs"] and place[1:] in touched and row[0] == row[2]:
                del self._tables.run_changes[place]

    def _keep_forgotten(self, a: Arguments) -> None:
        days = [place[1:] for place in self._tables.settled if place[0] == a["site"]]
        for place in self._covered(a, (day for day in days if a["nodes"] is None or day[0] in a["nodes"])):
            row = self._tables.run_changes.get(place, (*self._standing_of(a["site"], place), None, None, -1))
            self._tables.run_changes[place] = (*row[:2], None, None, row[4] + 1)

    def _forget_changes(self, a: Arguments) -> None:
        for place in [place for place in self._tables.run_changes if place[0] == a["run"]]:
            del self._tables.run_changes[place]

    def _summary(self, a: Arguments) -> list[Row]:
        places = [place for place in self._tables.run_changes if place[0] == a["run"]]
        days, nodes = {place[3] for place in places}, {place[1] for place in places}
        noted = NOTED_AT if places else None
        return [(len(days), len(nodes), len(places), min(days, default=None), max(days, default=None), noted, noted)]

    def _changes(self, a: Arguments) -> list[Row]:
        rows = sorted((place, row) for place, row in self._tables.run_changes.items() if place[0] == a["run"])
        after = None if a["node"] is None else (a["node"], a["obis"], a["day"])
        return [
            (*place[1:], row[1], row[3], row[0] is not None, row[2] is not None, row[4], NOTED_AT, NOTED_AT)
            for place, row in rows
            if after is None or place[1:] > after
        ][: a["most"]]

    def _changed_runs(self, a: Arguments) -> list[Row]:
        found = []
        for run in sorted({place[0] for place in self._tables.run_changes}):
            _, site, period, state = self._tables.runs[run][:4]
            if state != "superseded" and a["site"] in (None, site):
                days, nodes, *_ = self._summary({"run": run})[0]
                found.append((run, site, period, state, days, nodes, NOTED_AT))
        return found[: a["most"]]

    def _runs_changed_by(self, a: Arguments) -> list[Row]:
        place = (a["node"], a["obis"], a["day"])
        runs = sorted(one[0] for one in self._tables.run_changes if one[1:] == place)
        return [(run,) for run in runs if self._tables.runs[run][1] == a["site"]]

    def _covered(self, a: Arguments, touched: Any) -> Iterator[Row]:
        runs = list(zip(a["runs"], a["firsts"], a["lasts"], strict=True))
        for node, obis, day in touched:
            for run, first, last in runs:
                if first <= day <= last:
                    yield run, node, obis, day

    def _standing_of(self, site: str, place: Row) -> Row:
        row = self._tables.settled.get((site, *place[1:]))
        if row is None:
            return (None, None)
        told = json.dumps([row[0], row[1], row[2]], sort_keys=True).encode()
        return hashlib.sha256(told).digest(), sum(row[0])
