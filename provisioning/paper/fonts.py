"""Where a machine keeps a font with Chinese signs. Without one there is no paper, rather than one of empty boxes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metering.errors import MeteringError

_KNOWN = (
    ("NotoSansCJK-Regular.ttc", "Noto Sans CJK SC"),
    ("NotoSansCJKsc-Regular.otf", "Noto Sans CJK SC"),
    ("NotoSansSC-Regular.otf", "Noto Sans SC"),
    ("NotoSansSC-Regular.ttf", "Noto Sans SC"),
    ("SourceHanSansSC-Regular.otf", "Source Han Sans SC"),
    ("SourceHanSansCN-Regular.otf", "Source Han Sans CN"),
    ("wqy-microhei.ttc", "WenQuanYi Micro Hei"),
)
"""File names and families, the most readable first; a bold face is taken from beside it. Each has Latin letters too:
one without (Droid Sans Fallback) leaves empty boxes where a line mixes both."""


class FontMissing(MeteringError):
    """No font with Chinese signs was found; the text says how to get one."""


@dataclass(frozen=True, slots=True)
class ChineseFont:
    """A font: its family, and its files (the plain face, and the bold one where it is there)."""

    family: str
    files: tuple[Path, ...]


def font_folders() -> tuple[Path, ...]:
    """List where fonts are looked for: of this project (scripts/install_fonts.sh), of this Python, of the system."""
    return (
        Path(".metertree/fonts"),
        Path(sys.prefix) / "share/fonts",
        Path.home() / ".local/share/fonts",
        Path("/usr/local/share/fonts"),
        Path("/usr/share/fonts"),
        Path("/System/Library/Fonts"),
    )


def chinese_font(folders: tuple[Path, ...] | None = None) -> ChineseFont:
    """Find the most readable Chinese font; raises FontMissing."""
    known = dict(_KNOWN)
    files: dict[str, Path] = {}
    for path in _files(font_folders() if folders is None else folders):
        if path.name in known:
            files.setdefault(path.name, path)
    for name, family in _KNOWN:
        if name in files:
            bold = files[name].with_name(name.replace("Regular", "Bold"))
            return ChineseFont(family, tuple(dict.fromkeys(path for path in (files[name], bold) if path.is_file())))
    raise FontMissing(
        "this machine has no Chinese font for a PDF: run scripts/install_fonts.sh, or give --fonts FOLDER"
    )


def _files(folders: tuple[Path, ...]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from (path for path in sorted(folder.rglob("*.[to]t[fc]")))
