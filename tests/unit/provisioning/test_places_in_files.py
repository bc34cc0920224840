"""Places and outlines: exact in whole numbers, read from a site's files, told with their line where they are wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import DocumentError
from metering.identity import MeterId, NodeId
from provisioning.place import E7, Place, PlaceInvalid, check_outline, degrees_e7, degrees_text
from provisioning.site import Site, SiteInvalid
from provisioning.site_file import read_site
from tests.doubles.installer import PARK, park

SQUARE = ((312_000_000, 1_205_000_000), (312_000_000, 1_206_000_000), (313_000_000, 1_206_000_000))


def written(tmp_path: Path, file: str, old: str, new: str) -> Path:
    """Give the park with one text of one file replaced, the first time it stands there."""
    folder = shutil.copytree(PARK, tmp_path / "park")
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


def faults(folder: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        read_site(folder)
    return str(caught.value)


@given(st.integers(-180 * E7, 180 * E7))
def test_an_angle_is_written_and_read_without_loss(angle_e7: int) -> None:
    assert degrees_e7(degrees_text(angle_e7)) == angle_e7


@pytest.mark.parametrize(
    ("text", "angle_e7"),
    [("31.29895", 312_989_500), ("-0.5", -5_000_000), ("120", 1_200_000_000), ("0.0000001", 1), ("-0.0000001", -1)],
)
def test_degrees_are_read_exactly(text: str, angle_e7: int) -> None:
    assert degrees_e7(text) == angle_e7


@pytest.mark.parametrize("text", ["", "31,3", "31.29895001", "+31", "31.", ".5", "1e2", "31 N", "1234", "31.2\n"])
def test_what_is_no_angle_is_refused(text: str) -> None:
    with pytest.raises(PlaceInvalid, match="at most 7 decimals"):
        degrees_e7(text)


@pytest.mark.parametrize(
    ("lat_e7", "lon_e7"), [(90 * E7 + 1, 0), (-90 * E7 - 1, 0), (0, 180 * E7 + 1), (0, -180 * E7 - 1)]
)
def test_a_place_lies_on_the_earth(lat_e7: int, lon_e7: int) -> None:
    with pytest.raises(PlaceInvalid, match="latitude, then longitude"):
        Place(lat_e7, lon_e7)


def test_the_poles_and_the_date_line_are_places() -> None:
    for lat_e7, lon_e7 in ((90 * E7, 180 * E7), (-90 * E7, -180 * E7)):
        assert Place(lat_e7, lon_e7).accuracy_cm is None


@pytest.mark.parametrize("parts", [{"accuracy_cm": -1}, {"note": ""}, {"note": "x" * 201}])
def test_a_place_says_nothing_that_cannot_be(parts: dict[str, object]) -> None:
    with pytest.raises(PlaceInvalid):
        Place(0, 0, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "outline", [SQUARE[:2], (*SQUARE, SQUARE[0]), ((0, 0), (0, 1), (0, 181 * E7)), ((0,), (1,), (2,))]
)
def test_an_outline_encloses_something(outline: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(PlaceInvalid):
        check_outline(outline)
    with pytest.raises(SiteInvalid, match="node lift"):
        replace(park().node(NodeId("lift")), outline=outline)  # type: ignore[arg-type]


def test_what_came_later_leaves_the_hash_of_a_site_as_it_was() -> None:
    """Pinned: runs and statements name sites by it."""
    assert park().hash.hex() == "a03fc9693bc0449ff4f52cc76f6327c4b40864c2aa0c9bfbf0a5ec4387b3daa5"
    document = park().to_document()
    assert "bindings" not in document
    assert not any("outline" in node for node in document["nodes"])
    assert not any("place" in meter for meter in document["meters"])


def test_places_and_outlines_stand_in_the_document_and_come_back() -> None:
    nodes = tuple(replace(one, outline=SQUARE) if one.id == "bldg-a" else one for one in park().nodes)
    meters = tuple(replace(one, place=Place(1, 2, 3, "n")) if one.id == "m-lift" else one for one in park().meters)
    site = replace(park(), nodes=nodes, meters=meters, bindings="required")
    again = Site.from_document(site.to_document())
    assert again == site
    assert again.node(NodeId("bldg-a")).outline == SQUARE
    assert again.meter(MeterId("m-lift")).place == Place(1, 2, 3, "n")
    assert again.hash != park().hash


def test_a_meter_and_a_building_have_their_places_from_the_files(tmp_path: Path) -> None:
    line = 'node = "lift"'
    place = f'{line}\nplace = {{ lat = "31.29895", lon = 120.5853, accuracy_cm = 300, note = "riser B" }}'
    folder = written(tmp_path, "gateways.toml", line, place)
    text = (folder / "site.toml").read_text(encoding="utf-8")
    outline = 'outline = [["31.2", "120.5"], ["31.2", "120.6"], ["31.3", "120.6"]]'
    text = text.replace('id = "bldg-a"', f'id = "bldg-a"\n{outline}', 1)
    (folder / "site.toml").write_text(f'bindings = "required"\n{text}', encoding="utf-8")
    site = read_site(folder)
    assert site.meter(MeterId("m-lift")).place == Place(312_989_500, 1_205_853_000, 300, "riser B")
    assert site.node(NodeId("bldg-a")).outline == SQUARE
    assert site.bindings == "required"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ('{ lat = "31.3" }', "lon is missing"),
        ('{ lat = "91", lon = "0" }', "does not lie on the earth"),
        ('{ lat = "31,3", lon = "0" }', "lat is '31,3'"),
        ('{ lat = "31.3", lon = "0", height = 3 }', "unknown key 'height'"),
        ('{ lat = "31.3", lon = "0", accuracy_cm = -1 }', "accuracy_cm is -1"),
        ('"31.3, 120"', "this must be a table"),
    ],
)
def test_a_place_that_cannot_be_is_told_with_its_line(tmp_path: Path, place: str, told: str) -> None:
    line = 'node = "lift"'
    said = faults(written(tmp_path, "gateways.toml", line, f"{line}\nplace = {place}"))
    assert told in said
    assert "gateways.toml:" in said


@pytest.mark.parametrize(
    "outline", ["[]", '[["31", "120"], ["32", "120"]]', '[["31"], ["32"], ["33"]]', '"round"', "[1, 2, 3]"]
)
def test_an_outline_that_cannot_be_is_told_with_its_line(tmp_path: Path, outline: str) -> None:
    line = 'id = "bldg-a"'
    said = faults(written(tmp_path, "site.toml", line, f"{line}\noutline = {outline}"))
    assert "is no outline" in said
    assert "site.toml:" in said


def test_only_two_words_say_whether_bindings_are_required(tmp_path: Path) -> None:
    line = 'id = "park"'
    assert "bindings is 'sometimes'" in faults(written(tmp_path, "site.toml", line, f'{line}\nbindings = "sometimes"'))
    folder = written(tmp_path / "two", "site.toml", line, f'{line}\nbindings = "optional"')
    assert read_site(folder).hash == park().hash


def test_a_node_waits_for_its_meter_where_bindings_are_required(tmp_path: Path) -> None:
    folder = shutil.copytree(PARK, tmp_path / "park")
    text = (folder / "gateways.toml").read_text(encoding="utf-8")
    tables = text.split("[[meters]]")
    kept = [one for one in tables if 'id = "m-lift"' not in one]
    assert len(kept) == len(tables) - 1
    (folder / "gateways.toml").write_text("[[meters]]".join(kept), encoding="utf-8")
    assert "node lift has no meter" in faults(folder)
    site = (folder / "site.toml").read_text(encoding="utf-8")
    (folder / "site.toml").write_text(f'bindings = "required"\n{site}', encoding="utf-8")
    assert read_site(folder).meters_at(NodeId("lift")) == ()
