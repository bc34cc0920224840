"""Looking through the eyes of a role: what an administrator asks for to see what others see. He changes nothing then.

With a token it is the header `Metertree-View-As: finance` or `finance@park`; a session keeps it by itself. That he
looks stands in the audit log, once an hour for each role, before anything is shown.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from threading import Lock

from ingest.access.policy_file import shipped_policy
from ingest.access.principal import ADMINISTRATOR, Kind, Principal, site_scope
from ingest.api.problems import Problem
from ingest.audit_log import Verb
from ingest.store.audit import record
from ingest.store.database import Database
from metering.clock import Clock

HEADER = "Metertree-View-As"
PERMISSION = "operators.view-as"
TOLD_EVERY = timedelta(hours=1)


class Viewing:
    """Lets administrators look, and has it recorded."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._told: dict[tuple[str, str], datetime] = {}
        self._lock = Lock()

    def through(self, who: Principal, wanted: str) -> Principal:
        """Give `who` with the eyes of `wanted`, a role with or without @site; raises Problem 403 or 422."""
        role, at, site = wanted.partition("@")
        policy = shipped_policy()
        if who.kind is not Kind.OPERATOR or not policy.may(who, PERMISSION):
            raise Problem(HTTPStatus.FORBIDDEN, "only an administrator looks through the eyes of others", "ask one")
        if role not in policy.roles.keys() - {ADMINISTRATOR}:
            known = ", ".join(sorted(policy.roles.keys() - {ADMINISTRATOR}))
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{role[:100]!r} is no role to look as", f"one of {known}")
        self._tell(who, wanted[:200])
        sites = site_scope([site]) if at else who.sites
        if sites is not None and who.sites is not None:
            sites &= who.sites
        return replace(who, roles=frozenset({role}), sites=sites, viewing_as=role)

    def _tell(self, who: Principal, wanted: str) -> None:
        now, key = self._clock.now(), (who.name, wanted)
        with self._lock:
            told = self._told.get(key)
            if told is not None and now - told < TOLD_EVERY:
                return
        with self._database.transaction() as connection:
            record(connection, who.caller.act(now, Verb.VIEWED_AS, f"operator/{who.name}", after={"role": wanted}))
        with self._lock:
            self._told[key] = now
