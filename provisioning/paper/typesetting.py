"""Typst as we use it: one template of ours, one JSON document, one font, no network, the same octets every time."""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from metering.errors import MeteringError
from provisioning.paper.fonts import ChineseFont, chinese_font

TEMPLATE, CONTENT = "paper.typ", "paper.json"


class PaperImpossible(MeteringError):
    """A PDF cannot be made here; the text says why and the mend."""


def typst_module() -> Any:
    """Give the module `typst`; raises PaperImpossible where the extra is not installed."""
    try:
        return importlib.import_module("typst")
    except ImportError as error:
        raise PaperImpossible("PDF needs the package typst: install metertree[pdf]; HTML needs nothing") from error


def set_paper(
    template: Traversable,
    content: Mapping[str, Any],
    *,
    files: Mapping[str, bytes],
    dated: datetime,
    font: ChineseFont | None = None,
) -> bytes:
    """Give the PDF of a template; raises PaperImpossible or FontMissing.

    content   JSON-able; the template reads it from paper.json, and finds the family in `content.font`
    files     pictures that the template names, by file name
    dated     what the PDF says of when it was made: equal arguments give equal octets
    """
    typst = typst_module()
    font = font or chinese_font()
    with tempfile.TemporaryDirectory(prefix="metertree-paper-") as folder:
        root = Path(folder)
        (root / TEMPLATE).write_bytes(template.read_bytes())
        whole = {**content, "font": font.family}
        (root / CONTENT).write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
        for name, picture in files.items():
            (root / name).write_bytes(picture)
        (root / "packages").mkdir()
        (root / "fonts").mkdir()
        for path in font.files:  # these alone: a folder of the system may hold hundreds
            _link(path.resolve(), root / "fonts" / path.name)
        try:
            paper: bytes = typst.compile(
                str(root / TEMPLATE),
                root=str(root),
                font_paths=[str(root / "fonts")],
                ignore_system_fonts=True,
                package_path=str(root / "packages"),
                package_cache_path=str(root / "packages"),
                format="pdf",
                timestamp=dated.replace(microsecond=0),  # typst takes whole seconds only
            )
        except RuntimeError as error:
            raise PaperImpossible(f"the PDF could not be set: {error}; HTML can") from error
    return paper


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
