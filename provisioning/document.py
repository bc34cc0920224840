"""Frozen dataclasses as plain documents (JSON, TOML) and back, driven by their annotations.

One rule per kind of field, so that a document is canonical: the same object always gives the same document. Times are
UTC texts, octets are hexadecimal, enums are their written form, `None` is kept (JSON) or left out (TOML, when read back
it counts as None). A union of dataclasses is told apart by its fields that have a fixed content, such as `kind`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from metering.errors import MeteringError
from metering.obis import Obis
from metering.quantity import Unit
from metering.toml_source import Place

T = TypeVar("T")


class DocumentMismatch(MeteringError):
    """A document does not have the form of the class it is read as; `place` says where."""

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(f"{'.'.join(str(part) for part in place) or 'document'}: {problem}")
        self.place = place
        self.problem = problem


def to_document(item: Any) -> Any:
    """Give the plain form of a dataclass or of one of its fields; an object gives the same document every time."""
    match item:
        case Unit():
            return item.symbol
        case Enum():
            return item.value
        case None | bool() | int() | str():
            return item
        case datetime():
            return item.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case bytes():
            return item.hex()
        case Obis() | Path():
            return str(item)
        case tuple():
            return [to_document(part) for part in item]
        case _ if is_dataclass(item):
            return {field.name: to_document(getattr(item, field.name)) for field in _public_fields(type(item))}
    raise TypeError(f"{type(item).__name__} has no document form")


def from_document(kind: type[T], content: Any, place: Place = ()) -> T:
    """Build a `kind` from its plain form; raises DocumentMismatch with the place of the first mistake."""
    return typing.cast(T, _read(kind, content, place))


def _public_fields(kind: Any) -> list[Field[Any]]:
    return [field for field in fields(kind) if not field.name.startswith("_")]


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, content: Any, place: Place) -> Any:
    kind = getattr(kind, "__supertype__", kind)
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        if content not in typing.get_args(kind):
            raise DocumentMismatch(place, f"{content!r} is not allowed here")
        return content
    if origin in (typing.Union, types.UnionType):
        return _read_union(typing.get_args(kind), content, place)
    if origin is tuple:
        if not isinstance(content, list | tuple):
            raise DocumentMismatch(place, "expected an array")
        return tuple(_read(typing.get_args(kind)[0], part, (*place, index)) for index, part in enumerate(content))
    if is_dataclass(kind) and kind is not Obis:
        return _read_dataclass(kind, content, place)
    return _read_leaf(kind, content, place)


def _read_union(kinds: tuple[Any, ...], content: Any, place: Place) -> Any:
    if content is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    if len(kinds) > 1:
        kinds = tuple(kind for kind in kinds if _fixed_content_fits(kind, content))
    if not kinds:
        raise DocumentMismatch(place, "is none of the known kinds")
    return _read(kinds[0], content, place)


def _fixed_content_fits(kind: Any, content: Any) -> bool:
    return isinstance(content, Mapping) and all(
        content.get(field.name) == field.default for field in _public_fields(kind) if not field.init
    )


def _read_dataclass(kind: Any, content: Any, place: Place) -> Any:
    if not isinstance(content, Mapping):
        raise DocumentMismatch(place, "expected a table")
    known = _public_fields(kind)
    for key in content:
        if key not in {field.name for field in known}:
            raise DocumentMismatch((*place, key), "is not a known key here")
    hints = _hints(kind)
    arguments = {}
    for field in known:
        inner = (*place, field.name)
        if field.name not in content and type(None) not in typing.get_args(hints[field.name]):
            raise DocumentMismatch(inner, "is missing")
        part = _read(hints[field.name], content.get(field.name), inner)
        if field.init:
            arguments[field.name] = part
    try:
        return kind(**arguments)
    except MeteringError as error:
        raise DocumentMismatch(place, str(error)) from error


def _read_leaf(kind: Any, content: Any, place: Place) -> Any:
    try:
        if kind is Unit:
            return Unit.from_symbol(content)
        if kind is Obis:
            return Obis.parse(content)
        if kind is datetime:
            return _instant(content)
        if kind is bytes:
            return bytes.fromhex(content)
        if kind in (int, str, bool):
            if type(content) is not kind:
                raise TypeError(f"expected {'text' if kind is str else kind.__name__}, not {content!r}")
            return content
        return kind(content)
    except (MeteringError, ValueError, TypeError) as error:
        raise DocumentMismatch(place, str(error)) from error


def _instant(content: Any) -> datetime:
    instant = content if isinstance(content, datetime) else datetime.fromisoformat(content)
    if instant.tzinfo is None:
        raise ValueError(f"{content} carries no time zone")
    return instant.astimezone(UTC)
