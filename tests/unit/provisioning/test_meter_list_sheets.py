"""Spreadsheets keep digits as numbers and results of formulas; what that loses is told, never filled in."""

from __future__ import annotations

import contextlib
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.errors import DocumentError
from provisioning.meter_list import Choices, MeterList, read_meter_list, table
from provisioning.meter_list.columns import is_heading
from provisioning.meter_list.table import CellKind, letter, read_tables
from provisioning.site_file import read_site

WHOLE = read_site(Path(__file__).parents[3] / "examples" / "park")
PARK = replace(WHOLE, meters=tuple(one for one in WHOLE.meters if one.node != "u-b101"))
HEAD = ["序列号", "型号", "规约", "端口", "通信地址", "计量点", "CT", "PT", "安装日期"]
ROW: list[Any] = ["NEW-1", "dlt645/three-phase", "DL/T 645-2007", "line-a", "202301010001", "u-b101", 1, 1, None]


def book(path: Path, *rows: list[Any], formats: dict[str, str] | None = None, name: str = "台账") -> Path:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.title = name
    for row in rows:
        sheet.append(row)
    for place, form in (formats or {}).items():
        sheet[place].number_format = form
    workbook.save(path)
    return path


def read(path: Path, **choices: Any) -> MeterList:
    return read_meter_list(path, PARK, Choices(**choices))


def with_cell(column: int, content: Any) -> list[Any]:
    return [content if index == column else each for index, each in enumerate(ROW)]


def codes(found: MeterList) -> list[tuple[str, int | None, str | None]]:
    return [(one.code, one.row, one.column) for one in found.findings if one.severity != "note"]


def test_a_sheet_is_read_like_a_text_file(tmp_path: Path) -> None:
    found = read(book(tmp_path / "a.xlsx", ["园区台账"], HEAD, with_cell(8, datetime(2026, 10, 1, 8))))
    assert found.is_ready
    assert found.sheet == "台账"
    assert (found.meters[0].row, found.meters[0].meter.address) == (3, "202301010001")
    assert found.meters[0].start == datetime(2026, 10, 1, 8)


def test_a_serial_that_is_a_number_may_have_lost_zeros(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", HEAD, with_cell(0, 45001234))
    assert codes(read(path)) == [("number-cell", 2, "A")]
    assert read(path, numbers_are_whole=True).meters[0].meter.serial == "45001234"


def test_a_format_of_zeros_shows_the_digits_that_a_number_lost(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", HEAD, with_cell(4, 1010001), formats={"E2": "000000000000"})
    assert read(path).meters[0].meter.address == "000001010001"


def test_a_number_longer_than_a_spreadsheet_keeps_is_never_taken(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", HEAD, with_cell(0, 1234567890123456789))
    assert codes(read(path, numbers_are_whole=True)) == [("number-cut", 2, "A")]


def test_a_unit_id_of_modbus_has_no_zeros_to_lose(tmp_path: Path) -> None:
    row = ["NEW-1", "eastron/sdm630", "Modbus TCP", "tcp-b", 33, "u-b101", 1, 1, None]
    assert read(book(tmp_path / "a.xlsx", HEAD, row)).meters[0].meter.address == "33"


def test_a_formula_that_was_never_computed_is_told(tmp_path: Path) -> None:
    assert codes(read(book(tmp_path / "a.xlsx", HEAD, with_cell(0, "=A9&1")))) == [("formula", 2, "A")]


def test_an_error_in_a_cell_is_told(tmp_path: Path) -> None:
    assert codes(read(book(tmp_path / "a.xlsx", HEAD, with_cell(0, "#N/A")))) == [("cell-error", 2, "A")]


def test_two_sheets_with_lists_wait_for_a_person(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", HEAD, ROW)
    workbook = openpyxl.load_workbook(path)
    other = workbook.create_sheet("旧")
    other.append(HEAD)
    other.append(ROW)
    workbook.save(path)
    with pytest.raises(DocumentError, match="--sheet '台账'"):
        read(path)
    assert read(path, sheet="旧").sheet == "旧"
    with pytest.raises(DocumentError, match="no sheet 'x'"):
        read(path, sheet="x")


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * 3_000_000)
    monkeypatch.setattr(table, "UNPACKED_MAX", 2_000_000)
    with pytest.raises(DocumentError, match="MB unpacked"):
        read(path)


def test_an_old_spreadsheet_is_told_how_to_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(100))
    with pytest.raises(DocumentError, match=r"save it as \.xlsx"):
        read(path)


def test_a_missing_or_huge_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        read(tmp_path / "none.csv")
    path = tmp_path / "a.csv"
    path.write_bytes(bytes(101))
    monkeypatch.setattr(table, "OCTETS_MAX", 100)
    with pytest.raises(DocumentError, match="divide the list"):
        read(path)


def test_columns_are_called_as_the_spreadsheet_calls_them() -> None:
    assert [letter(number) for number in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


def test_the_text_of_a_formula_of_a_csv_keeps_its_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('序列号,型号\n"=""007""",x\n', encoding="utf-8")
    (one,) = read_tables(path, is_heading=is_heading)
    assert (one.rows[1][1][0].text, one.rows[1][1][0].kind) == ("007", CellKind.TEXT)


@settings(max_examples=60, deadline=None)
@given(octets=st.binary(max_size=300), cut=st.integers(0, 6000), flip=st.integers(0, 5000), data=st.booleans())
def test_any_file_is_a_list_or_a_document_error(
    tmp_path_factory: pytest.TempPathFactory, octets: bytes, cut: int, flip: int, data: bool
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    path = folder / "a.csv"
    text = (",".join(HEAD) + "\n").encode() + octets
    if data:
        whole = bytearray(book(folder / "a.xlsx", HEAD, ROW).read_bytes()[: cut or None])
        if flip < len(whole):
            whole[flip] ^= 0x55
        text = bytes(whole)
    path.write_bytes(text)
    with contextlib.suppress(DocumentError):
        assert all(one.told.zh and one.told.en for one in read(path).findings)
