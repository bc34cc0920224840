"""TOML documents that know the line of each key, so that a mistake can be shown where it stands.

The standard library parses TOML well and forgets where things stood. This module asks it for the content and finds
the lines by itself: it reads table headers and the first key of each line, which is all that a message needs.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metering.errors import DocumentError, Fault

Place = tuple[str | int, ...]
"""Where a value stands: keys and array indices from the root, e.g. ("meters", 3, "serial")."""

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_\-.\s]+)+?)\s*=""")
_PARSER_LINE = re.compile(r"at line (\d+)")


@dataclass(frozen=True, slots=True)
class TomlSource:
    """A parsed TOML file with the line of each table and key."""

    path: str
    content: dict[str, Any]
    lines: dict[Place, int]

    @classmethod
    def read(cls, path: Path) -> TomlSource:
        """Read a file; raises DocumentError with the line where it is no TOML or cannot be read."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fault = Fault(path=str(path), line=1, problem=f"cannot be read: {error}", mend="give a UTF-8 text file")
            raise DocumentError((fault,)) from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, path: str) -> TomlSource:
        """Parse `text`; `path` is used in messages. Raises DocumentError."""
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = _PARSER_LINE.search(str(error))
            line = int(found.group(1)) if found else text.count("\n") + 1
            fault = Fault(path=path, line=line, problem=f"not TOML: {error}", mend="mend the syntax here")
            raise DocumentError((fault,)) from error
        return cls(path=path, content=content, lines=dict(_places(text)))

    def line(self, *place: str | int) -> int:
        """Give the line of `place`, or of the nearest enclosing table that has one; 1 for the root."""
        while place:
            if place in self.lines:
                return self.lines[place]
            place = place[:-1]
        return 1

    def fault(self, *place: str | int, problem: str, mend: str) -> Fault:
        """Describe a mistake at `place`."""
        return Fault(path=self.path, line=self.line(*place), problem=problem, mend=mend)


def _places(text: str) -> Iterator[tuple[Place, int]]:
    """Give the place and line of each header and key, skipping the inside of multi-line strings."""
    counts: dict[Place, int] = {}
    table: Place = ()
    inside: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if inside is not None:
            inside = None if inside in line else inside
            continue
        header = _HEADER.match(line)
        if header:
            table = _table_place(header.group(2), header.group(1) == "[[", counts)
            yield table, number
            continue
        key = _KEY.match(line)
        if key:
            yield (*table, *_split_key(key.group(1))), number
        inside = _opened_multiline(line)


def _table_place(name: str, is_array: bool, counts: dict[Place, int]) -> Place:
    place: Place = ()
    keys = _split_key(name)
    for position, key in enumerate(keys):
        place = (*place, key)
        last = position == len(keys) - 1
        if last and is_array:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def _split_key(name: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", name))


def _opened_multiline(line: str) -> str | None:
    for quote in ('"""', "'''"):
        if line.count(quote) % 2 == 1:
            return quote
    return None
