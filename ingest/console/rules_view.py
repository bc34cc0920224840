"""What the pages about rules show, as tables and texts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from allocation_engine.calendar_days import HolidayCalendar
from allocation_engine.formula.proven import Formula
from allocation_engine.formula.text import decimal_text
from allocation_engine.formula.vocabulary import Vocabulary
from allocation_engine.pools import FormulaRule, Pool
from allocation_engine.rules import Rules
from allocation_engine.tariff import HALF_HOURS, Season, Tariff, TariffVersion
from allocation_engine.unit_numbers import UnitNumbers
from ingest.console.rendering import area_m2, grouped, local_time
from ingest.console.tables import Cell, Table, number_cell, table, words_cell
from ingest.console.words import Language
from ingest.rulebook.history import Step
from ingest.rulebook.parts import Change
from ingest.rulebook.told import formula_text, items, name_of
from ingest.rulebook_words import key_word, rules_words
from metering.interval import SiteCalendar
from provisioning.site import Site

ITEMS = (
    "class",
    "rule",
    "reading",
    "agreement",
    "path",
    "units",
    "floors",
    "grain",
    "times",
    "rated",
    "clamp",
    "residual",
)
"""Of a pool, in the order in which people ask; what is not named here follows."""
BANDS_MAX = 6
"""Colours there are for bands; the dearest is the warmest."""
_DASH = "–"
_ALWAYS = date.min


def pools_table(rules: Rules, today: date, language: Language, site: Site) -> Table:
    """Give all pools: class, method, where they are measured, from when on, and when they are looked at again."""
    word = rules_words(language)
    nodes = {node.id: node.names.of(language) for node in site.nodes}
    written = {one["id"]: one for one in rules.document["pools"]["pools"]}
    columns = (word[one] for one in ("pool", "class", "method", "path", "holds-from", "review-by"))
    rows = (
        [
            words_cell(dict(pool.names)[language], pool.id),
            words_cell(word[f"class-{pool.pool_class}"]),
            words_cell(method_text(written[pool.id], rules.formulas.vocabulary, language)),
            words_cell(", ".join(nodes.get(node, node) for node in pool.path) or (pool.charge or _DASH)),
            day_cell(pool.valid_from),
            review_cell(pool.review_by, today),
        ]
        for pool in rules.pools
    )
    return table("pools", word["pools"], columns, rows, wide=frozenset({3, 4}))


def method_text(pool: Mapping[str, Any], vocabulary: Vocabulary, language: Language) -> str:
    """Say by which method a pool is divided: its formula, or the name of its rule."""
    if pool["rule"] == "formula":
        return formula_text(pool["formula"], vocabulary, language)
    return rules_words(language)[f"rule-{pool['rule']}"]


def review_cell(review_by: date | None, today: date) -> Cell:
    """Give the day by which something is looked at again, marked where it has passed."""
    if review_by is None:
        return words_cell(_DASH, "")
    return day_cell(review_by, tone="warn" if review_by <= today else "")


def day_cell(day: date, tone: str = "") -> Cell:
    """Give a day that no line break parts."""
    return words_cell(day.isoformat().replace("-", "\u2011"), day.isoformat(), tone)


def formula_of(pool: Pool) -> Formula | None:
    """Give the formula of a pool that has one."""
    return pool.rule.formula if isinstance(pool.rule, FormulaRule) else None


def pool_items(pool: Mapping[str, Any], rules: Rules, site: Site, language: Language) -> list[tuple[str, str]]:
    """Give everything that is written about a pool, but for its formula and names, in the order people ask for it."""
    word = rules_words(language)
    names = {str(node.id): node.names.of(language) for node in site.nodes}
    names |= {str(party.id): party.names.of(language) for party in site.parties}
    keys = [*ITEMS, *(key for key in pool if key not in ITEMS and key not in ("id", "names", "formula", "format"))]
    table = {key: pool[key] for key in keys if key in pool}
    found = []
    for one in items(Change("pool", None, table), rules.formulas.vocabulary, language):
        told = word.get(f"{one.key}-{one.after}", "")
        if one.key in ("path", "residual"):
            told = ", ".join(names.get(part, part) for part in one.after.split(", "))
        found.append((key_word(one.key, language), told or one.after))
    return found


def change_content(change: Change, vocabulary: Vocabulary, language: Language) -> dict[str, Any]:
    """Give one change of a part as a page shows it."""
    word = rules_words(language)
    kind = change.part.partition("/")[0]
    sides = [change.before, change.after]
    verb = "added" if change.before is None else "removed" if change.after is None else ""
    return {
        "part": change.part,
        "kind": word[f"part-{kind}"],
        "name": name_of(change.part, sides[1] if sides[1] is not None else sides[0], language),
        "verb": word[verb] if verb else "",
        "before_is_there": change.before is not None,
        "items": [
            (key_word(one.key, language), *(word.get(f"{one.key}-{side}", side) for side in (one.before, one.after)))
            for one in items(change, vocabulary, language)
        ],
    }


def history_table(steps: Iterable[Step], vocabulary: Vocabulary, language: Language, calendar: SiteCalendar) -> Table:
    """Give every change of every version: when, who, what, from what to what."""
    word = rules_words(language)
    columns = (word[one] for one in ("version", "when", "who", "what", "key", "before", "after"))
    rows: list[list[Cell]] = []
    for step in steps:
        head = [number_cell(step.version, 0), words_cell(local_time(step.at, calendar)), words_cell(step.who or _DASH)]
        if step.changes is None:
            rows.append([*head, words_cell(word["first-version"]), *(words_cell("") for _ in range(3))])
        for change in step.changes or ():
            told = change_content(change, vocabulary, language)
            for key, before, after in told["items"]:
                what = words_cell(f"{told['kind']} {told['name']}", change.part)
                rows.append([*head, what, words_cell(key), words_cell(before), words_cell(after)])
    return table("history", word["history"], columns, rows)


def steps_content(
    steps: Iterable[Step], rules: Rules, language: Language, calendar: SiteCalendar
) -> list[dict[str, Any]]:
    """Give the versions, newest first, each with what it changed part by part."""
    vocabulary = rules.formulas.vocabulary
    return [
        {
            "version": step.version,
            "at": local_time(step.at, calendar),
            "who": step.who,
            "draft": step.draft,
            "is_first": step.changes is None,
            "changes": [change_content(one, vocabulary, language) for one in step.changes or ()],
        }
        for step in steps
    ]


def part_history(
    steps: Iterable[Step], part: str, vocabulary: Vocabulary, language: Language, calendar: SiteCalendar
) -> list[dict[str, Any]]:
    """Give the versions that changed one part, newest first."""
    found = []
    for step in steps:
        change = step.of(part)
        if change is not None:
            found.append(
                {
                    "version": step.version,
                    "at": local_time(step.at, calendar),
                    "who": step.who,
                    "draft": step.draft,
                    "change": change_content(change, vocabulary, language),
                }
            )
    return found


def numbers_table(rules: Rules, today: date, language: Language) -> Table:
    """Give all tables of coefficients: unit, how many, where from, who uses them, when they are looked at again."""
    word = rules_words(language)
    columns = (word[one] for one in ("numbers", "unit", "count", "valid-since", "source", "used-by", "review-by"))
    rows = (
        [
            words_cell(dict(one.names).get(language, one.name), one.name),
            words_cell(one.unit),
            number_cell(len(one.days), 0),
            words_cell(_since(one, word)),
            words_cell(one.source),
            words_cell(", ".join(dict(pool.names)[language] for pool in rules.pools if _uses(pool, one)) or _DASH),
            review_cell(one.review_by, today),
        ]
        for one in rules.formulas.numbers.values()
    )
    return table("coefficients", word["tab-coefficients"], columns, rows, wide=frozenset({2, 4}))


def times_table(rules: Rules, today: date, language: Language) -> Table:
    """Give the time-of-day coefficients that pools carry themselves."""
    word = rules_words(language)
    columns = (word[one] for one in ("pool", "times", "holds-from", "holds-to", "review-by"))
    written = {one["id"]: one for one in rules.document["pools"]["pools"]}
    rows = (
        [
            words_cell(dict(pool.names)[language], pool.id),
            words_cell(", ".join(f"{word.get(f'band-{b}', b)} {t}" for b, t in written[pool.id]["times"].items())),
            day_cell(pool.valid_from),
            words_cell(word["open-ended"] if pool.valid_to is None else pool.valid_to.isoformat()),
            review_cell(pool.review_by, today),
        ]
        for pool in rules.pools
        if "times" in written[pool.id]
    )
    return table("times", word["times"], columns, rows)


def spans_table(numbers: UnitNumbers, names: Mapping[str, str], language: Language) -> Table:
    """Give every number of a table with the days it holds from and to."""
    word = rules_words(language)
    columns = (word[one] for one in ("unit-of-site", "number", "holds-from", "holds-to"))
    rows: list[list[Cell]] = []
    for subject, days in sorted(numbers.days.items()):
        ends = [day.isoformat() for day, _ in days[1:]] + [word["open-ended"]]
        for (day, number), end in zip(days, ends, strict=True):
            since = word["always"] if day == _ALWAYS else day.isoformat()
            told = decimal_text(number)
            rows.append(
                [
                    words_cell(names.get(subject, subject), subject),
                    Cell(told, told, True),
                    words_cell(since),
                    words_cell(end),
                ]
            )
    return table("numbers", word["numbers"], columns, rows)


def _since(one: UnitNumbers, word: Mapping[str, str]) -> str:
    newest = max((days[-1][0] for days in one.days.values()), default=_ALWAYS)
    return word["always"] if newest == _ALWAYS else newest.isoformat()


def _uses(pool: Pool, numbers: UnitNumbers) -> bool:
    formula = formula_of(pool)
    if formula is not None:
        return any(one.name == numbers.name for one in formula.tables)
    stages = getattr(pool.rule, "stages", ())
    keys = [key for stage in stages for key in stage.keys]
    return any(numbers in (*key.numbers, key.rated) for key in keys) or numbers is getattr(
        pool.rule, "contracted", None
    )


def tariff_content(tariff: Tariff, language: Language, today: date) -> dict[str, Any]:
    """Give a tariff: its versions, newest first, each with rates and the hours of each season."""
    word = rules_words(language)
    return {
        "id": tariff.id,
        "medium": word[f"medium-{tariff.medium}"],
        "versions": [
            _version_content(one, word, today)
            for one in sorted(tariff.versions, key=lambda v: v.valid_from, reverse=True)
        ],
    }


def rates_table(tariffs: Iterable[Tariff], language: Language) -> Table:
    """Give every rate of every version of all tariffs, for spreadsheets [currency units per billing unit]."""
    word = rules_words(language)
    columns = (word[one] for one in ("tab-tariffs", "version", "holds-from", "holds-to", "band", "rate"))
    rows = (
        [
            words_cell(tariff.id),
            words_cell(version.id),
            day_cell(version.valid_from),
            words_cell(word["open-ended"]) if version.valid_to is None else day_cell(version.valid_to),
            words_cell(word.get(f"band-{band}", band), band),
            number_cell(rate, 6),
        ]
        for tariff in tariffs
        for version in tariff.versions
        for band, rate in version.rates
    )
    return table("tariffs", word["tab-tariffs"], columns, rows)


def _version_content(version: TariffVersion, word: Mapping[str, str], today: date) -> dict[str, Any]:
    rates = sorted(version.rates, key=lambda rate: -rate[1])
    rank = {band: min(place, BANDS_MAX - 1) for place, (band, _) in enumerate(rates)}
    return {
        "id": version.id,
        "from": version.valid_from.isoformat(),
        "to": word["open-ended"] if version.valid_to is None else version.valid_to.isoformat(),
        "is_in_force": version.holds(today),
        "rates": [
            {"band": band, "word": word.get(f"band-{band}", band), "rate": rate_text(rate), "rank": rank[band]}
            for band, rate in rates
        ],
        "has_tiers": version.tiers is not None,
        "seasons": [_season_content(one, rank, word) for one in version.seasons],
    }


def rate_text(rate_micro: int) -> str:
    """Write a rate [10^-6 currency units] with as many decimals as it has, at least two."""
    text = grouped(rate_micro, 6)
    return text.rstrip("0").ljust(text.index(".") + 3, "0")


def _season_content(season: Season, rank: Mapping[str, int], word: Mapping[str, str]) -> dict[str, Any]:
    months = ", ".join(map(str, season.months))
    span = "" if season.span is None else " – ".join(f"{m:02}-{d:02}" for m, d in season.span)
    days = ", ".join(word.get(f"kind-{one}", one) for one in season.days)
    return {
        "when": (word["months"].format(months=months) if months else span) + (f" · {days}" if days else ""),
        "hours": [(place, rank[band]) for place, band in enumerate(season.schedule[:HALF_HOURS])],
        "told": "; ".join(f"{word.get(f'band-{b}', b)} {told}" for b, told in _spans(season.schedule)),
    }


def _spans(schedule: Sequence[str]) -> list[tuple[str, str]]:
    spans: dict[str, list[str]] = {}
    start = 0
    for place in range(1, len(schedule) + 1):
        if place == len(schedule) or schedule[place] != schedule[start]:
            spans.setdefault(schedule[start], []).append(f"{_clock(start)}–{_clock(place)}")
            start = place
    return [(band, ", ".join(listed)) for band, listed in spans.items()]


def _clock(half_hours: int) -> str:
    return f"{half_hours // 2:02}:{half_hours % 2 * 30:02}"


def calendar_tables(calendars: Iterable[HolidayCalendar], language: Language) -> list[Table]:
    """Give the holidays and the worked weekends of each calendar."""
    word = rules_words(language)
    found = []
    for one in calendars:
        rows = [(day, word.get(f"kind-{name}", name), word["kind-holiday"]) for day, name in one.holidays]
        rows += [(day, word["kind-workday"], word["worked-weekend"]) for day in one.workdays]
        cells = ([words_cell(day.isoformat()), words_cell(name), words_cell(kind)] for day, name, kind in sorted(rows))
        columns = (word["day"], word["name"], word["kind-of-day"])
        found.append(
            table(f"calendar-{one.id}", f"{one.id} · {', '.join(map(str, sorted(one.years)))}", columns, cells)
        )
    return found


def leases_table(site: Site, language: Language) -> Table:
    """Give every unit with its area, its meter and who has had it from when to when."""
    word = rules_words(language)
    parties = {party.id: party.names.of(language) for party in site.parties}
    nodes = {node.id: node.names.of(language) for node in site.nodes}
    rows: list[list[Cell]] = []
    for unit in site.units:
        head = [
            words_cell(unit.names.of(language), unit.id),
            Cell(area_m2(unit.area_cm2), f"{unit.area_cm2 // 10_000}.{unit.area_cm2 % 10_000:04}", True),
            words_cell(nodes.get(unit.node, unit.node)),
        ]
        leases = sorted(
            (one for one in site.leases if one.unit == unit.id),
            key=lambda one: (one.span.start is not None, one.span.start),
        )
        for lease in leases:
            sides = [
                _DASH if at is None else local_time(at, site.calendar) for at in (lease.span.start, lease.span.end)
            ]
            end = word["open-ended"] if lease.span.end is None else sides[1]
            rows.append([*head, words_cell(parties[lease.party], lease.party), words_cell(sides[0]), words_cell(end)])
        if not leases or leases[-1].span.end is not None:
            since = _DASH if not leases else local_time(leases[-1].span.end or leases[-1].span.start, site.calendar)  # type: ignore[arg-type]
            rows.append(
                [*head, words_cell(word["vacant"], tone="plain"), words_cell(since), words_cell(word["open-ended"])]
            )
    columns = (word[one] for one in ("unit-of-site", "area", "node", "occupant", "holds-from", "holds-to"))
    return table("leases", word["tab-leases"], columns, rows, wide=frozenset({2}))
