"""Composition root of the central service: the only place that knows which adapter stands behind which port.

Three things run: an intake thread, a settlement thread that the intake wakes after its commits, and the web server on
the main thread. All state is in the database, so the service may be killed at any moment and started again.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import uvicorn

from device_profiles.catalogue import Catalogue
from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.config import ServeConfig
from ingest.intake import Intake
from ingest.intake_worker import Worker, consumer_of
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.intake_store import PostgresIntakeStore
from ingest.store.migrate import is_migrated
from metering.clock import SystemClock
from metering.errors import MeteringError
from provisioning.keys import SALT_KEY, FileSigner, make_salt_key

CONNECTIONS = 16
"""Intake 2, settlement 1, the rest for requests: uvicorn runs handlers in up to 40 threads, which then queue here."""
STOP_S = 10.0
"""Longest wait for a thread to end its work; a settlement of one node takes far less than a second."""
GRACE_S = 5
"""Longest wait for open requests at the end [s]."""
IDLE_S = 60.0
"""How often settlement looks without being woken: after a start, and after another process imported a site."""

_log = logging.getLogger(__name__)


class SchemaOutdated(MeteringError):
    """The database lacks migrations of this program."""


def serve(config: ServeConfig) -> None:
    """Run the central service until SIGTERM or SIGINT."""
    signer = FileSigner.read(config.centre_key)
    salt_key = make_salt_key(config.centre_key.with_name(SALT_KEY))
    catalogue = Catalogue.load(*([config.profiles] if config.profiles else []))
    clock, metrics, woken, stop = SystemClock(), Metrics(), Event(), Event()
    with Database(config.dsn, connections=CONNECTIONS) as database:
        if not is_migrated(database):
            raise SchemaOutdated("the database is not up to date; run: metertree migrate")
        settlement = Settlement(database, catalogue)
        consumer = consumer_of(config.broker, Worker.parse(config.intake_share))
        intake = Intake(
            consumer=consumer,
            store=PostgresIntakeStore(database),
            signer=signer,
            clock=clock,
            profiles=[profile.hash for profile in catalogue.profiles],
            on_commit=woken.set,
        )
        metrics.follow(intake.counters)
        parts = WebParts(
            database=database,
            closing=Closing(settlement, signer, salt_key),
            clock=clock,
            centre_key=signer.public_key,
            admin_token=config.admin_token,
            checks={"database": database.answers, "broker": lambda: consumer.connected},
            metrics=metrics,
            on_commit=woken.set,
        )
        loop = SettlementLoop(settlement, metrics, woken, config.settle_every_s)
        with consumer.running(), _thread("intake", intake.run_ahead, stop), _thread("settlement", loop.run, stop):
            try:
                _serve_web(parts, config)
            finally:
                stop.set()
                woken.set()


class SettlementLoop:
    """Settles whenever something arrived, at most once per `every_s` [s], and looks by itself now and then."""

    def __init__(self, settlement: Settlement, metrics: Metrics, woken: Event, every_s: float) -> None:
        self._settlement = settlement
        self._metrics = metrics
        self._woken = woken
        self._every_s = every_s

    def run(self, stop: Event) -> None:
        """Go on until `stop` is set, whatever a pass may run into."""
        while not stop.is_set():
            self._woken.clear()
            self._pass_once()
            # The pause gathers arrivals: a day that fills up is settled a few times, not once per envelope.
            stop.wait(self._every_s)
            self._woken.wait(IDLE_S)

    def _pass_once(self) -> None:
        try:
            with self._metrics.settlement_seconds.time():
                self._metrics.settled_days.inc(self._settlement.settle_pending())
        except Exception:  # noqa: BLE001 - see below
            # This thread must outlive every fault: without it the books stand still and nobody notices. What failed
            # stays listed as unsettled, is tried again, and shows in the log and in a metric.
            self._metrics.settlement_faults.inc()
            _log.exception("settlement.failed")


@contextmanager
def _thread(name: str, run: Callable[[Event], None], stop: Event) -> Iterator[None]:
    thread = Thread(target=run, args=(stop,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(STOP_S)


def _serve_web(parts: WebParts, config: ServeConfig) -> None:
    settings = uvicorn.Config(
        create_app(parts),
        host=config.host,
        port=config.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    # uvicorn ends gracefully on SIGTERM and then raises the signal again; taken as Ctrl-C it lets the threads end too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _log.info("serve.started address=http://%s:%s", config.host, config.port)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(settings).run()
