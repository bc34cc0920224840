"""`make bench-statements`: 1,000 statements on paper, from the books to files; writes docs/performance-statements.md.

Optional: UNITS, how many units the park has (a multiple of 50), COUNT, how many statements are printed; with either of
them nothing is written.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from device_profiles.catalogue import Catalogue
from ingest.caller import Caller
from ingest.closing import Closing
from ingest.console.tenant_page import read_page
from ingest.console.words import Language
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.settlement import Settlement
from ingest.statement_desk import StatementDesk, view_of
from ingest.statement_links import Link
from ingest.statement_printing import PrintOrder, print_statements
from ingest.store.database import Database
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from provisioning.paper.fonts import chinese_font
from tests.bench.whole_close.estate import Estate
from tests.bench.whole_close.fill import fill
from tests.bench.whole_close.one import CENTRE, SALT_KEY, close
from tests.doubles.servers import open_folder

PAGE = Path(__file__).parents[2] / "docs" / "performance-statements.md"
BASE = "https://energy.example.com"
PAGES_READ = 60


def main() -> int:
    """Measure, print, write the page."""
    units, count = int(os.environ.get("UNITS", "1150")), int(os.environ.get("COUNT", "1000"))
    load, rows = os.getloadavg()[0], []
    folder = open_folder()
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        with running(postgres, SystemClock()), Database(postgres.dsn, connections=4) as database:
            migrate(database)
            fill(database, postgres.dsn, Estate(units, "tou"))
            run = close(Closing(Settlement(database, Catalogue.shipped()), CENTRE, SALT_KEY, os.cpu_count() or 1))[
                "run"
            ]
            desk = StatementDesk(database, SystemClock(), SALT_KEY)
            begun = time.perf_counter()
            links = desk.links(run, Caller("bench", "", ""))
            rows.append(f"| making the links of {len(links):,} statements | {time.perf_counter() - begun:.2f} s | |")
            chosen = [one for one in links if one.party != "owner"][:count]
            rows += [printing_row(postgres.dsn, chosen, language) for language in Language]
            rows.append(page_row(database, chosen))
    finally:
        postgres.remove()
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(rows))
    if not {"UNITS", "COUNT"} & set(os.environ):
        PAGE.write_text(page(rows, units, len(chosen), (load, os.getloadavg()[0])), encoding="utf-8")
        print(PAGE)
    return 0


def printing_row(dsn: str, links: list[Link], language: Language) -> str:
    """Print all into an empty folder, then once more."""
    folder = Path(tempfile.mkdtemp(prefix="metertree-papers-"))
    try:
        order = PrintOrder(dsn, folder, language, BASE)
        before = processor_s()
        took = timed(order, links)
        used, again = processor_s() - before, timed(order, links)
        sizes = [path.stat().st_size for path in folder.iterdir()]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert len(sizes) == len(links), "every statement has its file"
    size = statistics.median(sizes) / 1000
    told = f"{len(links) / took:.0f} a second; {used:.1f} s of processor time; {size:.0f} kB each"
    told += f"; ordered again: {again * 1000:.0f} ms"
    return f"| printing {len(links):,} statements, {language} | **{took:.1f} s** | {told} |"


def timed(order: PrintOrder, links: list[Link]) -> float:
    """Give the seconds of a whole order [s]."""
    begun = time.perf_counter()
    print_statements(order, links, workers=os.cpu_count() or 1, watch=lambda _done, _of: None)
    return time.perf_counter() - begun


def processor_s() -> float:
    """Give the processor time of our processes that have ended [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def page_row(database: Database, links: list[Link]) -> str:
    """Read the page of some statements from the books, every single sum written out, as the evidence page does."""
    seconds = []
    for link in links[:: max(1, len(links) // PAGES_READ)][:PAGES_READ]:
        begun = time.process_time()
        with database.transaction() as connection:
            read_page(connection, view_of(connection, link.statement), Language.ZH)
        seconds.append(time.process_time() - begun)
    median, slowest = statistics.median(seconds) * 1000, max(seconds) * 1000
    return f"| content of one evidence page, processor time | **{median:.0f} ms** | slowest {slowest:.0f} ms |"


def page(rows: list[str], units: int, count: int, load: tuple[float, float]) -> str:
    """The page of numbers."""
    made = f"{platform.system()} {platform.release()}; Python {platform.python_version()}"
    return f"""# Speed of statements on paper

Written by `make bench-statements`, {SystemClock().now():%Y-%m-%d}; do not edit. Machine: {os.cpu_count()} processors,
{made}, typst {version("typst")}, font
{chinese_font().family}. Load of the machine before and after: {load[0]:.1f} and {load[1]:.1f};
processor time says what an idle one needs, shared among its processors.

**What is printed**: {count:,} statements of a month of a park of {units:,} units with a time-of-use tariff and shared
pools, in PostgreSQL. Each is read from the books with what became of it, told in words and steps, and set by Typst with
a QR code and the font embedded, tagged for readers aloud; as many processes as processors. The bar is 60 s.

| what | time | |
|---|---:|---|
{chr(10).join(rows)}
"""


if __name__ == "__main__":
    sys.exit(main())
