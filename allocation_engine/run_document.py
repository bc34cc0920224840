"""The plain, JSON-able form of a run: its head, and its lines one by one, so that nobody need hold them all twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from allocation_engine.plain import names_of, plain
from allocation_engine.run import Line, Run

LINES = "lines"


def head_document(run: Run) -> dict[str, Any]:
    """Give everything `Run.to_document` gives but the lines."""
    head = {name: plain(getattr(run, name)) for name in names_of(Run) if name != LINES}
    return {**head, "approvable": run.approvable}


def line_documents(run: Run) -> Iterator[dict[str, Any]]:
    """Give each line as `Run.to_document` gives it, in the order of the run."""
    return map(_line, run.lines)


def _line(line: Line) -> dict[str, Any]:
    return {**plain(line), "id": line.id}
