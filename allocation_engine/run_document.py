"""The plain, JSON-able form of a run: its head, and its lines one by one, so that nobody need hold them all twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from allocation_engine.run import Line, Run

LINES = "lines"


def head_document(run: Run) -> dict[str, Any]:
    """Give everything `Run.to_document` gives but the lines."""
    head = {name: _plain(getattr(run, name)) for name in _names(Run) if name != LINES}
    return {**head, "approvable": run.approvable}


def line_documents(run: Run) -> Iterator[dict[str, Any]]:
    """Give each line as `Run.to_document` gives it, in the order of the run."""
    return map(_line, run.lines)


def _line(line: Line) -> dict[str, Any]:
    return {**{name: _plain(getattr(line, name)) for name in _names(Line)}, "id": line.id}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain(content: Any) -> Any:
    kind = type(content)
    if kind in _AS_THEY_ARE:
        return content
    if kind is tuple or kind is list:
        return [_plain(part) for part in content]
    if is_dataclass(kind):
        return {name: _plain(getattr(content, name)) for name in _names(kind)}
    if kind is dict:
        return {key: _plain(part) for key, part in content.items()}
    if kind is bytes:
        return content.hex()
    if isinstance(content, Enum):
        return str(content)
    return content if isinstance(content, int | str) else content.isoformat()


_AS_THEY_ARE = frozenset({int, str, bool, type(None)})
