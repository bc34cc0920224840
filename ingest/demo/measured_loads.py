"""Measured loads from a CSV file: mean power per quarter hour in local time, as building databases export it.

One column of local wall-clock times (`YYYY-MM-DD HH:MM`, start of the quarter hour) and columns of power [kW]. The rows
must rise; on the day when clocks go back the repeated hour stands twice. A row that is left out or a cell that is
left empty is a gap. A gap is never hidden: the meter of that column is mute at every mark that ends a slot of the gap,
so the centre sees silence and records its own estimate. What the meter counted meanwhile, nobody knows; the played
register goes on along the straight line between the neighbouring powers, because a real register would not stand still.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path

import numpy as np

from ingest.demo.loads import Int64Array
from metering.errors import DocumentError, Fault
from metering.interval import Interval, SiteCalendar

TIME_FORM = "%Y-%m-%d %H:%M"
W_PER_KW = 1000
POWER_KW_MAX = Decimal(1_000_000)
"""1 GW: more than any site; keeps the month's sum of all nodes far inside 64 bits."""
FAULTS_MAX = 20
"""Enough to see the pattern of a wrong file; a thousand lines of the same mistake help nobody."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of slots without a measured value: the first and the number of slots."""

    first_slot: int
    slots: int

    @property
    def mute_marks(self) -> range:
        """Marks at which the meter is mute: the end of every slot of the gap."""
        return range(self.first_slot + 1, self.first_slot + self.slots + 1)


@dataclass(frozen=True, slots=True)
class MeasuredLoad:
    """One column: mean power of each slot [W], shape (slots,), filled where `gaps` say so."""

    power_w: Int64Array
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class MeasuredLoads:
    """A month of measured columns by name."""

    period: str
    columns: dict[str, MeasuredLoad]


def read_measured_loads(
    path: Path, *, time_column: str, columns: Sequence[str], unread: Sequence[str], calendar: SiteCalendar
) -> MeasuredLoads:
    """Read the `columns` [kW] of a CSV file that holds one local month; raises DocumentError with every fault.

    unread   columns known to be there and not wanted; any further column is a fault, so that none is forgotten
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError((_fault(path, 1, f"cannot be read: {error}", "give a UTF-8 CSV file"),)) from error
    rows = csv.DictReader(text.splitlines())
    header = rows.fieldnames or ()
    mend = f"the header has: {', '.join(header) or 'nothing'}"
    faults = [
        _fault(path, 1, f"there is no column {name!r}", mend) for name in (time_column, *columns) if name not in header
    ]
    mend = "map it to a node, or list it as unread in the loads file"
    known = {time_column, *columns, *unread}
    faults += [_fault(path, 1, f"column {name!r} is not mapped", mend) for name in header if name not in known]
    if faults:
        raise DocumentError(tuple(faults))
    return _Reader(path, time_column, columns, calendar).read(rows)


class _Reader:
    """Reads rows into columns and collects faults as it goes."""

    def __init__(self, path: Path, time_column: str, columns: Sequence[str], calendar: SiteCalendar) -> None:
        self._path = path
        self._time_column = time_column
        self._columns = columns
        self._calendar = calendar
        self._faults: list[Fault] = []

    def read(self, rows: csv.DictReader[str]) -> MeasuredLoads:
        """Read all rows; raises DocumentError with every fault up to a bound."""
        timed = list(self._timed(rows))
        if not timed:
            self._complain(2, "no row has a time that can be read", "give one row per quarter hour")
        self._raise_faults()
        period = f"{timed[0][1]:%Y-%m}"
        month = self._calendar.month(period)
        powers: dict[str, list[int | None]] = {name: [None] * month.slot_count for name in self._columns}
        for line, slot, row in self._placed(timed, month, period):
            for name in self._columns:
                powers[name][slot] = self._watts(line, name, row[name])
        self._raise_faults()
        loads = {name: self._filled(name, power) for name, power in powers.items()}
        self._raise_faults()
        return MeasuredLoads(period, loads)

    def _timed(self, rows: csv.DictReader[str]) -> Iterator[tuple[int, datetime, dict[str, str]]]:
        """Give each row with its line and its local wall-clock time."""
        for row in rows:
            text = row[self._time_column] or ""
            try:
                yield rows.line_num, datetime.strptime(text, TIME_FORM).replace(tzinfo=self._calendar.tz), row
            except ValueError:
                self._complain(rows.line_num, f"{text!r} is not a time", "write it as 2026-07-01 00:15")

    def _placed(
        self, timed: Sequence[tuple[int, datetime, dict[str, str]]], month: Interval, period: str
    ) -> Iterator[tuple[int, int, dict[str, str]]]:
        """Give each row with its line and its slot. A wall-clock time that occurs twice takes its slots in order."""
        slots: dict[datetime, list[int]] = defaultdict(list)
        for slot, mark in enumerate(list(month.marks())[:-1]):
            slots[self._calendar.local(mark).replace(fold=0)].append(slot)
        last = -1
        for line, local, row in timed:
            later = [slot for slot in slots.get(local, ()) if slot > last]
            if later:
                last = later[0]
                yield line, last, row
            elif local in slots:
                self._complain(line, f"{local:%Y-%m-%d %H:%M} is not after the row before", "sort the rows by time")
            else:
                mend = "keep one month, in quarter hours"
                self._complain(line, f"{local:%Y-%m-%d %H:%M} is no quarter hour of {period}", mend)

    def _watts(self, line: int, name: str, text: str | None) -> int | None:
        """Convert a cell [kW] to whole watts, to the nearest, ties to even; None for an empty cell."""
        if text is None or not text.strip():
            return None
        try:
            power_kw = Decimal(text.strip())
        except InvalidOperation:
            power_kw = Decimal("NaN")
        if not power_kw.is_finite() or abs(power_kw) > POWER_KW_MAX:
            self._complain(
                line, f"column {name}: {text!r} is not a power in kW", "write it as 12.345 or leave it empty"
            )
            return None
        return int((power_kw * W_PER_KW).to_integral_value(ROUND_HALF_EVEN))

    def _filled(self, name: str, power: list[int | None]) -> MeasuredLoad:
        known = [(slot, watts) for slot, watts in enumerate(power) if watts is not None]
        if not known:
            self._complain(1, f"column {name} holds no value at all", "leave the column out of the loads file")
            return MeasuredLoad(np.zeros(len(power), dtype=np.int64), ())
        # Sentinels hold the first and the last known power to the ends of the month.
        known = [(-1, known[0][1]), *known, (len(power), known[-1][1])]
        gaps: list[Gap] = []
        filled = [watts or 0 for watts in power]
        for (left, from_w), (right, to_w) in pairwise(known):
            if right - left > 1:
                gaps.append(Gap(left + 1, right - left - 1))
            for slot in range(left + 1, right):
                filled[slot] = from_w + (to_w - from_w) * (slot - left) // (right - left)
        return MeasuredLoad(np.array(filled, dtype=np.int64), tuple(gaps))

    def _complain(self, line: int, problem: str, mend: str) -> None:
        self._faults.append(_fault(self._path, line, problem, mend))
        if len(self._faults) >= FAULTS_MAX:
            self._raise_faults()

    def _raise_faults(self) -> None:
        if self._faults:
            raise DocumentError(tuple(self._faults))


def _fault(path: Path, line: int, problem: str, mend: str) -> Fault:
    return Fault(path=str(path), line=line, problem=problem, mend=mend)
