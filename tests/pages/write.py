"""Writes the blocks of the teaching pages and their pictures anew: `python -m tests.pages.write`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pages import blocks, pictures
from tests.pages.cases import ROOT

DOCS = ROOT / "docs"
PAGES = {"en": DOCS / "allocation.md", "zh": DOCS / "allocation.zh.md"}
PICTURES = DOCS / "pictures"
BLOCK = re.compile(r"(<!-- block: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.S)


def refreshed(text: str, language: str) -> str:
    """The page with every block as the cases give it today."""
    return BLOCK.sub(lambda found: f"{found[1]}{blocks.render(found[2], language)}\n{found[4]}", text)


def picture_files() -> dict[Path, str]:
    """Every picture's file and what must stand in it."""
    return {PICTURES / f"{name}.svg": pictures.render(name) for name in pictures.names()}


def main() -> None:
    """Write what differs."""
    PICTURES.mkdir(exist_ok=True)
    wanted = {
        page: refreshed(page.read_text(encoding="utf-8"), language) for language, page in PAGES.items() if page.exists()
    }
    for path, text in (wanted | picture_files()).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
