"""A TOML table read key by key: each reader gives a well-typed result and notes a fault with its line otherwise.

After a fault the reader gives a harmless stand-in, so that one run finds every mistake; `Faults.raise_if_any` then
makes sure that no stand-in leaves the checker.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

from metering.errors import DocumentError, Fault
from metering.toml_source import Place, TomlSource

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}\s*)+\Z")
_MISSING = object()
T = TypeVar("T")


class Faults:
    """The mistakes found in one document."""

    def __init__(self, source: TomlSource) -> None:
        self.source = source
        self.found: list[Fault] = []

    def add(self, place: Place, problem: str, mend: str) -> None:
        """Note a mistake at `place`."""
        self.found.append(self.source.fault(*place, problem=problem, mend=mend))

    def raise_if_any(self) -> None:
        """Raise DocumentError with every fault, in line order, unless there is none."""
        if self.found:
            raise DocumentError(tuple(sorted(self.found, key=lambda fault: fault.line)))


class CheckedTable:
    """One table of a document. Readers without a default note a fault when the key is missing."""

    def __init__(self, content: dict[str, Any], place: Place, faults: Faults) -> None:
        self.faults = faults
        self._content = content
        self._place = place
        self._read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def fault(self, key: str | Place, problem: str, mend: str) -> None:
        """Note a mistake at a key of this table, or at a place below it; "" is the table itself."""
        below = key if isinstance(key, tuple) else (key,) if key else ()
        self.faults.add((*self._place, *below), problem, mend)

    def done(self, known: Sequence[str] = ()) -> None:
        """Note every key that nobody has read: a typing mistake must not pass for a left-out option.

        known   what may stand here, where not all of it is read
        """
        for key in self._content:
            if key not in self._read:
                told = ", ".join(known or sorted(map(str, self._read)))
                self.fault(key, f"unknown key {key!r}", f"known here: {told}")

    def all_keys(self) -> tuple[str, ...]:
        """Give every key, as read."""
        self._read.update(self._content)
        return tuple(self._content)

    def keys_in(self, known: Sequence[str]) -> tuple[str, ...]:
        """Give the keys that are among `known`, in that order."""
        return tuple(key for key in known if key in self._content)

    def raw(self, key: str) -> Any:
        """Give what stands at `key`, unchecked."""
        return self._content.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Read a text."""
        return self._typed(key, str, "a text", default, "")

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """Read true or false."""
        return self._typed(key, bool, "true or false", default, False)

    def integer(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """Read an integer in [least, most]."""
        number = self._typed(key, int, f"an integer from {least} to {most}", default, least)
        if not least <= number <= most:
            self.fault(key, f"{number} is not within {least} to {most}", "mend the number")
            return least
        return number

    def integers(self, key: str, least: int, most: int) -> list[int]:
        """Read an array of integers, each in [least, most]."""
        numbers: list[Any] = self._typed(key, list, "an array of integers", None, [])
        if any(type(number) is not int or not least <= number <= most for number in numbers):
            self.fault(key, f"not only integers from {least} to {most}", "mend the array")
            return []
        return numbers

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> str:
        """Read one of the texts in `known`."""
        text = self._typed(key, str, "one of " + ", ".join(known), default, known[0])
        if text not in known:
            self.fault(key, f"{text!r} is not known here", "use one of " + ", ".join(known))
            return known[0]
        return text

    def hexadecimal(self, key: str) -> bytes:
        """Read octets written in hex, blanks allowed."""
        return self._octets(key, self.text(key))

    def hexadecimals(self, key: str) -> list[bytes]:
        """Read an array of texts in hex; empty when missing."""
        texts: list[Any] = self._typed(key, list, "an array of hex texts", [], [])
        return [self._octets(key, text) for text in texts]

    def table(self, key: str) -> CheckedTable:
        """Read a table."""
        content: dict[str, Any] = self._typed(key, dict, "a table", None, {})
        return CheckedTable(content, (*self._place, key), self.faults)

    def tables(self, key: str, at_least: int = 1) -> list[CheckedTable]:
        """Read an array of `at_least` tables."""
        entries: list[Any] = self._typed(key, list, "an array of tables", [], [])
        if len(entries) < at_least:
            self.fault(key, f"no {key}", f"add a [[{key}]] table")
        if not all(isinstance(entry, dict) for entry in entries):
            self.fault(key, f"{key} must be tables", f"write each as [[{key}]]")
            return []
        return [CheckedTable(entry, (*self._place, key, at), self.faults) for at, entry in enumerate(entries)]

    def _typed(self, key: str, kind: type[T], what: str, default: T | None, stand_in: T) -> T:
        self._read.add(key)
        content = self._content.get(key, _MISSING)
        if content is _MISSING:
            if default is None:
                self.fault(key, f"{key!r} is missing", f"give {what}")
            return stand_in if default is None else default
        if type(content) is not kind:
            self.fault(key, f"{key!r} is not {what}", f"give {what}")
            return stand_in
        return content

    def _octets(self, key: str, text: Any) -> bytes:
        if not isinstance(text, str) or not _HEX.match(text):
            self.fault(key, f"{text!r} is not hex", "write octets as pairs of hex digits")
            return b""
        return bytes.fromhex(text)
