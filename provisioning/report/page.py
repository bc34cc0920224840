"""A report as one HTML file that needs nothing else: no server, no script, no font, no network."""

from __future__ import annotations

import base64
from html import escape
from importlib.resources import files

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
    Tone,
)
from provisioning.report.words import word

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def to_html(report: Report) -> bytes:
    """Give the page; equal reports give equal octets."""
    style = files("provisioning.report").joinpath("report.css").read_text(encoding="utf-8")
    language = "zh-CN" if report.language == "zh" else "en"
    head = (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        f"<title>{escape(report.title)} — {escape(report.subtitle)}</title>\n<style>\n{style}</style>\n</head>\n"
    )
    body = "\n".join(_block(block, report.language) for block in report.blocks)
    title = f"<header>\n<h1>{escape(report.title)}</h1>\n<p>{escape(report.subtitle)}</p>\n</header>\n"
    foot = f"<footer>{escape(report.foot)}</footer>\n"
    return f"{head}<body>\n<main>\n{title}{body}\n{foot}</main>\n</body>\n</html>\n".encode()


def _block(block: Block, language: str) -> str:
    match block:
        case Heading(text=text):
            return f"<h2>{escape(text)}</h2>"
        case Paragraph(text=text):
            return f'<p class="{text.tone}">{escape(text.text)}</p>'
        case Pairs():
            rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{_span(text)}</dd></div>" for name, text in block.rows)
            return f'<dl class="pairs">{rows}</dl>'
        case Figures():
            items = "".join(
                f'<div class="{tone}"><b>{escape(number)}</b><span>{escape(name)}</span></div>'
                for number, name, tone in block.items
            )
            return f'<div class="figures">{items}</div>'
        case Grid():
            return _grid(block)
        case Drawing():
            caption = f"<figcaption>{escape(block.caption)}</figcaption>" if block.caption else ""
            return f'<figure class="drawing">{block.svg}{caption}</figure>'
        case Pictures():
            return f'<div class="pictures">{"".join(_picture(one, language) for one in block.items)}</div>'
        case Card():
            return _card(block, language)
        case SignatureLines():
            return f'<div class="signatures">{"".join(f"<div>{escape(one)}</div>" for one in block.labels)}</div>'


def _span(text: Text) -> str:
    return escape(text.text) if text.tone is Tone.PLAIN else f'<span class="{text.tone}">{escape(text.text)}</span>'


def _grid(grid: Grid) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in grid.headings)
    rows = "".join(f"<tr>{''.join(f'<td>{_span(cell)}</td>' for cell in row)}</tr>" for row in grid.rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _card(card: Card, language: str) -> str:
    badge = f'<span class="badge {card.badge.tone}">{escape(card.badge.text)}</span>'
    title = f"<h3>{escape(card.title)} <small>{escape(card.subtitle)}</small>{badge}</h3>"
    return f'<section class="card">{title}{"".join(_block(block, language) for block in card.blocks)}</section>'


def _picture(picture: Picture, language: str) -> str:
    digest = picture.digest.hex()
    caption = f"<figcaption>{escape(picture.caption)}<br><code>{digest[:16]}</code></figcaption>"
    if picture.octets is None:
        return f'<figure><div class="absent">{escape(word("photo-absent", language))}</div>{caption}</figure>'
    source = f"data:{escape(picture.media)};base64,{base64.b64encode(picture.octets).decode()}"
    return f'<figure><img data-sha256="{digest}" alt="{escape(picture.caption)}" src="{source}">{caption}</figure>'
