"""A few words of SVG, so that drawings read as what they show. All text is escaped here and nowhere else."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from html import escape

FONTS = (
    "'Noto Sans CJK SC','Noto Sans SC','Source Han Sans SC','WenQuanYi Micro Hei','PingFang SC','Microsoft YaHei',"
    "sans-serif"
)
INK, FAINT, LINE, PAPER = "#1c2733", "#6b7885", "#b9c3cc", "#ffffff"
ACCENT, ACCENT_PALE = "#0b6e6e", "#e4f2f1"
DOUBT, DOUBT_PALE = "#a35a00", "#fff3e0"
WRONG, WRONG_PALE = "#b3261e", "#fdeceb"


def drawing(width: int, height: int, parts: Iterable[str], title: str, *, px_per_mm: int | None = None) -> str:
    """Give a whole SVG of `width` x `height` px; `title` is what it shows, for who cannot see it.

    px_per_mm   for a drawing that has a true size when printed
    """
    size = (str(width), str(height)) if px_per_mm is None else (f"{width / px_per_mm:g}mm", f"{height / px_per_mm:g}mm")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{size[0]}" height="{size[1]}"'
    )
    return f'{head} role="img" font-family="{FONTS}"><title>{escape(title)}</title>{"".join(parts)}</svg>'


def text(
    x: float,
    y: float,
    content: str,
    *,
    size: float = 12,
    fill: str = INK,
    anchor: str = "start",
    bold: bool = False,
    letter_by_letter: bool = False,
) -> str:
    """Give text whose base line begins (or is centred, or ends) at (x, y).

    letter_by_letter   for codes: no two letters are drawn as one sign, as fonts do with ff
    """
    # XML has no control signs; spaces of any width are spaces.
    content = "".join(sign if sign.isprintable() else " " if sign.isspace() else "\ufffd" for sign in content)
    weight = ' font-weight="700"' if bold else ""
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    apart = ' letter-spacing="0.3"' if letter_by_letter else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}"{weight}{side}{apart}>{escape(content)}</text>'


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    fill: str = PAPER,
    stroke: str = LINE,
    dashed: bool = False,
    radius: float = 4,
) -> str:
    """Give a rectangle with round corners."""
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"'
    return f'<rect {place} fill="{fill}" stroke="{stroke}"{dash}/>'


def path(points: Iterable[tuple[float, float]], *, stroke: str = LINE, fill: str = "none", closed: bool = False) -> str:
    """Give straight lines through points."""
    steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{steps}{" Z" if closed else ""}" fill="{fill}" stroke="{stroke}" stroke-width="1.2"/>'


def width_of(content: str, size: float) -> float:
    """Estimate how wide a text is [px]: Chinese signs are square, others a little more than half of it."""
    return sum(size if unicodedata.east_asian_width(sign) in "WF" else size * 0.58 for sign in content)


def fitted(content: str, size: float, width: float) -> str:
    """Give a text that is at most `width` px wide, its end left out where it is longer."""
    if width_of(content, size) <= width:
        return content
    while content and width_of(content + "…", size) > width:
        content = content[:-1]
    return content + "…"
