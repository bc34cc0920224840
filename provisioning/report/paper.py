"""A report as a PDF: the blocks written out for the template `report.typ`, with drawings and photos as files beside."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from typing import Any

from provisioning.paper.fonts import ChineseFont
from provisioning.paper.typesetting import PaperImpossible, set_paper
from provisioning.report.blocks import (
    Block,
    Card,
    Drawing,
    Figures,
    Grid,
    Heading,
    Pairs,
    Paragraph,
    Picture,
    Pictures,
    Report,
    SignatureLines,
    Text,
)
from provisioning.report.words import word

_SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}


def to_pdf(report: Report, *, dated: datetime, font: ChineseFont | None = None) -> bytes:
    """Give the paper; raises PaperImpossible or FontMissing. `dated` stands in the file as when it was made.

    A photo that cannot be decoded is named like one that is not there, and does not keep the rest from being printed.
    """
    try:
        return _set(report, frozenset(), dated, font)
    except PaperImpossible:
        unreadable = _unreadable_pictures(report, dated, font)
        if not unreadable:
            raise
        return _set(report, unreadable, dated, font)


def _set(report: Report, left_out: frozenset[bytes], dated: datetime, font: ChineseFont | None) -> bytes:
    writer = _Writer(report.language, left_out)
    content = {
        "language": report.language,
        "title": report.title,
        "subtitle": report.subtitle,
        "foot": report.foot,
        "blocks": [writer.block(block) for block in report.blocks],
    }
    template = files("provisioning.report").joinpath("report.typ")
    return set_paper(template, content, files=writer.files, dated=dated, font=font)


def _unreadable_pictures(report: Report, dated: datetime, font: ChineseFont | None) -> frozenset[bytes]:
    """Find the photos that stop a paper by setting each alone."""
    cards = (card for card in report.blocks if isinstance(card, Card))
    pictures = {
        one.digest: one for card in cards for block in card.blocks if isinstance(block, Pictures) for one in block.items
    }
    unreadable = set()
    for digest, picture in pictures.items():
        try:
            _set(replace(report, blocks=(Pictures((picture,)),)), frozenset(), dated, font)
        except PaperImpossible:
            unreadable.add(digest)
    return frozenset(unreadable)


class _Writer:
    """Writes blocks as JSON and keeps the files they name."""

    def __init__(self, language: str, left_out: frozenset[bytes]) -> None:
        self.files: dict[str, bytes] = {}
        self._left_out = left_out
        self._language = language

    def block(self, block: Block) -> dict[str, Any]:
        """Give one block; `kind` says which."""
        match block:
            case Heading(text=text):
                return {"kind": "heading", "text": text}
            case Paragraph(text=text):
                return {"kind": "paragraph", "text": _text(text)}
            case Pairs():
                return {"kind": "pairs", "rows": [[name, _text(text)] for name, text in block.rows]}
            case Figures():
                return {"kind": "figures", "items": [list(item) for item in block.items]}
            case Grid():
                rows = [[_text(cell) for cell in row] for row in block.rows]
                return {"kind": "grid", "headings": block.headings, "widths": block.widths, "rows": rows}
            case Drawing():
                name = self._keep(f"drawing-{len(self.files)}.svg", block.svg.encode())
                return {"kind": "drawing", "file": name, "caption": block.caption, "alt": block.caption or name}
            case Pictures():
                return {"kind": "pictures", "items": [self._picture(one) for one in block.items]}
            case Card():
                return {
                    "kind": "card",
                    "title": block.title,
                    "subtitle": block.subtitle,
                    "badge": _text(block.badge),
                    "blocks": [self.block(one) for one in block.blocks],
                }
            case SignatureLines():
                return {"kind": "signatures", "labels": block.labels}

    def _picture(self, picture: Picture) -> dict[str, Any]:
        suffix = _SUFFIXES.get(picture.media)
        digest = picture.digest.hex()
        name = None
        if picture.octets is not None and suffix is not None and picture.digest not in self._left_out:
            name = self._keep(f"{digest}.{suffix}", picture.octets)
        absent = word("photo-absent", self._language)
        return {"file": name, "digest": digest[:16], "caption": picture.caption, "absent": absent}

    def _keep(self, name: str, octets: bytes) -> str:
        self.files[name] = octets
        return name


def _text(text: Text) -> dict[str, str]:
    return {"text": text.text, "tone": str(text.tone)}
