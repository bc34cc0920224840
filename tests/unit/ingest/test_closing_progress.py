"""The line of a long closing: on a terminal it names the stage, elsewhere it says nothing."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ingest.closing import Stage
from ingest.closing_progress import WORDS, ClosingProgress


def shown(*, is_terminal: bool) -> str:
    """What a closing of two statements shows."""
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
    with ClosingProgress(console) as watch:
        for stage in Stage:
            watch(stage, 0, 2 if stage is Stage.SEAL else 1)
            watch(stage, 1, 2 if stage is Stage.SEAL else 1)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_every_stage_has_words() -> None:
    assert set(WORDS) == set(Stage)


def test_a_terminal_shows_the_last_stage_and_how_far_it_is() -> None:
    text = shown(is_terminal=True)
    assert WORDS[Stage.SEAL] in text
    assert "1/2" in text


def test_a_file_gets_nothing() -> None:
    assert shown(is_terminal=False) == ""


def test_it_ends_its_line_when_the_closing_stumbles() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with pytest.raises(KeyError):
        _stumble(ClosingProgress(console))
    assert console.file.getvalue().endswith("\x1b[2K")  # type: ignore[attr-defined]


def _stumble(progress: ClosingProgress) -> None:
    with progress as watch:
        watch(Stage.GATHER, 0, 1)
        raise KeyError
