"""The run page's tables of checks, taxes, methods, services, charges and warnings; every table as CSV."""

from __future__ import annotations

import copy
import csv
import io
from typing import Any

import pytest

from allocation_engine.rules import Rules
from ingest.console.run_tables import SHOWN, RunTables
from ingest.console.tables import Table, money_cell, number_cell, table, words_cell
from ingest.console.words import Language
from provisioning.site import Site
from tests.doubles.memory_centre import MemoryCentre, closed_document
from tests.doubles.park_books import read_park

LANGUAGES = list(Language)


@pytest.fixture(scope="module")
def park() -> tuple[Site, Rules]:
    """The example park and its rules."""
    site, rules, *_ = read_park()
    return site, rules


def enrich(document: dict[str, Any]) -> dict[str, Any]:
    """A run with a cap, a tax, services, a charge and remarks."""
    rich = copy.deepcopy(document)
    price = {"cap": "resale", "kind": "price", "energy_wh": 190_000}
    invoice = "E-7: 163654 x (1 + 3 %)"
    rich["checks"] = [
        {**price, "party": "t-01", "charged_minor": 15_000, "limit_minor": 17_480, "basis": "-"},
        {**price, "party": "t-02", "charged_minor": 17_481, "limit_minor": 17_480, "basis": "-"},
        {**price, "party": "t-03", "charged_minor": 1, "limit_minor": None, "basis": "no invoices cover the period"},
        {**price, "kind": "sum", "party": None, "charged_minor": 147_024, "limit_minor": 168_563, "basis": invoice},
    ]
    tax = {"tax": "vat", "names": [["en", "VAT"], ["zh", "增值税"]], "party": "t-01", "percent": [13, 1]}
    rich["taxes"] = [{**tax, "gross_minor": 11_300, "tax_minor": 1_300}]
    parties = [["t-01", 1_200], ["owner", -500]]
    rich["service_methods"] = [
        {"method": "direct", "pools": [["lobby-ac", 26_683]], "parties": parties, "refused": None},
        {"method": "step-down", "pools": [["lobby-ac", 26_684]], "parties": parties[:1], "refused": None},
        {"method": "reciprocal", "pools": [], "parties": [], "refused": "the cost of lobby-ac reaches no user"},
    ]
    rich["pools"][1]["service"] = {"method": "step-down"}
    note = "45000 W in the quarter hour from 2026-07-01T11:15:00+08:00"
    demand = {"what": "maximum demand 2026-07", "quantity_milli": 45_000, "unit": "kW", "rate_micro": 38_000_000}
    rich["pools"][1]["steps"] = [{**demand, "part": [1, 31], "note": note}]
    rich["warnings"] = ["pool lobby-ac was due for review by 2026-06-30"]
    rich["cases"] = [{"node": "main", "loss_wh": 9, "band_wh": 5, "text": "main: 1 kWh are unaccounted for"}]
    return rich


@pytest.fixture
def document(closed: MemoryCentre) -> dict[str, Any]:
    """The closed day, stored anew with everything a run may hold."""
    ((run, row),) = closed.database.tables.runs.items()
    rich = enrich(closed_document())
    closed.database.tables.runs[run] = (*row[:6], rich)
    return rich


def tables(park: tuple[Site, Rules], document: dict[str, Any], language: Language) -> dict[str, Table]:
    """Every table."""
    return RunTables(*park, document, language, [("n-1", "t-01")]).all()


def texts(found: Table) -> list[list[str]]:
    """What a reader sees."""
    return [[cell.text for cell in row] for row in found.rows]


def test_checks_are_shown_with_the_numbers_on_both_sides(park: tuple[Site, Rules], document: dict[str, Any]) -> None:
    rows = texts(tables(park, document, Language.EN)["checks"])
    assert rows[0] == ["resale", "Qinghe Tea", "190.000", "¥150.00", "0.7895", "¥174.80", "✓ kept", "-"]
    assert rows[1][4:7] == ["0.9201", "¥174.80", "✗ exceeded"], "a price above its limit looks like it"
    assert rows[2][5:] == ["–", "✗ cannot be checked", "no invoices cover the period"]
    assert rows[3][1:7] == ["all tenants", "190.000", "¥1,470.24", "", "¥1,685.63", "✓ kept"]
    chinese = texts(tables(park, document, Language.ZH)["checks"])
    assert chinese[2][6:] == ["✗ 无法核对", "没有账单覆盖本账期"]
    assert chinese[3][7] == "账单 E-7：163654 ×（1 + 3 %）"


def test_a_tax_is_shown_as_net_tax_and_gross(park: tuple[Site, Rules], document: dict[str, Any]) -> None:
    assert texts(tables(park, document, Language.EN)["taxes"]) == [
        ["VAT", "Qinghe Tea", "13.00 %", "¥100.00", "¥13.00", "¥113.00"]
    ]


def test_service_methods_stand_side_by_side(park: tuple[Site, Rules], document: dict[str, Any]) -> None:
    found = tables(park, document, Language.EN)["services"]
    assert found.columns == ("For", "direct", "step-down ✓", "reciprocal")
    assert texts(found)[0] == ["Lobby air conditioning", "¥266.83", "¥266.84", "–"]
    assert texts(found)[2][1:] == ["−¥5.00", "–", "–"]
    assert found.note == "reciprocal: the cost of lobby-ac reaches no user"


def test_methods_and_demand_are_said_in_words(park: tuple[Site, Rules], document: dict[str, Any]) -> None:
    found = tables(park, document, Language.ZH)
    assert [row[2] for row in texts(found["methods"])][:2] == ["各户自有电表", "建筑面积 × 占用时间"]
    (step,) = texts(found["steps"])
    assert step == [
        *("电梯与消防泵", "最大需量 2026-07", "45.000 kW", "38.000000", "1/31", "¥55.16"),
        "2026-07-01T11:15:00+08:00 起一刻 45000 W",
    ]
    assert texts(found["warnings"]) == [["费用池 lobby-ac 应于 2026-06-30 前复审"]]


def test_a_run_without_such_things_has_no_empty_tables(park: tuple[Site, Rules]) -> None:
    plain = closed_document()
    found = tables(park, plain, Language.EN)
    assert not {"checks", "taxes", "steps", "services", "warnings", "cases"} & set(found)
    assert {"balance", "lines", "days", "methods", "statements"} <= set(found)
    assert "methods" not in RunTables(park[0], None, plain, Language.EN).all()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_each_table_with_its_csv(
    closed: MemoryCentre, document: dict[str, Any], language: Language
) -> None:
    run = document["id"]
    page = closed.get(f"/runs/{run}", params={"lang": language}).text
    for name in SHOWN:
        assert f'<h2 id="{name}">' in page
        assert f'href="/runs/{run}/tables/{name}.csv?lang={language}"' in page
    for name in ("balance", "lines", "days", "statements", "cases", *SHOWN):
        answer = closed.get(f"/runs/{run}/tables/{name}.csv", params={"lang": language})
        assert answer.status_code == 200, name
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert f'filename="{name}-{run[:16]}.csv"' in answer.headers["Content-Disposition"]
        rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}


def test_csv_has_ids_and_plain_numbers(closed: MemoryCentre, document: dict[str, Any]) -> None:
    answer = closed.get(f"/runs/{document['id']}/tables/lines.csv", params={"lang": "en"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    cents = sum(round(float(row["Amount"]) * 100) for row in rows)
    assert cents == sum(line["amount_minor"] for line in document["lines"])
    assert {row["Party"] for row in rows} == {line["party"] for line in document["lines"]}


def test_a_table_that_is_not_there_is_not_found(closed: MemoryCentre, document: dict[str, Any]) -> None:
    assert closed.get(f"/runs/{document['id']}/tables/nothing.csv").status_code == 404
    assert closed.get("/runs/ff/tables/lines.csv").status_code == 404


@pytest.mark.parametrize("language", LANGUAGES)
def test_gateways_are_given_as_csv_too(closed: MemoryCentre, language: Language) -> None:
    rows = closed.get("/gateways.csv", params={"lang": language}).content.decode("utf-8-sig").splitlines()
    assert [row.partition(",")[0] for row in rows[1:]] == ["gw-a", "gw-b"]


def test_a_text_that_looks_like_a_formula_stays_a_text() -> None:
    rows = [[words_cell("=1+1"), number_cell(-5, 1), money_cell(-5, "CNY", 2), words_cell("@sum"), words_cell('a,"b"')]]
    found = table("t", "T", ("a", "b", "c", "d", "e"), rows)
    assert found.to_csv().decode("utf-8-sig").splitlines()[1] == '\'=1+1,-0.5,-0.05,\'@sum,"a,""b"""'
    assert found.numeric == (False, True, True, False, False)


def test_nothing_is_a_dash_to_read_and_empty_to_reckon_with() -> None:
    for cell in (number_cell(None, 3), money_cell(None, "CNY", 2)):
        assert (cell.text, cell.plain, cell.is_number) == ("–", "", True)
    assert number_cell(1_234_567, 3).text == "1,234.567"
    assert number_cell(1_234_567, 3).plain == "1234.567"
    assert number_cell(7, 0).plain == "7"
