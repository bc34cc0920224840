"""The form in which a pool with a formula is written: its fields to the pool's table of rules, and back. Pure.

What the form does not know of a table (a tariff of its own, nodes taken off, terms of an agreement) is kept as it is.
What is wrong is told by field, in words of the console; what rules mean is for the reader of rules to check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from metering.errors import MeteringError
from metering.identity import check_identifier

ALL, LISTED, FLOORS = "all", "listed", "floors"
PASS_THROUGH, SPREADING = "pass-through", "spreading"
TIME = "time-"
"""Before the name of a band: the field of its coefficient."""
_OWN = frozenset(
    {
        *("id", "class", "names", "rule", "reading", "formula", "path", "grain", "units", "floors", "times", "rated"),
        *("clamp", "residual", "fallback", "below_zero", "agreement", "from", "to", "review_by", "measure"),
    }
)
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,12})?\Z")
_SEPARATORS = re.compile(r"[\s,，、;；]+")
_FULL_WIDTH = str.maketrans("：，．０１２３４５６７８９", ":,.0123456789")
FORMULA_CHARACTERS_MAX = 20_000
"""Of a formula as blocks; text is bounded by the language itself."""


@dataclass(frozen=True, slots=True)
class FieldFault:
    """A mistake in one field; `key` names the sentence that tells it, `told` what stands in it."""

    name: str
    key: str
    told: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fields:
    """What was typed, as it was typed; several where a field has several."""

    typed: Mapping[str, Sequence[str]]

    def text(self, name: str) -> str:
        """Give the first of a field, trimmed; "" where there is none."""
        found = self.typed.get(name, ())
        return found[0].strip() if found else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Give all of a field that are not empty, each once."""
        return tuple(dict.fromkeys(one.strip() for one in self.typed.get(name, ()) if one.strip()))

    def has(self, name: str) -> bool:
        """Say whether a field was filled in."""
        return bool(self.text(name))


def fields_of(pool: Mapping[str, Any]) -> Fields:
    """Give a pool's table as the form shows it; the formula is text, or blocks as JSON."""
    formula, units, floors = pool.get("formula", ""), pool.get("units"), pool.get("floors", {})
    spread = FLOORS if floors else ALL if units in ("all", None) else LISTED
    single: dict[str, Any] = {
        "id": pool.get("id", ""),
        "name_zh": pool.get("names", {}).get("zh", ""),
        "name_en": pool.get("names", {}).get("en", ""),
        "reading": pool.get("reading", SPREADING),
        "grain": pool.get("grain", "day"),
        "spread": spread,
        "floors": "\n".join(f"{name}: {', '.join(listed)}" for name, listed in floors.items()),
        "rated": pool.get("rated", ""),
        "clamp": pool.get("clamp", ["0", "1"])[-1],
        "residual": pool.get("residual", ""),
        "fallback": pool.get("fallback", ""),
        "clips": "yes" if pool.get("below_zero") == "zero" else "",
        "agreement": pool.get("agreement", ""),
        **{key: pool.get(key, "") for key in ("from", "to", "review_by")},
        "formula": formula if isinstance(formula, str) else "",
        "blocks": "" if isinstance(formula, str) else json.dumps(formula, ensure_ascii=False),
        **{TIME + band: text for band, text in pool.get("times", {}).items()},
    }
    several = {"path": list(pool.get("path", ())), "units": list(units) if isinstance(units, list) else []}
    return Fields({name: [str(one)] for name, one in single.items()} | several)


def read_pool(
    fields: Fields, before: Mapping[str, Any] | None, bands: Sequence[str]
) -> tuple[dict[str, Any], tuple[FieldFault, ...]]:
    """Give the pool's table that was written, and the mistakes of single fields.

    before   the table it is written over; None for a new pool
    bands    names of the tariff's bands, whose coefficients the form asks for
    """
    kept = {} if before is None or before.get("rule") != "formula" else dict(before)
    faults: list[FieldFault] = []
    reader = _Reader(fields, faults)
    table: dict[str, Any] = {
        "id": reader.identifier("id"),
        "class": "negotiated",
        "names": {"zh": reader.needed("name_zh"), "en": reader.needed("name_en")},
        "rule": "formula",
        "reading": reader.choice("reading", (PASS_THROUGH, SPREADING)),
        "formula": reader.formula(),
        "grain": reader.choice("grain", ("day", "period")),
        "from": reader.day("from", is_needed=True),
    }
    if "charge" not in kept:
        table |= {"path": reader.several("path"), "measure": kept.get("measure", "import")}
    table |= reader.spread()
    table |= reader.passing() if table["reading"] == PASS_THROUGH else reader.spreading(bands)
    if fields.has("agreement") or "default" not in kept:
        table["agreement"] = reader.needed("agreement")
    table |= {key: day for key in ("to", "review_by") if (day := reader.day(key))}
    if table.get("to") and table["from"] and table["to"] <= table["from"]:
        faults.append(FieldFault("to", "to-before-from"))
    return table | {key: one for key, one in kept.items() if key not in _OWN}, tuple(faults)


class _Reader:
    """Reads single fields and keeps what is wrong with them."""

    def __init__(self, fields: Fields, faults: list[FieldFault]) -> None:
        self._fields = fields
        self._faults = faults

    def needed(self, name: str) -> str:
        """Read a text that must be there."""
        if not self._fields.has(name):
            self._fault(name, "needed")
        return self._fields.text(name)

    def identifier(self, name: str) -> str:
        """Read an identifier."""
        text = self.needed(name)
        try:
            return check_identifier(text) if text else ""
        except MeteringError:
            self._fault(name, "bad-id", id=text)
            return text

    def choice(self, name: str, words: tuple[str, ...]) -> str:
        """Read one of `words`, the first where nothing was chosen."""
        text = self._fields.text(name) or words[0]
        if text not in words:
            self._fault(name, "needed")
        return text

    def several(self, name: str) -> list[str]:
        """Read a list of at least one."""
        found = list(self._fields.texts(name))
        if not found:
            self._fault(name, "choose-one")
        return found

    def day(self, name: str, *, is_needed: bool = False) -> str:
        """Read a day; "" where there is none."""
        text = self._fields.text(name)
        try:
            if text:
                return date.fromisoformat(text).isoformat()
        except ValueError:
            self._fault(name, "bad-day", day=text)
            return ""
        if is_needed:
            self._fault(name, "needed")
        return ""

    def number(self, name: str) -> str:
        """Read a number from 0 on, as decimal text."""
        text = self._fields.text(name).translate(_FULL_WIDTH)
        if not _NUMBER.match(text):
            self._fault(name, "bad-number" if text else "needed", number=text)
        return text

    def formula(self) -> Any:
        """Give text, or the blocks where they were moved last."""
        blocks = self._fields.text("blocks")
        if blocks:
            try:
                if len(blocks) <= FORMULA_CHARACTERS_MAX:
                    return json.loads(blocks)
            except (ValueError, RecursionError):
                pass
            self._fault("formula", "bad-blocks")
        return self._fields.text("formula")

    def spread(self) -> dict[str, Any]:
        """Say between which units, or floors of units."""
        match self.choice("spread", (ALL, LISTED, FLOORS)):
            case "listed":
                return {"units": self.several("units")}
            case "floors":
                return {"floors": dict(self._floors())}
            case _:
                return {"units": "all"}

    def passing(self) -> dict[str, Any]:
        """Read what a rule needs that passes a part on."""
        return {"clamp": ["0", self.number("clamp")], "residual": self.needed("residual")}

    def spreading(self, bands: Sequence[str]) -> dict[str, Any]:
        """Read what a rule needs that gives weights."""
        found: dict[str, Any] = {}
        if any(self._fields.has(TIME + band) for band in bands):
            found["times"] = {band: self.number(TIME + band) for band in bands}
        if self._fields.has("rated"):
            found["rated"] = self._fields.text("rated")
        if self._fields.has("fallback"):
            found["fallback"] = self.choice("fallback", ("owner", "equal"))
        return found | ({"below_zero": "zero"} if self._fields.has("clips") else {})

    def _floors(self) -> Iterator[tuple[str, list[str]]]:
        lines = [line for line in self._fields.text("floors").translate(_FULL_WIDTH).splitlines() if line.strip()]
        if not lines:
            self._fault("floors", "needed")
        for number, line in enumerate(lines, 1):
            name, colon, listed = line.partition(":")
            units = [one for one in _SEPARATORS.split(listed) if one]
            if not colon or not name.strip() or not units:
                self._fault("floors", "bad-floor", row=str(number), line=line.strip())
                continue
            yield name.strip(), units

    def _fault(self, name: str, key: str, **told: str) -> None:
        self._faults.append(FieldFault(name, key, told))
