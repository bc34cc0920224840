"""What is done now and then: each job with its schedule, and whether it is due. Pure, but for what a job does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from ingest.alerts import Alerting, evaluate
from ingest.audit_desk import AuditDesk
from ingest.store.aggregates import refresh_aggregates
from ingest.store.database import Database
from ingest.store.job_log import JobRun
from ingest.store.layout import Storage
from ingest.store.retention import maintain
from ingest.webhooks.work import forget
from metering.envelope import Signer

RETRY = timedelta(minutes=15)
"""How long after a try that failed, or was broken off, a nightly job is tried again."""

LOOK_EVERY = timedelta(minutes=1)
"""How often it is looked for what an operator must know."""
CHECKPOINT_EVERY = timedelta(hours=1)
"""How often the centre signs for the audit log."""
REFRESH_EVERY = timedelta(minutes=5)
"""How old what is kept ready for charts may be."""
DELIVER_EVERY = timedelta(seconds=1)
"""How often it is looked for events to deliver, at most."""

Work = Callable[[Database, datetime], Iterable[str]]
"""Does a job as of an instant, telling each change in words; safe to be broken off, and to be done twice at once."""


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again, with a pause from start to start."""

    pause: timedelta

    def is_due(self, newest: JobRun | None, now: datetime) -> bool:
        """Say whether the pause is over; a start that lies ahead was noted by a clock that has been set back since."""
        return newest is None or not timedelta() <= now - newest.started_at < self.pause


@dataclass(frozen=True, slots=True)
class Nightly:
    """Once a day at a time of day, UTC; after a failure again and again until it is done."""

    at: time

    def is_due(self, newest: JobRun | None, now: datetime) -> bool:
        """Say whether the last night's is not done yet, and was not tried just now."""
        if newest is None:
            return True
        if newest.succeeded_at is not None and newest.succeeded_at >= self._last_night(now):
            return False
        is_tried_now = newest.succeeded_at is None or newest.started_at > newest.succeeded_at
        return not (is_tried_now and timedelta() <= now - newest.started_at < RETRY)

    def _last_night(self, now: datetime) -> datetime:
        tonight = datetime.combine(now.date(), self.at, now.tzinfo)
        return tonight if tonight <= now else tonight - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Job:
    """One job: its name in logs, metrics and the books, when it is due, and what it does."""

    name: str
    schedule: Every | Nightly
    work: Work


def shipped_jobs(
    storage: Storage,
    nightly_at: time,
    alerting: Alerting,
    signer: Signer | None = None,
    webhooks: Work | None = None,
) -> tuple[Job, ...]:
    """List the jobs of this program; without the centre's key, `signer`, nobody signs for the audit log.

    webhooks   delivers events; None: another program does
    """

    def look(database: Database, now: datetime) -> Iterator[str]:
        with database.transaction() as connection:
            evaluated = evaluate(connection, now, alerting)
        if evaluated.opened or evaluated.closed:
            yield f"{len(evaluated.opened)} alerts opened, {len(evaluated.closed)} closed"

    def sign(database: Database, now: datetime) -> Iterator[str]:
        if signer is not None and AuditDesk(database).sign(signer, now) is not None:
            yield "signed for the audit log"

    return (
        Job("maintain", Nightly(nightly_at), lambda database, now: maintain(database, storage, now)),
        Job("alerts", Every(LOOK_EVERY), look),
        Job("aggregates", Every(REFRESH_EVERY), lambda database, _now: refresh_aggregates(database)),
        Job("events", Nightly(nightly_at), forget),
        *([] if signer is None else [Job("audit", Every(CHECKPOINT_EVERY), sign)]),
        *([] if webhooks is None else [Job("webhooks", Every(DELIVER_EVERY), webhooks)]),
    )
