"""A statement as PDF: the texts of its page, set by Typst, with a QR code that holds the link and nothing else.

A press keeps one compiler with its font, so that a thousand statements are set in some tens of seconds. Equal arguments
give equal octets.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from importlib import resources
from threading import Lock
from typing import Any

from ingest.console.history_chart import HistoryChart
from ingest.console.tenant_page import LineCard, TenantPage
from ingest.console.words import Language
from ingest.statement_words import statement_words
from provisioning.paper.fonts import ChineseFont, chinese_font
from provisioning.paper.qr import qr_path
from provisioning.paper.typesetting import PaperImpossible, typst_module

HISTORY_ROWS = 6
STEPS_MAX = 40


class Press:
    """Sets statements with one font; raises PaperImpossible where Typst is not installed."""

    def __init__(self, font: ChineseFont) -> None:
        typst = typst_module()
        self._family = font.family
        template = resources.files("ingest.console").joinpath("templates", "statement.typ").read_bytes()
        folders = sorted({str(path.parent) for path in font.files})
        fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=folders)
        self._template = template
        self._compiler = typst.Compiler(template, font_paths=fonts)
        self._lock = Lock()

    def pdf(self, page: TenantPage, language: Language, address: str, dated: datetime) -> bytes:
        """Set one statement; `address` is what the QR code holds."""
        octets: bytes = self._set(page, language, address, dated, format="pdf")
        return octets

    def pictures(self, page: TenantPage, language: Language, address: str, dated: datetime) -> list[bytes]:
        """Give the pages as PNG, to be looked at."""
        found = self._set(page, language, address, dated, format="png", ppi=110.0)
        return found if isinstance(found, list) else [found]

    def _set(self, page: TenantPage, language: Language, address: str, dated: datetime, **form: Any) -> Any:
        content = {**paper_content(page, language, address), "font": [self._family, "DejaVu Sans Mono"]}
        with self._lock:
            try:
                return self._compiler.compile(
                    self._template,
                    sys_inputs={"doc": json.dumps(content, ensure_ascii=False)},
                    timestamp=dated.replace(microsecond=0),
                    **form,
                )
            except RuntimeError as error:
                raise PaperImpossible(f"the PDF could not be set: {error}") from error


@cache
def shared_press() -> Press:
    """Give the press of this process, with the machine's Chinese font; raises FontMissing or PaperImpossible."""
    return Press(chinese_font())


def statement_pdf(page: TenantPage, language: Language, address: str, dated: datetime) -> bytes:
    """Set one statement with this machine's font; raises FontMissing or PaperImpossible."""
    return shared_press().pdf(page, language, address, dated)


def paper_content(page: TenantPage, language: Language, address: str) -> dict[str, Any]:
    """Give what the template sets."""
    word = statement_words(language)
    facts = [(word["for"], page.party), (word["rooms"], page.rooms), (word["number"], page.number)]
    facts.append((word["issued-on"], page.issued))
    return {
        "lang": language.value,
        "word": dict(word),
        "title": f"{word['statement']} {page.number}",
        "site": page.site,
        "of": word["of-period"].format(period=page.period),
        "total-label": page.total_label,
        "total": page.total,
        "state": page.state,
        "tone": page.tone,
        "facts": [[name, text] for name, text in facts if text],
        "notices": [text for _, text in page.notices],
        "lines": [_line(card) for card in page.lines],
        "meters": [
            {
                "node": card.ends.node,
                "meter": word["meter"].format(meter=card.ends.meter)
                + ("" if card.ends.ratio == 1 else f" · {word['ratio'].format(ratio=card.ends.ratio)}"),
                **{
                    name: {"number": f"{end.number} {end.unit}", "when": end.when, "signed": end.signed}
                    for name, end in (("first", card.ends.first), ("last", card.ends.last))
                },
                "used": card.ends.used,
            }
            for card in page.meters
        ],
        "compared": page.history.compared,
        "history-note": page.history.note,
        "history": [[row.label, row.energy, row.amount] for row in page.history.rows[:HISTORY_ROWS]],
        "chart": chart_svg(page.history.chart),
        "qr": f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200">{_code(address)}</svg>',
        "root": page.root,
        "foot": f"{page.number} · {page.site}",
    }


def chart_svg(chart: HistoryChart) -> str:
    """Draw the history for paper: bars and labels, colours in the picture itself."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width} {chart.height}" '
        'font-family="Noto Sans CJK SC, WenQuanYi Micro Hei" font-size="12" text-anchor="middle">'
    ]
    for bar in chart.bars:
        colour = "#0b6e4f" if bar.is_last else "#a9cdbf"
        parts.append(
            f'<rect x="{bar.x}" y="{bar.y}" width="{bar.width}" height="{bar.height}" rx="3" fill="{colour}"/>'
        )
        if bar.figure:
            parts.append(f'<text x="{bar.middle}" y="{bar.y - 6:.1f}" fill="#17201c">{bar.figure}</text>')
        if bar.label:
            parts.append(f'<text x="{bar.middle}" y="{chart.height - 7}" fill="#56625c">{bar.label}</text>')
    parts.append(f'<path d="M{chart.left} {chart.zero}H{chart.right}" stroke="#c3ccc5"/></svg>')
    return "".join(parts)


def _code(address: str) -> str:
    return qr_path(address, x=0, y=0, width=200)


def _line(card: LineCard) -> dict[str, Any]:
    story = card.story
    return {
        "title": story.title,
        "room": story.room,
        "amount": story.amount,
        "why": story.why,
        "more": " ".join(text for text in (story.ground, card.sharing) if text),
        "steps": [
            {"what": one.what, "how": one.how, "gives": one.gives, "result": one.is_result}
            for one in story.steps[:STEPS_MAX]
        ],
    }
