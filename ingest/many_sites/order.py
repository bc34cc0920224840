"""What a worker is told, and what it answers.

Everything here travels between processes and, with Dask, through a scheduler: no connection string, no path, no key.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from metering.identity import SiteId

TRIES_MAX = 3
"""How often a site is tried whose worker dies or whose database goes away: a site that kills three workers would kill
the next one too."""


class Way(StrEnum):
    """What is done with a computed run."""

    STORE = "store"
    DRAFT = "draft"
    DRY_RUN = "dry-run"


class Result(StrEnum):
    """How a site ended."""

    NEW = "new"
    """the run was stored"""
    KNOWN = "stored before"
    """the same facts had given the same run before; nothing was added"""
    COMPUTED = "computed"
    """a dry run: nothing was stored"""
    REFUSED = "refused"
    """the books, or the worker's settings, do not allow it; the reasons say what to mend"""
    FAILED = "failed"
    """workers died or the database was away, TRIES_MAX times"""
    OPEN = "not closed"
    """the command was stopped before the site's turn came or was over"""

    @property
    def is_good(self) -> bool:
        """Say whether what was asked for the site is done."""
        return self in (Result.NEW, Result.KNOWN, Result.COMPUTED)


@dataclass(frozen=True, slots=True)
class CentreMark:
    """What must be the same on every worker, so that the octets are: comparable, and no secret.

    program    version of this program and of its engine
    key        id of the centre's signing key
    salts      HMAC of a fixed text under the salt key: tells two keys apart and nothing else about them
    profiles   SHA-256 over the meter profiles
    database   identity of the database
    """

    program: str
    key: str
    salts: str
    profiles: str
    database: str


@dataclass(frozen=True, slots=True)
class CloseOrder:
    """One order for all sites. `booked_at` and `actor` are told once and are the same in every run."""

    period: str
    booked_at: datetime
    actor: str
    way: Way
    centre: CentreMark


@dataclass(frozen=True, slots=True)
class Begun:
    """A worker has taken a site. `tries` counts from 1."""

    site: SiteId
    worker: str
    tries: int


@dataclass(frozen=True, slots=True)
class Reached:
    """A site has come to a stage of its closing."""

    site: SiteId
    stage: str


@dataclass(frozen=True, slots=True)
class Again:
    """A site goes back to those that wait; `why` says what happened to its worker."""

    site: SiteId
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a site ended.

    run, state, lines, cases   of its run, where there is one; the total [minor units of `currency`] is of all lines
    seconds                    what its last try took [s]
    reasons                    why it was not closed, one sentence each, with the mend
    """

    site: SiteId
    result: Result
    run: str = ""
    state: str = ""
    lines: int = 0
    cases: int = 0
    total_minor: int = 0
    currency: str = ""
    seconds: float = 0.0
    tries: int = 1
    worker: str = ""
    reasons: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Give the plain form."""
        return {
            "site": self.site,
            "result": self.result,
            "run": self.run or None,
            "state": self.state or None,
            "lines": self.lines,
            "cases": self.cases,
            "total_minor": self.total_minor,
            "currency": self.currency or None,
            "seconds": round(self.seconds, 3),
            "tries": self.tries,
            "worker": self.worker or None,
            "reasons": list(self.reasons),
        }


Event = Begun | Reached | Again | Outcome


class Pool(Protocol):
    """Workers that close sites."""

    def events(self, order: CloseOrder, sites: Sequence[SiteId]) -> Generator[Event, None, None]:
        """Close each site, in any order, and tell what happens; every site ends with one Outcome.

        Closing the iterator early ends the work: what is stored stays, what is at work is left undone or is finished
        by workers that are not ours.
        """
