"""What the page says: words.toml, in the language of the session."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from edge_agent.installation.view import DeskRefused
from metering.errors import MeteringError

LANGUAGES = ("zh", "en")


@cache
def _words() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads(files("edge_agent.page").joinpath("words.toml").read_text(encoding="utf-8"))


class Words:
    """The words of one language: `words("lines.heading")`, filled with `parts`."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **parts: object) -> str:
        """Give a text; a key that is missing is our own mistake."""
        table, _, name = key.partition(".")
        return _words()[table][name][self.language].format(**parts)

    def of(self, error: MeteringError) -> str:
        """Tell an error, in this language where it knows it."""
        return error.told.of(self.language) if isinstance(error, DeskRefused) else str(error)


def languages_of(header: str) -> str:
    """Choose a language by a browser's `Accept-Language`; Chinese where it asks for neither."""
    for part in header.lower().split(","):
        code = part.split(";")[0].strip()[:2]
        if code in LANGUAGES:
            return code
    return LANGUAGES[0]
