"""Whether what stands in the books is what the audit log says was put there, and the other way round. Pure.

What is written once (a version of a site, a step of a run, a key, an order, a revocation) leaves a *trace*: the row and
its act give the same one. What goes through states (an operator, a binding) has a *standing*: that of the newest act.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ingest.audit_log import Entry, Verb
from provisioning.installation import EventKind

Trace = tuple[str, str]
"""Subject, and what of it the row and its act have in common."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the books: its trace or standing, and when it was written by its own word."""

    subject: str
    mark: str
    at: datetime


@dataclass(slots=True)
class Told:
    """What a log tells of rows, gathered entry by entry.

    since      when the log begins: rows from before have no act
    withdrawn  subjects of entries whose content is gone: what they told cannot be compared any more
    """

    since: datetime | None = None
    traces: dict[Trace, int] = field(default_factory=dict)
    standings: dict[str, tuple[str, int]] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)

    def take(self, entry: Entry) -> None:
        """Gather one entry, in order."""
        self.since = entry.at if self.since is None else min(self.since, entry.at)
        if entry.content is None:
            self.withdrawn.add(entry.subject)
            return
        trace = _TRACES.get(entry.verb)
        if trace is not None:
            self.traces[entry.subject, _marked(trace, entry)] = entry.number
        standing = _STANDINGS.get(entry.verb)
        if standing is not None:
            self.standings[entry.subject] = (_marked(standing, entry), entry.number)


@dataclass(frozen=True, slots=True)
class RowsHeld:
    """How many rows were held against the log, how many are older than it, and what does not fit."""

    held: int
    older: int
    faults: tuple[str, ...]


def hold_rows(told: Told, written: Iterable[Row], standing: Iterable[Row]) -> RowsHeld:
    """Hold the rows of the books against the log."""
    held = older = 0
    faults: list[str] = []
    left = dict(told.traces)
    for row in written:
        held += 1
        if left.pop((row.subject, row.mark), None) is None and row.subject not in told.withdrawn:
            if told.since is None or row.at < told.since:
                older += 1
            else:
                faults.append(f"{row.subject}: {row.mark} stands in the books, and no act in the log put it there")
    faults += [
        f"{subject}: entry {number} says {mark}; no such row stands in the books"
        for (subject, mark), number in left.items()
    ]
    for row in standing:
        held += 1
        faults += _standing_faults(told, row)
    return RowsHeld(held, older, tuple(faults))


def _standing_faults(told: Told, row: Row) -> Iterator[str]:
    known = told.standings.get(row.subject)
    if row.subject in told.withdrawn or row.mark == (None if known is None else known[0]):
        return
    if known is not None:
        yield f"{row.subject} is {row.mark} in the books; the newest act, entry {known[1]}, says {known[0]}"
    elif told.since is not None and row.at >= told.since:
        yield f"{row.subject} is {row.mark} in the books, and no act in the log says so"


def _marked(form: Callable[[dict[str, Any], Entry], str], entry: Entry) -> str:
    """Give what an act tells; one that lacks a part tells nothing that any row has."""
    try:
        return form(entry.told["after"], entry)
    except (KeyError, TypeError):
        return f"entry {entry.number} as it is"


def _step(after: dict[str, Any], _: Entry) -> str:
    return f"step {after['step']}, {after['state']} by {after['by']}"


def _event(after: dict[str, Any], _: Entry) -> str:
    bound = "" if after["kind"] in _BINDING_NOTHING else ", binding"
    return f"{after['kind']}, {after['digest']}{bound}"


def _post(after: dict[str, Any], _: Entry) -> str:
    """Tell whether somebody counts, and as what; of acts from before there were roles, what he became by them."""
    roles, sites = after.get("roles"), after.get("sites")
    usual = after["standing"] != "in force" or roles is None or (roles == USUAL_ROLES and sites is None)
    where = "" if sites is None else f" at {','.join(sites)}"
    return str(after["standing"]) if usual else f"in force as {','.join(roles or ())}{where}"


USUAL_ROLES = ["approver", "energy-manager", "field-engineer"]
"""What operators had from before there were roles, and have who are added without a word about it."""
_BINDING_NOTHING = (EventKind.REPLACE, EventKind.PORT_CHANGE)
_TRACES: dict[str, Callable[[dict[str, Any], Entry], str]] = {
    Verb.SITE_PUT: lambda after, _: f"version {after['version']}, {after['hash']}",
    Verb.RUN_DRAFTED: _step,
    Verb.RUN_COMPUTED: _step,
    Verb.RUN_CHECKED: _step,
    Verb.RUN_APPROVED: _step,
    Verb.RUN_PUBLISHED: _step,
    Verb.RUN_SUPERSEDED: _step,
    Verb.SETTINGS_ORDERED: lambda after, _: f"settings {after['version']}, {after['digest']}",
    Verb.GATEWAY_REVOKED: lambda after, _: f"epoch {after['epoch']} revoked",
    Verb.ENROLLED: lambda after, _: f"key {after['key_id']} in epoch {after['epoch']}",
    Verb.KEY_ROLLED: lambda after, _: f"key {after['key']} in epoch {after['epoch']}",
    Verb.EVENT_TAKEN: _event,
    Verb.INSTALL_ORDERED: lambda _after, _entry: "install order",
    Verb.KEY_MADE: lambda after, _: f"key {after['key']}",
}
_STANDINGS: dict[str, Callable[[dict[str, Any], Entry], str]] = {
    Verb.OPERATOR_ADDED: _post,
    Verb.OPERATOR_RENEWED: _post,
    Verb.OPERATOR_CHANGED: _post,
    Verb.OPERATOR_REMOVED: _post,
    Verb.CLIENT_ADDED: _post,
    Verb.CLIENT_REMOVED: _post,
    Verb.BINDING_APPROVED: lambda after, entry: f"{after['state']} by {entry.who}",
    Verb.BINDING_REFUSED: lambda after, entry: f"{after['state']} by {entry.who}",
}
