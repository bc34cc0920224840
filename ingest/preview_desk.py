"""Periods kept loaded, so that a rule can be tried again and again while it is written.

A run is named by everything it was computed from (ADR 0037), so what was loaded for it can never be out of date: other
readings, leases or rules make another run. Only the few periods used last are kept, for each holds all its energies.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from allocation_engine.preview import Preview, PreviewSession
from device_profiles.catalogue import Catalogue
from ingest.run_facts import facts_of_run
from ingest.runs_desk import require_run
from ingest.store.database import Database
from metering.identity import PoolId

SESSIONS_MAX = 2
"""A month of 10,000 meters holds a quarter of a gigabyte."""


class PreviewDesk:
    """Previews changes of rules on the facts of runs; safe to use from several threads."""

    def __init__(self, database: Database, catalogue: Catalogue, sessions_max: int = SESSIONS_MAX) -> None:
        self._database = database
        self._catalogue = catalogue
        self._sessions_max = sessions_max
        self._sessions: OrderedDict[str, PreviewSession] = OrderedDict()
        self._lock = Lock()

    def session(self, run: str) -> PreviewSession:
        """Give the loaded period of a run; raises RunUnknown, FactsForgotten and what pricing a period raises."""
        with self._lock:
            session = self._sessions.pop(run, None)
            if session is None:
                with self._database.transaction() as connection:
                    facts = facts_of_run(connection, self._catalogue, require_run(connection, run))
                while len(self._sessions) >= self._sessions_max:
                    self._sessions.popitem(last=False)
                session = PreviewSession(facts)
            self._sessions[run] = session
            return session

    def preview(self, run: str, parts: Mapping[str, Any], pools: Sequence[Mapping[str, Any]] = ()) -> Preview:
        """Say what would change with `parts` of the rules document and the tables of some `pools` laid over it."""
        session = self.session(run)
        document = {**session.facts.rules.document, **parts}
        return session.preview(_with_pools(document, pools) if pools else document)


def _with_pools(document: Mapping[str, Any], pools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put tables of pools in the place of those with the same id; new ones come last."""
    given = {PoolId(str(pool.get("id"))): dict(pool) for pool in pools}
    kept = [given.pop(PoolId(str(pool["id"])), pool) for pool in document["pools"]["pools"]]
    return {**document, "pools": {**document["pools"], "pools": [*kept, *given.values()]}}
