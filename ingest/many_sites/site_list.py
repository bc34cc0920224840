"""Which sites a command speaks of: all of them, a list, or a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from metering.errors import MeteringError
from metering.identity import IdentifierInvalid, SiteId, check_identifier

ALL = "all"


class SiteListInvalid(MeteringError):
    """What was given for --sites is no list of sites."""


def read_site_list(text: str, every_site: Callable[[], Iterable[SiteId]]) -> tuple[SiteId, ...]:
    """Read `all`, ids with commas between, or the path of a file with one id a line; raises SiteListInvalid.

    A path is known by its '/' or '.', which no id has. In a file, '#' begins a remark.
    """
    if text == ALL:
        sites = tuple(every_site())
        if not sites:
            raise SiteListInvalid("--sites all: no site is imported; start with: metertree site import DIR")
        return sites
    if "/" in text or "." in text:
        words = _lines(Path(text))
    else:
        words = [(f"--sites {text}", word.strip()) for word in text.split(",")]
    sites = tuple(_site(place, word) for place, word in words)
    if not sites:
        raise SiteListInvalid(f"--sites {text}: names no site; write one id a line")
    return tuple(dict.fromkeys(sites))


def _lines(path: Path) -> list[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SiteListInvalid(f"--sites {path}: cannot be read: {error}") from error
    words = ((number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(f"{path}:{number}", word) for number, word in words if word]


def _site(place: str, word: str) -> SiteId:
    try:
        return SiteId(check_identifier(word))
    except IdentifierInvalid as error:
        raise SiteListInvalid(f"{place}: {error}; ids are written with commas between, or one a line") from error
