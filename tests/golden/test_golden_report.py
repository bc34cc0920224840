"""What a commissioning report says, block by block, in both languages: `commissioning-report/<language>.json`.

Words, order and tones of the whole report stand there; of a drawing the texts in it. A change of what a report says is
a change of these files, made by `python -m tests.golden.test_golden_report` and read before it is committed.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from provisioning.report import prove
from provisioning.report.blocks import Drawing, Picture, Report, Text
from provisioning.report.composing import compose
from tests.doubles.readable_json import readable
from tests.doubles.surveyed_park import surveyed

HERE = Path(__file__).parent / "commissioning-report"
LANGUAGES = ("zh", "en")
AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
_CHANGES_WITH_FORMAT = re.compile(r"[0-9a-f]{16,}")


def report(language: str) -> Report:
    """Compose the report of the surveyed park."""
    evidence, photos, _ = surveyed()
    return compose(prove(evidence), language, made_at=AT, photos=photos)


def plain(part: Any) -> Any:
    """Give a block as JSON can hold it; digests are left out, since they are of octets and not of what is said."""
    match part:
        case Text():
            return _said(part.text) if part.tone == "plain" else {part.tone.value: _said(part.text)}
        case Drawing():
            texts = re.findall(r"<text [^>]*>([^<]*)</text>", part.svg)
            return {"drawing": [html.unescape(text) for text in texts], "caption": part.caption}
        case Picture():
            return {"picture": part.caption, "media": part.media, "is_shown": part.octets is not None}
        case tuple():
            return [plain(one) for one in part]
        case str():
            return _said(part)
        case None | int():
            return part
    return {type(part).__name__: {field.name: plain(getattr(part, field.name)) for field in fields(part)}}


def _said(text: str) -> str:
    return _CHANGES_WITH_FORMAT.sub("(digest)", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_says_what_it_said(language: str) -> None:
    wanted = json.loads((HERE / f"{language}.json").read_text(encoding="utf-8"))
    assert plain(report(language)) == wanted


def test_both_languages_have_the_same_blocks() -> None:
    shapes = [[type(block).__name__ for block in report(language).blocks] for language in LANGUAGES]
    assert shapes[0] == shapes[1]


def main() -> None:
    """Write the files."""
    HERE.mkdir(exist_ok=True)
    for language in LANGUAGES:
        (HERE / f"{language}.json").write_text(readable(plain(report(language))) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
