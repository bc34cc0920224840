"""What happens to a run after it was computed, for the database in memory: the queries of `queries/run_log.sql`.

What PostgreSQL would refuse is refused here too: the same person twice, missing reasons, two published runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg.errors import CheckViolation, UniqueViolation

Row = tuple[Any, ...]
Arguments = Mapping[str, Any]
RECORDED_AT = datetime(2026, 8, 1, 2, tzinfo=UTC)


class RunLogAnswers:
    """Answers the run log's queries from `Tables`."""

    _tables: Any

    def _standing(self, a: Arguments) -> list[Row]:
        if a["run"] not in self._tables.runs:
            return []
        person = self._tables.run_people[a["run"]]
        return [(self._tables.runs[a["run"]][3], *person)]

    def _state(self, a: Arguments) -> list[Row]:
        return [row[3:4] for run, row in self._tables.runs.items() if run == a["run"]]

    def _add_transition(self, a: Arguments) -> None:
        fields = ("step", "from_state", "to_state", "actor", "reason", "acted_at")
        steps = self._tables.run_transitions.setdefault(a["run"], [])
        if len(steps) + 1 != a["step"] or (steps and steps[-1][2] != a["from_state"]):
            raise CheckViolation("run_transitions_first")
        steps.append((*(_plain(a[name]) for name in fields), RECORDED_AT))

    def _move_run(self, a: Arguments) -> None:
        run, to = a["run"], str(a["to_state"])
        _, computed_by, checked_by, approved_by = (*self._tables.run_people[run], None)[:4]
        computed_by = a["actor"] if to == "computed" else computed_by
        checked_by = {"computed": None, "checked": a["actor"]}.get(to, checked_by)
        approved_by = a["actor"] if to == "approved" else approved_by
        if to == "approved" and approved_by.lower() in (str(checked_by).lower(), computed_by.lower()):
            raise CheckViolation("allocation_runs_second_person")
        if to in ("approved", "published") and a["unexplained"]:
            raise CheckViolation("allocation_runs_explained")
        row = self._tables.runs[run]
        published = [one for one in self._tables.runs.values() if one[1:4] == (row[1], row[2], "published")]
        if to == "published" and published:
            raise UniqueViolation("allocation_runs_published")
        self._tables.runs[run] = (*row[:3], to, *row[4:])
        self._tables.run_people[run] = (a["step"], computed_by, checked_by)

    def _book_run(self, a: Arguments) -> None:
        row = self._tables.runs[a["run"]]
        self._tables.runs[a["run"]] = (*row[:4], a["booked_at"], *row[5:])

    def _transitions(self, a: Arguments) -> list[Row]:
        return list(self._tables.run_transitions.get(a["run"], []))

    def _put_reason(self, a: Arguments) -> None:
        row = (a["subject"], a["reason"], a["actor"], a["acted_at"])
        self._tables.run_reasons[a["run"], a["subject"]] = row

    def _reasons(self, a: Arguments) -> list[Row]:
        return sorted(row for (run, _), row in self._tables.run_reasons.items() if run == a["run"])

    def _earlier_runs(self, a: Arguments) -> list[Row]:
        order = list(self._tables.runs)
        published = self._tables.runs[a["run"]]
        found = []
        for run, row in self._tables.runs.items():
            is_earlier = order.index(run) < order.index(a["run"])
            is_other = run != a["run"] and row[1:3] == published[1:3] and row[3] != "superseded"
            if is_other and (row[3] == "published" or is_earlier):
                found.append((run, row[3]))
        return found

    def _published_periods(self, a: Arguments) -> list[Row]:
        rows = [row for row in self._tables.runs.values() if row[1] == a["site"] and row[3] == "published"]
        return [(row[0], row[2]) for row in sorted(rows, key=lambda row: row[2], reverse=True)][: a["most"]]

    def _add_publication(self, a: Arguments) -> list[Row]:
        number = 1 + sum(map(len, self._tables.publications.values()))
        self._tables.publications.setdefault(a["run"], []).append((number, a["octets"]))
        return [(number,)]

    def _lock_feed(self, _: Arguments) -> None:
        pass

    def _enter_feed(self, _: Arguments) -> None:
        """The feed is read from a real database only."""

    def _step_all(self, _: Arguments) -> list[Row]:
        """What becomes of statements is read from a real database only."""
        return []

    def _newest_publication(self, a: Arguments) -> list[Row]:
        return [row[1:] for row in self._tables.publications.get(a["run"], [])[-1:]]

    def _add_correction_lines(self, row: Row) -> None:
        run, corrects, line, pool, party, unit, before, after, delta, causes, _ = row
        stored = (corrects, line, pool, party, unit, before, after, delta, json.loads(json.dumps(causes.obj)))
        self._tables.correction_lines.setdefault(run, []).append(stored)

    def _correction_lines(self, a: Arguments) -> list[Row]:
        rows = self._tables.correction_lines.get(a["run"], [])
        return [row for row in rows if a["party"] in (None, row[3])]

    def _add_slots(self, row: Row) -> None:
        self._tables.run_slots.setdefault(row[0], []).append(row[1:])

    def _slots(self, a: Arguments) -> list[Row]:
        return list(self._tables.run_slots.get(a["run"], []))

    def _add_exclusion(self, a: Arguments) -> None:
        self._tables.exclusions[a["site"], a["version"], a["subject"]] = (a["subject"], a["reason"])

    def _exclusions(self, a: Arguments) -> list[Row]:
        return sorted(row for key, row in self._tables.exclusions.items() if key[:2] == (a["site"], a["version"]))


def _plain(content: Any) -> Any:
    return str(content) if isinstance(content, str) else content
