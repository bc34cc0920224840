"""A CSV or XLSX file as cells of text, with what is doubtful of a cell said beside it.

A spreadsheet keeps a serial typed as digits as a number: zeros in front go, and past 15 digits the rest too. So a cell
says whether it was a number, and only a format that shows all digits ("000000") makes a number a text again.
Sizes are bounded before anything is unpacked: a list of 100,000 meters is far below.
"""

from __future__ import annotations

import csv
import importlib
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from metering.errors import DocumentError, Fault

OCTETS_MAX = 20_000_000
"""Larger than the list of 100,000 meters by far [octets]."""
UNPACKED_MAX = 200_000_000
ROWS_MAX = 100_000
COLUMNS_MAX = 200
DIGITS_EXACT = 15
"""Spreadsheets keep numbers as binary64: later digits are lost."""
_DELIMITERS = ",;\t"
_ZEROS = re.compile(r"0+\Z")
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, ParseError, OSError, EOFError),
    *(LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RuntimeError),
)
"""What reading a damaged spreadsheet ends with: the library trusts what stands in it."""
_ERROR = re.compile(r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|CALC!|#+)\Z")
_SHORTENED = re.compile(r"[0-9](?:\.[0-9]+)?[eE]\+?[0-9]+\Z")


class CellKind(StrEnum):
    """What a cell was in the file."""

    TEXT = "text"
    NUMBER = "number"
    CUT = "cut"
    """A number that lost digits, or was shortened to powers of ten."""
    MOMENT = "moment"
    FORMULA = "formula"
    """A formula without a result."""
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text with spaces around it taken off, what it was, and whether a formula gave it."""

    text: str
    kind: CellKind = CellKind.TEXT
    computed: bool = False
    moment: datetime | None = None


EMPTY = Cell("")


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one sheet, with their numbers as the spreadsheet shows them; `encoding` of a text file."""

    name: str
    rows: tuple[tuple[int, tuple[Cell, ...]], ...]
    encoding: str | None


def letter(column: int) -> str:
    """Give the letter of a column counted from 0: A, B ... Z, AA."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def read_tables(path: Path, *, is_heading: Callable[[str], bool]) -> tuple[Table, ...]:
    """Read every sheet of a file that has content; raises DocumentError.

    is_heading   whether a text is a heading that is known; decides between delimiters and between encodings
    """
    try:
        octets = path.read_bytes() if path.stat().st_size <= OCTETS_MAX else None
    except OSError as error:
        raise _fault(path, f"cannot be read: {error}", "name a CSV or XLSX file") from error
    if octets is None:
        raise _fault(path, f"larger than {OCTETS_MAX // 1_000_000} MB", "divide the list")
    if octets.startswith(b"PK"):
        return tuple(_sheets(path, octets))
    if octets.startswith(b"\xd0\xcf\x11\xe0"):
        raise _fault(path, "an old spreadsheet (.xls)", "save it as .xlsx or CSV")
    return (_text_table(path, octets, is_heading),)


def _fault(path: Path, problem: str, mend: str) -> DocumentError:
    return DocumentError((Fault(path=str(path), line=1, problem=problem, mend=mend),))


def _text_table(path: Path, octets: bytes, is_heading: Callable[[str], bool]) -> Table:
    encoding, text = _decoded(path, octets, is_heading)
    delimiter = max(_DELIMITERS, key=lambda sign: _known(text, sign, is_heading))
    rows: list[tuple[int, tuple[Cell, ...]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for parts in reader:
            if any(part.strip() for part in parts):
                rows.append((line, tuple(_text_cell(part) for part in parts[:COLUMNS_MAX])))
            line = reader.line_num + 1
            if len(rows) > ROWS_MAX:
                raise _fault(path, f"more than {ROWS_MAX} rows", "divide the list")
    except csv.Error as error:
        fault = Fault(path=str(path), line=line, problem=f"not CSV: {error}", mend="mend the quotes here")
        raise DocumentError((fault,)) from error
    return Table(path.name, tuple(rows), encoding)


def _decoded(path: Path, octets: bytes, is_heading: Callable[[str], bool]) -> tuple[str, str]:
    """Decode a text: by its mark, as UTF-8 where it is that, else as GB 18030 where known headings appear so."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if octets.startswith(mark):
            try:
                return name, octets.decode(name)
            except UnicodeDecodeError as error:
                raise _fault(path, f"not {name} although it begins so", "save it again as CSV UTF-8") from error
    for name in ("utf-8", "gb18030"):
        try:
            text = octets.decode(name)
        except UnicodeDecodeError:
            continue
        if name == "utf-8" or any(_known(text, sign, is_heading) for sign in _DELIMITERS):
            return name, text
    raise _fault(path, "neither UTF-8 nor GB 18030 with headings that are known", "save it as CSV UTF-8")


def _known(text: str, delimiter: str, is_heading: Callable[[str], bool]) -> int:
    """Count the known headings of the best of the first lines, were they divided so."""
    lines = (line.split(delimiter) for line in islice(io.StringIO(text), 20))
    return max((sum(is_heading(part.strip().strip('"')) for part in parts) for parts in lines), default=0)


def _text_cell(text: str) -> Cell:
    text = text.strip()
    if text.startswith('="') and text.endswith('"'):
        return Cell(text[2:-1])  # the way to keep zeros when a spreadsheet opens a CSV
    if _ERROR.match(text):
        return Cell(text, CellKind.ERROR)
    return Cell(text, CellKind.CUT if _SHORTENED.match(text) else CellKind.TEXT)


def _sheets(path: Path, octets: bytes) -> Iterator[Table]:
    try:
        openpyxl: Any = importlib.import_module("openpyxl")
    except ImportError as error:
        raise _fault(path, "XLSX needs the package openpyxl", "install metertree[tables], or save as CSV") from error
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as archive:
            if sum(part.file_size for part in archive.infolist()) > UNPACKED_MAX:
                raise _fault(path, f"more than {UNPACKED_MAX // 1_000_000} MB unpacked", "divide the list")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of colours and rules that it cannot keep
            yield from _workbook_tables(path, openpyxl, octets)
    except _UNREADABLE as error:
        raise _fault(
            path, f"not a readable XLSX file: {error!r}", "open it and save it again, or save as CSV"
        ) from error


def _workbook_tables(path: Path, openpyxl: Any, octets: bytes) -> Iterator[Table]:
    shown, written = (
        openpyxl.load_workbook(io.BytesIO(octets), read_only=True, data_only=results, keep_links=False)
        for results in (True, False)
    )
    for sheet, formulas in zip(shown.worksheets, written.worksheets, strict=True):
        rows = tuple(_sheet_rows(path, sheet, formulas))
        if rows:
            yield Table(sheet.title, rows, None)


def _sheet_rows(path: Path, sheet: Any, formulas: Any) -> Iterator[tuple[int, tuple[Cell, ...]]]:
    # A sheet may say that it is smaller than it is; what it holds counts.
    sheet.reset_dimensions()
    formulas.reset_dimensions()
    pairs = zip(sheet.iter_rows(max_col=COLUMNS_MAX), formulas.iter_rows(max_col=COLUMNS_MAX), strict=True)
    for number, (shown, written) in enumerate(pairs, start=1):
        if number > ROWS_MAX:
            raise _fault(path, f"more than {ROWS_MAX} rows", "divide the list")
        cells = tuple(_sheet_cell(one, other) for one, other in zip(shown, written, strict=True))
        if any(cell.text for cell in cells):
            yield number, cells


def _sheet_cell(shown: Any, written: Any) -> Cell:
    content = shown.value
    computed = written.data_type == "f"
    if content is None:
        return Cell("=", CellKind.FORMULA) if computed else EMPTY
    if shown.data_type == "e":
        return Cell(str(content), CellKind.ERROR, computed)
    if isinstance(content, bool):
        return Cell(str(content).upper(), CellKind.TEXT, computed)
    if isinstance(content, date):
        moment = content if isinstance(content, datetime) else datetime.combine(content, datetime.min.time())
        return Cell(moment.isoformat(sep=" "), CellKind.MOMENT, computed, moment)
    if isinstance(content, int | float):
        return _number_cell(content, str(shown.number_format), computed)
    return Cell(str(content).strip(), CellKind.TEXT, computed)


def _number_cell(content: int | float, form: str, computed: bool) -> Cell:
    if isinstance(content, float) and content.is_integer() and abs(content) < 10**DIGITS_EXACT:
        content = int(content)
    text = str(content)
    if isinstance(content, int) and _ZEROS.match(form):
        return Cell(text.zfill(len(form)), CellKind.TEXT, computed)
    long = len(text.lstrip("-")) > DIGITS_EXACT if isinstance(content, int) else "e" in text
    return Cell(text, CellKind.CUT if long else CellKind.NUMBER, computed)
