"""Closes a period: settled days and rules in, one immutable run with its signed statements out.

Idempotent by content: the run's id is the hash of everything it depends on, so asking again gives the stored run and
writes nothing. Run and statements are stored in one transaction, under the site's lock. The only time in them is
`booked_at`, which the caller states: a result never depends on when it was computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from allocation_engine.close_period import close_period
from allocation_engine.collector import collector_paused
from allocation_engine.commitment import Commitment, commit_run
from allocation_engine.evidence import chains_of
from allocation_engine.inputs import PeriodInputs
from allocation_engine.metered import evidence_needed
from allocation_engine.pools import FormulaRule
from allocation_engine.rules import Rules
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import Run
from allocation_engine.run_document import head_document, line_documents
from allocation_engine.run_state import RunState, read_actor, require_step
from allocation_engine.statement import GatewayKey, Sealer, Statement, StatementFrame
from device_profiles.catalogue import Catalogue
from ingest.counted_before import count_before
from ingest.metering_points import metering_points
from ingest.period_inputs import period_inputs, site_names
from ingest.proving import prove_points
from ingest.runs_desk import RunsDesk
from ingest.sealing import seal_all
from ingest.settlement import Settlement, settle_waiting
from ingest.side_by_side import side_by_side
from ingest.store.database import Connection, Database
from ingest.store.gateways import keys
from ingest.store.ordered_jobs import note_completion
from ingest.store.run_audit import note_steps
from ingest.store.run_changes import forget_changes
from ingest.store.run_log import book_run, move_run, open_log, require_standing
from ingest.store.run_slots import add_slots
from ingest.store.runs import PartyTotal, StoredRun, add_run, confirm_run, count_runs, find_run, party_totals
from ingest.store.settled import SettledPoint, middle_node, settled_points
from ingest.store.sites import SiteVersion, lock_site, require_site
from ingest.store.statements import StoredStatement, add_statements, numbers_of_run
from metering.envelope import Signer, Verifier
from metering.errors import BooksError
from metering.identity import SiteId
from provisioning.keys import PublicVerifier
from provisioning.site import Site

NODES_MANY = 1000
"""From so many nodes on, what is settled is read over two connections: below, it takes a tenth of a second."""
UNNAMED = "operator"
"""Who computed a run when the caller does not say."""


class Stage(StrEnum):
    """What a closing is busy with."""

    SETTLE = "settle"
    GATHER = "gather"
    COMPUTE = "compute"
    COMMIT = "commit"
    STORE = "store"
    SEAL = "seal"


Watch = Callable[[Stage, int, int], None]
"""Is told of each stage as it begins, and then how many of how many parts are done."""


def unwatched(stage: Stage, done: int, of: int) -> None:
    """Nobody watches."""


class BookingTimeNaive(BooksError):
    """`booked_at` carries no time zone, so nobody could say when the run was booked."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Computes runs and stores them. `signer` is the centre's key; `salt_key` the secret behind every line's salt.

    sealers   how many processes seal statements at the same time; see `ingest.sealing.seal_all` for when more than 1
    """

    settlement: Settlement
    signer: Signer
    salt_key: bytes
    sealers: int = 1

    @collector_paused()
    def close(
        self,
        site: SiteId,
        period: str,
        *,
        booked_at: datetime,
        actor: str = UNNAMED,
        draft: bool = False,
        watch: Watch = unwatched,
    ) -> tuple[StoredRun, bool]:
        """Close `period` (`2026-07`, or `2026-07-01--2026-07-03`) of a site; give the run and whether it is new.

        actor   who computes it; somebody else has to approve it
        draft   store it to be looked at, without statements; closing again without `draft` makes them
        watch   is told how far the closing has come
        Raises SiteUnknown, CalendarInvalid, PeriodNotReady and the other books' errors; nothing is stored then.
        """
        if booked_at.tzinfo is None:
            raise BookingTimeNaive("booked_at carries no time zone; write it as 2026-08-01T09:00:00+08:00")
        booked_at, actor = booked_at.astimezone(UTC), read_actor(actor)
        watch(Stage.SETTLE, 0, 1)
        self.settlement.settle_site(site)
        with self.settlement.database.transaction() as connection:
            stored, is_new = self._closed(connection, site, period, booked_at, actor, draft, watch)
            note_steps(connection, stored.head.run)
        return stored, is_new

    def _closed(
        self,
        connection: Connection,
        site: SiteId,
        period: str,
        booked_at: datetime,
        actor: str,
        draft: bool,
        watch: Watch,
    ) -> tuple[StoredRun, bool]:
        watch(Stage.GATHER, 0, 1)
        version, rules, inputs = self._gather_newest(connection, site, period)
        watch(Stage.COMPUTE, 0, 1)
        run = close_period(inputs, rules)
        watch(Stage.COMMIT, 0, 1)
        commitment = commit_run(run, self.salt_key)
        watch(Stage.STORE, 0, 1)
        stored = find_run(connection, run.id, lines=False)
        if stored is None:
            state = RunState.DRAFT if draft else RunState.COMPUTED
            stored = add_run(
                connection,
                run,
                _document(run, inputs, rules, commitment),
                line_documents(run),
                state=state,
                computed_by=actor,
                site_version=version.version,
                booked_at=booked_at,
            )
            open_log(connection, run.id, state, actor=actor, acted_at=booked_at)
            add_slots(connection, run.id, inputs)
            days = version.site.calendar.days(inputs.period)
            note_completion(connection, run.id, site, days[0], days[-1])
        else:
            forget_changes(connection, run.id)
            stored = confirm_run(connection, stored, version.version)
            if draft or stored.head.state not in (RunState.DRAFT, RunState.SUPERSEDED):
                return stored, False
            stored = _taken_up(connection, stored, actor, booked_at)
        if draft or numbers_of_run(connection, run.id):
            return stored, True
        sealer = self._sealer(connection, run, inputs, rules, commitment, booked_at)
        # Statements need neither energies nor site: of a large one a third of the memory, while it is forked.
        del version, rules, inputs, commitment
        self._add_statements(connection, run, sealer, booked_at, watch)
        return stored, True

    @property
    def desk(self) -> RunsDesk:
        """The desk at which the runs computed here go on."""
        return RunsDesk(self.settlement.database, self.settlement.catalogue, self.signer)

    def totals(self, run: str) -> tuple[PartyTotal, ...]:
        """Give what each party has to pay by a stored run."""
        with self.settlement.database.transaction() as connection:
            return party_totals(connection, run)

    @collector_paused()
    def dry_run(self, site: SiteId, period: str) -> Run:
        """Compute what `close` would compute now and store nothing of it; raises what `close` raises."""
        self.settlement.settle_site(site)
        with self.settlement.database.transaction() as connection:
            _, rules, inputs = self._gather_newest(connection, site, period)
            return close_period(inputs, rules)

    def _gather_newest(
        self, connection: Connection, site: SiteId, period: str
    ) -> tuple[SiteVersion, Rules, PeriodInputs]:
        lock_site(connection, site)
        version = require_site(connection, site)
        changed = settle_waiting(connection, version.site, self.settlement.catalogue)
        rules = rules_from_document(version.rules, site_names(version.site))
        # Another connection sees what is committed; under the lock that is all, unless this transaction settled days.
        beside = self.settlement.database if not changed else None
        return version, rules, gather(connection, version.site, rules, self.settlement.catalogue, period, beside)

    def _sealer(
        self,
        connection: Connection,
        run: Run,
        inputs: PeriodInputs,
        rules: Rules,
        commitment: Commitment,
        booked_at: datetime,
    ) -> Sealer:
        version = count_runs(connection, run.site, run.label)
        frame = StatementFrame(booked_at, version, _gateway_keys(connection, inputs))
        return Sealer(run, inputs, rules, frame, commitment, self.signer)

    def _add_statements(
        self, connection: Connection, run: Run, sealer: Sealer, booked_at: datetime, watch: Watch
    ) -> None:
        sealed = seal_all(run.parties, sealer.seal, self.sealers)
        add_statements(connection, _watched(_stored(sealed, run.id, booked_at), len(run.parties), watch))


def _stored(sealed: Iterable[Statement], run: str, booked_at: datetime) -> Iterator[StoredStatement]:
    for one in sealed:
        yield StoredStatement(one.number, run, one.party, one.octets, one.proof, None, booked_at)


def _watched(statements: Iterable[StoredStatement], of: int, watch: Watch) -> Iterator[StoredStatement]:
    for done, one in enumerate(statements):
        watch(Stage.SEAL, done, of)
        yield one


def _taken_up(connection: Connection, stored: StoredRun, actor: str, booked_at: datetime) -> StoredRun:
    """Make a draft, or a run whose facts have become again what they were, a computed run that waits for its check."""
    standing = require_standing(connection, stored)
    told = "" if standing.state is RunState.DRAFT else "the facts are again what they were"
    require_step(standing, RunState.COMPUTED, actor)
    run = stored.head.run
    move_run(connection, run, RunState.COMPUTED, standing=standing, actor=actor, acted_at=booked_at, reason=told)
    if standing.state is RunState.DRAFT:
        book_run(connection, run, booked_at)
    found = find_run(connection, run, lines=False)
    assert found is not None
    return found


def gather(
    connection: Connection,
    site: Site,
    rules: Rules,
    catalogue: Catalogue,
    label: str,
    beside: Database | None = None,
) -> PeriodInputs:
    """Read the facts of a period from the store, with the readings that prove its metered lines.

    beside   lends a second connection to read a large site with, where that may see all that `connection` sees
    """
    period = site.calendar.period(label)
    days = site.calendar.days(period)
    points = metering_points(site, catalogue)
    bare = period_inputs(site, label, points, _settled(connection, beside, site, days[0], days[-1]), ())

    def earlier(first: date, last: date) -> PeriodInputs:
        return period_inputs(site, f"{first}--{last}", points, settled_points(connection, site.id, first, last), ())

    evidence = prove_points(connection, site, catalogue, period, points, evidence_needed(bare, rules), beside)
    return replace(bare, evidence=evidence, counted_before=count_before(bare, rules, earlier))


def _settled(
    connection: Connection, beside: Database | None, site: Site, first: date, last: date
) -> Iterator[SettledPoint]:
    """Give what is settled of a site; of a large one both halves at the same time."""
    if beside is None or len(site.nodes) < NODES_MANY:
        yield from settled_points(connection, site.id, first, last)
        return
    middle = middle_node(connection, [node.id for node in site.nodes])
    with beside.spare() as other:
        if other is None:
            yield from settled_points(connection, site.id, first, last)
            return
        lower = settled_points(connection, site.id, first, last, until=middle)
        upper = settled_points(other, site.id, first, last, after=middle)
        with closing(lower), closing(upper):
            yield from side_by_side(lower, upper)


def _document(run: Run, inputs: PeriodInputs, rules: Rules, commitment: Commitment) -> dict[str, Any]:
    """Give what is stored of a run beside its lines: its roots, exceptions and counts of its period, each agreement."""
    exceptions = [{"node": node, **exception.to_document()} for node, exception in inputs.exceptions]
    terms = {
        pool.id: {
            "agreement": pool.agreement,
            "formula": pool.rule.formula.text if isinstance(pool.rule, FormulaRule) else None,
        }
        for pool in rules.pools
    }
    counted = [[one.pool, one.unit, one.party, one.since.isoformat(), one.amount] for one in inputs.counted_before]
    beside = {"exceptions": exceptions, "terms": terms, "counted_before": counted}
    return {**head_document(run), "commitment": commitment.to_document(), **beside}


def _gateway_keys(connection: Connection, inputs: PeriodInputs) -> tuple[GatewayKey, ...]:
    """Give the registered keys of every gateway that sealed a piece of evidence."""
    sealed_by = chains_of(inputs.evidence)
    registered = keys(connection, (), {gateway for gateway, _ in sealed_by})
    return tuple(
        GatewayKey(key.owner.gateway, key.owner.epoch, key.key_id, key.verifier.algorithm, _public_key(key.verifier))
        for key in registered
        if (key.owner.gateway, key.owner.epoch) in sealed_by
    )


def _public_key(verifier: Verifier) -> bytes:
    if not isinstance(verifier, PublicVerifier):
        raise TypeError(f"the registry gave a {type(verifier).__name__}, which does not keep its raw public key")
    return verifier.public_key
