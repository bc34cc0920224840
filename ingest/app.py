"""Composition root of the central service: the only place that knows which adapter stands behind which port.

Four programs, or all of them in one: `take_envelopes` from the broker into the books, `settle` what arrived,
`answer_calls` of API and console, `do_jobs` of now and then. All state is in the database, so each may be killed at any
moment and started again, and of each there may be several: intake workers by their shares, the others by locks.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread, Timer
from types import FrameType, TracebackType
from typing import Any, Protocol

from device_profiles.catalogue import Catalogue
from ingest.api.metrics import Metrics
from ingest.config import BrokerConfig
from ingest.intake import Intake
from ingest.intake_worker import SWITCH_S, Worker, consumer_of
from ingest.jobs import Job, shipped_jobs
from ingest.program_config import AllInOneConfig, ApiConfig, IntakeConfig, JobsConfig, SettleConfig
from ingest.readiness import Check
from ingest.settlement import Settlement
from ingest.settlement_turns import SettlementTurns
from ingest.small_port import listen, small_port
from ingest.store.database import Database
from ingest.store.intake_store import PostgresIntakeStore
from ingest.store.job_log import newest_run, record_fault, record_start, record_success
from ingest.store.migrate import is_migrated
from ingest.store.notices import Announcer, Listener
from ingest.store.turns import Leadership
from ingest.tracing import span, traced
from ingest.webhooks.work import delivering
from ingest.worker_keeper import WorkerKeeper
from metering.clock import Clock, SystemClock
from metering.errors import MeteringError
from provisioning.authority_folder import CentreAuthority
from provisioning.keys import SALT_KEY, FileSigner, make_salt_key

CONNECTIONS = 20
"""Of `serve`: intake 2, settlement 3, jobs 4, the rest for requests: uvicorn runs handlers in up to 40 threads, which
then queue here."""
INTAKE_CONNECTIONS = 4
"""One to prove, one to commit, one to announce, one for a probe."""
SETTLE_CONNECTIONS = 6
JOBS_CONNECTIONS = 8
STOP_S = 10.0
"""Longest wait for the threads of a program to end their work; what they do longer is cut off, whole or not at all."""
FORCE_S = 5.0
"""After that, how long until a program that hangs on a connection is ended by force."""
WORKERS_STOP_S = 20.0
"""The same where the threads wait for intake workers to end, each within STOP_S and FORCE_S."""
GRACE_S = 5
"""Longest wait for open requests at the end [s]."""
IDLE_S = 60.0
"""How often settlement looks without being woken, should a notice have been lost."""
LOOK_S = 5.0
"""How often a job is looked at: whether this program leads, and whether the job is due."""
STEP_S = 0.2

_log = logging.getLogger(__name__)


class SchemaOutdated(MeteringError):
    """The database lacks migrations of this program."""


class ProgramFell(MeteringError):
    """A thread of the program ended by an error, which is in the log; so the program ended too."""


class Passes(Protocol):
    """Settles what waits."""

    def settle_pending(self) -> int:
        """Give the number of days that changed."""


# What the programs do ---------------------------------------------------------------------------------------------


def serve(config: AllInOneConfig) -> None:
    """Run the whole central service until SIGTERM or SIGINT; raises ProgramFell."""
    core, clock, woken = config.core, SystemClock(), Event()
    signer, catalogue = FileSigner.read(core.centre_key), _catalogue(core.profiles)
    with ExitStack() as stack:
        stack.enter_context(traced(config.watch.otlp_endpoint, "serve"))
        database = stack.enter_context(_opened(core.dsn, CONNECTIONS))
        stop_s = WORKERS_STOP_S if config.intake_workers else STOP_S
        program = stack.enter_context(Program("serve", stop_s=stop_s))
        checks: dict[str, Check] = {"database": database.answers}
        if config.intake_workers:
            checks |= _keep_workers(program, config)
        else:
            worker = Worker.parse(core.intake_share)
            store = PostgresIntakeStore(database)
            checks |= _take_in(program, stack, core.broker, worker, store, signer, catalogue, woken.set)
        _settle_on(program, Settlement(database, catalogue), core.dsn, woken, core.settle_every_s)
        if config.jobs is not None:
            _do_jobs(program, stack, database, config.jobs, clock)
        program.metrics.follow_books(database)
        _answer(program, config.web, database, catalogue, checks, on_commit=woken.set)
        program.run(woken.set)


def take_envelopes(config: IntakeConfig) -> None:
    """Run one intake worker until SIGTERM or SIGINT; raises ProgramFell."""
    sys.setswitchinterval(SWITCH_S)
    signer, catalogue = FileSigner.read(config.centre_key), _catalogue(config.profiles)
    with ExitStack() as stack:
        stack.enter_context(traced(config.watch.otlp_endpoint, "intake"))
        database = stack.enter_context(_opened(config.dsn, INTAKE_CONNECTIONS))
        program = stack.enter_context(Program("intake", config.share))
        announcer = Announcer(database)
        store, worker = PostgresIntakeStore(database), Worker.parse(config.share)
        checks = {"database": database.answers}
        checks |= _take_in(program, stack, config.broker, worker, store, signer, catalogue, announcer.wake)
        program.start("announcer", announcer.run)
        stack.enter_context(small_port(config.watch.host, config.watch.port, checks, program.metrics.registry))
        program.run()


def settle(config: SettleConfig) -> None:
    """Settle what arrives until SIGTERM or SIGINT, beside others who do; raises ProgramFell."""
    catalogue, woken = _catalogue(config.profiles), Event()
    with ExitStack() as stack:
        stack.enter_context(traced(config.watch.otlp_endpoint, "settle"))
        database = stack.enter_context(_opened(config.dsn, SETTLE_CONNECTIONS))
        program = stack.enter_context(Program("settle"))
        _settle_on(program, Settlement(database, catalogue), config.dsn, woken, config.every_s)
        program.metrics.follow_books(database)
        checks = {"database": database.answers}
        stack.enter_context(small_port(config.watch.host, config.watch.port, checks, program.metrics.registry))
        program.run(woken.set)


def answer_calls(config: ApiConfig) -> None:
    """Serve API and console until SIGTERM or SIGINT; raises ProgramFell."""
    catalogue = _catalogue(config.profiles)
    with ExitStack() as stack:
        stack.enter_context(traced(config.watch.otlp_endpoint, "api"))
        database = stack.enter_context(_opened(config.dsn, CONNECTIONS))
        program = stack.enter_context(Program("api"))
        announcer = Announcer(database)
        program.start("announcer", announcer.run)
        program.metrics.follow_books(database)
        checks = {"database": database.answers}
        _answer(program, config, database, catalogue, checks, on_commit=announcer.wake)
        program.run()


def do_jobs(config: JobsConfig) -> None:
    """Do what is done now and then until SIGTERM or SIGINT, while no other program does; raises ProgramFell."""
    with ExitStack() as stack:
        stack.enter_context(traced(config.watch.otlp_endpoint, "jobs"))
        database = stack.enter_context(_opened(config.dsn, JOBS_CONNECTIONS))
        program = stack.enter_context(Program("jobs"))
        _do_jobs(program, stack, database, config, SystemClock())
        program.metrics.follow_books(database)
        checks = {"database": database.answers}
        stack.enter_context(small_port(config.watch.host, config.watch.port, checks, program.metrics.registry))
        program.run()


# The parts they are put together from -----------------------------------------------------------------------------


@contextmanager
def _opened(dsn: str, connections: int) -> Iterator[Database]:
    with Database(dsn, connections=connections) as database:
        if not is_migrated(database):
            raise SchemaOutdated("the database is not up to date; run: metertree migrate")
        yield database


def _catalogue(folder: Path | None) -> Catalogue:
    return Catalogue.load(*([folder] if folder else []))


def _take_in(
    program: Program,
    stack: ExitStack,
    broker: BrokerConfig,
    worker: Worker,
    store: PostgresIntakeStore,
    signer: FileSigner,
    catalogue: Catalogue,
    on_commit: Callable[[], None],
) -> Mapping[str, Check]:
    """Take envelopes in a thread of the program; give what that depends on."""
    consumer = consumer_of(broker, worker)
    intake = Intake(
        consumer=consumer,
        store=store,
        signer=signer,
        clock=SystemClock(),
        profiles=[profile.hash for profile in catalogue.profiles],
        on_commit=on_commit,
    )
    program.metrics.follow(intake.counters, consumer)
    stack.enter_context(consumer.running())
    program.start("intake", intake.run_ahead)
    return {"broker": lambda: consumer.connected}


def _keep_workers(program: Program, config: AllInOneConfig) -> Mapping[str, Check]:
    """Keep intake workers as children; give the readiness of each."""
    of, watch, checks = config.intake_workers, config.watch, dict[str, Check]()
    for number in range(1, of + 1):
        share = f"{number}/{of}"
        probe = f"http://{watch.host}:{watch.port + number - 1}/readyz" if watch.port else ""
        restarts = program.metrics.worker_restarts.labels(share)
        keeper = WorkerKeeper(share, config.worker_words, probe=probe, on_restart=restarts.inc)
        program.start(f"intake-{number}", keeper.run)
        checks[f"intake {share}"] = keeper.is_ready
    return checks


def _settle_on(program: Program, settlement: Settlement, dsn: str, woken: Event, every_s: float) -> None:
    """Settle in a thread of the program, woken by whoever commits, in this program or another."""
    turns = SettlementTurns(settlement, program.metrics, on_left=woken.set, stop=program.stop.is_set)
    program.start("settlement", SettlementLoop(turns, program.metrics, woken, every_s).run)
    program.start("listener", Listener(dsn, woken).run)


def _do_jobs(program: Program, stack: ExitStack, database: Database, config: JobsConfig, clock: Clock) -> None:
    """Do each job in a thread of its own, so that a long one holds up no other."""
    leadership = Leadership(config.dsn)
    stack.callback(leadership.give_up)
    signer = webhooks = None
    if config.centre_key is not None:
        signer = FileSigner.read(config.centre_key)
        webhooks = delivering(config.centre_key.with_name(SALT_KEY), config.sending, clock)
    for job in shipped_jobs(config.storage, config.nightly_at, config.alerting, signer, webhooks):
        program.start(f"job-{job.name}", JobLoop(job, database, leadership, program.metrics, clock).run)


def _invite_first(database: Database, config: ApiConfig) -> None:
    """Print the link of the first administrator, where a centre has nobody who can sign in: once, and nowhere else."""
    from ingest.sign_in_desk import SignInDesk
    from ingest.store.sign_ins import LINK_LASTS

    token = SignInDesk(database, SystemClock()).first_link()
    if token is not None:
        host = f"[{config.host}]" if ":" in config.host else config.host
        hours = int(LINK_LASTS.total_seconds()) // 3600
        sys.stderr.write(
            f"\nNobody can sign in yet. The first administrator chooses a password here, once, within {hours} hours:\n"
            f"还没有人可以登录。首位管理员请在 {hours} 小时内打开此链接设置密码（仅一次有效）：\n\n"
            f"    http://{host}:{config.port}/welcome/{token}\n\n"
        )
        sys.stderr.flush()


def _answer(
    program: Program,
    config: ApiConfig,
    database: Database,
    catalogue: Catalogue,
    checks: Mapping[str, Check],
    on_commit: Callable[[], None],
) -> None:
    """Serve API and console in a thread of the program; raises PortTaken."""
    # Here, because a program without a web application does without FastAPI: 30 MB, and half of its start.
    import uvicorn

    from ingest.api.service import WebParts, create_app
    from ingest.closing import Closing

    signer = FileSigner.read(config.centre_key)
    salt_key = make_salt_key(config.centre_key.with_name(SALT_KEY))
    parts = WebParts(
        database=database,
        closing=Closing(Settlement(database, catalogue), signer, salt_key),
        clock=SystemClock(),
        centre_key=signer.public_key,
        admin_token=config.admin_token,
        checks=checks,
        metrics=program.metrics,
        on_commit=on_commit,
        alerting=config.alerting,
        authority=None if config.alerting.authority is None else CentreAuthority.read(config.alerting.authority),
        guard=config.guard,
        open_reads=config.open_reads,
        map_tiles=config.map_tiles,
        check_fields=False,
        calls_per_second=config.calls_per_second,
    )
    listener = listen(config.host, config.port)
    if not config.open_reads:
        _invite_first(database, config)
    settings = uvicorn.Config(
        create_app(parts),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(settings)
    # Outside the main thread uvicorn leaves signals alone: they are for the whole program.
    program.start("web", lambda _: server.run(sockets=[listener]), end=lambda: setattr(server, "should_exit", True))
    _log.info("serve.started address=http://%s:%s", config.host, config.port)


class Program:
    """The threads of one program, which stand and fall together, and the signal that ends them."""

    def __init__(self, name: str, share: str = "", *, stop_s: float = STOP_S) -> None:
        self.stop = Event()
        self.metrics = Metrics()
        self.metrics.introduce(name, share)
        self._stop_s = stop_s
        self._threads: list[Thread] = []
        self._ends: list[Callable[[], None]] = []
        self._fallen = ""
        self._told: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Program:
        """Listen to signals, from before anybody can ask whether the program is ready."""
        self._before = {one: signal.signal(one, self._hear) for one in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.stop.is_set():
            self._end(())
        for one, what in self._before.items():
            signal.signal(one, what)

    def start(self, name: str, run: Callable[[Event], None], end: Callable[[], None] = lambda: None) -> None:
        """Run something in a thread until `stop` is set; `end` is called then."""
        thread = Thread(target=self._stand, args=(name, run), name=name, daemon=True)
        self._threads.append(thread)
        self._ends.append(end)
        thread.start()

    def run(self, *ends: Callable[[], None]) -> None:
        """Go on until SIGTERM, SIGINT, or the fall of a thread; then end all threads. Raises ProgramFell.

        A second signal ends the program at once.
        """
        while not self._told and not self._fallen:
            self.stop.wait(STEP_S)
        self._end(ends)
        if self._fallen:
            raise ProgramFell(f"the thread {self._fallen} ended by an error, which is in the log")

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        # Nothing that takes a lock: the thread that is interrupted may hold it.
        if self._told:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._told.append(number)

    def _stand(self, name: str, run: Callable[[Event], None]) -> None:
        try:
            run(self.stop)
        except (Exception, SystemExit):  # noqa: BLE001 - a program without one of its threads would only look alive
            _log.critical("program.thread_fell thread=%s", name, exc_info=True)
        finally:
            if not self.stop.is_set():
                self._fallen = self._fallen or name

    def _end(self, ends: tuple[Callable[[], None], ...]) -> None:
        _log.info("program.ending threads=%s", len(self._threads))
        force = Timer(self._stop_s + FORCE_S, _end_by_force)
        force.daemon = True
        force.start()
        self.stop.set()
        for end in (*self._ends, *ends):
            end()
        until_s = time.monotonic() + self._stop_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        hanging = [thread.name for thread in self._threads if thread.is_alive()]
        if hanging:
            _log.warning("program.threads_hang threads=%s", ",".join(hanging))
        else:
            force.cancel()


def _end_by_force() -> None:
    """End without waiting for whatever hangs: a transaction that is cut off has changed nothing."""
    _log.critical("program.ended_by_force")
    os._exit(1)


class SettlementLoop:
    """Settles whenever something arrived, at most once per `every_s` [s], and looks by itself now and then."""

    def __init__(self, settlement: Passes, metrics: Metrics, woken: Event, every_s: float) -> None:
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
            with self._metrics.settlement_seconds.time(), span("settlement.pass"):
                changed = self._settlement.settle_pending()
            self._metrics.settled_days.inc(changed)
            if changed:
                _log.info("settlement.settled days=%s", changed)
        except Exception:  # noqa: BLE001 - see below
            # This thread must outlive every fault: without it the books stand still and nobody notices. What failed
            # stays listed as unsettled, is tried again, and shows in the log and in a metric.
            self._metrics.settlement_faults.inc()
            _log.exception("settlement.failed")


class JobLoop:
    """Does one job whenever it is due, while this program leads."""

    def __init__(self, job: Job, database: Database, leadership: Leadership, metrics: Metrics, clock: Clock) -> None:
        self._job = job
        self._database = database
        self._leadership = leadership
        self._metrics = metrics
        self._clock = clock

    def run(self, stop: Event) -> None:
        """Look at the job every few seconds until `stop` is set, whatever it may run into."""
        while not stop.is_set():
            self.look(stop)
            stop.wait(LOOK_S)

    def look(self, stop: Event) -> None:
        """Do the job if it is due and this program leads."""
        leads = self._leadership.is_ours()
        self._metrics.leads_jobs.set(int(leads))
        if not leads:
            return
        try:
            with self._database.transaction() as connection:
                newest = newest_run(connection, self._job.name)
            started_at = self._clock.now()
            if self._job.schedule.is_due(newest, started_at):
                with span(f"job.{self._job.name}"):
                    self._do(stop)
        except Exception:  # noqa: BLE001 - as above: a job that fails is tried again, and nothing else stops for it
            self._metrics.job_faults.labels(self._job.name).inc()
            _log.exception("job.failed job=%s", self._job.name)

    def _do(self, stop: Event) -> None:
        job, started_at = self._job.name, self._clock.now()
        with self._database.transaction() as connection:
            record_start(connection, job, started_at)
        _log.debug("job.started job=%s", job)
        try:
            for what in self._job.work(self._database, started_at):
                _log.info("job.did job=%s: %s", job, what)
                if stop.is_set():
                    return
        except Exception as error:
            with self._database.transaction() as connection:
                record_fault(connection, job=job, started_at=started_at, fault=f"{type(error).__name__}: {error}")
            raise
        with self._database.transaction() as connection:
            record_success(connection, job=job, started_at=started_at, finished_at=self._clock.now())
        _log.debug("job.finished job=%s", job)
