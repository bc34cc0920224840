"""The routes of the composer: a pool's formula written as blocks or text, judged and tried while it is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from allocation_engine.formula.blocks import BlocksInvalid
from allocation_engine.rules import Rules
from allocation_engine.tariff import MAIN_TARIFF
from ingest.caller import acting
from ingest.console.answers import security, templates
from ingest.console.composer_view import (
    Judged,
    new_pool,
    palette,
    preview_content,
    script_content,
    starts,
    time_fields,
    verdict_content,
)
from ingest.console.forms import Form, FormRead
from ingest.console.visit import Visit, visit_of
from ingest.console.words import words
from ingest.rulebook.desk import Entry, FormStale, Ground, NothingChanged, RuleDesk
from ingest.rulebook.parts import read_part
from ingest.rulebook.pool_form import FieldFault, Fields, fields_of, read_pool
from ingest.rulebook_words import field_fault, rules_words
from ingest.store.rule_drafts import DraftMoved
from metering.clock import Clock
from metering.identity import SiteId

PATH = "/rules/{site}"
SECTION = "rules"


class ComposerPages:
    """The handlers, over one desk."""

    def __init__(self, desk: RuleDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(f"{PATH}/compose", self.compose, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(f"{PATH}/compose", self.save, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(f"{PATH}/verdict", self.verdict, methods=["POST"])
        router.add_api_route(f"{PATH}/preview", self.preview, methods=["POST"], response_class=HTMLResponse)
        return router

    def compose(self, request: Request, site: str, pool: str = "", draft: int | None = None) -> Response:
        """Show the composer: of a pool, or empty for a new one."""
        visit = visit_of(request)
        ground = self._desk.ground(SiteId(site), draft)
        before = read_part(ground.books, f"pool/{pool}") if pool else None
        if pool and before is None:
            return visit.missing()
        fields = self._fields(ground, before)
        judged = self._judged(ground, fields, before)
        return self._page(visit, ground, fields, judged, pool=pool, shows_faults=False)

    def save(self, request: Request, site: str, form: FormRead) -> Response:
        """Keep what was written as a draft; or, by the button "check", only say what is wrong with it."""
        visit = visit_of(request)
        ground = self._desk.ground(SiteId(site), form.number("draft"))
        pool, fields = form.text("pool"), _fields(form)
        judged = self._judged(ground, fields, read_part(ground.books, f"pool/{pool}") if pool else None)
        judged = _with_taken(judged, ground, pool)
        if form.text("act") != "save" or not judged.holds:
            status = HTTPStatus.OK if form.text("act") != "save" else HTTPStatus.UNPROCESSABLE_ENTITY
            return self._page(visit, ground, fields, judged, pool=pool, status=status)
        entry = Entry(
            parts={f"pool/{judged.table['id']}": {**judged.table, "formula": _kept_formula(judged, visit)}},
            title=form.text("title") or judged.table["names"][str(visit.language)],
            note=form.text("note"),
            draft=form.number("draft"),
            revision=form.number("revision") or 0,
            version=form.number("version"),
        )
        try:
            with acting(visit.principal.caller):
                stored = self._desk.save(SiteId(site), entry)
        except (DraftMoved, FormStale, NothingChanged) as error:
            return self._page(visit, ground, fields, judged, pool=pool, status=HTTPStatus.CONFLICT, error=error)
        return visit.redirect(f"/rules/{site}/drafts/{stored.draft}", told="saved")

    def verdict(self, request: Request, site: str, form: FormRead) -> Response:
        """Say what the formula means where it stands, or what is wrong with it and where; stores nothing."""
        visit = visit_of(request)
        ground = self._desk.ground(SiteId(site), form.number("draft"))
        pool = form.text("pool")
        judged = self._judged(ground, _fields(form), read_part(ground.books, f"pool/{pool}") if pool else None)
        html = _fragment("rules_verdict.html", visit, verdict=verdict_content(judged, visit.language))
        return JSONResponse(judged.to_document(visit.language, html), headers={"Cache-Control": "no-store"})

    def preview(self, request: Request, site: str, form: FormRead) -> Response:
        """Say what it would change for whom in the newest closed period; stores and sends nothing."""
        visit = visit_of(request)
        ground = self._desk.ground(SiteId(site), form.number("draft"))
        pool = form.text("pool")
        judged = self._judged(ground, _fields(form), read_part(ground.books, f"pool/{pool}") if pool else None)
        html = _fragment("rules_preview.html", visit, preview=self._tried(ground, judged, visit))
        return HTMLResponse(html, headers=security() | {"Cache-Control": "no-store"})

    def _fields(self, ground: Ground, before: Mapping[str, Any] | None) -> Fields:
        site = ground.version.site
        today = site.calendar.local(self._clock.now()).date()
        fields = new_pool(today, site.owner.id)
        if before is None:
            return fields
        shown = fields_of(before if before.get("rule") == "formula" else {**before, "formula": "unit_area"})
        kept = {name: typed for name, typed in shown.typed.items() if any(typed)}
        return Fields({**fields.typed, "review_by": ("",), **kept})

    def _judged(self, ground: Ground, fields: Fields, before: Mapping[str, Any] | None) -> Judged:
        table, faults = read_pool(fields, before, _bands(ground.rules))
        if not table["formula"]:
            return Judged(table, (*faults, FieldFault("formula", "needs-formula")), None)
        try:
            verdict, more = self._desk.verdict(ground, table, is_whole=not faults)
        except BlocksInvalid as error:
            return Judged(table, faults, None, error)
        return Judged(table, faults, verdict, None, more)

    def _tried(self, ground: Ground, judged: Judged, visit: Visit) -> dict[str, Any] | None:
        """Give what a preview says; None where there is no period to try it on, or nothing sound to try."""
        if not judged.formula_holds or judged.fields:
            return None
        found = self._desk.preview(ground, judged.table)
        if found is None:
            return {"is_none": True}
        head, preview = found
        names = {str(party.id): party.names.of(visit.language) for party in ground.version.site.parties}
        content = preview_content(judged.table["id"], preview, names, visit.language)
        return {**content, "is_none": False, "period": head.period}

    def _page(
        self,
        visit: Visit,
        ground: Ground,
        fields: Fields,
        judged: Judged,
        *,
        pool: str,
        status: HTTPStatus = HTTPStatus.OK,
        shows_faults: bool = True,
        error: Exception | None = None,
    ) -> Response:
        site, language = ground.version.site, visit.language
        groups = palette(ground.rules.formulas, site.currency, language)
        faults: defaultdict[str, str] = defaultdict(str)
        if shows_faults:
            faults |= {one.name: field_fault(one, language) for one in judged.fields}
        document = judged.to_document(language, "")
        return visit.page(
            "composer.html",
            status,
            section=SECTION,
            word=rules_words(language),
            site=site.id,
            site_id=site.id,
            pool=pool,
            draft=ground.draft,
            version=ground.version.version,
            fields=fields,
            faults=faults,
            error=error,
            formula=judged.text(language) or fields.text("formula"),
            begun=document["blocks"],
            verdict=verdict_content(judged, language),
            preview=self._tried(ground, judged, visit) if status is HTTPStatus.OK and shows_faults else None,
            groups=groups,
            starts=starts(ground.rules.formulas, language),
            script=script_content(groups, site, language),
            times=time_fields(fields, _bands(ground.rules)),
            nodes_checks=[(node.id, node.names.of(language), node.id) for node in site.nodes],
            units_checks=[(unit.id, unit.names.of(language), unit.id) for unit in site.units],
            parties=[(party.id, party.names.of(language)) for party in site.parties],
            tables=[(one.name, dict(one.names).get(language, one.name)) for one in _powers(ground.rules)],
        )


def _bands(rules: Rules) -> tuple[str, ...]:
    """Give the bands of the main tariff, the dearest first."""
    rates: dict[str, int] = {}
    for version in rules.tariff.versions:
        rates |= dict(version.rates)
    known = rules.formulas.bands.get(MAIN_TARIFF, frozenset(rates))
    return tuple(sorted(known, key=lambda band: (-rates.get(band, 0), band)))


def _powers(rules: Rules) -> list[Any]:
    return [one for one in rules.formulas.numbers.values() if one.unit in ("kW", "W", "MW")]


def _fields(form: Form) -> Fields:
    return Fields(form.fields)


def _with_taken(judged: Judged, ground: Ground, pool: str) -> Judged:
    """Say that a new pool must not take the place of another."""
    found = judged.table["id"]
    if found != pool and read_part(ground.books, f"pool/{found}") is not None:
        return replace(judged, fields=(*judged.fields, FieldFault("id", "taken", {"id": found})))
    return judged


def _kept_formula(judged: Judged, visit: Visit) -> Any:
    """Give the formula as text where it was written as blocks: people read rules."""
    formula = judged.table["formula"]
    return formula if isinstance(formula, str) else judged.text(visit.language)


def _fragment(template: str, visit: Visit, **content: Any) -> str:
    known = {**words(visit.language), **rules_words(visit.language)}
    return templates().get_template(template).render(word=known, language=visit.language, **content)
