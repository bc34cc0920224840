"""What a DLMS meter has kept: rows of a profile between two moments or two entries, to fill gaps in afterwards. Pure.

A read asks for the captured objects, the capture period and the rows; the body stands for itself, as every body does.
Rows come with their columns named, what the meter left out filled in, and each moment as the meter's own wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_profiles.forms import NotReadable
from device_profiles.framing.axdr import AxdrError, Data
from device_profiles.framing.cosem import CLOCK, moment_from_octets, moment_to_octets, profile_rows
from device_profiles.framing.dlms import DlmsOptions, DlmsRead, body_elements
from device_profiles.framing.xdlms import Attribute, ClockRange, EntryRange, Selection
from metering.errors import MeteringError
from metering.obis import Obis

PROFILE_GENERIC = 7
BUFFER, CAPTURE_OBJECTS, CAPTURE_PERIOD = 2, 3, 4


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One row: its moment in seconds from 1970-01-01T00:00 by the meter's clock, None where it has none, and cells."""

    moment: int | None
    cells: dict[Attribute, Data]


def history_between(profile: Obis, first: int, last: int, options: DlmsOptions) -> DlmsRead:
    """Ask for the rows of two moments and all between [seconds by the meter's own wall clock]."""
    return _read(profile, ClockRange(moment_to_octets(first), moment_to_octets(last)), options)


def history_entries(profile: Obis, first: int, last: int, options: DlmsOptions) -> DlmsRead:
    """Ask for entries `first` to `last` of the buffer, counted from 1; `last` 0 is the highest."""
    return _read(profile, EntryRange(first, last), options)


def history_rows(body: bytes) -> tuple[HistoryRow, ...]:
    """Read the body of such a read; raises NotReadable."""
    try:
        elements = body_elements(body)
    except AxdrError as error:
        raise NotReadable(str(error)) from error
    if len(elements) != 3 or not elements[1].is_integer:
        raise NotReadable("not what a profile captures, its period and its rows")
    captured, period, buffer = elements
    columns = tuple(_column(each) for each in captured.elements)
    return tuple(_row(columns, cells) for cells in profile_rows(captured, buffer, period.number))


def _read(profile: Obis, selection: Selection, options: DlmsOptions) -> DlmsRead:
    numbers = (CAPTURE_OBJECTS, CAPTURE_PERIOD)
    captured = tuple(Attribute(PROFILE_GENERIC, profile, number) for number in numbers)
    return DlmsRead((*captured, Attribute(PROFILE_GENERIC, profile, BUFFER, selection)), options)


def _column(captured: Data) -> Attribute:
    parts = captured.elements
    try:
        return Attribute(parts[0].number, Obis.from_wire(parts[1].octets), parts[2].number)
    except (IndexError, MeteringError) as error:
        raise NotReadable(f"a column of no form: {captured.to_wire().hex()}") from error


def _row(columns: tuple[Attribute, ...], cells: tuple[Data, ...]) -> HistoryRow:
    by_column = dict(zip(columns, cells, strict=True))
    clock = by_column.get(CLOCK)
    return HistoryRow(None if clock is None else moment_from_octets(clock.octets), by_column)
