"""A site of one meter whose registers are known beforehand, in any zone: the same rows for every kind of database.

The register rolls over once, a few marks are silent, two of them midnights; what its sums must be is worked out here,
slot by slot, without any code of the program.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from psycopg import sql
from psycopg.types.json import Jsonb

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol as Line
from ingest.series.sums import Per
from ingest.store.sites import import_site
from metering.identity import GatewayId, MeterId, NodeId
from metering.interval import SLOT, SiteCalendar
from metering.obis import ENERGY_IMPORT
from provisioning.site import ALWAYS, Meter, Site
from tests.doubles.store_harness import NOW, small_site

METER, NODE, SITE = MeterId("m-a"), NodeId("main"), "park"
PROFILE = "dlt645/three-phase"
CT = 20
STEP_WH = 10 * CT
"""What one step of the mantissa is: 0.01 kWh behind transformers of 20."""
MODULUS = 10**8
FIRST_DAY, DAYS = date(2026, 10, 20), 14
"""Clocks are set back in Europe on the 25th; on the 1st of November in North America."""
SILENT = (50, 51, 52, 96 * 2, 96 * 7, 96 * 7 + 1, 700, 903)
"""Marks at which the meter did not answer, counted from the first; of the second and third midnight among them."""


class Books(Protocol):
    """Both faces of a database."""

    def execute(self, query: Any, arguments: Any = None) -> Any:
        """Execute a statement."""


@dataclass(frozen=True)
class Shown:
    """One mark: when, and the mantissa."""

    at: datetime
    mantissa: int


def site_in(zone: str) -> Site:
    """The site."""
    plain = small_site({GatewayId("gw-a"): {METER: ALWAYS}})
    meter = Meter(METER, "s", PROFILE, Line.DLT645_2007, plain.meters[0].port, "1" * 12, NODE, ALWAYS, CT, 1)
    return replace(plain, calendar=SiteCalendar(zone), meters=(meter,))


def midnight(zone: str, day: date) -> datetime:
    """The first instant of a local day."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def shown_in(zone: str, *, all_marks: bool = False) -> list[Shown]:
    """What the meter showed, in order; rolls over on the fifth day. With a mark at the beginning of October before."""
    start, end = midnight(zone, FIRST_DAY), midnight(zone, FIRST_DAY + timedelta(days=DAYS))
    marks = [start + index * SLOT for index in range((end - start) // SLOT + 1)]
    register = MODULUS - 3_000
    before = midnight(zone, FIRST_DAY.replace(day=1))
    found = [Shown(before, register - 900)]
    for index, mark in enumerate(marks):
        if all_marks or index not in SILENT:
            found.append(Shown(mark, register % MODULUS))
        register += index * index % 17
    return found


def write(books: Books, site: Site, shown: list[Shown], first_seq: int = 1) -> None:
    """Store readings as the intake does; those of other kinds that a series must not take beside them."""
    profile = Catalogue.shipped().by_id(PROFILE)
    rows = [_row(profile.hash, one.at, 0, one.mantissa, first_seq + index) for index, one in enumerate(shown)]
    # One read at a mark by chance, one too late for its mark: neither is what the meter showed there.
    rows.append(_row(profile.hash, shown[9].at, 0, 7, 90_000, aligned=False))
    rows.append(_row(profile.hash, shown[10].at, 4, 7, 90_001))
    for start in range(0, len(rows), 500):
        books.execute(b"INSERT INTO readings VALUES " + b", ".join(rows[start : start + 500]))


def _row(profile: bytes, at: datetime, quality: int, mantissa: int, seq: int, *, aligned: bool = True) -> bytes:
    mantissas = f"{{{mantissa},{mantissa // 7}}}"
    return (
        f"('{METER}', '{at}', {aligned}, '{at}', '{at}', {quality}, '\\x{profile.hex()}', 0, '{mantissas}', "
        f"'gw-a', 1, {seq})"
    ).encode()


def import_into(books: Any, zone: str) -> Site:
    """Store the site."""
    site = site_in(zone)
    import_site(books, site, {}, imported_at=NOW)
    return site


def settle(books: Books, zone: str) -> None:
    """Store settled days as settlement would make them of all marks: whole days, and nothing of the last but one."""
    marks = shown_in(zone, all_marks=True)[1:]
    energy = {one.at: (after.mantissa - one.mantissa) % MODULUS * STEP_WH for one, after in pairwise(marks)}
    for offset in range(DAYS):
        day = FIRST_DAY + timedelta(days=offset)
        if offset == DAYS - 2:
            continue
        start, end = midnight(zone, day), midnight(zone, day + timedelta(days=1))
        slots = [start + index * SLOT for index in range((end - start) // SLOT)]
        quality = [4 if offset == 3 and 20 <= index < 24 else 3 if offset == 4 else 0 for index in range(len(slots))]
        amounts = [0 if one >= 4 else energy[slot] for slot, one in zip(slots, quality, strict=True)]
        row = (SITE, NODE, str(ENERGY_IMPORT), day, amounts, quality, Jsonb([]), bytes(32), NOW)
        values = ", ".join(sql.Literal(one).as_string() for one in row)
        books.execute(f"INSERT INTO settled_days VALUES ({values})".encode())


def edges_of(zone: str, per: Per) -> list[datetime]:
    """Where hours, days or months begin in what was written, and the end of the last."""
    start, end = midnight(zone, FIRST_DAY), midnight(zone, FIRST_DAY + timedelta(days=DAYS))
    if per is Per.MONTH:
        return [midnight(zone, date(2026, month, 1)) for month in (10, 11)]
    edges = [start]
    for index in range(1, (end - start) // SLOT + 1):
        before, local = ((start + one * SLOT).astimezone(ZoneInfo(zone)) for one in (index - 1, index))
        shown = (local.hour, local.utcoffset()) if per is Per.HOUR else local.date()
        if shown != ((before.hour, before.utcoffset()) if per is Per.HOUR else before.date()):
            edges.append(start + index * SLOT)
    return edges


def advances_of(zone: str, per: Per, *, all_marks: bool = False) -> Iterator[int | None]:
    """What the register advanced in each of them [Wh]; None where an end was not read."""
    shown = {one.at: one.mantissa for one in shown_in(zone, all_marks=all_marks)}
    edges = edges_of(zone, per)
    for first, last in pairwise(edges):
        if first in shown and last in shown:
            yield (shown[last] - shown[first]) % MODULUS * STEP_WH
        else:
            yield None
