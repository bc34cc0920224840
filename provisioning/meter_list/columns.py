"""What the headings of meter lists mean, in Chinese and English. A heading that may mean two things is not decided."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from provisioning.meter_list.findings import ListFinding, finding
from provisioning.meter_list.table import Cell, Table, letter

FIELDS = (
    "id",
    "serial",
    "profile",
    "protocol",
    "gateway",
    "port",
    "address",
    "node",
    "unit",
    "ct",
    "pt",
    "multiplier",
    "from",
    "longitude",
    "latitude",
    "place",
)
NEEDED = ("serial", "profile", "port", "address")
"""Columns without which nothing can be put into a site; a node or a unit is needed too, and ratios."""
NEEDED_OF_EXPECTED = ("serial",)
"""Columns without which nobody can be told what to expect; a node or a unit is needed too."""
_KNOWN = tomllib.loads(files("provisioning.meter_list").joinpath("headings.toml").read_text(encoding="utf-8"))
_VAGUE: dict[str, list[str]] = _KNOWN["vague"]
_BY_HEADING: dict[str, str] = {heading: field for field, headings in _KNOWN["headings"].items() for heading in headings}
LEAVE_OUT = "-"
"""Instead of a field: do not read this column."""
_HEADER_WITHIN = 20
_BRACKETS = re.compile(r"\s*[(\[].*?[)\]]\s*")


def plain(heading: str) -> str:
    """Give a heading as it is compared: no wide forms, no brackets, single spaces, lower case."""
    text = _BRACKETS.sub(" ", unicodedata.normalize("NFKC", heading)).replace("_", " ").replace(".", " ")
    return " ".join(text.split()).casefold().rstrip(":* ")


def is_heading(text: str) -> bool:
    """Say whether a text is a heading that is known, if only as one that means several things."""
    return plain(text) in _BY_HEADING or plain(text) in _VAGUE


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the header stands (its index among the rows), and which column gives which field."""

    header: int
    of: Mapping[str, int]

    def place(self, field: str) -> str | None:
        """Give the letter of the column of `field`, None without one."""
        return letter(self.of[field]) if field in self.of else None


def find_columns(table: Table, said: Mapping[str, str]) -> tuple[Columns | None, list[ListFinding]]:
    """Find the header of a table and what its columns give; None without a header.

    said   what a person decided: heading to field, or to "-" for a column to leave out
    """
    decided = {plain(heading): field for heading, field in said.items()}

    def score(index: int) -> int:
        return sum(is_heading(cell.text) or plain(cell.text) in decided for cell in table.rows[index][1])

    rows = range(min(len(table.rows), _HEADER_WITHIN))
    header = max(rows, key=lambda index: (score(index), -index), default=None)
    if header is None or score(header) < 2:
        return None, []
    row, cells = table.rows[header]
    found: dict[str, int] = {}
    findings: list[ListFinding] = []
    for column, cell in enumerate(cells):
        field = decided.get(plain(cell.text)) or _BY_HEADING.get(plain(cell.text))
        if field is None:
            findings.extend(_not_taken(cell, row, column))
        elif field in found:
            findings.append(finding("column-twice", row, letter(column), field=field))
        elif field != LEAVE_OUT:
            found[field] = column
    return Columns(header, found), findings


def _not_taken(cell: Cell, row: int, column: int) -> list[ListFinding]:
    vague = _VAGUE.get(plain(cell.text))
    if vague:
        facts = {"fields": ", ".join(vague), "first": vague[0]}
        return [finding("heading-vague", row, letter(column), heading=cell.text, **facts)]
    return [finding("column-unread", row, letter(column), heading=cell.text)] if cell.text else []
