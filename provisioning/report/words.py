"""The words of a report, Chinese and English: words.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files


@cache
def _words() -> dict[str, dict[str, str]]:
    return tomllib.loads(files("provisioning.report").joinpath("words.toml").read_text(encoding="utf-8"))


def word(key: str, language: str, **parts: object) -> str:
    """Give a word; a missing one is our own mistake."""
    return _words()[key][language].format(**parts)
