"""A small pen for SVG pictures that read on light and on dark pages, with texts in two languages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_LIGHT = {
    "ink": "#1f2328",
    "soft": "#59636e",
    "line": "#aab2bb",
    "face": "#f3f5f7",
    "blue": "#2f6fd0",
    "teal": "#1a8577",
    "amber": "#b9770e",
    "red": "#c4393a",
    "violet": "#7a52c4",
}
_DARK = {
    "ink": "#e6edf3",
    "soft": "#9aa5b1",
    "line": "#58636f",
    "face": "#1d242c",
    "blue": "#6ba4f8",
    "teal": "#4cc2b0",
    "amber": "#e3a948",
    "red": "#f2777a",
    "violet": "#b294f0",
}
_FONTS = 'system-ui, "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif'


def _colours(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


_STYLE = f"""
  svg {{ {_colours(_LIGHT)} }}
  @media (prefers-color-scheme: dark) {{ svg {{ {_colours(_DARK)} }} }}
  text {{ font-family: {_FONTS}; font-size: 13px; fill: var(--ink); }}
  .soft {{ fill: var(--soft); }} .small {{ font-size: 11.5px; }} .strong {{ font-weight: 600; }}
"""
FACES = {
    "face": "var(--face)",
    "blue": "var(--blue)",
    "teal": "var(--teal)",
    "amber": "var(--amber)",
    "red": "var(--red)",
    "violet": "var(--violet)",
    "none": "none",
}


class Picture:
    """One picture; coordinates are pixels from the top left."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = width, height
        self._title = title
        self._parts: list[str] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        face: str = "face",
        *,
        faint: bool = False,
        dashed: bool = False,
    ) -> None:
        """Draw a rectangle; faint ones let the page through."""
        stroke = "var(--line)" if face in ("face", "none") else FACES[face]
        fill = f'fill="{FACES[face]}"' + (' fill-opacity="0.22"' if faint else "")
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" {fill} stroke="{stroke}"{dash}/>'
        )

    def line(
        self,
        points: Sequence[tuple[float, float]],
        face: str = "",
        *,
        wide: float = 1.4,
        dashed: bool = False,
        arrow: bool = False,
    ) -> None:
        """Draw a line through points."""
        stroke = FACES[face] if face else "var(--line)"
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{wide:g}"{dash}/>')
        if arrow:
            (x0, y0), (x, y) = points[-2:]
            length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
            u, v = (x - x0) / length, (y - y0) / length
            left = (x - 8 * u - 4 * v, y - 8 * v + 4 * u)
            right = (x - 8 * u + 4 * v, y - 8 * v - 4 * u)
            tip = " ".join(f"{a:.1f},{b:.1f}" for a, b in ((x, y), left, right))
            self._parts.append(f'<polygon points="{tip}" fill="{stroke}"/>')

    def dot(self, x: float, y: float, face: str = "blue") -> None:
        """Draw a point."""
        self._parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="4" fill="{FACES[face]}"/>')

    def text(self, x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> None:
        """Write one line; `kind` is any of soft, small, strong."""
        classes = f' class="{kind}"' if kind else ""
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._parts.append(f'<text x="{x:g}" y="{y:g}"{classes}{place}>{escape(text)}</text>')

    def middle(self, x: float, y: float, *texts: str, kind: str = "") -> None:
        """Write lines below each other around the middle (x, y)."""
        for number, text in enumerate(texts):
            self.text(x, y + 4.5 + 16 * (number - (len(texts) - 1) / 2), text, kind, anchor="middle")

    def render(self) -> str:
        """Give the file."""
        width, height = self._size
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img">\n'
            f"<title>{escape(self._title)}</title>\n<style>{_STYLE}</style>\n{body}\n</svg>\n"
        )
