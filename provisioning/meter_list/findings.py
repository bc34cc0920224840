"""What a meter list says wrongly or not clearly enough, with row, column and mend, in Chinese and English."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from provisioning.site import Names


class Severity(StrEnum):
    """How bad a finding is."""

    WRONG = "wrong"
    """The row cannot be taken."""
    DOUBTFUL = "doubtful"
    """The row can be taken once a person has decided."""
    NOTE = "note"
    """Nothing is to be done; it is told so that nobody wonders."""


@dataclass(frozen=True, slots=True)
class ListFinding:
    """One finding: where (`row` from 1 and `column` as in the spreadsheet, None for the file), what, and the mend."""

    code: str
    severity: Severity
    row: int | None
    column: str | None
    told: Names
    mend: Names

    def line(self, language: str) -> str:
        """Give the finding as one line."""
        place = f"{self.column or ''}{self.row or ''}"
        mend = self.mend.of(language)
        return f"{place + ': ' if place else ''}{self.told.of(language)}{f' ({mend})' if mend else ''}"


@cache
def _words() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads(files("provisioning.meter_list").joinpath("findings.toml").read_text(encoding="utf-8"))


def finding_codes() -> tuple[str, ...]:
    """List every code a finding can have."""
    return tuple(_words()["findings"])


def finding(code: str, row: int | None = None, column: str | None = None, **facts: Any) -> ListFinding:
    """Make a finding of a known code with its facts."""
    words = _words()["findings"][code]
    name = facts.get("field", "")
    told = {"en": {**facts, "key": name}, "zh": {**facts, "key": name, "field": _field_zh(name)}}

    def say(key: str) -> Names:
        return Names(*(words.get(key.format(language), "").format(**told[language]) for language in ("zh", "en")))

    return ListFinding(code, Severity(words["severity"]), row, column, say("{}"), say("mend_{}"))


def _field_zh(name: str) -> str:
    fields: dict[str, Any] = _words()["fields"]
    return str(fields.get(name, name))
