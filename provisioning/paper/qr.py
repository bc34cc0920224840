"""QR codes (ISO/IEC 18004) as one SVG path, made by segno; large enough squares and the quiet zone are the caller's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from provisioning.paper.typesetting import PaperImpossible

QUIET = 4
"""Empty squares that the standard wants on each side."""


def qr_squares(text: str) -> tuple[tuple[bool, ...], ...]:
    """Give the squares of the code, dark ones True, without the quiet zone; up to 25 % of it may be lost."""
    try:
        segno: Any = importlib.import_module("segno")
    except ImportError as error:
        raise PaperImpossible("a QR code needs the package segno: install metertree[pdf]") from error
    code = segno.make(text, error="q", micro=False)
    return tuple(tuple(bool(square) for square in row) for row in code.matrix)


def qr_path(text: str, *, x: float, y: float, width: float) -> str:
    """Give the code as an SVG path on white, its quiet zone within `width`."""
    squares = qr_squares(text)
    side = width / (len(squares) + 2 * QUIET)
    runs = "".join(
        f"M{x + (QUIET + start) * side:.3f} {y + (QUIET + row) * side:.3f}h{length * side:.3f}v{side:.3f}"
        f"h{-length * side:.3f}z"
        for row, line in enumerate(squares)
        for start, length in _runs(line)
    )
    ground = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{width:g}" fill="#fff"/>'
    return f'{ground}<path d="{runs}" fill="#000" shape-rendering="crispEdges"/>'


def _runs(line: tuple[bool, ...]) -> Iterator[tuple[int, int]]:
    """Give start and length of each run of dark squares."""
    start: int | None = None
    for place, dark in enumerate((*line, False)):
        if dark and start is None:
            start = place
        if not dark and start is not None:
            yield start, place - start
            start = None
