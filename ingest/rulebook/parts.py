"""The parts that books are made of, by name, so that two people can change different ones at a time. Pure.

    pool/lift  definition/night-share  numbers/persons  series/tmax  tariff  loss  unit/a101  party/t-01  lease/l-01

A change keeps what a part was when somebody began to write, so that whoever releases it later is told if the part
became something else meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from metering.errors import BooksError

_IN_POOLS = {"pool": ("pools", "id"), "definition": ("definitions", "name")}
_WITH_ROWS = {"numbers": "unit_numbers", "series": "series"}
_IN_SITE = {"unit": "units", "party": "parties", "lease": "leases"}
KINDS = (*_IN_POOLS, *_WITH_ROWS, "tariff", "loss", *_IN_SITE)
Plain = Mapping[str, Any]


class PartUnknown(BooksError):
    """Books have no parts of that name."""


class PartMoved(BooksError):
    """Somebody else released another form of what a draft changes."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        super().__init__(f"{', '.join(parts)} changed since the draft was begun: open the draft and take it over")
        self.parts = parts


@dataclass(frozen=True, slots=True)
class Books:
    """A version of a site as documents: `site` as `Site.to_document` gives it, `rules` as `Rules.document`."""

    site: Plain
    rules: Plain


@dataclass(frozen=True, slots=True)
class Change:
    """What a part was, and what it is to be; None where there is none."""

    part: str
    before: Any
    after: Any

    def to_document(self) -> dict[str, Any]:
        """Give JSON-able content."""
        return {"part": self.part, "before": self.before, "after": self.after}

    @classmethod
    def from_document(cls, content: Plain) -> Change:
        """Read what `to_document` gave."""
        return cls(content["part"], content["before"], content["after"])


def read_part(books: Books, part: str) -> Any:
    """Give a part, None where there is none; raises PartUnknown for a name no part can have."""
    kind, name = _split(part)
    if kind in _IN_POOLS:
        table, key = _IN_POOLS[kind]
        return next((one for one in _listed(books.rules["pools"], table) if one.get(key) == name), None)
    if kind in _WITH_ROWS:
        table = _WITH_ROWS[kind]
        head = next((one for one in _listed(books.rules["pools"], table) if one.get("name") == name), None)
        rows = books.rules.get(table, {}).get(name)
        return None if head is None else {"table": head} | ({} if rows is None else {"rows": rows})
    if kind in _IN_SITE:
        return next((one for one in books.site[_IN_SITE[kind]] if one["id"] == name), None)
    return books.rules["tariff"] if kind == "tariff" else books.rules["pools"].get("loss")


def put_part(books: Books, part: str, content: Any) -> Books:
    """Give books in which a part is `content`; None takes it out, and a new one comes last."""
    kind, name = _split(part)
    if kind in _IN_SITE:
        key = _IN_SITE[kind]
        return replace(books, site={**books.site, key: _with(list(books.site[key]), "id", name, content)})
    rules = dict(books.rules)
    if kind == "tariff":
        rules["tariff"] = content
    elif kind == "loss":
        rules["pools"] = _set({**rules["pools"]}, "loss", content)
    elif kind in _IN_POOLS:
        table, key = _IN_POOLS[kind]
        listed = _with(_listed(rules["pools"], table), key, name, content)
        rules["pools"] = _set({**rules["pools"]}, table, listed or None)
    else:
        table = _WITH_ROWS[kind]
        head = None if content is None else content["table"]
        listed = _with(_listed(rules["pools"], table), "name", name, head)
        rules["pools"] = _set({**rules["pools"]}, table, listed or None)
        rows = _set({**rules.get(table, {})}, name, None if content is None else content.get("rows"))
        # Rules keep an empty table of series and none of numbers: the same books must give the same document.
        rules = _set(rules, table, rows if rows or table == "series" else None)
    return replace(books, rules=rules)


def apply(books: Books, changes: Iterable[Change]) -> Books:
    """Give books with all changes made; raises PartMoved where a part is neither as it was nor as it is to be."""
    made = tuple(changes)
    moved = tuple(one.part for one in made if read_part(books, one.part) not in (one.before, one.after))
    if moved:
        raise PartMoved(moved)
    for one in made:
        books = put_part(books, one.part, one.after)
    return books


def rebased(books: Books, changes: Iterable[Change]) -> tuple[Change, ...]:
    """Give the same changes as of `books`; those that change nothing any more are gone."""
    found = (Change(one.part, read_part(books, one.part), one.after) for one in changes)
    return tuple(one for one in found if one.before != one.after)


def changed_parts(before: Books, after: Books) -> Iterator[Change]:
    """Say what differs between two versions, part by part."""
    for part in dict.fromkeys((*part_names(before), *part_names(after))):
        sides = [read_part(books, part) for books in (before, after)]
        if sides[0] != sides[1]:
            yield Change(part, *sides)


def part_names(books: Books) -> Iterator[str]:
    """Name every part of books."""
    yield "tariff"
    for kind, (table, key) in _IN_POOLS.items():
        yield from (f"{kind}/{one.get(key)}" for one in _listed(books.rules["pools"], table))
    for kind, table in _WITH_ROWS.items():
        yield from (f"{kind}/{one.get('name')}" for one in _listed(books.rules["pools"], table))
    if "loss" in books.rules["pools"]:
        yield "loss"
    for kind, table in _IN_SITE.items():
        yield from (f"{kind}/{one['id']}" for one in books.site[table])


def _split(part: str) -> tuple[str, str]:
    kind, _, name = part.partition("/")
    if kind not in KINDS or bool(name) == (kind in ("tariff", "loss")):
        raise PartUnknown(f"{part!r} is no part of a site's books; parts are {', '.join(KINDS)}")
    return kind, name


def _listed(pools: Plain, table: str) -> list[Any]:
    return list(pools.get(table, ()))


def _with(listed: list[Any], key: str, name: str, content: Any) -> list[Any]:
    """Put `content` in the place of the entry called `name`."""
    found = [content if one.get(key) == name else one for one in listed]
    if content is not None and not any(one.get(key) == name for one in listed):
        found.append(content)
    return [one for one in found if one is not None]


def _set(table: dict[str, Any], key: str, content: Any) -> dict[str, Any]:
    if content is None:
        table.pop(key, None)
    else:
        table[key] = content
    return table
