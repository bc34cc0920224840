"""One TOML table written by a person, read key by key: every mistake is kept with its line, none stops the reading.

After a mistake a reader gives a stand-in of the right type, so that the keys after it are still checked; a table with
any mistake is then `broken` and nothing is built from it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from metering.errors import Fault, MeteringError
from metering.identity import check_identifier
from metering.interval import SiteCalendar
from metering.obis import Obis
from metering.quantity import Shown, Unit
from metering.toml_source import Place as WrittenAt
from metering.toml_source import TomlSource
from provisioning.place import Place, PlaceInvalid, check_outline, degrees_e7
from provisioning.site import Names, Span

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_MISSING: Any = object()
# Written out, with bounds that no real area or register reaches: 10^8 m2 in 10^-4 m2, 10^12 in 10^-6.
_AREA = re.compile(r"([0-9]{1,8})(?:\.([0-9]{1,4}))?\Z")
_SHOWN = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))? (\S+)\Z")
NO_NAME = "unnamed"
"""Stands in for an identifier that is missing or malformed."""
CM2_PER_M2 = 10_000


def near(word: str, known: Collection[str]) -> str:
    """Say which of the `known` words was probably meant, or which there are."""
    close = difflib.get_close_matches(word, list(known), n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(sorted(known)[:12])}" if known else "there are none yet"


class TableReader:
    """Reads the table at `place` of `source`; mistakes go to `faults`."""

    def __init__(self, source: TomlSource, place: WrittenAt, table: Any, calendar: SiteCalendar, faults: list[Fault]):
        self.source = source
        self.place = place
        self.broken = False
        self._calendar = calendar
        self._faults = faults
        self._asked: set[str] = set()
        self._table: Mapping[str, Any] = {}
        if isinstance(table, Mapping):
            self._table = table
        else:
            self.fault("", "this must be a table", "write it with a [header]")

    def fault(self, key: str, problem: str, mend: str) -> None:
        """Keep a mistake that stands at `key` of this table ("" for the table itself)."""
        self.broken = True
        place = (*self.place, key) if key else self.place
        self._faults.append(self.source.fault(*place, problem=problem, mend=mend))

    def has(self, key: str) -> bool:
        """Say whether the table has `key`."""
        self._asked.add(key)
        return key in self._table

    def close(self) -> None:
        """Keep a mistake for every key that nothing asked for."""
        for key in self._table:
            if key not in self._asked:
                self.fault(key, f"unknown key {key!r}", near(key, self._asked))

    def tables(self, key: str) -> list[TableReader]:
        """Give readers for each table of the array of tables `key`; none if it is absent."""
        content = self._table.get(key, []) if self.has(key) else []
        if not isinstance(content, list):
            self.fault(key, f"{key} must be an array of tables", f"write each one under [[{key}]]")
            return []
        return [
            TableReader(self.source, (*self.place, key, index), table, self._calendar, self._faults)
            for index, table in enumerate(content)
        ]

    def table(self, key: str) -> TableReader | None:
        """Give a reader for the table `key`; None if it is absent."""
        if not self.has(key):
            return None
        return TableReader(self.source, (*self.place, key), self._table[key], self._calendar, self._faults)

    def text(self, key: str) -> str:
        """Read a text that is not empty."""
        content = self._get(key, "a text")
        if content is _MISSING:
            return ""
        if not isinstance(content, str) or not content.strip():
            self.fault(key, f"{key} must be a text, not {content!r}", f'write {key} = "..."')
            return ""
        return content

    def identifier(self, key: str) -> str:
        """Read an identifier: lower-case letters, digits, inner hyphens."""
        content = self.text(key)
        if content:
            try:
                return check_identifier(content)
            except MeteringError as error:
                self.fault(key, str(error), "choose another id; names are free text")
        return NO_NAME

    def integer(self, key: str, least: int, most: int) -> int:
        """Read a whole number from `least` to `most`."""
        content = self._get(key, f"a whole number from {least} to {most}")
        if content is _MISSING:
            return least
        if type(content) is not int or not least <= content <= most:
            self.fault(key, f"{key} is {content!r}", f"write a whole number from {least} to {most}")
            return least
        return content

    def choice(self, key: str, kind: type[E]) -> E:
        """Read one of the words of `kind`."""
        return kind(self.one_of(key, tuple(member.value for member in kind)))

    def one_of(self, key: str, allowed: tuple[T, ...]) -> T:
        """Read one of a closed set of texts or numbers."""
        words = ", ".join(str(word) for word in allowed)
        content = self._get(key, f"one of {words}")
        if content is _MISSING:
            return allowed[0]
        if content not in allowed or type(content) is not type(allowed[0]):
            self.fault(key, f"{key} is {content!r}", f"write one of {words}")
            return allowed[0]
        return allowed[allowed.index(content)]

    def names(self, key: str) -> Names:
        """Read `{ zh = "...", en = "..." }`, or one text for both languages."""
        content = self._get(key, '{ zh = "...", en = "..." }')
        match content:
            case str() if content.strip():
                return Names(content, content)
            case {"zh": str(zh), "en": str(en), **others} if zh.strip() and en.strip() and not others:
                return Names(zh, en)
            case _ if content is not _MISSING:
                self.fault(key, f"{key} is {content!r}", 'write { zh = "...", en = "..." } or one text for both')
        return Names("-", "-")

    def span(self) -> Span:
        """Read the optional keys `from` and `to` (local times; `to` is the first instant that no longer counts)."""
        start, end = self.instant("from"), self.instant("to")
        if start is not None and end is not None and end <= start:
            self.fault("to", "the end is not after the start", "`to` must be later than `from`; leave it out if open")
            return Span()
        return Span(start, end)

    def instant(self, key: str) -> datetime | None:
        """Read a local time of the site, if there is one; a date means its first instant."""
        if not self.has(key):
            return None
        content = self._table[key]
        try:
            moment = datetime.fromisoformat(content) if isinstance(content, str) else content
        except ValueError:
            moment = None
        if isinstance(moment, date) and not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day, tzinfo=None)  # noqa: DTZ001
        if not isinstance(moment, datetime) or not 1990 <= moment.year <= 2199:
            self.fault(key, f"{key} is {content!r}", "write a local time such as 2026-07-17T14:00:00")
            return None
        return moment.astimezone(UTC) if moment.tzinfo is not None else self._from_local(key, moment)

    def needed_instant(self, key: str) -> datetime:
        """Read a local time that must be there."""
        if self._get(key, "a local time such as 2026-07-17T14:00:00") is _MISSING:
            return _EPOCH_START
        return self.instant(key) or _EPOCH_START

    def degrees_e7(self, key: str) -> int:
        """Read an angle in degrees as text or number; gives it exactly [10^-7 degree]."""
        content = self._get(key, 'degrees such as "31.29895"')
        if content is _MISSING:
            return 0
        try:
            return degrees_e7(str(content))
        except PlaceInvalid as error:
            self.fault(key, f"{key} is {content!r}", str(error))
            return 0

    def place_on_ground(self, key: str) -> Place | None:
        """Read `{ lat = "31.29895", lon = "120.5853", accuracy_cm = 300, note = "3rd floor" }`, if it is there."""
        inner = self.table(key)
        if inner is None:
            return None
        try:
            place = Place(
                inner.degrees_e7("lat"),
                inner.degrees_e7("lon"),
                inner.integer("accuracy_cm", 0, 10_000_000) if inner.has("accuracy_cm") else None,
                inner.text("note") if inner.has("note") else None,
            )
        except PlaceInvalid as error:
            inner.fault("", str(error), "write latitude and longitude in degrees")
            place = None
        inner.close()
        self.broken |= inner.broken
        return place

    def outline(self, key: str) -> tuple[tuple[int, int], ...] | None:
        """Read corners `[["31.29895", "120.5853"], ...]`, latitude first, if they are there; [10^-7 degree]."""
        if not self.has(key):
            return None
        try:
            corners = tuple((degrees_e7(str(lat)), degrees_e7(str(lon))) for lat, lon in self._table[key])
            check_outline(corners)
        except (PlaceInvalid, TypeError, ValueError) as error:
            self.fault(key, f"{key} is no outline: {error}", 'write [["31.29895", "120.5853"], ...], 3 corners or more')
            return None
        return corners

    def area_cm2(self, key: str) -> int:
        """Read an area in m2 as text ("120.50") or whole number; gives it exactly [cm2]."""
        content = self._table.get(key) if self.has(key) else None
        written = _AREA.match(str(content)) if type(content) in (str, int) else None
        if written and (area_cm2 := int(written[1]) * CM2_PER_M2 + int((written[2] or "").ljust(4, "0"))) > 0:
            return area_cm2
        self.fault(key, f"{key} is {content!r}", 'write m2 above 0 as text with at most 4 decimals, such as "120.50"')
        return 1

    def register_shown(self, key: str) -> Shown:
        """Read what an energy register showed, with its unit: "5230.17 kWh"."""
        content = self._get(key, 'a register reading such as "5230.17 kWh"')
        if content is not _MISSING:
            written = _SHOWN.match(content) if isinstance(content, str) else None
            try:
                if written:
                    whole, decimals, symbol = written.groups(default="")
                    shown = Shown(int(whole + decimals), -len(decimals), Unit.from_symbol(symbol))
                    shown.to_base()
                    if shown.unit.base_symbol in ("Wh", "varh"):
                        return shown
            except MeteringError as error:
                self.fault(key, str(error), "write what the register showed, with its unit")
                return Shown(0, 0, Unit.WH)
            self.fault(key, f"{key} is {content!r}", 'write what the register showed, with its unit: "5230.17 kWh"')
        return Shown(0, 0, Unit.WH)

    def obis(self, key: str, absent: Obis) -> Obis:
        """Read an OBIS code; `absent` if the key is not there."""
        if not self.has(key):
            return absent
        try:
            return Obis.parse(str(self._table[key]))
        except MeteringError as error:
            self.fault(key, str(error), 'write a code such as "1-0:1.8.0"')
            return absent

    def _get(self, key: str, form: str) -> Any:
        if self.has(key):
            return self._table[key]
        self.fault(key, f"{key} is missing", f"write {key} = {form}")
        return _MISSING

    def _from_local(self, key: str, moment: datetime) -> datetime:
        early = moment.replace(tzinfo=self._calendar.tz, fold=0)
        late = early.replace(fold=1)
        instant = early.astimezone(UTC)
        if early.utcoffset() != late.utcoffset():
            exists = self._calendar.local(instant).replace(tzinfo=None) == moment
            problem = "comes twice" if exists else "does not exist"
            mend = f"clocks change then in {self._calendar.zone}: write the offset too, such as {instant.isoformat()}"
            self.fault(key, f"local time {moment.isoformat()} {problem}", mend)
        return instant
