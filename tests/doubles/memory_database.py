"""The store's database in memory: the named queries of `queries/*.sql`, answered from Python tables.

The functions of `ingest.store` run unchanged on it, with their translation of rows; only PostgreSQL is not there. That
its answers are PostgreSQL's own is checked by running one script on both (tests/integration/test_store_double.py).
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from psycopg import DataError
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from ingest.store.database import Database, load_queries
from ingest.store.layout import layout_queries
from ingest.store.readings import wire_instant
from tests.doubles.binary_copy import fields_of, reading_row, settled_row
from tests.doubles.memory_audit import AuditAnswers
from tests.doubles.memory_changes import RunChangesAnswers
from tests.doubles.memory_events import EventAnswers
from tests.doubles.memory_fleet import FleetAnswers
from tests.doubles.memory_hand import HandAnswers
from tests.doubles.memory_inbox import InboxAnswers
from tests.doubles.memory_installation import InstallationAnswers
from tests.doubles.memory_runs import RunLogAnswers

Row = tuple[Any, ...]
Arguments = Mapping[str, Any]
NO_INSTANT = datetime.min.replace(tzinfo=UTC)


class Answer:
    """What a query gave."""

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self._rows = list(rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def fetchone(self) -> Row | None:
        """Give the first row."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Row]:
        """Give all rows."""
        return self._rows


class Tables:
    """The tables; every row is a value that is replaced, never changed."""

    def __init__(self) -> None:
        self.orders: dict[str, Row] = {}
        self.order_papers: dict[str, Row] = {}
        self.gateways: dict[str, Row] = {}
        self.gateway_keys: dict[tuple[str, int], Row] = {}
        self.heads: dict[tuple[str, int], dict[str, Any]] = {}
        self.ledger: dict[tuple[str, int, int], Row] = {}
        self.envelopes: dict[tuple[str, int, int], bytes] = {}
        self.readings: dict[str, list[Row]] = {}
        self.unsettled: dict[tuple[str, Any], int] = {}
        self.sites: dict[tuple[str, int], Row] = {}
        self.settled: dict[tuple[str, str, str, Any], Row] = {}
        self.runs: dict[str, Row] = {}
        self.run_lines: dict[str, list[Row]] = {}
        self.statements: dict[str, Row] = {}
        self.run_people: dict[str, Row] = {}
        self.run_transitions: dict[str, list[Row]] = {}
        self.run_reasons: dict[tuple[str, str], Row] = {}
        self.run_slots: dict[str, list[Row]] = {}
        self.publications: dict[str, list[Row]] = {}
        self.correction_lines: dict[str, list[Row]] = {}
        self.exclusions: dict[tuple[str, int, str], Row] = {}
        self.run_changes: dict[Row, Row] = {}
        self.alerts: dict[int, dict[str, Any]] = {}
        self.audit: dict[int, Row] = {}
        self.operators: dict[str, Row] = {}
        self.events: dict[str, Row] = {}

    def copied(self) -> Tables:
        """Give the same tables, to come back to."""
        copy = Tables()
        for name, table in vars(self).items():
            kept = {key: list(row) if isinstance(row, list) else row for key, row in table.items()}
            setattr(copy, name, kept)
        return copy


class MemoryDatabase(Database):
    """Stands in for `Database`: one transaction at a time, undone when its block raises."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.is_away = False
        self.refusal: Exception | None = None
        self.executed: list[bytes] = []

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Lend the connection."""
        if self.refusal is not None:
            raise self.refusal
        kept = self.tables.copied()
        try:
            yield MemoryConnection(self)
        except BaseException:
            self.tables = kept
            raise

    @contextmanager
    def spare(self) -> Iterator[Any]:
        """Lend another connection, which sees the same tables."""
        yield MemoryConnection(self)

    def answers(self) -> bool:
        """Say whether it is there."""
        return not self.is_away and self.refusal is None

    def close(self) -> None:
        """Nothing is open."""


class MemoryConnection(
    RunLogAnswers,
    RunChangesAnswers,
    FleetAnswers,
    AuditAnswers,
    EventAnswers,
    InstallationAnswers,
    HandAnswers,
    InboxAnswers,
):
    """Answers named queries."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._tables = database.tables
        known = ((query, getattr(self, f"_{name}", None)) for query, name in _NAMES.items())
        self._answers = {query: answer for query, answer in known if answer is not None}

    def execute(self, query: bytes, arguments: Arguments | None = None, *, binary: bool = False) -> Answer:
        """Answer one query; one that this double does not know fails the test."""
        self._database.executed.append(query)
        for argument in (arguments or {}).values():
            _require_text(argument)
        rows = self._answers[query](dict(arguments or {}))
        return Answer([] if rows is None else list(rows))

    def _layout(self, _: Arguments) -> list[Row]:
        """Nothing lies on a disk."""
        return [(None, None, "")]

    @contextmanager
    def cursor(self) -> Iterator[MemoryConnection]:
        """A cursor is the connection itself."""
        yield self

    def stream(self, query: bytes, arguments: Arguments, *, binary: bool = False) -> Iterator[Row]:
        """Answer one query row by row."""
        return iter(self.execute(query, arguments, binary=binary))

    @contextmanager
    def copy(self, query: bytes) -> Iterator[MemoryCopy]:
        """Take rows in."""
        parse = settled_row if _NAMES[query] == "copy_settled_days" else reading_row
        copy = MemoryCopy(getattr(self, f"_{_NAMES[query]}"), parse)
        yield copy
        copy.end()

    # gateways.sql

    def _add_order(self, a: Arguments) -> None:
        fields = ("order", "site", "gateway", "engineer", "ordered_at", "expires_at", "claim_hash")
        self._tables.orders[a["order"]] = (*(a[name] for name in fields), None, None, a["claim_key"])

    def _lock_gateway(self, a: Arguments) -> None:
        pass

    def _order_of_claim(self, a: Arguments) -> Iterator[Row]:
        return (
            row
            for row in self._tables.orders.values()
            if row[6] == a["claim_hash"] or (row[9] and row[9] == a["claim_key"])
        )

    def _last_epoch(self, a: Arguments) -> list[Row]:
        return [(max((epoch for name, epoch in self._tables.gateway_keys if name == a["gateway"]), default=0),)]

    def _burn_order(self, a: Arguments) -> None:
        row = self._tables.orders[a["order"]]
        self._tables.orders[a["order"]] = (*row[:7], a["burned_at"], a["burned_by"], row[9])

    def _put_gateway(self, a: Arguments) -> None:
        self._tables.gateways[a["gateway"]] = (a["site"], a["epoch"], a["enrolled_at"])

    def _add_key(self, a: Arguments) -> None:
        fields = ("gateway", "epoch", "key_id", "algorithm", "public_key", "bundle_hash")
        self._tables.gateway_keys[a["gateway"], a["epoch"]] = (*(a[name] for name in fields), None)

    def _keys(self, a: Arguments) -> list[Row]:
        rows = sorted(self._tables.gateway_keys.values(), key=lambda row: row[:2])
        return [row for row in rows if row[2] in a["key_ids"] or row[0] in a["gateways"]]

    def _gateway_states(self, a: Arguments) -> Iterator[Row]:
        for gateway, (site, epoch, enrolled_at) in sorted(self._tables.gateways.items()):
            if a["gateway"] in (None, gateway):
                key_id = self._tables.gateway_keys[gateway, epoch][2]
                head = self._tables.heads.get((gateway, epoch), _NO_HEAD)
                counts = (head["contiguous_seq"], head["highest_seq"], head["newest_mark"])
                counts += (head["envelopes"], head["repeats"], head["received_at"])
                yield (gateway, site, epoch, enrolled_at, key_id, *counts, 0)

    # intake.sql

    def _begin_chains(self, a: Arguments) -> None:
        for place in zip(a["gateways"], a["epochs"], strict=True):
            self._tables.heads.setdefault(place, _NO_HEAD | {"received_at": NO_INSTANT})

    def _lock_chains(self, a: Arguments) -> Iterator[Row]:
        for place in sorted(zip(a["gateways"], a["epochs"], strict=True)):
            head = self._tables.heads[place]
            yield (*place, head["contiguous_seq"], head["head_hash"], head["highest_seq"])

    def _open_losses(self, _: Arguments) -> list[Row]:
        return []

    def _ledger_entries(self, a: Arguments) -> Iterator[Row]:
        for place in zip(a["gateways"], a["epochs"], a["seqs"], strict=True):
            if place in self._tables.ledger:
                yield (*place, *self._tables.ledger[place][:2])

    def _copy_ledger(self, row: Row) -> None:
        self._tables.ledger[row[:3]] = row[3:]

    def _copy_envelopes(self, row: Row) -> None:
        self._tables.envelopes[row[:3]] = row[4]

    def _copy_readings(self, row: Row) -> None:
        # Sorted by mark, so that a span is found as quickly as an index finds it.
        insort(self._tables.readings.setdefault(row[0], []), row, key=_due_place)

    def _add_unsettled_days(self, a: Arguments) -> None:
        for place in zip(a["meters"], a["days"], strict=True):
            self._tables.unsettled[place] = self._tables.unsettled.get(place, 0) + 1

    def _advance_chains(self, a: Arguments) -> None:
        for number, place in enumerate(zip(a["gateways"], a["epochs"], strict=True)):
            came = {name: column[number] for name, column in a.items()}
            head = self._tables.heads[place]
            marks = [mark for mark in (head["newest_mark"], came["newest_mark"]) if mark is not None]
            self._tables.heads[place] = head | {
                **{name: came[name] for name in ("contiguous_seq", "head_hash", "highest_seq", "received_at")},
                "newest_mark": max(marks, default=None),
                "envelopes": head["envelopes"] + came["envelopes"],
                "repeats": head["repeats"] + came["repeats"],
            }

    # erasure.sql

    def _erasures(self, _: Arguments) -> list[Row]:
        return []

    # sites.sql

    def _lock_site(self, a: Arguments) -> None:
        pass

    def _newest_version(self, a: Arguments) -> list[Row]:
        return [row for row in self._newest_versions({}) if row[0] == a["site"]]

    def _newest_numbers(self, a: Arguments) -> list[Row]:
        return [row[:2] for row in self._newest_versions({}) if a["site"] in (None, row[0])]

    def _newest_versions(self, _: Arguments) -> list[Row]:
        newest = {row[0]: row for _, row in sorted(self._tables.sites.items())}
        return [newest[site] for site in sorted(newest)]

    def _version(self, a: Arguments) -> list[Row]:
        return [row for place, row in self._tables.sites.items() if place == (a["site"], a["version"])]

    def _add_version(self, a: Arguments) -> None:
        documents = _stored(a["document"]), _stored(a["rules"])
        self._tables.sites[a["site"], a["version"]] = (
            *(a["site"], a["version"], a["hash"], *documents, a["imported_at"], None),
        )

    def _mark_read_days_unsettled(self, a: Arguments) -> None:
        for meter in a["meters"]:
            for day in {row[1].astimezone(UTC).date() for row in self._tables.readings.get(meter, ())}:
                self._tables.unsettled[meter, day] = self._tables.unsettled.get((meter, day), 0) + 1

    # ordered_jobs.sql

    def _note_settled_days(self, _: Arguments) -> None:
        """When a day was settled, no computation asks."""

    def _note_completion(self, _: Arguments) -> None:
        """Nor since when a run was complete."""

    # settled.sql

    def _waiting_spans(self, _: Arguments) -> list[Row]:
        days: dict[str, list[date]] = {}
        for meter, day in sorted(self._tables.unsettled):
            days.setdefault(meter, []).append(day)
        return [(meter, len(each), each[0], each[-1]) for meter, each in days.items()]

    def _settled_day(self, a: Arguments) -> list[Row]:
        row = self._tables.settled.get((a["site"], a["node"], a["obis"], a["day"]))
        return [] if row is None else [row[:3]]

    def _waiting_meters(self, _: Arguments) -> list[Row]:
        return [(meter,) for meter in {meter for meter, _ in self._tables.unsettled}]

    def _anything_waits(self, _: Arguments) -> list[Row]:
        return [(bool(self._tables.unsettled),)]

    def _unsettled_days(self, a: Arguments) -> list[Row]:
        return [(*place, count) for place, count in sorted(self._tables.unsettled.items()) if place[0] in a["meters"]]

    def _forget_unsettled_days(self, a: Arguments) -> None:
        for meter, day, arrivals in zip(a["meters"], a["days"], a["arrivals"], strict=True):
            if self._tables.unsettled.get((meter, day)) == arrivals:
                del self._tables.unsettled[meter, day]

    def _put_settled_day(self, a: Arguments) -> None:
        place = (a["site"], a["node"], a["obis"], a["day"])
        row = (a["energy"], a["quality"], _stored(a["exceptions"]), a["inputs_hash"])
        self._tables.settled[place] = row

    def _settled_days(self, a: Arguments) -> Iterator[Row]:
        for (site, node, obis, day), row in sorted(self._tables.settled.items(), key=lambda item: item[0]):
            if site == a["site"] and a["first"] <= day <= a["last"]:
                yield (node, obis, day, *row[:3])

    def _settled_points(self, a: Arguments) -> Iterator[Row]:
        points: dict[Row, list[Row]] = {}
        after, until = a["after"] or "", a["until"] or "\U0010ffff"
        for node, obis, *day in (row for row in self._settled_days(a) if after < row[0] <= until):
            points.setdefault((node, obis), []).append(tuple(day))
        for point, days in sorted(points.items()):
            noted = [exceptions for *_, exceptions in days if exceptions]
            columns = (_wired([(day[0], day[place]) for day in days], form) for place, form in ((1, "q"), (2, "h")))
            yield (
                *point,
                _wired_dates([day[0] for day in days]),
                *(one for pair in columns for one in pair),
                noted or None,
            )

    def _middle_node(self, a: Arguments) -> list[Row]:
        return [(max(sorted(a["nodes"])[: len(a["nodes"]) // 2], default=None),)]

    def _settled_hashes(self, a: Arguments) -> Iterator[Row]:
        for (site, node, obis, day), row in self._tables.settled.items():
            if (site, node) == (a["site"], a["node"]) and day in a["days"]:
                yield (obis, day, row[3])

    def _settled_hashes_of(self, a: Arguments) -> Iterator[Row]:
        for (site, node, obis, day), row in self._tables.settled.items():
            if site == a["site"] and node in a["nodes"] and a["first"] <= day <= a["last"]:
                yield (node, obis, day, row[3])

    def _drop_settled_days(self, a: Arguments) -> None:
        for place in zip(a["nodes"], a["quantities"], a["days"], strict=True):
            self._tables.settled.pop((a["site"], *place), None)

    def _copy_settled_days(self, row: Row) -> None:
        if row[:4] in self._tables.settled:
            raise UniqueViolation("settled_days_pkey")
        self._tables.settled[row[:4]] = row[4:]

    def _forget_settled_days(self, a: Arguments) -> None:
        for place in [place for place in self._tables.settled if place[0] == a["site"]]:
            if a["nodes"] is None or place[1] in a["nodes"]:
                del self._tables.settled[place]

    def _known_before(self, a: Arguments) -> list[Row]:
        return [(max((row[1] for row in self._showing(a) if row[1] < a["instant"]), default=None),)]

    def _known_after(self, a: Arguments) -> list[Row]:
        return [(min((row[1] for row in self._showing(a) if row[1] > a["instant"]), default=None),)]

    def _showing(self, a: Arguments) -> Iterator[Row]:
        places = list(zip(a["profiles"], a["groups"], a["positions"], strict=True))
        for meter in a["meters"]:
            for row in self._tables.readings.get(meter, ()):
                mantissas = row[8]
                if row[2] and row[5] == 0:
                    shown = (one for one in places if one[:2] == (row[6], row[7]) and one[2] <= len(mantissas))
                    if any(mantissas[position - 1] is not None for _, _, position in shown):
                        yield row

    # readings.sql

    def _readings_due(self, a: Arguments) -> Iterator[Row]:
        found = []
        for meter in a["meters"]:
            rows = self._tables.readings.get(meter, [])
            first = bisect_left(rows, a["first"], key=_due)
            found += rows[first : bisect_right(rows, a["last"], key=_due)]
        for row in sorted(found, key=lambda row: (row[1], row[0], *row[9:12])):
            meter, due_at, aligned, started_at, read_at, quality, profile, group, mantissas, *place = row
            mark = due_at if aligned else None
            digest = self._tables.ledger[place[0], place[1], place[2]][0]
            yield (meter, profile, group, started_at, read_at, quality, mantissas, mark, *place, digest, False)

    def _envelope_octets(self, a: Arguments) -> Iterator[Row]:
        for place in zip(a["gateways"], a["epochs"], a["seqs"], strict=True):
            if place in self._tables.envelopes:
                yield (*place, self._tables.envelopes[place])

    def _registers_at(self, a: Arguments) -> list[Row]:
        marks = set(a["marks"])
        found: dict[Row, list[Row]] = {}
        for meter in sorted(a["meters"]):
            for row in sorted(self._tables.readings.get(meter, []), key=lambda row: (row[1], row[11])):
                due_at, aligned, _, _, quality, profile, group, mantissas, gateway, epoch, seq = row[1:]
                if due_at in marks and aligned and quality == 0 and mantissas:
                    key = (meter, profile, group, gateway, epoch, len(mantissas))
                    found.setdefault(key, []).append((due_at, seq, mantissas))
        return [
            (
                *key[:5],
                _wired_array([wire_instant(due_at) for due_at, _, _ in rows]),
                _wired_array([seq for _, seq, _ in rows]),
                _wired_array([list(mantissas) for _, _, mantissas in rows]),
            )
            for key, rows in found.items()
        ]

    def _registers_between(self, a: Arguments) -> list[Row]:
        found: dict[Row, list[Row]] = {}
        for meter in a["meters"]:
            for row in self._measured(meter):
                if a["first"] <= row[1] <= a["last"] and row[8]:
                    found.setdefault((row[1], row[6], row[7]), []).append(row)
        return [
            (*form, ",".join(row[0] for row in rows), b"".join(_wired_array(list(row[8])) for row in rows))
            for form, rows in found.items()
        ]

    def _read_alone(self, _: Arguments) -> None:
        pass

    def _measured_beyond(self, a: Arguments) -> list[Row]:
        return [
            (meter, any(mark < a["first"] for mark in marks), any(mark > a["last"] for mark in marks))
            for meter in a["meters"]
            if (marks := [row[1] for row in self._measured(meter)]) is not None
        ]

    def _measured(self, meter: str) -> list[Row]:
        return [row for row in self._tables.readings.get(meter, ()) if row[2] and row[5] == 0]

    def _kept_digests(self, a: Arguments) -> list[Row]:
        found: dict[Row, list[int]] = {}
        for place in sorted(zip(a["gateways"], a["epochs"], a["seqs"], strict=True)):
            if place in self._tables.envelopes:
                found.setdefault(place[:2], []).append(place[2])
        return [
            (*chain, seqs, b"".join(self._tables.ledger[*chain, seq][0] for seq in seqs))
            for chain, seqs in found.items()
        ]

    # runs.sql, statements.sql

    def _add_run(self, a: Arguments) -> None:
        fields = ("run", "site", "period", "state", "booked_at", "site_version")
        self._tables.runs[a["run"]] = (*(a[name] for name in fields), _stored(a["document"]))
        self._tables.run_people[a["run"]] = (1, a["computed_by"], None)

    def _add_lines(self, row: Row) -> None:
        run, number, pool, party, unit, energy, amount, trace, kind = row
        line = (number, pool, party, unit, json.loads(energy), amount, json.loads(trace), kind)
        self._tables.run_lines.setdefault(run, []).append(line)

    def _run(self, a: Arguments) -> list[Row]:
        return [row for run, row in self._tables.runs.items() if run == a["run"]]

    def _confirm_run(self, a: Arguments) -> list[Row]:
        row = self._tables.runs[a["run"]]
        if row[3] == "published" or row[5] >= a["version"]:
            return []
        self._tables.runs[a["run"]] = (*row[:5], a["version"], *row[6:])
        return [(a["version"],)]

    def _run_heads(self, a: Arguments) -> list[Row]:
        newest_first = reversed(list(self._tables.runs.values()))
        wanted = (row for row in newest_first if a["site"] in (None, row[1]) and a["period"] in (None, row[2]))
        return [row[:6] for row in wanted][: a["most"]]

    def _run_heads_page(self, a: Arguments) -> list[Row]:
        found = self._run_heads({**a, "most": len(self._tables.runs)})
        places = [place for place, row in enumerate(found) if row[0] == a["after"]]
        return found[places[0] + 1 :][: a["most"]] if places else []

    def _count_runs(self, a: Arguments) -> list[Row]:
        rows = (row for row in self._tables.runs.values() if row[3] != "draft")
        return [(sum(row[1:3] == (a["site"], a["period"]) for row in rows),)]

    def _lines(self, a: Arguments) -> list[Row]:
        rows = self._tables.run_lines.get(a["run"], [])
        return [row for row in rows if a["pool"] in (None, row[1]) and a["party"] in (None, row[2])]

    def _totals(self, a: Arguments) -> list[Row]:
        amounts: dict[str, list[int]] = {}
        for row in self._tables.run_lines.get(a["run"], []):
            amounts.setdefault(row[2], []).append(row[5])
        return [(party, len(each), sum(each)) for party, each in sorted(amounts.items())]

    def _add_statements(self, row: Row) -> None:
        number, run, party, octets, proof, issued_at = row
        self._tables.statements[number] = (number, run, party, octets, proof, None, issued_at)

    def _statement(self, a: Arguments) -> list[Row]:
        return [row for number, row in self._tables.statements.items() if number == a["number"]]

    def _numbers_of_run(self, a: Arguments) -> list[Row]:
        found = [(row[0], row[2]) for row in self._tables.statements.values() if row[1] == a["run"]]
        return sorted(found, key=lambda row: row[1])

    # database.sql

    def _ping(self, _: Arguments) -> list[Row]:
        return [(1,)]


class MemoryCopy:
    """Takes the rows of a COPY, as they are or as octets."""

    def __init__(self, take: Callable[[Row], None], parse: Callable[[list[bytes]], Row]) -> None:
        self._take = take
        self._parse = parse
        self._octets = bytearray()

    def set_types(self, types: Sequence[str]) -> None:
        """Types matter to a wire only."""

    def write_row(self, row: Row) -> None:
        """Take one row."""
        self._take(tuple(row))

    def write(self, octets: bytes) -> None:
        """Take rows in PostgreSQL's binary form."""
        self._octets += octets

    def end(self) -> None:
        """Enter what came as octets."""
        for fields in fields_of(bytes(self._octets)) if self._octets else ():
            self._take(self._parse(fields))


_FILES = (
    *("gateways", "intake", "sites", "settled", "readings", "runs", "run_changes", "run_log", "statements"),
    *("fleet", "alerts", "erasure", "database", "audit", "operators", "revocations"),
    "claim_misuses",
    "certificates",
    "installation",
    "bindings",
    "hand_readings",
    "inbox",
    "statement_states",
    "ordered_jobs",
    "feed",
    "billing",
    "events",
)
_NAMES = {query: name for file in _FILES for name, query in load_queries(file).items()}
_NAMES[layout_queries("partitions")["layout"]] = "layout"
_NO_HEAD: dict[str, Any] = {
    "contiguous_seq": 0,
    "head_hash": bytes(32),
    "highest_seq": 0,
    "newest_mark": None,
    "envelopes": 0,
    "repeats": 0,
    "received_at": None,
}


def _require_text(argument: object) -> None:
    """Refuse what PostgreSQL does not take as text, in psycopg's way."""
    if isinstance(argument, str):
        argument.encode()
        if "\0" in argument:
            raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")


def _wired_array(numbers: Sequence[Any]) -> bytes:
    """An array of one or two dimensions as PostgreSQL sends it."""
    lengths = [len(numbers), *([len(numbers[0])] if isinstance(numbers[0], list) else [])]
    cells = [one for row in numbers for one in row] if len(lengths) == 2 else numbers
    head = struct.pack(">3i", len(lengths), None in cells, 20) + b"".join(struct.pack(">2i", one, 1) for one in lengths)
    return head + b"".join(struct.pack(">i", -1) if one is None else struct.pack(">iq", 8, one) for one in cells)


def _wired_dates(days: Sequence[date]) -> bytes:
    head = struct.pack(">5i", 1, 0, 1082, len(days), 1)
    return head + b"".join(struct.pack(">2i", 4, (day - date(2000, 1, 1)).days) for day in days)


def _wired(days: Sequence[tuple[date, Sequence[int]]], form: str) -> tuple[bytes | None, bytes | None]:
    """The days that are not all 0, and their arrays as PostgreSQL sends them."""
    shown = [(day, numbers) for day, numbers in days if any(numbers)]
    if not shown:
        return None, None
    width = struct.calcsize(f">{form}")
    return _wired_dates([day for day, _ in shown]), b"".join(
        struct.pack(">5i", 1, 0, 20, len(numbers), 1) + b"".join(struct.pack(f">i{form}", width, n) for n in numbers)
        for _, numbers in shown
    )


def _due(row: Row) -> Any:
    return row[1]


def _due_place(row: Row) -> tuple[Any, ...]:
    return (row[1], *row[9:12])


def _stored(content: Jsonb) -> Any:
    """What a jsonb column gives back."""
    return json.loads(json.dumps(content.obj))
