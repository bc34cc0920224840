"""Plain documents of frozen dataclasses: the same object, the same document, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from metering.errors import MeteringError
from metering.identity import NodeId
from metering.obis import ENERGY_IMPORT, Obis
from metering.quantity import Shown, Unit
from provisioning.document import DocumentMismatch, from_document, to_document


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Unfit(MeteringError):
    pass


@dataclass(frozen=True, slots=True)
class Round:
    kind: Literal["round"] = field(default="round", init=False)
    radius_mm: int


@dataclass(frozen=True, slots=True)
class Square:
    kind: Literal["square"] = field(default="square", init=False)
    side_mm: int

    def __post_init__(self) -> None:
        if self.side_mm < 0:
            raise Unfit("a side is not negative")


@dataclass(frozen=True, slots=True)
class Plate:
    id: NodeId
    colour: Colour
    shape: Round | Square
    made_at: datetime | None
    shown: Shown
    obis: Obis
    mark: bytes
    path: Path
    is_new: bool
    holes: tuple[Round, ...]
    _hidden: int = field(default=3, init=False, compare=False)


PLATE = Plate(
    id=NodeId("p-1"),
    colour=Colour.BLUE,
    shape=Square(30),
    made_at=datetime(2026, 7, 1, 8, tzinfo=timezone(timedelta(hours=8))),
    shown=Shown(123, -2, Unit.KWH),
    obis=ENERGY_IMPORT,
    mark=b"\x00\xff",
    path=Path("/a/b"),
    is_new=True,
    holes=(Round(2), Round(3)),
)
DOCUMENT: dict[str, Any] = {
    "id": "p-1",
    "colour": "blue",
    "shape": {"kind": "square", "side_mm": 30},
    "made_at": "2026-07-01T00:00:00Z",
    "shown": {"mantissa": 123, "exponent": -2, "unit": "kWh"},
    "obis": "1-0:1.8.0",
    "mark": "00ff",
    "path": "/a/b",
    "is_new": True,
    "holes": [{"kind": "round", "radius_mm": 2}, {"kind": "round", "radius_mm": 3}],
}


def test_an_object_has_one_plain_form() -> None:
    assert to_document(PLATE) == DOCUMENT


def test_a_plain_form_gives_the_object_back() -> None:
    assert from_document(Plate, DOCUMENT) == PLATE


def test_nothing_is_none_and_may_be_left_out() -> None:
    document = {key: part for key, part in DOCUMENT.items() if key != "made_at"}
    assert from_document(Plate, document).made_at is None
    assert from_document(Plate, document | {"made_at": None}).made_at is None


def test_a_native_time_of_toml_is_read() -> None:
    assert from_document(Plate, DOCUMENT | {"made_at": datetime(2026, 7, 1, tzinfo=UTC)}) == PLATE


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        ({"id": 7}, ("id",), "expected text"),
        ({"colour": "green"}, ("colour",), "green"),
        ({"shape": {"kind": "oval"}}, ("shape",), "none of the known kinds"),
        ({"shape": {"side_mm": 30}}, ("shape",), "none of the known kinds"),
        ({"shape": 3}, ("shape",), "none of the known kinds"),
        ({"shape": {"kind": "square", "side_mm": "30"}}, ("shape", "side_mm"), "expected int"),
        ({"shape": {"kind": "square", "side_mm": True}}, ("shape", "side_mm"), "expected int"),
        ({"shape": {"kind": "square", "side_mm": -1}}, ("shape",), "a side is not negative"),
        ({"shape": {"kind": "square", "side_mm": 1, "colour": "red"}}, ("shape", "colour"), "not a known key"),
        ({"made_at": "yesterday"}, ("made_at",), "Invalid isoformat"),
        ({"made_at": "2026-07-01T00:00:00"}, ("made_at",), "no time zone"),
        ({"made_at": 3}, ("made_at",), "fromisoformat"),
        ({"shown": None}, ("shown",), "expected a table"),
        ({"shown": {"mantissa": 1, "exponent": 0, "unit": "mile"}}, ("shown", "unit"), "unknown unit"),
        ({"obis": "1.8.0"}, ("obis",), "not an OBIS code"),
        ({"mark": "0"}, ("mark",), "hex"),
        ({"holes": 3}, ("holes",), "expected an array"),
        ({"holes": [{"kind": "square", "radius_mm": 1}]}, ("holes", 0, "kind"), "not allowed here"),
        ({"holes": [DOCUMENT["holes"][0], 5]}, ("holes", 1), "expected a table"),
        ({"_hidden": 3}, ("_hidden",), "not a known key"),
        ({"is_new": 1}, ("is_new",), "expected bool"),
    ],
)
def test_a_mistake_is_told_with_its_place(change: dict[str, Any], place: tuple[str | int, ...], problem: str) -> None:
    with pytest.raises(DocumentMismatch, match=problem) as caught:
        from_document(Plate, DOCUMENT | change)
    assert caught.value.place == place


def test_a_missing_key_is_told() -> None:
    with pytest.raises(DocumentMismatch, match="colour: is missing"):
        from_document(Plate, {key: part for key, part in DOCUMENT.items() if key != "colour"})


@pytest.mark.parametrize("item", [1.5, object(), {"a": 1}, [1]])
def test_what_has_no_exact_plain_form_is_a_mistake_of_ours(item: object) -> None:
    with pytest.raises(TypeError, match="no document form"):
        to_document(item)
