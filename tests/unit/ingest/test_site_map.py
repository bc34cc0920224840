"""The map drawn in place."""

from __future__ import annotations

import pytest

from ingest.console.site_map import HEIGHT, TILES_MAX, WIDTH, Hung, site_map

YARD = ((312_989_000, 1_205_850_000), (312_989_000, 1_205_860_000), (312_995_000, 1_205_860_000))


def hung(name: str, lat: int, lon: int, tone: str = "") -> Hung:
    return Hung(name, (lat, lon), f"/series/{name}", tone)


def test_nothing_with_coordinates_is_no_map() -> None:
    assert site_map((), ()) is None


def test_everything_lies_in_the_picture_with_the_north_above() -> None:
    found = site_map((("Yard", YARD),), (hung("a", 312_989_500, 1_205_851_000), hung("b", 312_994_000, 1_205_859_000)))
    assert found is not None
    a, b = found.pins
    assert a.y > b.y
    assert a.x < b.x
    corners = [tuple(map(float, one.split(","))) for one in found.outlines[0].corners.split()]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in corners)
    assert found.scale_m in {10, 20, 50}
    assert found.scale_px <= WIDTH / 5


def test_meters_of_one_cabinet_are_one_pin_with_the_worst_of_them() -> None:
    found = site_map(
        (("Yard", YARD),), (hung("a", 312_990_000, 1_205_855_000), hung("b", 312_990_010, 1_205_855_000, "bad"))
    )
    assert found is not None
    (pin,) = found.pins
    assert (pin.label, pin.title, pin.tone) == ("2", "a\nb", "bad")


def test_without_a_tile_server_nobody_is_asked() -> None:
    found = site_map((("Yard", YARD),), ())
    assert found is not None
    assert found.tiles == ()


def test_tiles_lie_where_the_plot_has_their_corners() -> None:
    found = site_map((("Yard", YARD),), (), "https://tiles.example/{z}/{x}/{y}.png")
    assert found is not None
    assert 0 < len(found.tiles) <= TILES_MAX
    left, right = min(one.x for one in found.tiles), max(one.x + one.width for one in found.tiles)
    top, bottom = min(one.y for one in found.tiles), max(one.y + one.height for one in found.tiles)
    assert left <= 0
    assert right >= WIDTH
    assert top <= 0
    assert bottom >= HEIGHT
    # Web Mercator keeps angles: a tile is a square wherever it lies.
    assert found.tiles[0].width == pytest.approx(found.tiles[0].height, rel=2e-3)
    # The tile of Suzhou at zoom 19, by the formula of the OpenStreetMap wiki (Slippy map tilenames).
    assert any("/19/437" in one.href for one in found.tiles)
