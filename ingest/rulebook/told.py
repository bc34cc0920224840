"""Parts of books told item by item, so that two versions of one can be laid side by side. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from allocation_engine.formula.blocks import BlocksInvalid, from_blocks
from allocation_engine.formula.faults import FormulaInvalid
from allocation_engine.formula.syntax import parse_formula
from allocation_engine.formula.text import write_formula
from allocation_engine.formula.vocabulary import Vocabulary
from ingest.rulebook.parts import Books, Change

ROWS_SHOWN = 12
_ALWAYS = date.min.isoformat()


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a part that differs; "" where a side does not have it."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """Something that was to be looked at again by a day that has passed."""

    part: str
    name: str
    review_by: date


def items(change: Change, vocabulary: Vocabulary, language: str) -> list[Item]:
    """Give what differs between both sides of a change, in the order of the newer one."""
    sides = [dict(_told(content, vocabulary, language)) for content in (change.before, change.after)]
    keys = dict.fromkeys((*sides[1], *sides[0]))
    found = [Item(key, sides[0].get(key, ""), sides[1].get(key, "")) for key in keys]
    return [one for one in found if one.before != one.after]


def name_of(part: str, content: Any, language: str) -> str:
    """Give how people call a part: the name it carries, else the one that rules use."""
    name = part.partition("/")[2]
    table = content.get("table", content) if isinstance(content, Mapping) else {}
    names = table.get("names") if isinstance(table, Mapping) else None
    return str(names.get(language, name)) if isinstance(names, Mapping) else name


def overdue(books: Books, today: date, language: str = "en") -> tuple[Overdue, ...]:
    """Name the pools and tables whose review was due by `today`, the longest overdue first; runs warn of the same."""
    pools = books.rules["pools"]
    tables = [
        *((f"pool/{one['id']}", one) for one in pools.get("pools", ())),
        *((f"numbers/{one['name']}", one) for one in pools.get("unit_numbers", ())),
        *([("loss", pools["loss"])] if "loss" in pools else []),
    ]
    found = [(part, one, date.fromisoformat(str(one["review_by"]))) for part, one in tables if one.get("review_by")]
    late = [Overdue(part, name_of(part, one, language), day) for part, one, day in found if day <= today]
    return tuple(sorted(late, key=lambda one: (one.review_by, one.part)))


def formula_text(formula: Any, vocabulary: Vocabulary, language: str) -> str:
    """Write a formula in `language`, whether it is kept as text or as blocks; as it stands where it does not read."""
    try:
        sentence = from_blocks(formula) if isinstance(formula, Mapping) else parse_formula(str(formula), vocabulary)
        return write_formula(sentence, vocabulary, language)
    except (BlocksInvalid, FormulaInvalid):
        return str(formula)


def _told(content: Any, vocabulary: Vocabulary, language: str) -> Iterator[tuple[str, str]]:
    if content is None:
        return
    if "table" in content:
        yield from _told(content["table"], vocabulary, language)
        rows = content.get("rows")
        for row in rows or ():
            *where, number = row
            yield " ".join(one for one in map(str, where) if one != _ALWAYS), str(number)
        return
    for key, one in content.items():
        if key == "formula":
            yield key, formula_text(one, vocabulary, language)
        elif key == "values":
            yield from ((str(subject), str(number)) for subject, number in one.items())
        else:
            yield key, _text(one, language)


def _text(content: Any, language: str) -> str:
    match content:
        case {"zh": str(), "en": str()}:
            return str(content[language])
        case dict():
            return "\n".join(f"{key}: {_text(one, language)}" for key, one in content.items())
        case list() if any(isinstance(one, dict) for one in content):
            return "\n".join(_text(one, language).replace("\n", "; ") for one in content)
        case list():
            return ", ".join(_text(one, language) for one in content)
        case None:
            return ""
        case bool():
            return "yes" if content else "no"
        case _:
            return str(content)
