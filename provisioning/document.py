"""Frozen dataclasses as plain documents (JSON, TOML) and back, driven by their annotations.

One rule per kind of field, so that a document is canonical: the same object always gives the same document. Times are
UTC texts, octets are hexadecimal, enums are their written form, `None` is kept (JSON) or left out (TOML, when read back
it counts as None). A union of dataclasses is told apart by its fields that have a fixed content, such as `kind`.

A field that came later is marked `LEFT_OUT`: while it is None it does not stand in the document, so that documents
written before it, and their hashes, are those of today.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Hashable, Mapping
from dataclasses import Field, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from metering.errors import MeteringError
from metering.obis import Obis
from metering.quantity import Unit
from metering.toml_source import Place

T = TypeVar("T")
Writer = Callable[[Any], Any]
Reader = Callable[[Any], Any]

LEFT_OUT = {"left_out": True}
"""Metadata of a field that stands in a document only where it is not None."""


class DocumentMismatch(MeteringError):
    """A document does not have the form of the class it is read as; `place` says where."""

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(f"{'.'.join(str(part) for part in place) or 'document'}: {problem}")
        self.place = place
        self.problem = problem


def to_document(item: Any) -> Any:
    """Give the plain form of a dataclass or of one of its fields; an object gives the same document every time."""
    return _writer(typing.cast(Hashable, type(item)))(item)


def from_document(kind: type[T], content: Any, place: Place = ()) -> T:
    """Build a `kind` from its plain form; raises DocumentMismatch with the place of the first mistake."""
    try:
        return typing.cast(T, _reader(typing.cast(Hashable, kind))(content))
    except DocumentMismatch as error:
        raise DocumentMismatch((*place, *error.place), error.problem) from error.__cause__


# A reader or writer is made once per kind: a site of 100,000 meters has a million fields. Readers name places from
# where they stand; whoever called them puts his own place in front, if anything was wrong.


@cache
def _writer(kind: Any) -> Writer:
    if issubclass(kind, Unit):
        return attrgetter("symbol")
    if issubclass(kind, Enum):
        return attrgetter("value")
    if issubclass(kind, int | str | types.NoneType):
        return lambda item: item
    if issubclass(kind, datetime):
        return lambda item: item.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if issubclass(kind, bytes):
        return bytes.hex
    if issubclass(kind, Obis | Path):
        return str
    if issubclass(kind, tuple):
        return lambda item: [to_document(part) for part in item]
    if is_dataclass(kind):
        return _dataclass_writer(kind)
    raise TypeError(f"{kind.__name__} has no document form")


def _dataclass_writer(kind: Any) -> Writer:
    names = [field.name for field in _public_fields(kind)]
    later = {field.name for field in _public_fields(kind) if field.metadata.get("left_out")}
    if not later:
        return lambda item: {name: to_document(getattr(item, name)) for name in names}
    return lambda item: {
        name: to_document(part) for name in names if (part := getattr(item, name)) is not None or name not in later
    }


def _public_fields(kind: Any) -> list[Field[Any]]:
    return [field for field in fields(kind) if not field.name.startswith("_")]


@cache
def _reader(kind: Any) -> Reader:
    kind = getattr(kind, "__supertype__", kind)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return partial(_read_literal, parts)
    if origin in (typing.Union, types.UnionType):
        return _union_reader(parts)
    if origin is tuple:
        return partial(_read_array, _reader(parts[0]))
    if is_dataclass(kind) and kind is not Obis:
        return _dataclass_reader(kind)
    return partial(_read_leaf, kind)


def _read_literal(allowed: tuple[Any, ...], content: Any) -> Any:
    if content not in allowed:
        raise DocumentMismatch((), f"{content!r} is not allowed here")
    return content


def _read_array(read: Reader, content: Any) -> tuple[Any, ...]:
    if not isinstance(content, list | tuple):
        raise DocumentMismatch((), "expected an array")
    found: list[Any] = []
    try:
        for part in content:
            found.append(read(part))
    except DocumentMismatch as error:
        raise DocumentMismatch((len(found), *error.place), error.problem) from error.__cause__
    return tuple(found)


def _union_reader(kinds: tuple[Any, ...]) -> Reader:
    is_optional = type(None) in kinds
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    readers = [(kind, _reader(kind)) for kind in kinds]

    def read(content: Any) -> Any:
        if content is None and is_optional:
            return None
        fitting = readers if len(readers) == 1 else [one for one in readers if _fixed_content_fits(one[0], content)]
        if not fitting:
            raise DocumentMismatch((), "is none of the known kinds")
        return fitting[0][1](content)

    return read


def _fixed_content_fits(kind: Any, content: Any) -> bool:
    return isinstance(content, Mapping) and all(
        content.get(field.name) == field.default for field in _public_fields(kind) if not field.init
    )


def _dataclass_reader(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in _public_fields(kind)}
    plan = [(name, _reader(hints[name]), field.init) for name, field in known.items()]
    required = [name for name in known if type(None) not in typing.get_args(hints[name])]

    def read(content: Any) -> Any:
        if not isinstance(content, Mapping):
            raise DocumentMismatch((), "expected a table")
        if not content.keys() <= known.keys():
            raise DocumentMismatch((next(key for key in content if key not in known),), "is not a known key here")
        arguments = {}
        name = ""
        try:
            for name, read_part, is_given in plan:
                if name not in content and name in required:
                    raise DocumentMismatch((), "is missing")
                part = read_part(content.get(name))
                if is_given:
                    arguments[name] = part
        except DocumentMismatch as error:
            raise DocumentMismatch((name, *error.place), error.problem) from error.__cause__
        try:
            return kind(**arguments)
        except MeteringError as error:
            raise DocumentMismatch((), str(error)) from error

    return read


def _read_leaf(kind: Any, content: Any) -> Any:
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
        raise DocumentMismatch((), str(error)) from error


def _instant(content: Any) -> datetime:
    instant = content if isinstance(content, datetime) else datetime.fromisoformat(content)
    if instant.tzinfo is None:
        raise ValueError(f"{content} carries no time zone")
    return instant.astimezone(UTC)
