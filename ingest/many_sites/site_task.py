"""One site on one worker: the same function on this machine and on a Dask cluster.

The settings of a worker are its own: handed over privately to a process of this machine, read from its environment on
a cluster. Before anything is stored they are compared with the mark of whoever gave the order.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from importlib import metadata
from pathlib import Path

import psycopg

from allocation_engine.close_period import ENGINE_VERSION
from allocation_engine.errors import PeriodNotReady
from device_profiles.catalogue import Catalogue
from ingest.caller import acting
from ingest.closing import Closing, Stage, Watch
from ingest.config import CENTRE_KEY, DSN, PROFILES, Settings, local_caller
from ingest.many_sites.order import CentreMark, CloseOrder, Outcome, Result, Way
from ingest.settlement import Settlement
from ingest.store.database import Database, DatabaseUnreachable
from metering.errors import DocumentError, MeteringError
from metering.identity import SiteId
from provisioning.keys import SALT_KEY, FileSigner, read_salt_key

Tell = Callable[[str], None]
"""Is told the stage that a site has come to."""
TELL_EVERY_S = 0.25

_MENDS = {
    "program": "it has another version: install the same version of metertree on it",
    "key": f"it has another signing key: let its {CENTRE_KEY.variable} name the same one",
    "salts": f"it has other salts: copy {SALT_KEY} from beside the caller's signing key to beside its own",
    "profiles": f"it has other meter profiles: give it the same, see {PROFILES.variable}",
    "database": f"it has another database: let its {DSN.variable} name the same one",
}


class WorkerUnfit(MeteringError):
    """A worker has other settings than the caller: its results would differ, or go elsewhere."""


class Stumbled(MeteringError):
    """The database went away under a site's closing: nothing of it is stored, and it may be tried again."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs of its own to close a site."""

    dsn: str
    centre_key: str
    profiles: str

    @classmethod
    def read(cls, settings: Settings) -> WorkerSettings:
        """Read them; raises SettingMissing."""
        return cls(settings.text(DSN), settings.text(CENTRE_KEY), settings.text(PROFILES))

    def to_environment(self) -> dict[str, str]:
        """Give them as a worker on this machine finds them."""
        return {
            DSN.variable: self.dsn,
            CENTRE_KEY.variable: str(Path(self.centre_key).resolve()),
            PROFILES.variable: self.profiles and str(Path(self.profiles).resolve()),
        }


@contextmanager
def open_closing(settings: WorkerSettings) -> Iterator[tuple[Closing, CentreMark]]:
    """Set up a closing and say what marks it; raises KeyFileInvalid, DatabaseUnreachable and profile faults.

    A missing salt key is refused, not made: the salts of a worker that made its own would fit nobody else's.
    """
    catalogue = Catalogue.load(*([Path(settings.profiles)] if settings.profiles else []))
    key = Path(settings.centre_key)
    signer, salt_key = FileSigner.read(key), read_salt_key(key.with_name(SALT_KEY))
    with Database(settings.dsn, connections=2) as database:
        mark = CentreMark(
            program=f"{metadata.version('metertree')}, engine {ENGINE_VERSION}",
            key=signer.key_id.hex(),
            salts=hmac.digest(salt_key, b"metertree: the same salts", "sha256").hex(),
            profiles=hashlib.sha256(b"".join(sorted(one.hash for one in catalogue.profiles))).hexdigest(),
            database=database.identity(),
        )
        # One sealer: a Dask worker may not start processes, and the other processors have sites of their own.
        yield Closing(Settlement(database, catalogue), signer, salt_key, sealers=1), mark


def require_same(ours: CentreMark, callers: CentreMark) -> None:
    """Raise WorkerUnfit, with the mend, if a worker's mark differs from the caller's."""
    names = [field.name for field in fields(CentreMark) if getattr(ours, field.name) != getattr(callers, field.name)]
    if names:
        raise WorkerUnfit("; ".join(_MENDS[name] for name in names))


def unfit_reasons(settings: WorkerSettings, callers: CentreMark) -> tuple[str, ...]:
    """Say why a worker cannot close sites; nothing if it can."""
    try:
        with open_closing(settings) as (_, mark):
            require_same(mark, callers)
    except MeteringError as error:
        return reasons_of(error)
    return ()


def close_site(settings: WorkerSettings, order: CloseOrder, site: SiteId, tell: Tell) -> Outcome:
    """Close a site as ordered and say how it ended; raises Stumbled when it may be tried again."""
    started_s = time.monotonic()
    try:
        with open_closing(settings) as (closing, mark):
            require_same(mark, order.centre)
            outcome = _closed(closing, order, site, _watch(tell))
    except (DatabaseUnreachable, psycopg.OperationalError) as error:
        raise Stumbled(f"the database went away: {error}") from error
    except MeteringError as error:
        outcome = Outcome(site, Result.REFUSED, reasons=reasons_of(error))
    return replace(outcome, seconds=time.monotonic() - started_s)


def reasons_of(error: MeteringError) -> tuple[str, ...]:
    """Give what an error says, one sentence each."""
    if isinstance(error, PeriodNotReady):
        return error.reasons
    if isinstance(error, DocumentError):
        return tuple(str(fault) for fault in error.faults)
    return (str(error),)


def _watch(tell: Tell) -> Watch:
    """Give a watch that tells each stage as it begins, and how far it is a few times a second."""
    newest: list[tuple[Stage, float]] = []

    def watch(stage: Stage, done: int, of: int) -> None:
        now_s = time.monotonic()
        if not newest or newest[-1][0] is not stage or now_s - newest[-1][1] >= TELL_EVERY_S:
            newest[:] = [(stage, now_s)]
            tell(f"{stage} {done}/{of}" if of > 1 else str(stage))

    return watch


def _closed(closing: Closing, order: CloseOrder, site: SiteId, watch: Watch) -> Outcome:
    if order.way is Way.DRY_RUN:
        watch(Stage.COMPUTE, 0, 1)
        run = closing.dry_run(site, order.period)
        total = sum(run.total_minor(party) for party in run.parties)
        return Outcome(
            site,
            Result.COMPUTED,
            run=run.id,
            lines=len(run.lines),
            cases=len(run.cases),
            total_minor=total,
            currency=run.currency,
        )
    is_draft = order.way is Way.DRAFT
    with acting(local_caller()):
        stored, is_new = closing.close(
            site, order.period, booked_at=order.booked_at, actor=order.actor, draft=is_draft, watch=watch
        )
    document, totals = stored.document, closing.totals(stored.head.run)
    return Outcome(
        site,
        Result.NEW if is_new else Result.KNOWN,
        run=stored.head.run,
        state=stored.head.state,
        lines=sum(one.lines for one in totals),
        cases=len(document["cases"]),
        total_minor=sum(one.total_minor for one in totals),
        currency=document["currency"],
    )
