"""The routes of the forms of single parts: coefficients, series, prices, leases. What is saved goes into a draft."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.caller import acting
from ingest.console.forms import Form, FormRead
from ingest.console.rules_pages import SECTION
from ingest.console.visit import Visit, visit_of
from ingest.rulebook.desk import Entry, FormStale, Ground, NothingChanged, RuleDesk
from ingest.rulebook.part_forms import NUMBER, RATE, read_coefficients, read_lease, read_prices, read_uploaded
from ingest.rulebook.parts import read_part
from ingest.rulebook.pool_form import FieldFault, Fields
from ingest.rulebook_words import field_fault, rules_words
from ingest.store.rule_drafts import DraftMoved
from metering.identity import SiteId

PATH = "/rules/{site}"
FIELDS_SHOWN = 120
"""Units with a field each; more are written as lines."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a form makes of what was typed."""

    parts: Mapping[str, Any]
    faults: tuple[FieldFault, ...]
    title: str


class PartPages:
    """The handlers, over one desk."""

    def __init__(self, desk: RuleDesk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        for name, show, save in (
            ("coefficient-form", self.numbers, self.save_numbers),
            ("series-form", self.series, self.save_series),
            ("price-form", self.prices, self.save_prices),
            ("lease-form", self.lease, self.save_lease),
        ):
            add = partial(router.add_api_route, f"{PATH}/{name}", response_class=HTMLResponse)
            add(show, methods=["GET"])
            add(save, methods=["POST"])
        return router

    def numbers(self, request: Request, site: str, name: str = "", draft: int | None = None) -> Response:
        """Show the form of a table of coefficients, as it is or empty."""
        visit, ground = self._ground(request, site, draft)
        before = read_part(ground.books, f"numbers/{name}") if name else None
        if name and before is None:
            return visit.missing()
        return self._show(visit, ground, "numbers", _fields_of(before), name)

    def save_numbers(self, request: Request, site: str, form: FormRead) -> Response:
        """Keep a table of coefficients in a draft."""
        visit, ground = self._ground(request, site, form.number("draft"))
        key = form.text("key")
        before = read_part(ground.books, f"numbers/{key}") if key else None
        content, faults = read_coefficients(Fields(form.fields), before, _units(ground))
        found = Written(
            {f"numbers/{content['table']['name']}": content}, faults, content["table"]["names"][visit.language]
        )
        return self._save(visit, ground, "numbers", form, found)

    def series(self, request: Request, site: str, name: str = "", draft: int | None = None) -> Response:
        """Show the form of an upload."""
        visit, ground = self._ground(request, site, draft)
        before = read_part(ground.books, f"series/{name}") if name else None
        if name and before is None:
            return visit.missing()
        return self._show(visit, ground, "series", _fields_of(before), name)

    def save_series(self, request: Request, site: str, form: FormRead) -> Response:
        """Keep uploaded days in a draft."""
        visit, ground = self._ground(request, site, form.number("draft"))
        key = form.text("key")
        before = read_part(ground.books, f"series/{key}") if key else None
        content, faults = read_uploaded(Fields(form.fields), before)
        found = Written({f"series/{content['table']['name']}": content}, faults, content["table"]["name"])
        return self._save(visit, ground, "series", form, found)

    def prices(self, request: Request, site: str, draft: int | None = None) -> Response:
        """Show the form of a change of prices, filled with those in force."""
        visit, ground = self._ground(request, site, draft)
        newest = max(ground.books.rules["tariff"]["versions"], key=lambda one: str(one["from"]))
        fields = Fields({RATE + band: (text,) for band, text in newest["rates"].items()})
        return self._show(visit, ground, "price", fields)

    def save_prices(self, request: Request, site: str, form: FormRead) -> Response:
        """Keep a version of the main tariff with other prices in a draft."""
        visit, ground = self._ground(request, site, form.number("draft"))
        content, faults = read_prices(Fields(form.fields), ground.books.rules["tariff"])
        title = f"{rules_words(visit.language)['price-form']} {form.text('since')}"
        return self._save(visit, ground, "price", form, Written({"tariff": content}, faults, title))

    def lease(self, request: Request, site: str, unit: str = "", draft: int | None = None) -> Response:
        """Show the form of a handover."""
        visit, ground = self._ground(request, site, draft)
        return self._show(visit, ground, "lease", Fields({"unit": (unit,)}))

    def save_lease(self, request: Request, site: str, form: FormRead) -> Response:
        """Keep the end of a lease and the beginning of the next in a draft."""
        visit, ground = self._ground(request, site, form.number("draft"))
        leases = ground.books.site["leases"]
        changes, faults = read_lease(Fields(form.fields), leases, ground.version.site.calendar)
        title = f"{rules_words(visit.language)['lease-form']} {form.text('unit')} {form.text('at')[:10]}"
        return self._save(visit, ground, "lease", form, Written(dict(changes), faults, title))

    def _ground(self, request: Request, site: str, draft: int | None) -> tuple[Visit, Ground]:
        return visit_of(request), self._desk.ground(SiteId(site), draft)

    def _save(self, visit: Visit, ground: Ground, kind: str, form: Form, found: Written) -> Response:
        show: Callable[..., Response] = partial(
            self._show, visit, ground, kind, Fields(form.fields), form.text("key"), found.faults
        )
        if found.faults:
            return show(status=HTTPStatus.UNPROCESSABLE_ENTITY)
        entry = Entry(
            parts=found.parts,
            title=form.text("title") or (ground.draft.title if ground.draft else found.title),
            note=form.text("note"),
            draft=form.number("draft"),
            revision=form.number("revision") or 0,
            version=form.number("site_version"),
        )
        try:
            with acting(visit.principal.caller):
                stored = self._desk.save(ground.version.site.id, entry)
        except (DraftMoved, FormStale, NothingChanged) as error:
            return show(status=HTTPStatus.CONFLICT, error=error)
        return visit.redirect(f"/rules/{stored.site}/drafts/{stored.draft}", told="saved")

    def _show(
        self,
        visit: Visit,
        ground: Ground,
        kind: str,
        fields: Fields,
        key: str = "",
        found: tuple[FieldFault, ...] = (),
        *,
        status: HTTPStatus = HTTPStatus.OK,
        error: Exception | None = None,
    ) -> Response:
        language, site = visit.language, ground.version.site
        word = rules_words(language)
        faults: defaultdict[str, list[str]] = defaultdict(list)
        for one in found:
            told = field_fault(one, language)
            row = one.told.get("row") if one.name == "csv" else None
            faults[one.name].append(told if row is None else word["series-row"].format(row=row, problem=told))
        units = [(unit.id, unit.names.of(language)) for unit in site.units]
        newest = max(ground.books.rules["tariff"]["versions"], key=lambda one: str(one["from"]))
        return visit.page(
            f"rules_{kind}_form.html",
            status,
            section=SECTION,
            word=word,
            site=site.id,
            site_id=site.id,
            fields=fields,
            faults=defaultdict(str, {name: "; ".join(listed) for name, listed in faults.items()}),
            rows_wrong=[*faults.get("csv", ()), *faults.get("lines", ())],
            error=error,
            key=key,
            draft=ground.draft,
            site_version=ground.version.version,
            units=units,
            as_fields=len(units) <= FIELDS_SHOWN,
            number=NUMBER,
            rate=RATE,
            bands=list(newest["rates"]),
            parties=[(party.id, party.names.of(language)) for party in site.parties if party.id != site.owner.id],
        )


def _units(ground: Ground) -> list[str]:
    return [str(unit.id) for unit in ground.version.site.units]


def _fields_of(part: Mapping[str, Any] | None) -> Fields:
    """Give the fields of a table of coefficients or a series; the newest number of each unit."""
    if part is None:
        return Fields({})
    table = part["table"]
    single = {key: str(table.get(key, "")) for key in ("name", "unit", "source", "review_by", "missing_day", "column")}
    single |= {f"name_{language}": text for language, text in table.get("names", {}).items()}
    numbers = dict(table.get("values", {}))
    if "values" not in table and "missing" in table:
        numbers = {unit: text for _, unit, text in sorted(part.get("rows", ()))}
    return Fields({name: (text,) for name, text in (single | {NUMBER + u: t for u, t in numbers.items()}).items()})
