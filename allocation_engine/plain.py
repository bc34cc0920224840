"""The plain, JSON-able form of anything the engine gives: texts, whole numbers, lists and dictionaries."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any


@cache
def names_of(kind: Any) -> tuple[str, ...]:
    """Give the names of the fields a dataclass is made from."""
    return tuple(field.name for field in fields(kind) if field.init)


def plain(content: Any) -> Any:
    """Turn dataclasses into dictionaries, octets into hexadecimal text, dates into ISO text, and so on down."""
    kind = type(content)
    if kind in _AS_THEY_ARE:
        return content
    if kind is tuple or kind is list:
        return [plain(part) for part in content]
    if is_dataclass(kind):
        return {name: plain(getattr(content, name)) for name in names_of(kind)}
    if kind is dict:
        return {key: plain(part) for key, part in content.items()}
    if kind is bytes:
        return content.hex()
    if isinstance(content, Enum):
        return str(content)
    return content if isinstance(content, int | str) else content.isoformat()


_AS_THEY_ARE = frozenset({int, str, bool, type(None)})
