"""Statements on paper: the texts of the page, a code that holds the link alone, a thousand without doing one twice."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.cli import main
from ingest.console.tenant_page import read_page
from ingest.console.words import Language
from ingest.statement_links import BaseInvalid
from ingest.statement_paper import Press, chart_svg, paper_content
from ingest.statement_printing import PrintOrder, file_of, print_some, print_statements
from provisioning.keys import SALT_KEY as SALT_FILE
from provisioning.keys import write_salt_key, write_signing_key
from provisioning.paper.fonts import FontMissing, chinese_font
from provisioning.paper.qr import qr_path
from tests.doubles.issued_park import BY, SALT_KEY, TENANT, IssuedPark
from tests.doubles.web import serving

BASE = "https://energy.example.com"
DATED = datetime(2026, 8, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def press() -> Press:
    """A press with the machine's Chinese font."""
    pytest.importorskip("typst")
    try:
        return Press(chinese_font())
    except FontMissing as missing:
        pytest.skip(str(missing))


def test_paper_says_what_the_page_says(issued_park: IssuedPark) -> None:
    link = issued_park.desk.link(TENANT, BY)
    with issued_park.database.transaction() as connection:
        page = read_page(connection, issued_park.view(), Language.ZH, sums=False)
    content = paper_content(page, Language.ZH, link.url(BASE))
    assert (content["total"], content["site"]) == ("¥107.90", "示范产业园")
    assert [line["amount"] for line in content["lines"]] == [line.story.amount for line in page.lines]
    assert content["meters"][0]["first"]["number"] == "71,776.310 kWh"
    assert link.token not in json.dumps({name: part for name, part in content.items() if name != "qr"})


def test_the_code_is_that_of_the_link_and_of_nothing_else(issued_park: IssuedPark) -> None:
    link = issued_park.desk.link(TENANT, BY)
    with issued_park.database.transaction() as connection:
        page = read_page(connection, issued_park.view(), Language.EN, sums=False)
    content = paper_content(page, Language.EN, link.url(BASE))
    assert qr_path(f"{BASE}/s/{link.token}", x=0, y=0, width=200) in content["qr"]
    assert link.url(BASE) == f"{BASE}/s/{link.token}"


def test_equal_statements_give_equal_octets_with_fonts_inside(issued_park: IssuedPark, press: Press) -> None:
    with issued_park.database.transaction() as connection:
        page = read_page(connection, issued_park.view(), Language.ZH, sums=False)
    first, again = (press.pdf(page, Language.ZH, f"{BASE}/s/X", DATED) for _ in range(2))
    assert first == again
    assert first.startswith(b"%PDF-")
    assert b"/FontFile" in first or b"/FontFile" in unpacked(first)
    assert first != press.pdf(page, Language.ZH, f"{BASE}/s/Y", DATED)


def unpacked(pdf: bytes) -> bytes:
    """What stands in the compressed streams of a PDF."""
    found = b""
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            found += zlib.decompress(stream)
        except zlib.error:
            continue
    return found


def test_the_page_gives_its_paper(issued_park: IssuedPark, press: Press) -> None:
    with serving(issued_park.app) as client:
        answer = client.get(f"/s/{issued_park.token}/statement.pdf")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/pdf")
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_printing_goes_on_where_it_broke_off(issued_park: IssuedPark, press: Press, tmp_path: Path) -> None:
    links = issued_park.desk.links(issued_park.run, BY)
    order = PrintOrder(issued_park.dsn, tmp_path, Language.EN, BASE)
    print_some(order, links[:3])
    (tmp_path / "left.123.part").write_bytes(b"broken off")
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("*.pdf")}
    told: list[tuple[int, int]] = []
    done = print_statements(order, links, workers=1, watch=lambda there, of: told.append((there, of)))
    assert (done.written, done.kept) == (5, 3)
    assert (told[0], told[-1]) == ((3, 8), (8, 8))
    assert sorted(path.name for path in tmp_path.glob("*.pdf")) == sorted(file_of(one, Language.EN) for one in links)
    assert all((tmp_path / name).read_bytes() == octets for name, octets in kept.items())
    assert print_statements(order, links, workers=1, watch=lambda *_: None).written == 0


def test_a_renewed_link_is_printed_anew(issued_park: IssuedPark, tmp_path: Path) -> None:
    first = issued_park.desk.link(TENANT, BY)
    renewed = issued_park.desk.link(TENANT, BY, renew=True)
    assert file_of(first, Language.ZH) != file_of(renewed, Language.ZH)


def test_an_address_that_is_none_prints_nothing(issued_park: IssuedPark, tmp_path: Path) -> None:
    links = issued_park.desk.links(issued_park.run, BY)
    for base in (
        "energy.example.com",
        "https://",
        "https://a.example/?x=1",
        "https://a.example/#x",
        "https://u@a.example",
    ):
        with pytest.raises(BaseInvalid):
            print_statements(
                PrintOrder(issued_park.dsn, tmp_path, Language.ZH, base), links, workers=1, watch=lambda *_: None
            )
    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_links_renews_one_and_takes_it_back(
    issued_park: IssuedPark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_signing_key(tmp_path / "centre.key", bytes(32))
    write_salt_key(tmp_path / SALT_FILE, SALT_KEY)
    books = ("--dsn", issued_park.dsn, "--centre-key", str(tmp_path / "centre.key"))
    asked = ("statements", "links", issued_park.run[:12], "--csv", "--base", f"{BASE}/", *books)
    assert main(asked) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 8
    assert all(re.fullmatch(rf"{BASE}/s/[0-9A-Z]{{28}}", row["link"]) for row in rows)
    assert main(asked) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == rows
    assert main(("statement", "link", TENANT, "--renew", "--lang", "en", "--base", BASE, *books)) == 0
    told = capsys.readouterr().out
    assert next(row["link"] for row in rows if row["statement"] == TENANT) not in told
    assert f"opens {TENANT} until" in told
    assert main(("statement", "revoke", TENANT, "--lang", "en", *books)) == 0
    assert "opens nothing any more" in capsys.readouterr().out
    assert main(("statement", "link", "none", "--base", BASE, *books)) == 1
    assert "there is no statement none" in capsys.readouterr().err


def test_the_history_on_paper_is_that_of_the_page(issued_park: IssuedPark) -> None:
    with issued_park.database.transaction() as connection:
        page = read_page(connection, issued_park.view(), Language.EN, sums=False)
    drawn = chart_svg(page.history.chart)
    assert drawn.count("<rect") == len(page.history.chart.bars) == 1
    assert "Qinghe" not in drawn
