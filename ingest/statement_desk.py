"""The desk at which tenants see, confirm and dispute their statements by a link, and people answer them.

    desk.open_token(token) -> StatementView     what the page shows
    desk.see(token, caller)                     the page was opened
    desk.confirm(token, caller) -> Confirmed    one charge, however often it is pressed
    desk.dispute(token, Complaint(...), caller) freezes its line and nothing else
    desk.answer(dispute, Answer(...), caller)   upheld: the line is charged; recomputed: a newer statement comes

Each act holds the statement, so what is pressed fifty times at once is done once. What it changes is told as events and
stands in the audit log, in the transaction that does it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from allocation_engine.statement_content import STATEMENT_OCTETS_MAX, StatementContent
from ingest.audit_log import Verb
from ingest.caller import Caller
from ingest.event_kinds import Event, EventKind
from ingest.statement_links import LINK_DAYS, Link, LinkExpired, LinkUnknown, expiry, token_hash, token_of
from ingest.statement_states import (
    WHOLE,
    DisputeState,
    StatementState,
    StatementUnknown,
    billable,
    require_step,
)
from ingest.store.audit import record
from ingest.store.charges import Charge, ChargeLine, add_charge, charged_before, charges_of, lines_charged
from ingest.store.database import Connection, Database
from ingest.store.disputes import Dispute, add_dispute, answer_dispute, disputes_of, require_dispute
from ingest.store.events import tell_all
from ingest.store.photos import put_photo
from ingest.store.runs import RunHead, find_head
from ingest.store.statement_links import HeldLink, find_link, hold_links, put_link
from ingest.store.statement_states import (
    LoggedState,
    hold_statement,
    newer_statement,
    states_of,
    step_statement,
)
from ingest.store.statements import StoredStatement, find_statement
from metering.clock import Clock
from metering.envelope import decode_canonical, parse_sign1
from metering.errors import BooksError, SenderError
from provisioning.photo_file import PlainPhoto

REASON_CHARACTERS_MAX = 2000


class ComplaintInvalid(SenderError):
    """A dispute says nothing, or of a line that the statement does not have."""

    reason = "complaint-invalid"


class LineCharged(BooksError):
    """A line that is confirmed and charged cannot be disputed here any more."""

    reason = "line-charged"


class NothingToConfirm(BooksError):
    """Every line of the statement is disputed."""

    reason = "nothing-to-confirm"


class DisputeAnswered(BooksError):
    """A dispute has its answer already, and another one was given."""

    reason = "dispute-answered"


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a tenant does not accept. `line` WHOLE: all of the statement."""

    line: str
    reason: str
    photo: PlainPhoto | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a dispute is answered: `state` UPHELD or RECOMPUTED, and the words that the tenant reads."""

    state: DisputeState
    text: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a confirmation made billable. `is_new`: by this press."""

    charge: Charge
    is_new: bool


@dataclass(frozen=True, slots=True)
class StatementView:
    """A statement with what became of it.

    state    None while it is provisional: its run is not published
    newer    the number of the statement that took its place
    """

    stored: StoredStatement
    run: RunHead
    content: StatementContent
    state: StatementState | None
    steps: tuple[LoggedState, ...]
    disputes: tuple[Dispute, ...]
    charges: tuple[Charge, ...]
    charged: frozenset[str]
    newer: str | None
    link_expires_at: datetime | None = None

    @property
    def billable(self) -> tuple[str, ...]:
        """Give the lines that a confirmation would make billable now."""
        return billable((one.id for one in self.content.lines), self.charged, (d.as_line for d in self.disputes))


@dataclass(frozen=True, slots=True)
class StatementDesk:
    """Opens statements by their links, and takes what tenants say. `salt_key` makes the links."""

    database: Database
    clock: Clock
    salt_key: bytes

    def open_token(self, token: str) -> StatementView:
        """Give the statement of a link, with all that became of it; raises LinkUnknown, LinkExpired."""
        with self.database.transaction() as connection:
            number, expires_at = self._number_of(connection, token)
            return view_of(connection, number, link_expires_at=expires_at)

    def see(self, token: str, caller: Caller) -> None:
        """Note that the page was opened; only the first time of a final statement is told."""
        with self.database.transaction() as connection:
            number, _ = self._number_of(connection, token)
            if hold_statement(connection, number) is StatementState.ISSUED:
                self._step(connection, view_of(connection, number), StatementState.SEEN, caller)

    def confirm(self, token: str, caller: Caller) -> Confirmed:
        """Make what is neither charged nor disputed billable: one charge, also when pressed again, or by many at once.

        Raises LinkUnknown, LinkExpired, NotIssued, Superseded, NothingToConfirm.
        """
        with self.database.transaction() as connection:
            number, _ = self._number_of(connection, token)
            hold_statement(connection, number)
            view = view_of(connection, number)
            lines = view.billable
            if not lines and view.charges:
                return Confirmed(view.charges[-1], is_new=False)
            require_step(number, view.state, StatementState.CONFIRMED)
            if not lines:
                raise NothingToConfirm(f"every line of {number} is disputed: nothing is left to confirm")
            charge = self._charge(connection, view, lines)
            told = (_event(EventKind.STATEMENT_CONFIRMED, view, charge.created_at), _charge_event(view, charge))
            self._step(connection, view, StatementState.CONFIRMED, caller, told=told, after={"charge": charge.charge})
            return Confirmed(charge, is_new=True)

    def dispute(self, token: str, complaint: Complaint, caller: Caller) -> Dispute:
        """Enter a dispute: it keeps its line out of every charge. A second press gives the first.

        Raises ComplaintInvalid, LineCharged, LinkUnknown, LinkExpired, NotIssued, Superseded.
        """
        reason = complaint.reason.strip()
        if not 1 <= len(reason) <= REASON_CHARACTERS_MAX:
            raise ComplaintInvalid(f"say what is wrong, in 1 to {REASON_CHARACTERS_MAX} characters")
        now = self.clock.now()
        with self.database.transaction() as connection:
            number, _ = self._number_of(connection, token)
            hold_statement(connection, number)
            view = view_of(connection, number)
            known = next((one for one in view.disputes if one.line == complaint.line), None)
            if known is not None:
                return known
            _require_disputable(view, complaint.line)
            photo = None if complaint.photo is None else complaint.photo.sha256
            if complaint.photo is not None:
                plain = complaint.photo
                put_photo(connection, plain.sha256, plain.octets, plain.media, now, by=caller.name)
            entered = add_dispute(connection, number, complaint.line, reason, photo, now)
            assert entered is not None, "the statement is held, so nobody disputed the line meanwhile"
            line = {} if complaint.line == WHOLE else {"line": complaint.line}
            told = _event(EventKind.STATEMENT_DISPUTED, view, now, dispute=str(entered), **line)
            after = {"dispute": entered, **line, "reason": hashlib.sha256(reason.encode()).hexdigest()}
            self._step(connection, view, StatementState.DISPUTED, caller, told=(told,), after=after)
            return require_dispute(connection, entered)

    def answer(self, dispute: int, answer: Answer, caller: Caller) -> Dispute:
        """Answer a dispute. Upheld: what it kept back is charged, if the statement was confirmed; else with the rest.

        Raises DisputeUnknown, DisputeAnswered, ComplaintInvalid.
        """
        text = answer.text.strip()
        if answer.state is DisputeState.OPEN or not 1 <= len(text) <= REASON_CHARACTERS_MAX:
            raise ComplaintInvalid(
                f"answer upheld or recomputed, with words of 1 to {REASON_CHARACTERS_MAX} characters"
            )
        now = self.clock.now()
        with self.database.transaction() as connection:
            hold_statement(connection, require_dispute(connection, dispute).statement)
            found = require_dispute(connection, dispute)
            if found.state is not DisputeState.OPEN:
                if (found.state, found.answer) == (answer.state, text):
                    return found
                # By whom is not for everybody who may answer.
                raise DisputeAnswered(f"dispute {dispute} was answered already: {found.state}")
            answer_dispute(connection, dispute, answer.state, text, caller.name, now)
            view = view_of(connection, found.statement)
            told = [_event(EventKind.DISPUTE_ANSWERED, view, now, dispute=str(dispute), state=str(answer.state))]
            after: dict[str, object] = {"dispute": dispute, "state": str(answer.state)}
            step = None
            if answer.state is DisputeState.UPHELD and view.state is not StatementState.SUPERSEDED:
                step = StatementState.UPHELD
                if view.charges and view.billable:
                    charge = self._charge(connection, view, view.billable)
                    told.append(_charge_event(view, charge))
                    after["charge"] = charge.charge
            self._step(connection, view, step, caller, told=told, after=after, verb=Verb.DISPUTE_ANSWERED, reason=text)
            return require_dispute(connection, dispute)

    def link(self, number: str, caller: Caller, *, renew: bool = False, days: int = LINK_DAYS) -> Link:
        """Give the link of a statement, made if none is in force, or if `renew`; raises StatementUnknown."""
        with self.database.transaction() as connection:
            held = hold_links(connection, number=number)
            if not held:
                raise StatementUnknown(f"there is no statement {number}; each run names its statements")
            return self._links(connection, held, caller, renew=renew, days=days)[0]

    def links(self, run: str, caller: Caller, *, days: int = LINK_DAYS) -> tuple[Link, ...]:
        """Give the links of all statements of a run, by number, making those that are missing."""
        with self.database.transaction() as connection:
            return self._links(connection, hold_links(connection, run=run), caller, renew=False, days=days)

    def revoke(self, number: str, caller: Caller, reason: str = "") -> None:
        """Let the link of a statement open nothing any more; raises StatementUnknown."""
        with self.database.transaction() as connection:
            held = hold_links(connection, number=number)
            if not held:
                raise StatementUnknown(f"there is no statement {number}; each run names its statements")
            put_link(connection, number, None, held[0].issue, None)
            act = caller.act(self.clock.now(), Verb.LINK_REVOKED, f"statement/{number}", reason=reason)
            record(connection, act)

    def _links(
        self, connection: Connection, held: Sequence[HeldLink], caller: Caller, *, renew: bool, days: int
    ) -> tuple[Link, ...]:
        now = self.clock.now()
        found, made = [], []
        for one in held:
            if one.expires_at is not None and one.expires_at > now and not renew:
                token = token_of(self.salt_key, one.statement, one.issue)
                found.append(Link(one.statement, one.party, token, one.issue, one.expires_at, is_new=False))
                continue
            issue, until = one.issue + 1, expiry(now, days)
            token = token_of(self.salt_key, one.statement, issue)
            put_link(connection, one.statement, token_hash(token), issue, until)
            found.append(Link(one.statement, one.party, token, issue, until, is_new=True))
            made.append(one.statement)
        if made:
            subject = f"statement/{made[0]}" if len(held) == 1 else f"run/{held[0].run}"
            after = {"statements": len(made), "expires_at": expiry(now, days).isoformat()}
            record(connection, caller.act(now, Verb.LINK_MADE, subject, after=after))
        return tuple(found)

    def _number_of(self, connection: Connection, token: str) -> tuple[str, datetime]:
        known = find_link(connection, token_hash(token))
        if known is None:
            raise LinkUnknown("no statement opens with this link: a newer one took its place, or it was taken back")
        if known[1] <= self.clock.now():
            raise LinkExpired(f"this link opened a statement until {known[1]:%Y-%m-%d}; ask for a new one")
        return known

    def _charge(self, connection: Connection, view: StatementView, lines: Sequence[str]) -> Charge:
        """Store what these lines make billable."""
        told = charge_lines(connection, view, lines)
        charge = Charge(
            charge=f"{view.stored.number}-c{len(view.charges) + 1}",
            statement=view.stored.number,
            site=view.run.site,
            period=view.run.period,
            party=view.stored.party,
            amount_minor=sum(one.amount_minor for one in told),
            currency=view.content.currency,
            created_at=self.clock.now(),
        )
        add_charge(connection, charge, told)
        return charge

    def _step(
        self,
        connection: Connection,
        view: StatementView,
        to: StatementState | None,
        caller: Caller,
        *,
        told: Sequence[Event] = (),
        after: dict[str, object] | None = None,
        verb: Verb | None = None,
        reason: str = "",
    ) -> None:
        """Take a step, tell it and record it, in this order: the log is written last."""
        number, now = view.stored.number, self.clock.now()
        if to is not None:
            step_statement(connection, number, to, actor=caller.name, acted_at=now)
        if to is StatementState.SEEN:
            told = (_event(EventKind.STATEMENT_SEEN, view, now),)
        tell_all(connection, told)
        state = view.state if to is None else to
        act = caller.act(
            now,
            verb or _VERBS[to or StatementState.SEEN],
            f"statement/{number}",
            before=None if view.state is None else {"state": str(view.state)},
            after={"state": None if state is None else str(state), **(after or {})},
            reason=reason,
            touches=(f"site/{view.run.site}", f"run/{view.run.run}"),
        )
        record(connection, act)


_VERBS = {
    StatementState.SEEN: Verb.STATEMENT_SEEN,
    StatementState.CONFIRMED: Verb.STATEMENT_CONFIRMED,
    StatementState.DISPUTED: Verb.STATEMENT_DISPUTED,
}


def view_of(connection: Connection, number: str, *, link_expires_at: datetime | None = None) -> StatementView:
    """Give a statement with what became of it; raises StatementUnknown."""
    stored = find_statement(connection, number)
    if stored is None:
        raise StatementUnknown(f"there is no statement {number}; each run names its statements")
    run = find_head(connection, stored.run)
    assert run is not None, "a statement refers to its run"
    signed = parse_sign1(stored.octets, STATEMENT_OCTETS_MAX)
    content = StatementContent.from_wire(decode_canonical(signed.payload, STATEMENT_OCTETS_MAX))
    steps = states_of(connection, number)
    state = steps[-1].state if steps else None
    return StatementView(
        stored=stored,
        run=run,
        content=content,
        state=state,
        steps=steps,
        disputes=disputes_of(connection, number),
        charges=charges_of(connection, number),
        charged=lines_charged(connection, number),
        newer=newer_statement(connection, number) if state is StatementState.SUPERSEDED else None,
        link_expires_at=link_expires_at,
    )


def charge_lines(connection: Connection, view: StatementView, lines: Sequence[str]) -> tuple[ChargeLine, ...]:
    """Give what these lines make billable, less what was charged of them by earlier statements of the period."""
    before = charged_before(connection, view.run.site, view.run.period, view.stored.party, view.stored.number)
    stated = {one.id: one.amount_minor for one in view.content.lines}
    # What an earlier statement charged and this one does not know of is given back, with the first charge.
    gone = () if view.charges else tuple(line for line in before if line not in stated)
    return tuple(ChargeLine(line, stated.get(line, 0), before.get(line, 0)) for line in (*lines, *gone))


def tenant(view: StatementView, where: str, device: str) -> Caller:
    """Give who acts by the link of a statement: its party, whoever holds the link."""
    return Caller(f"tenant/{view.run.site}/{view.stored.party}", where, device)


def _require_disputable(view: StatementView, line: str) -> None:
    number, known = view.stored.number, {one.id for one in view.content.lines}
    if view.state in (None, StatementState.SUPERSEDED):
        require_step(number, view.state, StatementState.DISPUTED)
    if line != WHOLE and line not in known:
        raise ComplaintInvalid(f"statement {number} has no line {line!r}")
    if view.charged & (known if line == WHOLE else {line}):
        raise LineCharged(f"{line or number} is confirmed already: talk to whoever sent the statement")
    require_step(number, view.state, StatementState.DISPUTED)


def _event(kind: EventKind, view: StatementView, at: datetime, **more: str) -> Event:
    number, run = view.stored.number, view.run
    body = {"statement": number, "run": run.run, "period": run.period, **more}
    return Event(kind, run.site, f"statement/{number}", at, body)


def _charge_event(view: StatementView, charge: Charge) -> Event:
    body = {"statement": charge.statement, "run": view.run.run, "period": charge.period, "charge": charge.charge}
    return Event(EventKind.CHARGE_CREATED, charge.site, f"charge/{charge.charge}", charge.created_at, body)
