"""Single cells of a row as what they mean: digits, ratios, times, coordinates. What is not plain is a finding."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from provisioning.meter_list.columns import Columns
from provisioning.meter_list.findings import ListFinding, Severity, finding
from provisioning.meter_list.table import EMPTY, Cell, CellKind
from provisioning.place import E7

RATIO_MAX = 100_000
_WHOLE = re.compile(r"[0-9]{1,9}\Z")
_RATIO = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(k?[AVav])?\s*[/:：]\s*([0-9]+(?:\.[0-9]+)?)\s*(k?[AVav])?\Z")
_DEGREES = re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{1,12})?\Z")
_MOMENT_FORMS = tuple(
    f"{day}{time}"
    for day in ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日")
    for time in ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")
)


@dataclass(slots=True)
class Row:
    """One row of a list, field by field; what is wrong with it goes to `findings`."""

    number: int
    cells: tuple[Cell, ...]
    columns: Columns
    numbers_are_whole: bool
    findings: list[ListFinding] = field(default_factory=list)

    @property
    def is_taken(self) -> bool:
        """Whether nothing stands against the row so far."""
        return all(one.severity is Severity.NOTE for one in self.findings)

    def tell(self, code: str, name: str | None = None, **facts: object) -> None:
        """Keep a finding at the column of field `name`."""
        place = None if name is None else self.columns.place(name)
        self.findings.append(finding(code, self.number, place, **({"field": name} if name else {}), **facts))

    def cell(self, name: str) -> Cell:
        """Give the cell of a field; an empty one where there is no column, or nothing that can be read."""
        column = self.columns.of.get(name)
        cell = EMPTY if column is None or column >= len(self.cells) else self.cells[column]
        if cell.kind is CellKind.FORMULA:
            self.tell("formula", name)
            return EMPTY
        if cell.kind is CellKind.ERROR or not cell.text.isprintable():
            self.tell("cell-error", name, text=repr(cell.text))
            return EMPTY
        if cell.computed:
            self.tell("formula-result", name, text=cell.text)
        return cell

    def text(self, name: str) -> str | None:
        """Give the text of a cell that need not be filled; None for an empty one."""
        return self.cell(name).text or None

    def needed(self, name: str) -> str | None:
        """Give the text of a cell that must be filled."""
        before = len(self.findings)
        text = self.text(name)
        if text is None and len(self.findings) == before:
            self.tell("empty", name)
        return text

    def digits(self, name: str, *, zeros_count: bool) -> str | None:
        """Give what is printed on a plate, where zeros in front belong to it if `zeros_count`."""
        before = len(self.findings)
        cell = self.cell(name)
        if not cell.text:
            if len(self.findings) == before:
                self.tell("empty", name)
            return None
        if cell.kind is CellKind.CUT:
            self.tell("number-cut", name, text=cell.text)
            return None
        if cell.kind is CellKind.NUMBER and zeros_count and not self.numbers_are_whole:
            self.tell("number-cell", name, text=cell.text)
            return None
        return cell.text

    def ratio(self, name: str) -> int | None:
        """Read a transformer ratio: 40, or 200/5, or 10kV/100V; None for an empty cell."""
        text = self.text(name)
        if text is None:
            return None
        number = ratio_of(text)
        if number is None or not 1 <= number <= RATIO_MAX:
            self.tell("not-integer", name, text=text)
            return None
        if number.denominator != 1:
            self.tell("ratio-uneven", name, text=text)
            return None
        return number.numerator

    def moment(self, name: str) -> datetime | None:
        """Read a local time of the site, without a zone; None for an empty cell."""
        cell = self.cell(name)
        if cell.moment is not None or not cell.text:
            return cell.moment
        for form in _MOMENT_FORMS:
            try:
                return datetime.strptime(cell.text, form)  # noqa: DTZ007 local time of the site, written as such
            except ValueError:
                continue
        self.tell("moment", name, text=cell.text)
        return None

    def degrees_e7(self, name: str, limit: int) -> int | None:
        """Read decimal degrees of at most `limit` [10^-7 degree]; finer digits are cut; None for an empty cell."""
        text = self.text(name)
        if text is None:
            return None
        if not _DEGREES.match(text) or abs(Fraction(text)) > limit:
            self.tell("coordinate", name, text=text)
            return None
        exact = Fraction(text) * E7
        return int(exact)


def ratio_of(text: str) -> Fraction | None:
    """Give the ratio written as `40`, `200/5`, `200:5 A` or `10kV/100V`; None for another form."""
    if _WHOLE.match(text):
        return Fraction(text)
    parts = _RATIO.match(text)
    if parts is None:
        return None
    first, unit, second, other = parts.groups()
    units = [None if one is None else one.casefold() for one in (unit, other)]
    if None not in units and units[0][-1:] != units[1][-1:]:  # type: ignore[index]
        return None  # amperes against volts
    if Fraction(second) == 0:
        return None
    if (units[0] or "").startswith("k") and units[1] is None:
        return None  # 10kV/100: of what?
    scale = [1000 if (one or "").startswith("k") else 1 for one in units]
    return Fraction(first) * scale[0] / (Fraction(second) * scale[1])


def same_name(text: str) -> str:
    """Give a name as it is compared: single spaces, no case."""
    return " ".join(text.split()).casefold()


def find_named(text: str, named: Mapping[str, tuple[str, str]]) -> list[str]:
    """Find the ids that a text means: the id itself, or all whose Chinese or English name it is."""
    if text in named:
        return [text]
    wanted = same_name(text)
    return [one for one, names in named.items() if wanted in map(same_name, names)]
