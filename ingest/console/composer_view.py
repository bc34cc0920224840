"""What the composer shows of a pool that is being written: its blocks, the verdict, what it would change. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from allocation_engine.formula.blocks import BlocksInvalid, to_blocks
from allocation_engine.formula.dimensions import UNITS
from allocation_engine.formula.setting import Pace, Sources, Space
from allocation_engine.formula.text import write_formula
from allocation_engine.formula.verdict import Verdict
from allocation_engine.preview import PoolSum, Preview
from ingest.console.rendering import money
from ingest.console.words import Language
from ingest.engine_words import engine_word
from ingest.rulebook.formula_places import block_at
from ingest.rulebook.pool_form import TIME, FieldFault, Fields
from ingest.rulebook_words import composer_words, formula_mend, rules_words
from metering.errors import Fault
from provisioning.site import Site

BUILT_IN_UNITS = {"floor_area": "m2", "total_area": "m2", "unit_area": "m2", "energy": "kWh", "load": "", "times": ""}
PARTIES_SHOWN = 15
"""At either end of those who would pay more or less."""
_SHAPES = ("number", "meter", "group", "min", "max", "clamp")
STARTS: Mapping[str, tuple[str, str, Any]] = {
    "three": (
        "spreading",
        "day",
        {
            "op": "*",
            "of": [{"op": "*", "of": [{"input": "unit_area"}, {"input": "times"}]}, {"input": "load"}],
        },
    ),
    "lobby": (
        "pass-through",
        "day",
        {
            "op": "/",
            "of": [
                {
                    "op": "*",
                    "of": [
                        {
                            "op": "*",
                            "of": [
                                {"input": "main_delta"},
                                {"op": "/", "of": [{"input": "floor_area"}, {"input": "total_area"}]},
                            ],
                        },
                        {"op": "-", "of": [{"input": "tmax"}, {"number": "26"}]},
                    ],
                },
                {"number": "10"},
            ],
        },
    ),
    "area": ("spreading", "period", {"input": "unit_area"}),
    "energy": ("spreading", "day", {"op": "*", "of": [{"input": "energy"}, {"input": "times"}]}),
}
"""Formulas to begin with: reading, grain, blocks. The second needs a series of that name."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found about a pool that is being written.

    table     the pool's table
    fields    mistakes of single fields
    verdict   of its formula; None where nothing is written yet, or its blocks could not be read
    blocks    why blocks could not be read
    faults    what else the reader of rules refuses
    """

    table: Mapping[str, Any]
    fields: tuple[FieldFault, ...]
    verdict: Verdict | None
    blocks: BlocksInvalid | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def formula_holds(self) -> bool:
        """Say whether the formula itself is sound."""
        return self.verdict is not None and self.verdict.formula is not None

    @property
    def holds(self) -> bool:
        """Say whether the pool may be saved."""
        return self.formula_holds and not self.fields and not self.faults

    def text(self, language: Language) -> str:
        """Write the formula as it reads; "" where it does not."""
        if self.verdict is None or self.verdict.sentence is None:
            return ""
        return write_formula(self.verdict.sentence, self.verdict.setting.sources.vocabulary, language)

    def to_document(self, language: Language, html: str) -> dict[str, Any]:
        """Give what the composer's script wants to know."""
        sentence = None if self.verdict is None else self.verdict.sentence
        invalid = None if self.verdict is None else self.verdict.invalid
        places = () if invalid is None else (block_at(sentence, one.position) for one in invalid.faults)
        return {
            "holds": self.holds,
            "text": self.text(language),
            "blocks": None if sentence is None else to_blocks(sentence),
            "places": [one for one in places if one is not None],
            "html": html,
        }


def verdict_content(judged: Judged, language: Language) -> dict[str, Any]:
    """Give what the panel of the verdict says."""
    verdict = judged.verdict
    place = 0 if language is Language.EN else 1
    content: dict[str, Any] = {"holds": judged.formula_holds, "is_empty": False, "faults": [], "proof": [], "facts": []}
    if verdict is None:
        content["is_empty"] = judged.blocks is None
        if judged.blocks is not None:
            content["faults"] = [{"at": "", "problem": judged.blocks.problem, "mend": judged.blocks.mend}]
        return content
    if verdict.invalid is not None:
        word = rules_words(language)
        content["faults"] = [
            {
                "at": word["at-character"].format(position=one.position),
                "problem": one.problem(language),
                "mend": formula_mend(one, language),
            }
            for one in verdict.invalid.faults
        ]
    if verdict.formula is not None:
        content["proof"] = [one[place] for one in verdict.formula.proof]
        content["facts"] = list(_facts(verdict, language))
        content["faults"] = [
            {"at": "", "problem": engine_word(one.problem, language), "mend": engine_word(one.mend, language)}
            for one in judged.faults
        ]
        content["holds"] = not judged.faults
    return content


def _facts(verdict: Verdict, language: Language) -> Iterator[str]:
    assert verdict.formula is not None
    typed, word = verdict.formula.typed, rules_words(language)
    if typed.dimension is not None:
        yield f"{word['result-unit']}: {typed.dimension.shown(language)}"
    spaces = {Space.NONE: "varies-none", Space.FLOOR: "varies-floor", Space.UNIT: "varies-unit"}
    paces = {Pace.NONE: "pace-none", Pace.DAY: "pace-day", Pace.BAND: "pace-band", Pace.SLOT: "pace-slot"}
    yield word[spaces[typed.space]]
    yield word[paces[typed.pace]]


def palette(sources: Sources, currency: str, language: Language) -> list[dict[str, Any]]:
    """Give the blocks to choose from, in groups."""
    word = rules_words(language)
    known = [
        _input(name, sources, word[f"in-{name}"], currency if name == "main_delta" else BUILT_IN_UNITS[name], language)
        for name in ("main_delta", *BUILT_IN_UNITS)
    ]
    own = [
        *(
            _input(one.name, sources, _told(word["in-series"], one.source), one.unit, language, "series")
            for one in sources.series.values()
        ),
        *(
            _input(one.name, sources, _told(word["in-numbers"], one.source), one.unit, language, "numbers")
            for one in sources.numbers.values()
        ),
        *(_input(name, sources, word["in-definition"], "", language, "definition") for name in sources.definitions),
    ]
    shapes = [
        {
            "name": one,
            "word": word[f"shape-{one}"],
            "told": word[f"shape-{one}-told"],
            "unit": "",
            "kind": "shape",
            "block": json.dumps(_SHAPE_BLOCKS.get(one, {"new": one})),
        }
        for one in _SHAPES
    ]
    groups = [("blocks-known", known), ("blocks-own", own), ("blocks-shape", shapes)]
    return [{"title": word[title], "blocks": blocks} for title, blocks in groups if blocks]


_SHAPE_BLOCKS = {"number": {"number": "1"}, "meter": {"meter": ""}}


def _input(
    name: str, sources: Sources, told: str, unit: str, language: Language, kind: str = "known"
) -> dict[str, Any]:
    return {
        "name": name,
        "word": sources.vocabulary.word(name, language),
        "told": told,
        "unit": "" if unit in ("1", "ratio", "coefficient") else unit,
        "kind": kind,
        "block": json.dumps({"input": name}),
    }


def _told(kind: str, source: str) -> str:
    return f"{kind} · {source}" if source else kind


def script_content(groups: Sequence[Mapping[str, Any]], site: Site, language: Language) -> dict[str, str]:
    """Give what the composer's script reads from the page, as JSON."""
    blocks = [one for group in groups for one in group["blocks"] if one["kind"] != "shape"]
    inputs = {one["name"]: {key: one[key] for key in ("word", "told", "unit", "kind")} for one in blocks}
    nodes = [[node.id, node.names.of(language)] for node in site.nodes]
    parts = {"words": composer_words(language), "inputs": inputs, "units": list(UNITS), "nodes": nodes}
    return {key: json.dumps(part, ensure_ascii=False) for key, part in parts.items()}


def starts(sources: Sources, language: Language) -> list[dict[str, str]]:
    """Give the formulas to begin with that this site has the series for."""
    word = rules_words(language)
    return [
        {
            "word": word[f"start-{name}"],
            "start": json.dumps({"reading": reading, "grain": grain, "blocks": blocks}),
        }
        for name, (reading, grain, blocks) in STARTS.items()
        if name != "lobby" or "tmax" in sources.series
    ]


def new_pool(today: date, owner: str) -> Fields:
    """Give the form of a pool that nobody has written anything of; the month after `today` is when it begins."""
    begins = date(today.year + today.month // 12, today.month % 12 + 1, 1)
    typed = {
        "reading": "spreading",
        "grain": "day",
        "spread": "all",
        "residual": owner,
        "clamp": "1",
        "from": begins.isoformat(),
        "review_by": begins.replace(year=begins.year + 1).isoformat(),
    }
    return Fields({name: (text,) for name, text in typed.items()})


def time_fields(fields: Fields, bands: Sequence[str]) -> list[tuple[str, str, str]]:
    """Give the coefficient of each band: field, band, what was typed."""
    return [(TIME + band, band, fields.text(TIME + band)) for band in bands]


def preview_content(pool: str, preview: Preview, names: Mapping[str, str], language: Language) -> dict[str, Any]:
    """Give what a preview says: the pool's account now and then, and who would pay how much more or less."""
    word = rules_words(language)
    mine = next((one for one in preview.pools if one.pool == pool), None)
    sums: dict[str, dict[str, str] | None] = {"now": None, "then": None}
    if mine is not None:
        sums = {"now": _account(mine.before, preview.currency), "then": _account(mine.after, preview.currency)}
    moved = [one for one in preview.parties if one.delta_minor]
    shown = moved if len(moved) <= 2 * PARTIES_SHOWN else [*moved[:PARTIES_SHOWN], *moved[-PARTIES_SHOWN:]]
    widest = max((abs(one.delta_minor) for one in shown), default=1)
    return {
        "faults": [engine_word(one.problem, language) for one in preview.faults],
        "refusal": engine_word(preview.refusal, language),
        "sums": [] if mine is None else [(word[key], account) for key, account in sums.items()],
        "parties": [
            {
                "name": names.get(one.party, one.party),
                "before": money(one.before_minor, preview.currency),
                "after": money(one.after_minor, preview.currency),
                "delta": ("+" if one.delta_minor > 0 else "") + money(one.delta_minor, preview.currency),
                "rises": one.delta_minor > 0,
                "width": max(1, abs(one.delta_minor) * 100 // widest),
            }
            for one in shown
        ],
        "more": len(moved) - len(shown),
        "left_out": ", ".join(preview.left_out),
    }


def _account(sums: PoolSum | None, currency: str) -> dict[str, str] | None:
    if sums is None:
        return None
    return {
        "cost": money(sums.cost_minor, currency),
        "charged": money(sums.charged_minor, currency),
        "residual": money(sums.residual_minor, currency),
    }
