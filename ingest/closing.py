"""Closes a period: settled days and rules in, one immutable run with its signed statements out.

Idempotent by content: the run's id is the hash of everything it depends on, so asking again gives the stored run and
writes nothing. Run and statements are stored in one transaction, under the site's lock. The only time in them is
`booked_at`, which the caller states: a result never depends on when it was computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from allocation_engine.bundle import pack_bundle
from allocation_engine.close_period import close_period
from allocation_engine.commitment import Commitment, commit_run
from allocation_engine.evidence import PointEvidence, pick_readings
from allocation_engine.inputs import PeriodInputs
from allocation_engine.metered import evidence_needed
from allocation_engine.pools import PassThroughRule
from allocation_engine.rules import Rules
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import Run
from allocation_engine.run_state import RunState, read_actor, require_step
from allocation_engine.statement import GatewayKey, Statement, seal_statement
from device_profiles.catalogue import Catalogue
from ingest.counted_before import count_before
from ingest.metering_points import MeteringPoint, metering_points
from ingest.period_inputs import period_inputs, site_names
from ingest.runs_desk import RunsDesk
from ingest.settlement import Settlement, Shelf, around, settle_node
from ingest.store.database import Connection
from ingest.store.gateways import keys
from ingest.store.readings import envelope_octets
from ingest.store.run_log import book_run, move_run, open_log, require_standing
from ingest.store.run_slots import add_slots
from ingest.store.runs import StoredRun, add_run, count_runs, find_run
from ingest.store.settled import settled_days
from ingest.store.sites import SiteVersion, lock_site, require_site
from ingest.store.statements import StoredStatement, add_statement, numbers_of_run
from metering.envelope import Signer, Verifier, disclose, parse_sealed
from metering.errors import BooksError
from metering.identity import SiteId
from metering.interval import Interval
from provisioning.keys import PublicVerifier
from provisioning.site import Site

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


class EvidenceMissing(BooksError):
    """A reading is in the books and the envelope it was sealed in is not: the store is damaged."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Computes runs and stores them. `signer` is the centre's key; `salt_key` the secret behind every line's salt."""

    settlement: Settlement
    signer: Signer
    salt_key: bytes

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
            watch(Stage.GATHER, 0, 1)
            version, rules, inputs = self._gather_newest(connection, site, period)
            watch(Stage.COMPUTE, 0, 1)
            run = close_period(inputs, rules)
            watch(Stage.COMMIT, 0, 1)
            commitment = commit_run(run, self.salt_key)
            watch(Stage.STORE, 0, 1)
            stored = find_run(connection, run.id)
            if stored is None:
                state = RunState.DRAFT if draft else RunState.COMPUTED
                stored = add_run(
                    connection,
                    run,
                    _document(run, inputs, rules, commitment),
                    state=state,
                    computed_by=actor,
                    site_version=version.version,
                    booked_at=booked_at,
                )
                open_log(connection, run.id, state, actor=actor, acted_at=booked_at)
                add_slots(connection, run.id, inputs)
            elif draft or stored.head.state not in (RunState.DRAFT, RunState.SUPERSEDED):
                return stored, False
            else:
                stored = _taken_up(connection, stored, actor, booked_at)
            watch(Stage.SEAL, 0, len(run.parties))
            if not draft and not numbers_of_run(connection, run.id):
                for statement in self._statements(connection, run, inputs, rules, commitment, booked_at):
                    add_statement(connection, statement)
            return stored, True

    @property
    def desk(self) -> RunsDesk:
        """The desk at which the runs computed here go on."""
        return RunsDesk(self.settlement.database, self.settlement.catalogue, self.signer)

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
        for node in version.site.nodes:
            settle_node(connection, version.site, self.settlement.catalogue, node.id)
        rules = rules_from_document(version.rules, site_names(version.site))
        return version, rules, gather(connection, version.site, rules, self.settlement.catalogue, period)

    def _statements(
        self,
        connection: Connection,
        run: Run,
        inputs: PeriodInputs,
        rules: Rules,
        commitment: Commitment,
        booked_at: datetime,
    ) -> Iterator[StoredStatement]:
        version = count_runs(connection, run.site, run.label)
        gateway_keys = _gateway_keys(connection, inputs)
        for party in run.parties:
            statement = seal_statement(
                run,
                inputs,
                rules,
                party,
                booked_at=booked_at,
                version=version,
                gateway_keys=gateway_keys,
                commitment=commitment,
                signer=self.signer,
            )
            bundle = _bundle(connection, statement, self.settlement.catalogue)
            yield StoredStatement(statement.number, run.id, party, statement.octets, bundle, booked_at)


def _taken_up(connection: Connection, stored: StoredRun, actor: str, booked_at: datetime) -> StoredRun:
    """Make a draft, or a run whose facts have become again what they were, a computed run that waits for its check."""
    standing = require_standing(connection, stored)
    told = "" if standing.state is RunState.DRAFT else "the facts are again what they were"
    require_step(standing, RunState.COMPUTED, actor)
    run = stored.head.run
    move_run(connection, run, RunState.COMPUTED, standing=standing, actor=actor, acted_at=booked_at, reason=told)
    if standing.state is RunState.DRAFT:
        book_run(connection, run, booked_at)
    found = find_run(connection, run)
    assert found is not None
    return found


def gather(connection: Connection, site: Site, rules: Rules, catalogue: Catalogue, label: str) -> PeriodInputs:
    """Read the facts of a period from the store, with the readings that prove its metered lines."""
    period = site.calendar.period(label)
    days = site.calendar.days(period)
    points = metering_points(site, catalogue)
    bare = period_inputs(site, label, points, settled_days(connection, site.id, days[0], days[-1]), ())

    def earlier(first: date, last: date) -> PeriodInputs:
        return period_inputs(site, f"{first}--{last}", points, settled_days(connection, site.id, first, last), ())

    needed = evidence_needed(bare, rules)
    evidence = tuple(
        _evidence(connection, site, catalogue, period, point, needed[point.node, point.obis])
        for point in points
        if (point.node, point.obis) in needed
    )
    return replace(bare, evidence=evidence, counted_before=count_before(bare, rules, earlier))


def _evidence(
    connection: Connection,
    site: Site,
    catalogue: Catalogue,
    period: Interval,
    point: MeteringPoint,
    marks: Iterable[datetime],
) -> PointEvidence:
    meters = tuple(meter.id for meter in site.meters_at(point.node))
    shelf = Shelf(connection, catalogue, meters, (point.obis,))
    known = around(shelf.registers(shelf.widen(period))[point.obis], period)
    return PointEvidence(point.node, point.obis, point.installations, pick_readings(marks, known))


def _document(run: Run, inputs: PeriodInputs, rules: Rules, commitment: Commitment) -> dict[str, Any]:
    """Give what is stored of a run: itself, its roots, exceptions and counts of its period, each pool's agreement."""
    exceptions = [{"node": node, **exception.to_document()} for node, exception in inputs.exceptions]
    terms = {
        pool.id: {
            "agreement": pool.agreement,
            "formula": pool.rule.formula.text if isinstance(pool.rule, PassThroughRule) else None,
        }
        for pool in rules.pools
    }
    counted = [[one.pool, one.unit, one.party, one.since.isoformat(), one.amount] for one in inputs.counted_before]
    beside = {"exceptions": exceptions, "terms": terms, "counted_before": counted}
    return {**run.to_document(), "commitment": commitment.to_document(), **beside}


def _gateway_keys(connection: Connection, inputs: PeriodInputs) -> tuple[GatewayKey, ...]:
    """Give the registered keys of every gateway that sealed a piece of evidence."""
    references = (reading.envelope for point in inputs.evidence for reading in point.readings)
    sealed_by = {(ref.gateway, ref.epoch) for ref in references if ref is not None}
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


def _bundle(connection: Connection, statement: Statement, catalogue: Catalogue) -> bytes:
    """Pack a statement with the envelopes it names, its own meters' readings only, and the profiles to read them by.

    Raises EvidenceMissing.
    """
    octets = envelope_octets(connection, {(ref.gateway, ref.epoch, ref.seq) for ref in statement.evidence})
    evidence = []
    for ref in sorted(statement.evidence):
        sealed = octets.get((ref.gateway, ref.epoch, ref.seq))
        if sealed is None:
            raise EvidenceMissing(f"the envelope {ref.gateway} epoch {ref.epoch} seq {ref.seq} is not in the store")
        evidence.append(disclose(sealed, statement.meters))
    named = {reading.profile_hash for sealed in evidence for reading in parse_sealed(sealed).envelope.readings}
    profiles = [catalogue.by_hash(profile).canonical for profile in sorted(named)]
    return pack_bundle(statement.octets, statement.proof, evidence, profiles)
