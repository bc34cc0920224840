"""Dask workers: a cluster that somebody else runs, or one of this machine for as long as the command lasts.

Dask deals the sites out, notices a lost worker, gives its site to another, and gives a site up that has lost too many
(`distributed.scheduler.allowed-failures`). All that is ours is the task. A worker reads its settings from its own
environment; what passes the scheduler is site, period, booking time, name and marks, and a run's totals on the way
back.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from ingest.config import Settings
from ingest.many_sites.ctrl_c import deaf_to_ctrl_c
from ingest.many_sites.order import TRIES_MAX, Again, Begun, CentreMark, CloseOrder, Event, Outcome, Reached, Result
from ingest.many_sites.site_task import WorkerSettings, WorkerUnfit, close_site, reasons_of, unfit_reasons
from metering.errors import MeteringError
from metering.identity import SiteId

CONNECT_S = 10
"""Longest wait for a scheduler that was named."""
START_S = 60
"""Longest wait for the first own worker: each starts an interpreter and loads the engine."""


class DaskMissing(MeteringError):
    """The package that speaks with a Dask cluster is not installed."""


class SchedulerUnreachable(MeteringError):
    """The named scheduler does not answer, or has no worker."""


@dataclass(frozen=True, slots=True)
class DaskPool:
    """The workers of `scheduler`, or, where none is named, `workers` processes of this machine."""

    settings: WorkerSettings
    workers: int
    scheduler: str | None = None

    def events(self, order: CloseOrder, sites: Sequence[SiteId]) -> Generator[Event, None, None]:
        """Close each site and tell what happens (see `Pool`); raises WorkerUnfit before anything is closed."""
        with self._client() as client:
            _require_fit(client, order.centre)
            told: SimpleQueue[Any] = SimpleQueue()
            topic = f"metertree-close-{secrets.token_hex(8)}"
            client.subscribe_topic(topic, lambda event: told.put(event[1]))
            futures: dict[Any, SiteId] = {}

            def deal(site: SiteId) -> None:
                key = f"{topic}-{site}-{len(futures)}"
                future = client.submit(
                    close_site_on_dask, order, site, topic, key=key, retries=TRIES_MAX - 1, pure=False
                )
                futures[future] = site
                future.add_done_callback(told.put)

            try:
                for site in sites:
                    deal(site)
                yield from _followed(told, futures, deal)
            finally:
                client.cancel(list(futures))
                client.unsubscribe_topic(topic)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        distributed = _distributed()
        logging.getLogger("distributed").setLevel(logging.ERROR)
        with ExitStack() as stack:
            if self.scheduler is None:
                with deaf_to_ctrl_c():
                    cluster = distributed.LocalCluster(
                        n_workers=self.workers,
                        threads_per_worker=1,
                        dashboard_address=None,
                        security=True,
                        memory_limit=0,
                        scheduler_kwargs={"allowed_failures": TRIES_MAX - 1},
                        silence_logs=logging.ERROR,
                        env=self.settings.to_environment(),
                    )
                    client = stack.enter_context(distributed.Client(stack.enter_context(cluster)))
                client.wait_for_workers(1, timeout=START_S)
            else:
                try:
                    client = stack.enter_context(distributed.Client(self.scheduler, timeout=CONNECT_S))
                except (OSError, ValueError) as error:
                    raise SchedulerUnreachable(
                        f"--scheduler {self.scheduler}: {error}; start one with: dask scheduler"
                    ) from error
            yield client


def close_site_on_dask(order: CloseOrder, site: SiteId, topic: str) -> Outcome:
    """Close a site on a Dask worker with the worker's own settings. This is what Dask runs."""
    worker = _distributed().get_worker()

    def tell(stage: str) -> None:
        worker.log_event(topic, {"site": site, "worker": worker.address, "stage": stage})

    tell("")
    try:
        settings = _own_settings()
    except MeteringError as error:
        return Outcome(site, Result.REFUSED, worker=worker.address, reasons=reasons_of(error))
    return replace(close_site(settings, order, site, tell), worker=worker.address)


def examine_worker(callers: CentreMark) -> tuple[str, ...]:
    """Say why the worker this runs on cannot close sites; nothing if it can."""
    try:
        settings = _own_settings()
    except MeteringError as error:
        return (f"{error} in the environment of the worker",)
    return unfit_reasons(settings, callers)


def _distributed() -> Any:
    """Load the engine where it is installed; raises DaskMissing."""
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise DaskMissing(
            "--executor dask needs the package distributed; install it with: pip install 'metertree[dask]'"
        ) from error


def _own_settings() -> WorkerSettings:
    return WorkerSettings.read(Settings(argparse.Namespace()))


def _require_fit(client: Any, callers: CentreMark) -> None:
    """Ask every worker there is; one that comes later is asked again by its first task."""
    answers: Mapping[str, Any] = client.run(examine_worker, callers, on_error="return")
    if not answers:
        raise SchedulerUnreachable("the scheduler has no worker; start one with: dask worker ADDRESS --nthreads 1")
    told = [
        f"worker {address}: {reason}"
        for address, answer in sorted(answers.items())
        for reason in (answer if isinstance(answer, tuple) else (f"{type(answer).__name__}: {answer}",))
    ]
    if told:
        raise WorkerUnfit("\n".join(["nothing was closed", *told]))


def _followed(told: SimpleQueue[Any], futures: Mapping[Any, SiteId], deal: Callable[[SiteId], None]) -> Iterator[Event]:
    """Turn what the cluster tells into events, until every site has ended.

    deal   gives a site to the cluster once more: one that only waited on workers which another site killed
    """
    of, tries, dealt, ended = len(futures), Counter[SiteId](), Counter[SiteId](), set[SiteId]()
    while len(ended) < of:
        message = told.get()
        if isinstance(message, dict):
            site = SiteId(message["site"])
            if site not in ended:
                yield from _stage(message, site, tries)
            continue
        site = futures[message]
        if _was_beside(message, tries[site]) and dealt[site] < TRIES_MAX:
            dealt[site] += 1
            deal(site)
        else:
            ended.add(site)
            yield replace(_outcome(message, site), tries=max(tries[site], 1))


def _was_beside(future: Any, tries: int) -> bool:
    """Say whether Dask gave a site up that had not begun as often as workers may die of it.

    Dask counts every worker that a task was dealt to, though the task may have waited there behind another.
    """
    return (
        future.status == "error" and tries < TRIES_MAX and isinstance(future.exception(), _distributed().KilledWorker)
    )


def _stage(message: Mapping[str, str], site: SiteId, tries: Counter[SiteId]) -> Iterator[Event]:
    if message["stage"]:
        yield Reached(site, message["stage"])
        return
    tries[site] += 1
    if tries[site] > 1:
        yield Again(site, "its worker was lost, or its database went away")
    yield Begun(site, message["worker"], tries[site])


def _outcome(future: Any, site: SiteId) -> Outcome:
    if future.status == "finished":
        outcome = future.result()
        assert isinstance(outcome, Outcome)
        return outcome
    why = str(future.exception()) if future.status == "error" else "the scheduler is gone"
    return Outcome(site, Result.FAILED, reasons=(why,))
