"""The audit log and operators for the database in memory: `queries/audit.sql` and `queries/operators.sql`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.doubles.memory_runs import RECORDED_AT

Row = tuple[Any, ...]
Arguments = Mapping[str, Any]
_ENTRY = (
    *("number", "at", "who", "verb", "subject", "touches", "content_hash", "previous", "digest"),
    *("content", "salt"),
)


class AuditAnswers:
    """Answers the queries about the audit log and operators from `Tables`."""

    _tables: Any

    def _lock_audit(self, a: Arguments) -> None:
        pass

    def _audit_head(self, a: Arguments) -> list[Row]:
        newest = max(self._tables.audit, default=None)
        return [] if newest is None else [(newest, self._tables.audit[newest][8])]

    def _add_entry(self, a: Arguments) -> None:
        assert a["number"] not in self._tables.audit
        self._tables.audit[a["number"]] = tuple(a[name] for name in _ENTRY)

    def _audit_page(self, a: Arguments) -> list[Row]:
        found = [row for number, row in sorted(self._tables.audit.items()) if number > a["after"]]
        return found[: a["most"]]

    def _entries_touching(self, a: Arguments) -> list[Row]:
        return [row for _, row in sorted(self._tables.audit.items(), reverse=True) if _is_wanted(row, a)][: a["most"]]

    def _audit_now(self, a: Arguments) -> list[Row]:
        return [(RECORDED_AT,)]

    def _steps_of_now(self, a: Arguments) -> list[Row]:
        known = {(row[4], json.loads(row[9])["after"].get("step")) for row in self._tables.audit.values()}
        return [
            (run, self._tables.runs[run][1], step, *rest[:5], self._tables.runs[run][2])
            for run in sorted(a["runs"])
            for step, *rest in self._tables.run_transitions.get(run, [])
            if (f"run/{run}", step) not in known
        ]

    def _revoked_of(self, a: Arguments) -> list[Row]:
        return []

    def _winner_of_order(self, a: Arguments) -> list[Row]:
        return []

    def _note_misuse(self, a: Arguments) -> None:
        pass

    def _add_operator(self, a: Arguments) -> None:
        self._tables.operators[a["operator"]] = (a["token_hash"], a["at"], a["by"], None, a["roles"], a["sites"])

    def _operator_of_token(self, a: Arguments) -> list[Row]:
        rows = self._tables.operators.items()
        return [(name, row[4], row[5]) for name, row in rows if row[0] == a["token_hash"] and row[3] is None]

    def _operators(self, a: Arguments) -> Iterator[Row]:
        return ((name, *row[1:]) for name, row in sorted(self._tables.operators.items()))


def _is_wanted(row: Row, a: Arguments) -> bool:
    subjects = a["subjects"]
    return (
        (subjects is None or row[4] in subjects or bool(set(row[5]) & set(subjects)))
        and a["who"] in (None, row[2])
        and a["verb"] in (None, row[3])
    )
