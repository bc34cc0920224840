"""The public test frames of libmbus (BSD-3), compared number by number with what that library makes of them.

They are not in this repository. METERTREE_MBUS_FRAMES names the folder `test` of a checkout of github rscada/libmbus;
without it the module is skipped. Run it by `METERTREE_MBUS_FRAMES=... pytest tests/captures/test_mbus_corpus.py`.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing.mbus import MbusRead, body_of
from device_profiles.framing.mbus_frame import telegram_in
from device_profiles.framing.mbus_numbers import number_in, seconds_in
from device_profiles.framing.mbus_records import MbusRecord, MbusTelegram, telegram_from_user
from device_profiles.profile import Profile, Protocol
from device_profiles.read_plan import plan_reads
from metering.errors import MeterError

FOLDER = Path(os.environ.get("METERTREE_MBUS_FRAMES", "/nonexistent"))
if not FOLDER.is_dir():
    pytest.skip("METERTREE_MBUS_FRAMES names no folder", allow_module_level=True)

UNITS = {
    "Wh": ("Wh", Fraction(1)),
    "kWh": ("Wh", Fraction(1000)),
    "J": ("kJ", Fraction(1, 1000)),
    "m^3": ("mL", Fraction(10**6)),
    "l": ("mL", Fraction(1000)),
    "W": ("W", Fraction(1)),
    "m^3/h": ("mL/h", Fraction(10**6)),
    "°C": ("m°C", Fraction(1000)),
    "K": ("m°C", Fraction(1000)),
    "V": ("mV", Fraction(1000)),
    "A": ("mA", Fraction(1000)),
    "s": ("s", Fraction(1)),
}
# libmbus prints six decimals of a double, so that is how closely its numbers can be compared.
NEAR = Fraction(1, 10**6)
NOT_RECORDS = ("Manufacturer specific", "More records follow")
# Hex digits in a BCD field, which a meter shows when it has no number: libmbus adds them up as if they were digits.
NO_NUMBERS = {
    ("ELS_Elster-F96-Plus", "Power"),
    ("ELS_Elster-F96-Plus", "Volume flow"),
    ("abb_f95", "Power"),
    ("abb_f95", "Volume flow"),
}


def telegram_of(path: Path) -> MbusTelegram:
    """Take a frame apart."""
    return telegram_from_user(telegram_in(bytes.fromhex(path.read_text(encoding="ascii"))).user)


def compared(name: str, theirs: ElementTree.Element, ours: MbusRecord) -> bool:
    """Compare one record where libmbus gives a number or a time; says whether it did."""
    unit, text, quantity = (theirs.findtext(tag) or "" for tag in ("Unit", "Value", "Quantity"))
    if ours.measure.quantity in ("date", "date-time"):
        return _times_agree(text, ours)
    unit = "°C" if unit.endswith("°C") else unit  # the files say ISO-8859-1 and are UTF-8
    if unit not in UNITS:
        return False
    base, size = UNITS[unit]
    try:
        number = number_in(ours)
    except MeterError:
        assert (name, quantity) in NO_NUMBERS, (name, quantity)
        return False
    assert ours.measure.base == base, (name, quantity)
    assert number is not None, (name, quantity)
    expected = Fraction(text) * size
    assert abs(number * ours.measure.factor - expected) <= NEAR * max(size, abs(expected)), (name, quantity)
    return True


def _times_agree(text: str, ours: MbusRecord) -> bool:
    seconds = seconds_in(ours)
    if "-00" in text:  # a day or month 0: libmbus prints it, we say that there is none
        assert seconds is None
        return False
    if seconds is None:
        return False
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert moment.startswith(text.rstrip("Z"))
    return True


def test_every_frame_is_read_and_every_number_agrees() -> None:
    numbers = 0
    paths = sorted((FOLDER / "test-frames").glob("*.hex"))
    assert len(paths) >= 76
    for path in paths:
        telegram = telegram_of(path)
        root = ElementTree.fromstring(path.with_suffix(".norm.xml").read_bytes())
        theirs = [each for each in root.iter("DataRecord") if each.findtext("Function") not in NOT_RECORDS]
        assert len(theirs) == len(telegram.records), path.name
        assert int(root.findtext("SlaveInformation/Id") or "", 16) == int(telegram.identification, 16)
        for each, record in zip(theirs, telegram.records, strict=True):
            assert int(each.findtext("StorageNumber") or record.storage) == record.storage
            assert int(each.findtext("Tariff") or record.tariff) == record.tariff
            assert int(each.findtext("Device") or record.subunit) == record.subunit
            numbers += compared(path.stem, each, record)
    assert numbers >= 741


def test_every_frame_that_must_be_refused_is_refused() -> None:
    for folder in ("error-frames", "unsupported-frames"):
        for path in sorted((FOLDER / folder).glob("*.hex")):
            if path.stem in ("manual_frame1", "svm_f22_telegram2"):
                continue  # not hex, and a telegram of a maker's own records that is right as such
            with pytest.raises(MeterError):
                telegram_of(path)


READ_BY_ANY_PROFILE = {"heat": 29, "water": 16, "gas": 3, "electricity": 11}
"""Telegrams of each medium whose billing register some shipped profile for any meter reads, of 32, 17, 4 and 15."""


def test_the_profiles_for_any_meter_read_most_models_and_refuse_the_rest() -> None:
    profiles = [each for each in Catalogue.shipped().profiles if each.id.startswith("mbus/")]
    read: Counter[str] = Counter()
    for path in sorted((FOLDER / "test-frames").glob("*.hex")):
        user = telegram_in(bytes.fromhex(path.read_text(encoding="ascii"))).user
        medium = telegram_from_user(user).medium
        reading = {profile.medium for profile in profiles if _reads(profile, medium, body_of([user]))}
        read.update(reading)
    assert read == READ_BY_ANY_PROFILE


def _reads(profile: Profile, medium: int, body: bytes) -> bool:
    group = profile.group("billing")
    (read,) = plan_reads(profile, Protocol.MBUS, group)
    if not isinstance(read, MbusRead) or medium not in read.media:
        return False
    try:
        return None not in decode_group(profile, Protocol.MBUS, group, [body])
    except MeterError:
        return False


SIZES = {"Wh": 1, "mL": 10**6, "W": 1, "mL/h": 10**6, "m°C": 1000, "mV": 1000, "mA": 1000, "s": 1}
"""Base units in one unit of pyMeterBus."""


def test_pymeterbus_makes_the_same_of_what_it_reads() -> None:
    """An oracle, where it is installed: it is no dependency. Its numbers went through floats, so they are near only."""
    meterbus = pytest.importorskip("meterbus")
    equal = refused = unread = 0
    for path in sorted((FOLDER / "test-frames").glob("*.hex")):
        telegram = telegram_of(path)
        try:
            theirs = meterbus.load(bytes.fromhex(path.read_text(encoding="ascii"))).records
            numbers = [each.parsed_value for each in theirs]
        except Exception:  # noqa: BLE001 - whatever it raises
            unread += 1
            continue
        for number, record in zip(numbers, telegram.records, strict=False):
            if not isinstance(number, int | float | Decimal) or record.measure.base not in SIZES:
                continue
            try:
                ours = number_in(record)
            except MeterError:
                refused += 1
                continue
            expected = Fraction(number) * SIZES[record.measure.base]
            assert ours is not None
            assert abs(ours * record.measure.factor - expected) <= NEAR * max(1, abs(expected)), path.name
            equal += 1
    assert (equal, refused, unread) == (620, 4, 3)
