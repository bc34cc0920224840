"""SPINE: a draft of rules from its first block to the version in force.

Save, hand in, look, try, release. Nothing reaches tenants from here: a release makes a version of the site, and runs
that are computed from then on are checked, approved and published as all are (ADR 0055, 0097).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

from allocation_engine.formula.verdict import Verdict
from allocation_engine.formula_file import check_rule
from allocation_engine.preview import Preview
from allocation_engine.rule_check import Finding, require_complete
from allocation_engine.rules import Rules
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run_state import RunState, read_actor, same_actor
from allocation_engine.what_if import Scope, Shadow
from ingest.audit_log import Verb
from ingest.caller import present
from ingest.period_inputs import site_names
from ingest.preview_desk import PreviewDesk
from ingest.rulebook.leases import lease_faults
from ingest.rulebook.parts import Books, Change, PartMoved, apply, put_part, read_part, rebased
from ingest.runs_desk import Draft, NothingPublished, RunsDesk
from ingest.store.audit import touching
from ingest.store.database import Connection, Database
from ingest.store.rule_drafts import (
    DraftMoved,
    DraftState,
    StoredDraft,
    Written,
    begin_draft,
    end_draft,
    hand_in,
    require_draft,
    save_draft,
)
from ingest.store.run_log import add_exclusions
from ingest.store.runs import RunHead, list_runs
from ingest.store.sites import SiteVersion, import_site, lock_site, newest_numbers, require_site, site_version
from metering.clock import Clock
from metering.errors import BooksError, DocumentError, Fault
from metering.identity import SiteId
from provisioning.document import DocumentMismatch
from provisioning.site import Site

RULES_KEPT = 4
"""Rules of so many versions stay read: a keystroke in the composer must not read ten thousand units again."""
LONG_AGO = "2000-01-01"
TITLE_MAX = 120
NOTE_MAX = 2000
_WRITABLE = ("pool", "definition", "numbers", "series", "tariff", "loss", "unit", "lease")


class NothingChanged(BooksError):
    """What is to be saved or released says nothing that is not in force already."""


class FormStale(BooksError):
    """Somebody released another form of what is being written since the writer opened it; carries who and when."""

    def __init__(self, by: str, at: datetime, version: int) -> None:
        told = f"{by or 'somebody'} released version {version} at {at:%Y-%m-%d %H:%M} UTC"
        super().__init__(f"{told}, with another form of what you are writing: look at it before you save again")
        self.by = by
        self.at = at
        self.version = version


class NotHandedIn(BooksError):
    """A draft is released that nobody has handed in for it."""


class SecondPersonNeeded(BooksError):
    """Whoever wrote a draft cannot release it."""


class VersionMoved(BooksError):
    """Somebody released another version between the last look at a draft and its release."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What is written on: the version in force, as documents and as rules, with what a draft says already.

    draft   that is being written on; None for a new one
    rules   those of the books; those in force where the draft's cannot be read yet
    """

    version: SiteVersion
    books: Books
    rules: Rules
    draft: StoredDraft | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A draft held against what is in force.

    moved      parts that somebody else released in another form meanwhile
    faults     what the reader of rules refuses
    findings   records that the new rules would miss; empty while there are faults
    tried      site and rules as they would be; None while they cannot be read
    """

    stored: StoredDraft
    ground: Ground
    moved: tuple[str, ...]
    faults: tuple[Fault, ...]
    findings: tuple[Finding, ...]
    tried: Draft | None

    @property
    def holds(self) -> bool:
        """Say whether it can be released but for findings, which may be left out by name."""
        return not self.moved and not self.faults and self.tried is not None


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody saves: parts of a site's books as they are to be, in a draft or (None) in a new one.

    revision   of the draft, as the writer has it before him
    version    of the site, as he has it before him; None where he does not say
    """

    parts: Mapping[str, Any]
    title: str
    note: str = ""
    draft: int | None = None
    revision: int = 0
    version: int | None = None


class RuleDesk:
    """Drafts, verdicts, previews and releases; safe to use from several threads."""

    def __init__(self, database: Database, runs: RunsDesk, previews: PreviewDesk, clock: Clock) -> None:
        self.database = database
        self._runs = runs
        self._previews = previews
        self._clock = clock
        self._known: OrderedDict[bytes, Rules] = OrderedDict()
        self._lock = Lock()

    def ground(self, site: SiteId, draft: int | None = None) -> Ground:
        """Give what is in force at a site, with what a draft says; raises SiteUnknown, DraftUnknown, DocumentError."""
        with self.database.transaction() as connection:
            ground = self._ground(connection, site)
            stored = None if draft is None else require_draft(connection, site, draft)
        if stored is None:
            return ground
        books = ground.books
        for one in stored.changes:
            books = put_part(books, one.part, one.after)
        try:
            return Ground(ground.version, books, self._rules(books, ground), stored)
        except DocumentError:
            return Ground(ground.version, books, ground.rules, stored)

    def verdict(
        self, ground: Ground, pool: Mapping[str, Any], *, is_whole: bool = True
    ) -> tuple[Verdict, tuple[Fault, ...]]:
        """Say what the formula of a pool that is being written means, and what else the reader of rules refuses.

        is_whole   nothing of the pool is missing but perhaps a sound formula; else only the formula is looked at
        Raises BlocksInvalid where blocks are no formula.
        """
        verdict = check_rule(pool, ground.rules, site_names(ground.version.site))
        if verdict.formula is None or not is_whole:
            return verdict, ()
        try:
            self._rules(put_part(ground.books, f"pool/{pool['id']}", dict(pool)), ground)
        except DocumentError as error:
            return verdict, error.faults
        return verdict, ()

    def preview(self, ground: Ground, pool: Mapping[str, Any]) -> tuple[RunHead, Preview] | None:
        """Say what a pool that is being written would charge whom in the newest closed period; None: there is none.

        It is tried as if it held in all of that period.
        """
        site = ground.version.site
        head = self.newest_run(site.id)
        if head is None:
            return None
        first = site.calendar.days(site.calendar.period(head.period))[0].isoformat()
        tried = {key: one for key, one in pool.items() if key != "to"} | {"from": min(first, pool["from"])}
        rules = put_part(ground.books, f"pool/{pool['id']}", tried).rules
        return head, self._previews.preview(head.run, rules)

    def newest_run(self, site: SiteId) -> RunHead | None:
        """Give the newest run of a site that still counts."""
        with self.database.transaction() as connection:
            heads = list_runs(connection, site=site, period=None, most=50)
        over = (RunState.SUPERSEDED, RunState.DRAFT)
        return next((head for head in heads if head.state not in over), None)

    def save(self, site: SiteId, entry: Entry) -> StoredDraft:
        """Keep what somebody wrote, in a new draft or a further revision; raises DraftMoved and NothingChanged."""
        by, now = read_actor(present().name), self._clock.now()
        for part in entry.parts:
            if part.partition("/")[0] not in _WRITABLE:
                raise BooksError(f"{part} is not written here")
        with self.database.transaction() as connection:
            ground = self._ground(connection, site)
            if entry.version is not None and entry.version != ground.version.version:
                _refuse_stale(connection, ground, entry.parts, entry.version)
            old = None if entry.draft is None else require_draft(connection, site, entry.draft)
            wanted = {one.part: one.after for one in (() if old is None else old.changes)} | dict(entry.parts)
            every = (Change(part, read_part(ground.books, part), content) for part, content in wanted.items())
            changes = tuple(one for one in every if one.before != one.after)
            if not changes:
                raise NothingChanged("nothing of it differs from what is in force")
            title = entry.title.strip()[:TITLE_MAX] or next(iter(entry.parts))
            written = Written(title, ground.version.version, changes, entry.note.strip()[:NOTE_MAX])
            if old is None:
                return begin_draft(connection, site, written, by, now)
            return save_draft(connection, _as_seen(old, entry.revision), written, by, now)

    def take_over(self, site: SiteId, draft: int, revision: int) -> StoredDraft:
        """Write a draft against what is in force now, its own parts as they are in it; raises DraftMoved."""
        by, now = read_actor(present().name), self._clock.now()
        with self.database.transaction() as connection:
            ground = self._ground(connection, site)
            stored = _as_seen(require_draft(connection, site, draft), revision)
            changes = rebased(ground.books, stored.changes)
            if not changes:
                raise NothingChanged("what the draft wanted is in force already: withdraw it")
            written = Written(stored.title, ground.version.version, changes, stored.note)
            return save_draft(connection, stored, written, by, now)

    def look(self, site: SiteId, draft: int, *, thoroughly: bool = True) -> Look:
        """Hold a draft against what is in force; `thoroughly` against every record of the newest run as well."""
        with self.database.transaction() as connection:
            stored = require_draft(connection, site, draft)
            ground = self._ground(connection, site)
        if stored.state.is_over:
            return Look(stored, ground, (), (), (), None)
        try:
            tried = self._tried(apply(ground.books, stored.changes), ground)
        except PartMoved as error:
            return Look(stored, ground, error.parts, (), (), None)
        except DocumentError as error:
            return Look(stored, ground, (), error.faults, (), None)
        findings = self._runs.findings(tried) if thoroughly else ()
        return Look(stored, ground, (), (), findings, tried)

    def try_out(self, look: Look, periods: int, scope: Scope) -> tuple[tuple[Shadow, ...], bool]:
        """Try a draft on the newest published periods, or on the newest run where nothing is published; say which.

        It is tried as if what it changes held in all of those periods. Stores and sends nothing.
        """
        if look.tried is None:
            return (), True
        document, parts = look.tried.rules.document, {one.part for one in look.stored.changes}
        pools = [_held_always(one) if f"pool/{one['id']}" in parts else one for one in document["pools"]["pools"]]
        books = Books({}, {**document, "pools": {**document["pools"], "pools": pools}})
        draft = Draft(look.tried.site, self._rules(books, look.ground, look.tried.site))
        try:
            return self._runs.shadow(draft, periods, scope), True
        except NothingPublished:
            head = self.newest_run(look.stored.site)
        if head is None:
            return (), False
        try:
            return (Shadow(head.period, self._runs.what_if(head.run, draft, scope), "", ()),), False
        except (BooksError, DocumentError) as error:
            return (Shadow(head.period, None, str(error), ()),), False

    def hand_in(self, site: SiteId, draft: int, revision: int) -> StoredDraft:
        """Say that a draft is ready for somebody else to release; raises DraftMoved, DocumentError, PartMoved."""
        look = self.look(site, draft, thoroughly=False)
        self._require_sound(look)
        with self.database.transaction() as connection:
            return hand_in(connection, _as_seen(look.stored, revision))

    def withdraw(self, site: SiteId, draft: int, revision: int, reason: str) -> StoredDraft:
        """End a draft; what it says stays readable. Raises DraftMoved."""
        by, now = read_actor(present().name), self._clock.now()
        with self.database.transaction() as connection:
            stored = _as_seen(require_draft(connection, site, draft), revision)
            return end_draft(connection, stored, None, by, now, reason[:NOTE_MAX])

    def release(self, site: SiteId, draft: int, revision: int, excluded: Mapping[str, str]) -> StoredDraft:
        """Make a draft the version in force, as somebody who wrote none of it.

        excluded   records that the rules miss on purpose, each with the reason
        Raises NotInPerson, SecondPersonNeeded, NotHandedIn, DraftMoved, PartMoved, DocumentError, RecordsMissed.
        """
        present().require_in_person("releasing rules")
        by, now = read_actor(present().name), self._clock.now()
        look = self.look(site, draft)
        stored = _as_seen(look.stored, revision)
        require_second_person(stored, by)
        self._require_sound(look)
        require_complete(look.findings, excluded)
        assert look.tried is not None
        with self.database.transaction() as connection:
            lock_site(connection, site)
            if newest_numbers(connection, site)[site] != look.ground.version.version:
                raise VersionMoved("another version was released this very moment: look at the draft again")
            version, is_new = import_site(connection, look.tried.site, look.tried.rules.document, imported_at=now)
            if not is_new:
                raise NothingChanged("what the draft wants is in force already: withdraw it")
            needed = {one.subject for one in look.findings}
            add_exclusions(connection, site, version.version, {s: r for s, r in excluded.items() if s in needed})
            return end_draft(connection, stored, version.version, by, now)

    def _require_sound(self, look: Look) -> None:
        if look.stored.state.is_over:
            raise DraftMoved(
                look.stored.ended_by or "", look.stored.ended_at or look.stored.saved_at, look.stored.state
            )
        if look.moved:
            raise PartMoved(look.moved)
        if look.faults:
            raise DocumentError(look.faults)

    def _ground(self, connection: Connection, site: SiteId) -> Ground:
        version = require_site(connection, site)
        with self._lock:
            rules = self._known.pop(version.hash, None)
            if rules is None:
                rules = rules_from_document(version.rules, site_names(version.site))
                while len(self._known) >= RULES_KEPT:
                    self._known.popitem(last=False)
            self._known[version.hash] = rules
        return Ground(version, Books(version.site.to_document(), version.rules), rules)

    def _tried(self, books: Books, ground: Ground) -> Draft:
        site = ground.version.site
        if books.site is not ground.books.site:
            try:
                site = Site.from_document(books.site)
            except (DocumentMismatch, ValueError) as error:
                raise DocumentError((_fault(str(error), "mend the unit or lease"),)) from error
            faults = tuple(_fault(*one) for one in lease_faults(site))
            if faults:
                raise DocumentError(faults)
        return Draft(site, self._rules(books, ground, site))

    def _rules(self, books: Books, ground: Ground, site: Site | None = None) -> Rules:
        names = site_names(ground.version.site if site is None else site)
        return rules_from_document(books.rules, names, ground.rules)


def require_second_person(stored: StoredDraft, by: str) -> None:
    """Raise unless `by` may release a draft: NotHandedIn, SecondPersonNeeded."""
    if stored.state is not DraftState.HANDED_IN:
        raise NotHandedIn("its writer has to hand it in before somebody else releases it")
    if same_actor(by) in stored.authors:
        raise SecondPersonNeeded(f"{by} wrote this draft; somebody else has to release it")


def written_by_others(drafts: Iterable[StoredDraft], by: str) -> Sequence[StoredDraft]:
    """Give the drafts that wait for somebody else, and that `by` could release."""
    return [one for one in drafts if one.state is DraftState.HANDED_IN and same_actor(by) not in one.authors]


def _refuse_stale(connection: Connection, ground: Ground, parts: Iterable[str], seen: int) -> None:
    """Raise FormStale where somebody released another form of one of `parts` after version `seen`."""
    site = ground.version.site.id
    old = site_version(connection, site, seen)
    before = Books(old.site.to_document(), old.rules)
    if all(read_part(before, part) == read_part(ground.books, part) for part in parts):
        return
    acts = touching(connection, [f"site/{site}"], verb=str(Verb.SITE_PUT), most=1)
    raise FormStale(acts[0].who if acts else "", ground.version.imported_at, ground.version.version)


def _held_always(pool: Mapping[str, Any]) -> dict[str, Any]:
    """Give a pool as if it had always held."""
    return {key: one for key, one in pool.items() if key != "to"} | {"from": LONG_AGO}


def _as_seen(stored: StoredDraft, revision: int) -> StoredDraft:
    """Give a draft if it is what somebody has before him; raises DraftMoved."""
    if stored.revision != revision or stored.state.is_over:
        raise DraftMoved(stored.ended_by or stored.saved_by, stored.ended_at or stored.saved_at, stored.state)
    return stored


def _fault(problem: str, mend: str) -> Fault:
    return Fault(path="stored site", line=1, problem=problem, mend=mend)
