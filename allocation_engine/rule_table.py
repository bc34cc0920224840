"""One table of a rules file, read key by key: every mistake is kept with its line, none stops the reading.

After a mistake a reader gives a stand-in of the right type, so that the keys after it are still checked; nothing is
built from a file with any mistake.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeVar

from metering.errors import Fault, MeteringError
from metering.identity import check_identifier
from metering.toml_source import Place, TomlSource

Choice = TypeVar("Choice", bound=StrEnum)
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,9})?\Z")


class RuleTable:
    """Reads the table at `place` of `source`; mistakes go to `faults`."""

    def __init__(self, source: TomlSource, place: Place, table: Any, faults: list[Fault]) -> None:
        self.source = source
        self.place = place
        self._table: Mapping[str, Any] = table if isinstance(table, Mapping) else {}
        self._faults = faults
        self._asked: set[str] = set()
        if not isinstance(table, Mapping):
            self.fault("", "this must be a table", "write it with a [header]")

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the table, as written."""
        return tuple(self._table)

    def fault(self, key: str, problem: str, mend: str) -> None:
        """Keep a mistake that stands at `key` ("" for the table itself)."""
        place = (*self.place, key) if key else self.place
        self._faults.append(self.source.fault(*place, problem=problem, mend=mend))

    def has(self, key: str) -> bool:
        """Say whether the table has `key`."""
        self._asked.add(key)
        return key in self._table

    def holds(self, key: str, kind: type) -> bool:
        """Say whether something of `kind` stands at `key`."""
        return self.has(key) and isinstance(self._table[key], kind)

    def skip(self) -> None:
        """Take all keys as asked for: the table is known from elsewhere."""
        self._asked |= self._table.keys()

    def close(self) -> None:
        """Keep a mistake for every key that nothing asked for."""
        for key in self._table:
            if key not in self._asked:
                self.fault(key, f"unknown key {key!r}", nearest(key, self._asked))

    def tables(self, key: str) -> Iterator[RuleTable]:
        """Give the tables of the array `key`, closing each after its turn; at least one must be there."""
        content = self._table.get(key) if self.has(key) else None
        if not isinstance(content, list) or not content:
            self.fault(key, f"{key} must be an array of tables", f"write each one under [[{key}]]")
            return
        for index, table in enumerate(content):
            reader = RuleTable(self.source, (*self.place, key, index), table, self._faults)
            yield reader
            reader.close()

    def within(self, *place: str | int) -> RuleTable:
        """Give an empty table at a place below this one, for mistakes that are found later."""
        return RuleTable(self.source, (*self.place, *place), {}, self._faults)

    def table(self, key: str) -> RuleTable:
        """Give the table `key`; an empty one after a mistake."""
        content = self._get(key, "a table") or {}
        return RuleTable(self.source, (*self.place, key), content, self._faults)

    def text(self, key: str) -> str:
        """Read a text that is not empty."""
        content = self._get(key, '"..."')
        if content is None:
            return ""
        if not isinstance(content, str) or not content.strip():
            self.fault(key, f"{key} must be a text, not {content!r}", f'write {key} = "..."')
            return ""
        return content

    def identifier(self, key: str) -> str:
        """Read an identifier: lower-case letters, digits, inner hyphens."""
        content = self.text(key)
        try:
            return check_identifier(content) if content else "-"
        except MeteringError as error:
            self.fault(key, str(error), "choose another id; names are free text")
            return "-"

    def choice(self, key: str, kind: type[Choice]) -> Choice:
        """Read one of the words of `kind`."""
        words = [str(one) for one in kind]
        content = self._get(key, " or ".join(f'"{word}"' for word in words))
        if content is None or content in words:
            return kind(content or words[0])
        self.fault(key, f"{key} is {content!r}", f"write one of {', '.join(words)}")
        return kind(words[0])

    def day(self, key: str) -> date:
        """Read a date."""
        content = self._get(key, "2026-01-01")
        try:
            if isinstance(content, str):
                return date.fromisoformat(content)
            if isinstance(content, date) and not isinstance(content, datetime):
                return content
        except ValueError:
            pass
        if content is not None:
            self.fault(key, f"{key} is {content!r}", "write a date such as 2026-01-01")
        return date.min

    def flag(self, key: str) -> bool:
        """Read `true` or `false`."""
        content = self._get(key, "true")
        if content is not None and type(content) is not bool:
            self.fault(key, f"{key} is {content!r}", "write true or false")
        return content is True

    def optional_day(self, key: str) -> date | None:
        """Read a date if there is one."""
        return self.day(key) if self.has(key) else None

    def optional_text(self, key: str) -> str | None:
        """Read a text if there is one."""
        return self.text(key) if self.has(key) else None

    def number(self, key: str) -> Fraction:
        """Read a number that is written as text, such as "0.15": exactly."""
        content = self.text(key)
        if content and not _NUMBER.match(content):
            self.fault(key, f"{key} is {content!r}", f'write a plain decimal number as text: {key} = "1.05"')
            return Fraction(0)
        return exact_number(content or "0")

    def scaled(self, key: str, digits: int) -> int:
        """Read a number that is not negative as a whole number of 10^-`digits`; finer ones are a mistake."""
        scaled = self.number(key) * 10**digits
        if scaled.denominator != 1 or scaled < 0:
            self.fault(
                key, f"{key} is {self.text(key)!r}", f"it must not be negative and have at most {digits} decimals"
            )
            return 0
        return int(scaled)

    def ids(self, key: str, what: str, known: Collection[str]) -> tuple[str, ...]:
        """Read a list of different ids, all of them `known`."""
        content = self._get(key, '["...", "..."]')
        if content is None:
            return ()
        if not isinstance(content, list) or not content or len(set(map(str, content))) != len(content):
            self.fault(key, f"{key} is {content!r}", f"list each {what} once, at least one")
            return ()
        for one in content:
            if one not in known:
                self.fault(key, f"unknown {what} {one!r}", nearest(str(one), known))
        return tuple(one for one in content if one in known)

    def one_id(self, key: str, what: str, known: Collection[str]) -> str:
        """Read one `known` id."""
        content = self.text(key)
        if content and content not in known:
            self.fault(key, f"unknown {what} {content!r}", nearest(content, known))
        return content

    def names(self, key: str) -> tuple[tuple[str, str], ...]:
        """Read `{ zh = "...", en = "..." }`."""
        content = self._get(key, '{ zh = "...", en = "..." }')
        match content:
            case {"zh": str(zh), "en": str(en), **others} if zh.strip() and en.strip() and not others:
                return (("en", en), ("zh", zh))
            case _ if content is not None:
                self.fault(key, f"{key} is {content!r}", 'write { zh = "...", en = "..." }')
        return ()

    def raw(self, key: str) -> Any:
        """Give what stands at `key`; None, and a mistake, if nothing does."""
        return self._get(key, "...")

    def _get(self, key: str, form: str) -> Any:
        if self.has(key):
            return self._table[key]
        self.fault(key, f"{key} is missing", f"write {key} = {form}")
        return None


@lru_cache(maxsize=4096)
def exact_number(text: str) -> Fraction:
    """Read decimal text that is known to be a number; ten thousand units share a few hundred of them."""
    return Fraction(text)


def nearest(word: str, known: Collection[str]) -> str:
    """Say which of the `known` words was probably meant, or which there are."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)[:12]) or 'none'}"
