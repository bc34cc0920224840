"""Findings with their words: findings.toml says in Chinese and English what each means and how to mend it.

One table, so that command line, page, report and approver read the same. A finding of a proof or check is made only
through `finding`, which has words for every code or fails.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from provisioning.installation import TEXT_LENGTH_MAX, Finding, Severity
from provisioning.site import Names


@cache
def _words() -> dict[str, dict[str, dict[str, str]]]:
    """Give the two tables of the file."""
    return tomllib.loads(files("provisioning").joinpath("findings.toml").read_text(encoding="utf-8"))


def finding_codes() -> tuple[str, ...]:
    """List every code a finding can have."""
    return tuple(_words()["findings"])


def finding(code: str, subject: str, **parts: object) -> Finding:
    """Make the finding `code` about `subject`, its words filled with `parts`; what is missing is our own mistake.

    A part that is Names is told in each language.
    """
    words = _words()["findings"][code]
    told = {
        language: printable(words[language].format(**{key: _in(part, language) for key, part in parts.items()}))
        for language in ("zh", "en")
    }
    return Finding(code, Severity(words["severity"]), printable(subject), Names(**told), None)


def verdict_words(verdict: str) -> Names:
    """Say in a few words what the comparison of a display came to; a verdict of another version is told as it is."""
    words = _words()["verdicts"].get(verdict)
    return Names(**words) if words else Names(zh=verdict, en=verdict)


def listed(names: Iterable[Names]) -> Names:
    """Join words into a list."""
    each = tuple(names)
    return Names(zh="、".join(one.zh for one in each), en=", ".join(one.en for one in each))


def _in(part: object, language: str) -> object:
    return part.of(language) if isinstance(part, Names) else part


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Order findings by severity, then as they came."""
    return tuple(sorted(findings, key=lambda one: tuple(Severity).index(one.severity)))


def printable(text: str) -> str:
    """Keep a text printable and within what a signed act may hold; what people type may be anything."""
    plain = "".join(mark if mark.isprintable() else "?" for mark in text) or "?"
    return plain if len(plain) <= TEXT_LENGTH_MAX else plain[: TEXT_LENGTH_MAX - 1] + "…"
