"""docs/allocation.md and its Chinese sister tell the truth: tables, pictures, numbers in sentences, links, commands."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.balance import BAND_WH_MIN, COVERAGE
from allocation_engine.intervals import ROLLOVER_REACH
from ingest.cli import main
from tests.doubles.memory_centre import bundle_of
from tests.doubles.park_books import CENTRE
from tests.pages.blocks import names as block_names
from tests.pages.cases import ROOT
from tests.pages.pictures import names as picture_names
from tests.pages.write import BLOCK, PAGES, picture_files, refreshed

REWRITE = "write it anew: .venv/bin/python -m tests.pages.write"
TEXTS = {language: page.read_text(encoding="utf-8") for language, page in PAGES.items()}
_NUMBER = re.compile(r"(?<![\w./-])[-−]?\d[\d,]*(?:\.\d+)?(?![\w./-]*\w)")
LANGUAGES = pytest.mark.parametrize("language", PAGES)


@LANGUAGES
def test_every_table_is_what_the_engine_gives_today(language: str) -> None:
    assert TEXTS[language] == refreshed(TEXTS[language], language), REWRITE


def test_every_picture_is_what_the_cases_give_today() -> None:
    files = picture_files()
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: {REWRITE}"
    assert {path.name for path in (ROOT / "docs" / "pictures").iterdir()} == {path.name for path in files}


def test_every_block_and_picture_is_on_the_page() -> None:
    assert sorted(found[1] for found in BLOCK.findall(TEXTS["en"])) == block_names()
    for name in picture_names():
        assert f"(pictures/{name}.svg)" in TEXTS["en"]


@LANGUAGES
def test_links_lead_somewhere(language: str) -> None:
    text = TEXTS[language]
    anchors = {
        re.sub(r"[^\w\u4e00-\u9fff -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^## (.+)$", text, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if path:
            assert (PAGES[language].parent / path).exists(), target
        else:
            assert anchor in anchors, target


def chapters(text: str) -> Iterator[tuple[str, str]]:
    """Each chapter with its title."""
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        yield title, body


def leaves(content: Any) -> Iterator[str]:
    """Every number in the facts, rules and results of a case; what its author explains is no source."""
    if isinstance(content, dict):
        for key, one in content.items():
            if key not in ("why", "months"):
                yield from re.findall(r"\d[\d,]*(?:\.\d+)?", str(key))
                yield from leaves(one)
    elif isinstance(content, list):
        for one in content:
            yield from leaves(one)
    else:
        yield from re.findall(r"\d[\d,]*(?:\.\d+)?", str(content))


def plain(number: str) -> str:
    """A number without thousands, signs and trailing zeros."""
    text = number.replace(",", "").lstrip("-−")
    return text.rstrip("0").rstrip(".") if "." in text else text


def prose(body: str) -> str:
    """The sentences of a chapter: no tables made by the engine, code, links or pictures."""
    body = BLOCK.sub("", body)
    body = re.sub(r"```.*?```", "", body, flags=re.S)
    body = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", "", body)
    return re.sub(r"`[^`]*`", "", body)


ENGINE = {plain(str(one)) for one in (COVERAGE, BAND_WH_MIN // 1000, ROLLOVER_REACH, 256)}
"""Numbers of the engine: width of the band, its least width in kWh, reach of a rollover, SHA-256."""
LAW = {"25", "283", "70", "30"}
"""Numbers of laws that are named where they stand, and of the agreement they are compared with."""
DATES = {"1", "17", "14", "00", "15", "2026"}
"""Days and hours that a chapter's case is about; the case itself is checked for them by name."""


@LANGUAGES
def test_every_number_in_a_sentence_comes_from_a_case_of_its_chapter(language: str) -> None:
    unknown = []
    for title, body in chapters(TEXTS[language]):
        known = (
            ENGINE
            | LAW
            | DATES
            | {plain(one) for found in BLOCK.findall(body) for one in re.findall(r"\d[\d,]*(?:\.\d+)?", found[2])}
        )
        for target in re.findall(r"\]\((\.\./tests/golden/[^)#]+\.toml)\)", body):
            folder = (PAGES[language].parent / target).resolve().parent
            for path in folder.glob("*.toml"):
                known |= {plain(one) for one in leaves(tomllib.loads(path.read_text(encoding="utf-8")))}
        unknown += [(title, one) for one in _NUMBER.findall(prose(body)) if plain(one) not in known]
    assert unknown == [], "a number in a sentence that no linked case, table or law gives"


@LANGUAGES
def test_every_command_runs(language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (tmp_path / "statement.json").write_bytes(bundle_of("t-01"))
    (tmp_path / "centre.pub").write_text(CENTRE.public_key.hex() + "\n", encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    commands = [line for found in re.findall(r"```sh\n(.*?)```", TEXTS[language], re.S) for line in found.splitlines()]
    assert len(commands) >= 2
    for command in commands:
        program, *argv = shlex.split(command)
        assert program == ".venv/bin/metertree"
        assert main(argv) == 0, capsys.readouterr()
        told = capsys.readouterr().out
        if "--line" in argv:
            tongue = "zh" if "--lang" in argv else "en"
            block = "told-own-use" if argv[argv.index("--line") + 1].startswith("own-use") else "told-share"
            text = next(
                found[2] for found in BLOCK.findall(refreshed(f"<!-- block: {block} -->\n<!-- end -->", tongue))
            )
            for step in text.splitlines()[1:-1]:
                assert step.strip() in told


@LANGUAGES
def test_sentences_and_their_dates_belong_to_the_cases(language: str) -> None:
    """The few dates that sentences may name are in the cases that the chapters link."""
    for name, at in (
        ("tree-re-parented-on-the-17th/period.toml", "2026-07-17T14:00"),
        ("handover-17th-14-00/case.toml", "2026-07-17T14:00"),
    ):
        assert at in (ROOT / "tests" / "golden" / name).read_text(encoding="utf-8")
