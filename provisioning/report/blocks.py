"""A report as a list of blocks, which the page and the paper show alike, each in its own way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """How something is to be taken."""

    PLAIN = "plain"
    FAINT = "faint"
    CODE = "code"
    """Read letter by letter: serials, fingerprints."""
    GOOD = "good"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text with its tone."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a chapter."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph."""

    text: Text


@dataclass(frozen=True, slots=True)
class Pairs:
    """What something is called, and what it is."""

    rows: tuple[tuple[str, Text], ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers to be seen first, each with its word."""

    items: tuple[tuple[str, str, Tone], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; `widths` are shares of the width, 0 for as wide as needed."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    widths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """An SVG, with what it shows in words, its width and height [px]."""

    svg: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo: digest, media type, octets; None where the picture itself is not there or not shown."""

    digest: bytes
    media: str
    octets: bytes | None
    caption: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """Photos side by side."""

    items: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """What belongs to one meter."""

    title: str
    subtitle: str
    badge: Text
    blocks: tuple[Pairs | Grid | Pictures | Paragraph, ...]


@dataclass(frozen=True, slots=True)
class SignatureLines:
    """Places where people sign by hand."""

    labels: tuple[str, ...]


Block = Heading | Paragraph | Pairs | Figures | Grid | Drawing | Pictures | Card | SignatureLines


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report: its language, title, what stands under the title and at the foot of each page, its blocks."""

    language: str
    title: str
    subtitle: str
    foot: str
    blocks: tuple[Block, ...]
