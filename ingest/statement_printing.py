"""All statements of a run as PDF files: set by several processes, each with a press of its own; resumable.

A file is written beside its place and moved there when it is whole, so whatever broke off goes on with what is missing.
Its name says which issue of the link stands in its code, so no file with an old code is taken for a new one.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from ingest.console.tenant_page import read_page
from ingest.console.words import Language
from ingest.statement_desk import view_of
from ingest.statement_links import Link, read_base
from ingest.statement_paper import shared_press
from ingest.store.database import Connection, Database
from ingest.store.sites import site_version
from metering.identity import SiteId
from provisioning.site import Site

AT_ONCE = 8
"""Statements that a process takes at a time: the bar moves every second."""
_databases: dict[str, Database] = {}


@dataclass(frozen=True, slots=True)
class PrintOrder:
    """What is printed: where the books are, where the files go, in which language, under which address."""

    dsn: str
    folder: Path
    language: Language
    base: str


@dataclass(frozen=True, slots=True)
class Printed:
    """How many files were written, and how many were there already."""

    written: int
    kept: int


def file_of(link: Link, language: Language) -> str:
    """Name the file of a statement."""
    issue = "" if link.issue == 1 else f"-link{link.issue}"
    return f"{link.statement}{issue}.{language}.pdf"


def print_statements(
    order: PrintOrder, links: Sequence[Link], *, workers: int, watch: Callable[[int, int], None]
) -> Printed:
    """Print what is missing; `watch` is told how many of how many are there.

    Raises BaseInvalid, FontMissing, PaperImpossible.
    """
    read_base(order.base)
    order.folder.mkdir(parents=True, exist_ok=True)
    missing = [one for one in links if not (order.folder / file_of(one, order.language)).exists()]
    kept = done = len(links) - len(missing)
    watch(done, len(links))
    parts = [tuple(missing[start : start + AT_ONCE]) for start in range(0, len(missing), AT_ONCE)]
    if not parts:
        return Printed(0, kept)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(parts)), mp_context=context) as pool:
        try:
            for future in as_completed([pool.submit(print_some, order, part) for part in parts]):
                done += future.result()
                watch(done, len(links))
        finally:
            pool.shutdown(cancel_futures=True)
    return Printed(len(missing), kept)


def print_some(order: PrintOrder, links: Sequence[Link]) -> int:
    """Print some statements in this process; give how many."""
    press, database = shared_press(), _database(order.dsn)
    for link in links:
        with database.transaction() as connection:
            view = view_of(connection, link.statement)
            site = _site(connection, view.run.site, view.run.site_version)
            page = read_page(connection, view, order.language, site=site, sums=False)
        octets = press.pdf(page, order.language, link.url(order.base), view.stored.issued_at)
        target = order.folder / file_of(link, order.language)
        beside = target.with_suffix(f".{os.getpid()}.part")
        beside.write_bytes(octets)
        beside.replace(target)
    return len(links)


def _database(dsn: str) -> Database:
    """Give this process's connection to the books: it lives as long as the process."""
    return _databases.setdefault(dsn, Database(dsn, connections=1))


_sites: dict[tuple[SiteId, int], Site] = {}


def _site(connection: Connection, site: SiteId, version: int) -> Site:
    """Give a version of a site; read once in a process, since a version never changes but for names taken out."""
    known = _sites.get((site, version))
    if known is None:
        known = _sites[site, version] = site_version(connection, site, version).site
    return known
