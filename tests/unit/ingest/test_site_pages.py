"""Pages about sites, over the books of the park in memory."""

from __future__ import annotations

from dataclasses import replace

from ingest.store.sites import import_site, newest_version
from metering.identity import SiteId
from provisioning.place import Place
from tests.doubles.memory_centre import NOW, MemoryCentre, closed_tables

PARK = SiteId("park")


def _place_first_meter(centre: MemoryCentre) -> None:
    with centre.database.transaction() as connection:
        version = newest_version(connection, PARK)
        assert version is not None
        first, *others = version.site.meters
        placed = replace(version.site, meters=(replace(first, place=Place(312_989_000, 1_205_850_000)), *others))
        import_site(connection, placed, version.rules, imported_at=NOW)


def test_every_site_stands_there_with_its_newest_energy_and_loss(closed: MemoryCentre) -> None:
    page = closed.get("/sites?lang=en").text
    assert "Example park" in page
    assert "1,988.7" in page
    assert "0.38 %" in page
    assert closed.get("/sites.csv?lang=en").text.splitlines()[1].startswith("park,Example park,2026-07-01")


def test_a_site_shows_its_flows_its_balance_and_the_way_into_a_branch(closed: MemoryCentre) -> None:
    page = closed.get("/sites/park?lang=en").text
    assert page.count('<path class="flow') == 22
    assert 'href="?lang=en&amp;below=bldg-a"' in page
    assert 'href="/series/park/lobby-ac"' in page
    branch = closed.get("/sites/park?lang=en&below=bldg-a").text
    picture = branch.split('<svg class="flows"')[1].split("</svg>")[0]
    assert "A301" in picture
    assert "B301" not in picture
    assert "Whole tree" in branch


def test_the_balance_is_given_to_spreadsheets_in_exact_figures(closed: MemoryCentre) -> None:
    lines = closed.get("/sites/park/balance.csv?lang=en").text.splitlines()
    assert lines[0].lstrip("\ufeff").split(",")[:4] == ["Id", "Node", "Kind", "Net kWh"]
    assert lines[1].split(",")[:5] == ["main", "Main meter", "main", "1988.736", "1981.200"]


def test_a_site_without_a_run_says_what_to_do(closed: MemoryCentre) -> None:
    closed.database.tables.runs.clear()
    page = closed.get("/sites/park?lang=en")
    assert page.status_code == 200
    assert "No period has been computed yet" in page.text


def test_meters_with_places_are_pins_and_nobody_else_is_asked(closed: MemoryCentre) -> None:
    _place_first_meter(closed)
    page = closed.get("/sites/park?lang=en")
    assert page.text.count('<circle class="pin') == 1
    assert "<image" not in page.text
    assert "img-src 'self' data:;" in page.headers["Content-Security-Policy"]
    assert "31.2989000" in closed.get("/sites/park/places.csv").text


def test_an_unknown_site_is_not_found(closed: MemoryCentre) -> None:
    assert closed.get("/sites/nowhere", headers={"Accept": "text/html"}).status_code == 404


def test_a_named_tile_server_may_show_pictures_and_nothing_else() -> None:
    centre = MemoryCentre(map_tiles="https://tiles.example/{z}/{x}/{y}.png")
    centre.database.tables = closed_tables().copied()
    _place_first_meter(centre)
    with centre.open():
        page = centre.get("/sites/park?lang=en")
    assert 'href="https://tiles.example/19/' in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "img-src 'self' https://tiles.example data:;" in policy
    assert "script-src 'self';" in policy
