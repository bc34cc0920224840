"""The routes that compute a period otherwise and store nothing: two runs compared, and another rule tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from allocation_engine.money import minor_digits
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run_diff import PartyDiff, RunDiff
from allocation_engine.run_state import RunUnknown
from ingest.console.rendering import money
from ingest.console.review_lines import difference_table, money_signed
from ingest.console.review_words import period_words, review_words
from ingest.console.tables import Cell, Table, money_cell, table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.console.words import Language, words
from ingest.engine_words import engine_word
from ingest.period_inputs import site_names
from ingest.preview_desk import PreviewDesk
from ingest.review_desk import Kept, ReviewDesk
from ingest.run_words import run_word
from ingest.runs_desk import Draft, RunsDesk
from ingest.store.database import Database
from ingest.store.review import site_versions
from ingest.store.runs import RunHead
from ingest.store.sites import site_version
from metering.errors import BooksError, DocumentError

SECTION = "runs"
SHOWN = 100
SHARED = frozenset({"area", "keys", "formula", "demand"})
"""Rules of pools whose cost can be shared by another measure."""
RULES: Mapping[str, Mapping[str, Any]] = {
    "area": {"rule": "area", "grain": "period", "fallback": "owner"},
    "energy": {"rule": "keys", "keys": [{"by": ["energy"]}], "grain": "period", "fallback": "owner"},
    "area-energy": {"rule": "keys", "keys": [{"by": ["area", "energy"]}], "grain": "period", "fallback": "owner"},
    "demand": {"rule": "demand", "method": "coincident", "grain": "period", "fallback": "owner"},
}
"""What a pool may be tried with, by name; a rule of one's own is written in the composer."""
_KEPT = ("id", "class", "agreement", "ground", "names", "path", "measure", "units", "tariff", "charge", "deduct")
_DATED = ("from", "to", "review_by")


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of trying: parties that pay otherwise, those who pay most more first; or why it was refused."""

    parties: tuple[PartyDiff, ...] = ()
    adds_up: bool = True
    refusal: str = ""

    @property
    def moved_minor(self) -> int:
        """What moves from some to others [minor units]."""
        return sum(one.delta_minor for one in self.parties if one.delta_minor > 0)


@dataclass(frozen=True)
class ComparePages:
    """The handlers, over one store."""

    database: Database
    review: ReviewDesk
    desk: RunsDesk
    previews: PreviewDesk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/runs/{run}/diff/{other}", self.diff, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/runs/{run}/diff/{other}/lines.csv", self.diff_csv, methods=["GET"])
        router.add_api_route("/runs/{run}/what-if", self.what_if, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/runs/{run}/what-if.csv", self.what_if_csv, methods=["GET"])
        return router

    # Two runs

    def diff(self, request: Request, run: str, other: str) -> Response:
        """Say what differs between an earlier run and this one of the same period, with causes to the minor unit."""
        visit = visit_of(request)
        try:
            head, kept, *_ = self.review.lines(run)
            found, fault = self._diff(visit, run, other)
        except RunUnknown:
            return visit.missing()
        word = {**words(visit.language), **review_words(visit.language)}
        changed = () if found is None else tuple(one for one in found.parties if one.delta_minor)
        lines = () if found is None else found.lines
        return visit.page(
            "diff.html",
            section=SECTION,
            site=head.site,
            word=word,
            head_run=head,
            period=period_words(head.period),
            other=other,
            lead=word["diff-lead"].format(before=other[:12], after=run[:12]),
            fault=fault,
            is_same=found is not None and not found.lines and not found.changes,
            causes=_causes(found, visit.language),
            changes=_changes(found, visit.language),
            parties=party_table(changed[:SHOWN], kept, visit.language),
            lines=difference_table(lines[:SHOWN], kept, visit.language, lambda one: run_word(one, visit.language)),
            shown=word["diff-shown"].format(shown=SHOWN, count=len(lines)) if len(lines) > SHOWN else "",
            csv=f"/runs/{run}/diff/{other}/lines.csv",
        )

    def diff_csv(self, request: Request, run: str, other: str) -> Response:
        """Give every line that differs for spreadsheets."""
        visit = visit_of(request)
        try:
            _, kept, *_ = self.review.lines(run)
            found, fault = self._diff(visit, run, other)
        except RunUnknown:
            return visit.missing()
        if found is None:
            return visit.missing(fault)
        made = difference_table(found.lines, kept, visit.language, lambda one: run_word(one, visit.language))
        return visit.csv(made, f"diff-{other[:12]}-{run[:12]}.csv")

    def _diff(self, visit: Visit, run: str, other: str) -> tuple[RunDiff | None, str]:
        """Give the difference, or why there is none; raises RunUnknown also for a run that is not his to see."""
        there, *_ = self.review.lines(other)
        if not visit.principal.reaches(there.site):
            raise RunUnknown(f"run {other} does not exist")
        try:
            return self.desk.diff(other, run), ""
        except RunUnknown:
            raise
        except (BooksError, DocumentError) as error:
            return None, str(error)

    # What if

    def what_if(self, request: Request, run: str, pool: str = "", rule: str = "", version: str = "") -> Response:
        """Show what another rule, or another version of the site, would change for whom."""
        visit = visit_of(request)
        try:
            head, kept, *_ = self.review.lines(run)
        except RunUnknown:
            return visit.missing()
        word = {**words(visit.language), **review_words(visit.language)}
        tried = self._try(head, kept, pool, rule, version)
        parties = () if tried is None else tried.parties
        return visit.page(
            "what_if.html",
            section=SECTION,
            site=head.site,
            word=word,
            head_run=head,
            period=period_words(head.period),
            pools=_pools(kept, visit.language),
            rules=[(name, word[f"rule-{name}"]) for name in RULES],
            versions=self._versions(head, kept, word),
            pool=pool,
            rule=rule,
            version=version,
            tried=tried,
            summary=word["try-moves"].format(
                count=len(parties), amount=money(0 if tried is None else tried.moved_minor, kept.document["currency"])
            ),
            parties=party_table(parties[:SHOWN], kept, visit.language),
            csv=f"/runs/{run}/what-if.csv?{request.url.query}",
        )

    def what_if_csv(self, request: Request, run: str, pool: str = "", rule: str = "", version: str = "") -> Response:
        """Give all parties that would pay otherwise for spreadsheets."""
        visit = visit_of(request)
        try:
            head, kept, *_ = self.review.lines(run)
        except RunUnknown:
            return visit.missing()
        tried = self._try(head, kept, pool, rule, version)
        if tried is None or tried.refusal:
            return visit.missing("" if tried is None else tried.refusal)
        return visit.csv(party_table(tried.parties, kept, visit.language), f"what-if-{run[:12]}.csv")

    def _try(self, head: RunHead, kept: Kept, pool: str, rule: str, version: str) -> Tried | None:
        """Try what was asked for; None where nothing was."""
        if version.isascii() and version.isdigit():
            return self._try_version(head, int(version))
        if kept.rules is None or rule not in RULES:
            return None
        described = next((one for one in kept.rules.document["pools"]["pools"] if one["id"] == pool), None)
        if described is None:
            return None
        try:
            found = self.previews.preview(head.run, {}, [_shared_by(described, RULES[rule])])
        except (BooksError, DocumentError) as error:
            return Tried(refusal=str(error))
        if found.is_refused:
            return Tried(refusal=found.refusal or "; ".join(f"{one.problem}: {one.mend}" for one in found.faults))
        adds_up = all(one.after is None or one.after.adds_up for one in found.pools)
        return Tried(tuple(one for one in found.parties if one.delta_minor), adds_up)

    def _try_version(self, head: RunHead, version: int) -> Tried | None:
        try:
            with self.database.transaction() as connection:
                found = site_version(connection, head.site, version)
            draft = Draft(found.site, rules_from_document(found.rules, site_names(found.site)))
            diff = self.desk.what_if(head.run, draft)
        except (BooksError, DocumentError) as error:
            return Tried(refusal=str(error))
        return Tried(tuple(one for one in diff.parties if one.delta_minor))

    def _versions(self, head: RunHead, kept: Kept, word: Mapping[str, str]) -> list[tuple[str, str]]:
        with self.database.transaction() as connection:
            found = site_versions(connection, head.site)
        calendar = kept.site.calendar
        told = (
            (str(number), word["version-of"].format(version=number, day=f"{calendar.local(imported_at):%Y-%m-%d}"))
            for number, imported_at in found
            if number != head.site_version
        )
        return [("", word["try-version-none"]), *told]


def party_table(parties: Iterable[PartyDiff], kept: Kept, language: Language) -> Table:
    """Show what parties pay before and after."""
    word = {**words(language), **review_words(language)}
    names, currency = kept.sheet.names[str(language)], str(kept.document["currency"])
    digits = minor_digits(currency)
    rows = (
        [
            words_cell(names.get(one.party, one.party), one.party),
            money_cell(one.before_minor, currency, digits),
            money_cell(one.after_minor, currency, digits),
            Cell(
                money_signed(one.delta_minor, currency),
                money_cell(one.delta_minor, currency, digits).plain,
                True,
            ),
        ]
        for one in parties
    )
    heads = ("party", "before-try", "after-try", "change")
    return table("parties", word["diff-parties"], (word[one] for one in heads), rows)


def _pools(kept: Kept, language: Language) -> list[tuple[str, str]]:
    """List the pools whose rule can be changed."""
    if kept.rules is None:
        return []
    described: Sequence[Mapping[str, Any]] = kept.rules.document["pools"]["pools"]
    present = {pool["id"] for pool in kept.document["pools"]}
    return [
        (one["id"], str(one["names"].get(language, one["id"])))
        for one in described
        if one.get("rule") in SHARED and one["id"] in present and not one.get("charge")
    ]


def _shared_by(pool: Mapping[str, Any], rule: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a pool with another rule; what only its own rule takes is left out."""
    kept = {name: pool[name] for name in (*_KEPT, *_DATED) if name in pool}
    return {"units": "all", **kept, **rule}


def _causes(found: RunDiff | None, language: Language) -> Table:
    word = review_words(language)
    rows = [
        [
            words_cell(run_word(cause, language), cause),
            Cell(money_signed(delta, found.currency), str(delta), True),
        ]
        for cause, delta in (found.by_cause.items() if found is not None else ())
        if found is not None
    ]
    return table("causes", word["diff-causes"], (word["cause"], word["change"]), rows)


def _changes(found: RunDiff | None, language: Language) -> Table:
    word = review_words(language)
    rows = [
        [
            words_cell(run_word(one.cause, language)),
            words_cell(one.subject),
            words_cell(engine_word(one.told, language)),
        ]
        for one in (() if found is None else found.changes[:SHOWN])
    ]
    return table("changes", word["diff-changes"], (word["cause"], word["subject"], word["told"]), rows)
