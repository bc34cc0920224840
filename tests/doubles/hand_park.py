"""The park in which people read the meter of unit b301, and a centre that takes what they read."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import UTC, datetime

from device_profiles.profile import Protocol
from ingest.caller import Caller
from ingest.reading_desk import Look, ReadingDesk
from ingest.store.database import Database
from metering.clock import ManualClock
from metering.identity import GatewayId, MeterId, PortId, SiteId
from metering.obis import Obis
from provisioning.photo_file import PlainPhoto
from provisioning.photo_reading.reader import SeenDigits
from provisioning.site import HandPort, Site
from tests.doubles.park_books import CENTRE, ParkBooks, read_park
from tests.doubles.plain_photos import chunk

PARK_ID = SiteId("park")
HAND_METER = MeterId("m-u-b301")
BUS_METER = MeterId("m-u-b201")
NOW = datetime(2026, 8, 1, 9, 30, tzinfo=UTC)
AN, BO = (Caller(name, "192.0.2.7", "telephone", in_person=True) for name in ("an", "bo"))
ADMIN = Caller("admin", "192.0.2.1", "browser")


class SeenByMachine:
    """A reader of photos that sees what it is told to."""

    name = "told"

    def __init__(self) -> None:
        self.sees: tuple[SeenDigits, ...] = ()

    def read(self, photo: PlainPhoto) -> tuple[SeenDigits, ...]:
        """Give what it was told."""
        assert photo.octets
        return self.sees


def hand_park(site: Site) -> Site:
    """Let people read the meter of b301: six digits and two decimals."""
    round_ = HandPort(PortId("round"), GatewayId("gw-b"))
    changes = {"profile": "hand/electricity-6-2", "protocol": Protocol.HAND, "port": round_.id, "address": "b301"}
    meters = [replace(one, **changes) if one.id == HAND_METER else one for one in site.meters]  # type: ignore[arg-type]
    return replace(site, meters=tuple(meters), ports=(*site.ports, round_))


class HandCentre:
    """Books of the park and a desk, over one database."""

    def __init__(self, database: Database) -> None:
        site, rules, play, catalogue = read_park()
        self.database = database
        self.site = hand_park(site)
        self.catalogue = catalogue
        self.machine = SeenByMachine()
        self.clock = ManualClock(NOW)
        self.counted = 0
        read = frozenset(meter.id for meter in self.site.meters if meter.protocol is not Protocol.HAND)
        self.books = ParkBooks(database, self.site, rules, play, catalogue, only=read)
        self.desk = ReadingDesk(
            database, CENTRE, CENTRE.public_key, self.clock, catalogue, lambda: self.machine, self.count
        )

    def count(self) -> None:
        """Note that what counts has changed."""
        self.counted += 1


def drawn(digits: str) -> bytes:
    """A photo that shows nothing, another for other digits: a grey PNG, plain already."""
    size = (4).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"\x08\0\0\0\0"
    grey = zlib.compress(b"\0" + (int(digits) % 2**32).to_bytes(4, "big"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", grey) + chunk(b"IEND", b"")


def look(
    text: str | None,
    at: datetime,
    *,
    meter: MeterId = HAND_METER,
    obis: Obis | None = None,
    photo: bytes | None = None,
    reader: str | None = None,
) -> Look:
    """What somebody brings from a round."""
    return Look(site=PARK_ID, meter=meter, obis=obis, read_at=at, text=text, photo=photo, reader=reader)
