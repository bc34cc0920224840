"""The forms of coefficients, series, prices and leases: what was typed to the part of the books it makes. Pure.

Each gives the content of a part and the mistakes of single fields, with the row where there are rows.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ingest.rulebook.pool_form import FieldFault, Fields
from metering.errors import MeteringError
from metering.identity import check_identifier
from metering.interval import SLOT, SiteCalendar

_NUMBER = re.compile(r"\d{1,9}(\.\d{1,6})?\Z")
_SIGNED = re.compile(r"-?\d{1,9}(\.\d{1,6})?\Z")
_PRICE = re.compile(r"-?\d{1,6}(\.\d{1,6})?\Z")
_FULL_WIDTH = str.maketrans("：，．。０１２３４５６７８９", ":,..0123456789")
ALWAYS = date.min.isoformat()
NUMBER = "number-"
"""Before a unit's id: the field of its number."""
RATE = "rate-"
FAULTS_MAX = 20
"""Rows of a file that are told as wrong; who has more has another file."""
Found = tuple[dict[str, Any], tuple[FieldFault, ...]]


def read_coefficients(fields: Fields, before: Mapping[str, Any] | None, units: Sequence[str]) -> Found:
    """Give a table of coefficients: `{"table": ..., "rows": ...}`.

    before   the part it is written over; None for a new table
    units    that numbers may be given for
    """
    faults: list[FieldFault] = []
    name = _identifier(fields, "name", faults)
    kept = {} if before is None else dict(before["table"])
    table = kept | {"name": name, "unit": _needed(fields, "unit", faults), "source": _needed(fields, "source", faults)}
    table |= {"names": {"zh": _needed(fields, "name_zh", faults), "en": _needed(fields, "name_en", faults)}}
    table.pop("review_by", None)
    if review := _day(fields, "review_by", faults):
        table["review_by"] = review
    since = _day(fields, "since", faults)
    numbers = dict(_numbers(fields, units, faults))
    if not numbers and not faults:
        faults.append(FieldFault("numbers", "needed"))
    if before is None or ("values" in table and not since):
        if not since:
            return {"table": table | {"values": {**table.get("values", {}), **numbers}}}, tuple(faults)
        return _dated(table, [(since, unit, text) for unit, text in numbers.items()]), tuple(faults)
    rows = [tuple(row) for row in before.get("rows", ())]
    rows = rows or [(ALWAYS, unit, text) for unit, text in table.get("values", {}).items()]
    rows = _since(rows, numbers, since or ALWAYS)
    return _dated(table, rows), tuple(faults)


def _dated(table: Mapping[str, Any], rows: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    head = {key: one for key, one in table.items() if key != "values"}
    head |= {"file": table.get("file") or f"{table['name']}.csv", "missing": table.get("missing", "previous")}
    return {"table": head, "rows": [list(row) for row in sorted(rows, key=lambda row: (row[1], row[0]))]}


def _since(rows: Sequence[tuple[str, ...]], numbers: Mapping[str, str], since: str) -> list[tuple[str, str, str]]:
    """Lay numbers over rows from a day on; a number that is what holds then already makes no row."""
    known = {(day, unit): text for day, unit, text in rows}
    for unit, text in numbers.items():
        holding = [known[day, of] for day, of in sorted(known) if of == unit and day <= since]
        if not holding or holding[-1] != text:
            known[since, unit] = text
    return [(day, unit, text) for (day, unit), text in known.items()]


def _numbers(fields: Fields, units: Sequence[str], faults: list[FieldFault]) -> Iterator[tuple[str, str]]:
    """Give number by unit: of a field each, or of lines `unit, number`."""
    for unit in units:
        text = fields.text(NUMBER + unit).translate(_FULL_WIDTH)
        if text and not _NUMBER.match(text):
            faults.append(FieldFault(NUMBER + unit, "bad-number", {"number": text}))
        elif text:
            yield unit, text
    for row, line in enumerate(fields.text("lines").translate(_FULL_WIDTH).splitlines(), 1):
        if not line.strip():
            continue
        unit, _, text = (one.strip() for one in line.replace("\t", ",").partition(","))
        if unit not in units:
            faults.append(FieldFault("lines", "unknown-unit", {"row": str(row), "unit": unit}))
        elif not _NUMBER.match(text):
            faults.append(FieldFault("lines", "bad-line", {"row": str(row), "line": line.strip()}))
        else:
            yield unit, text
        if len(faults) >= FAULTS_MAX:
            return


def read_uploaded(fields: Fields, before: Mapping[str, Any] | None) -> Found:
    """Give a daily series: days that were uploaded over those that are known; faults name their row."""
    faults: list[FieldFault] = []
    name = _identifier(fields, "name", faults)
    kept = {} if before is None else dict(before["table"])
    table = kept | {
        "name": name,
        "unit": _needed(fields, "unit", faults),
        "source": _needed(fields, "source", faults),
        "missing_day": fields.text("missing_day") or kept.get("missing_day", "refuse"),
        "file": kept.get("file", f"{name or 'series'}.csv"),
        "column": kept.get("column", "number"),
    }
    if fields.has("name_zh") and fields.has("name_en"):
        table["names"] = {"zh": fields.text("name_zh"), "en": fields.text("name_en")}
    days = dict(_csv_days(fields.text("csv"), fields.text("column") or kept.get("column", ""), faults))
    known = {} if before is None else dict(map(tuple, before.get("rows", ())))
    rows = [[day, text] for day, text in sorted((known | days).items())]
    return {"table": table, "rows": rows}, tuple(faults)


def _csv_days(text: str, column: str, faults: list[FieldFault]) -> Iterator[tuple[str, str]]:
    lines = [(row, line) for row, line in enumerate(text.lstrip("\ufeff").splitlines(), 1) if _says(line)]
    if not lines:
        faults.append(FieldFault("csv", "needed"))
        return
    header = [cell.strip() for cell in next(csv.reader([lines[0][1]]))]
    others = [cell for cell in header if cell != "day"]
    wanted = column if column in others else others[0] if len(others) == 1 else ""
    if "day" not in header or not wanted:
        faults.append(FieldFault("csv", "no-columns", {"columns": ", ".join(header)}))
        return
    places, seen = (header.index("day"), header.index(wanted)), set[str]()
    for row, line in lines[1:]:
        cells = next(csv.reader([line]))
        day, number = (cells[place].strip() if place < len(cells) else "" for place in places)
        key, told = _csv_fault(day, number, seen)
        if key:
            faults.append(FieldFault("csv", key, {"row": str(row), **told}))
            if len(faults) >= FAULTS_MAX:
                return
            continue
        seen.add(day)
        yield day, number


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _csv_fault(day: str, number: str, seen: set[str]) -> tuple[str, dict[str, str]]:
    try:
        if date.fromisoformat(day).isoformat() != day:
            return "bad-csv-day", {"day": day}
    except ValueError:
        return "bad-csv-day", {"day": day}
    if not _SIGNED.match(number):
        return "bad-csv-number", {"day": day, "number": number}
    return ("twice", {"day": day}) if day in seen else ("", {})


def read_prices(fields: Fields, tariff: Mapping[str, Any]) -> Found:
    """Give the tariff with a further version: the hours of the newest one, other prices, from a day on."""
    faults: list[FieldFault] = []
    versions = [dict(one) for one in tariff["versions"]]
    newest = max(versions, key=lambda one: str(one["from"]))
    since = _day(fields, "since", faults, is_needed=True)
    if since and since <= str(newest["from"]):
        faults.append(FieldFault("since", "after-all", {"day": str(newest["from"])}))
    name = _identifier(fields, "version", faults)
    if any(one["id"] == name for one in versions):
        faults.append(FieldFault("version", "known-name", {"id": name}))
    rates = {}
    for band in newest["rates"]:
        rates[band] = fields.text(RATE + band).translate(_FULL_WIDTH)
        if not _PRICE.match(rates[band]):
            faults.append(FieldFault(RATE + band, "bad-number", {"number": rates[band]}))
    added = {**newest, "id": name, "from": since, "rates": rates}
    added.pop("to", None)
    if newest.get("to"):
        added["to"] = newest["to"]
    newest["to"] = since
    return {**tariff, "versions": [*versions, added]}, tuple(faults)


def read_lease(
    fields: Fields, leases: Sequence[Mapping[str, Any]], calendar: SiteCalendar
) -> tuple[list[tuple[str, dict[str, Any]]], tuple[FieldFault, ...]]:
    """Give the leases that a handover changes: the one that ends, and the one that begins unless nobody moves in."""
    faults: list[FieldFault] = []
    unit = _needed(fields, "unit", faults)
    at = _instant(fields, "at", calendar, faults)
    found: list[tuple[str, dict[str, Any]]] = []
    if at is None:
        return found, tuple(faults)
    written = at.isoformat().replace("+00:00", "Z")
    for lease in leases:
        start, end = lease["span"].get("start"), lease["span"].get("end")
        if lease["unit"] != unit or (end is not None and end <= written):
            continue
        if start is not None and start >= written:
            faults.append(FieldFault("at", "before-lease", {"unit": unit, "lease": lease["id"]}))
        found.append((f"lease/{lease['id']}", {**lease, "span": {**lease["span"], "end": written}}))
    if fields.has("party"):
        name = _identifier(fields, "lease", faults)
        if any(lease["id"] == name for lease in leases):
            faults.append(FieldFault("lease", "known-name", {"id": name}))
        span = {"start": written, "end": None}
        found.append((f"lease/{name}", {"id": name, "party": fields.text("party"), "unit": unit, "span": span}))
    return found, tuple(faults)


def _instant(fields: Fields, name: str, calendar: SiteCalendar, faults: list[FieldFault]) -> datetime | None:
    text = fields.text(name)
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        faults.append(FieldFault(name, "bad-instant" if text else "needed", {"at": text}))
        return None
    at = local.replace(tzinfo=ZoneInfo(calendar.zone)).astimezone(UTC)
    if at.timestamp() % SLOT.total_seconds():
        faults.append(FieldFault(name, "not-on-mark"))
    return at


def _needed(fields: Fields, name: str, faults: list[FieldFault]) -> str:
    if not fields.has(name):
        faults.append(FieldFault(name, "needed"))
    return fields.text(name)


def _identifier(fields: Fields, name: str, faults: list[FieldFault]) -> str:
    text = _needed(fields, name, faults)
    try:
        return check_identifier(text) if text else ""
    except MeteringError:
        faults.append(FieldFault(name, "bad-id", {"id": text}))
        return text


def _day(fields: Fields, name: str, faults: list[FieldFault], *, is_needed: bool = False) -> str:
    text = fields.text(name)
    if not text:
        if is_needed:
            faults.append(FieldFault(name, "needed"))
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        faults.append(FieldFault(name, "bad-day", {"day": text}))
        return ""


def next_month(today: date) -> date:
    """Give the first day of the month after `today`."""
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1)
