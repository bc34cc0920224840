"""Many small sites in one database: the example park again and again, each with its own ids, loads and areas."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ingest.store.database import Database
from metering.identity import SiteId
from metering.interval import SLOT
from tests.doubles.park_books import PARK, ParkBooks, read_park

DAY = "2026-07-01--2026-07-01"
GATEWAYS_EACH = 2


def park_id(number: int) -> SiteId:
    """Give the id of a park."""
    return SiteId(f"park-{number}")


def write_park(number: int, folder: Path) -> Path:
    """Write the folder of park `number`: nobody else's gateways and meters, other loads and other floor areas."""
    copy = shutil.copytree(PARK, folder / park_id(number))
    for file in copy.glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        text = text.replace('id = "park"', f'id = "{park_id(number)}"')
        text = re.sub(r'"((?:gw|m)-[a-z0-9-]+)"', rf'"\1-p{number}"', text)
        text = re.sub(r"^\[registers\.(m-[a-z0-9-]+)\]", rf"[registers.\1-p{number}]", text, flags=re.MULTILINE)
        text = re.sub(r"^seed = (\d+)", lambda found: f"seed = {int(found[1]) + number}", text, flags=re.MULTILINE)
        text = re.sub(r"^peak_w = (\d+)", lambda found: f"peak_w = {int(found[1]) + 37 * number}", text, flags=re.M)
        text = re.sub(r'area_m2 = "(\d+)\.', lambda found: f'area_m2 = "{int(found[1]) + number}.', text)
        file.write_text(text, encoding="utf-8")
    return copy


def open_park(database: Database, number: int, folder: Path) -> ParkBooks:
    """Import park `number` and enrol its gateways; nothing of it is read yet."""
    site, rules, play, catalogue = read_park(write_park(number, folder))
    books = ParkBooks(database, site, rules, play, catalogue, claims_from=GATEWAYS_EACH * number)
    books.enrol_all()
    return books


def write_parks(database: Database, numbers: Iterable[int], folder: Path) -> None:
    """Import parks and store every reading of DAY."""
    for number in numbers:
        books = open_park(database, number, folder)
        start = books.site.calendar.period(DAY).start
        books.write(start + index * SLOT for index in range(97))
