"""Run as `python -m tests.doubles.byte_witness THREADS`: digests of every golden run and of a day's signed statements.

Whoever runs it, wherever, with whatever settings, must print the same. With more than one thread, rows are dealt out to
that many however few there are; `few` takes the first three runs alone.
"""

from __future__ import annotations

import hashlib
import json
import locale
import sys
from collections.abc import Iterator
from itertools import islice

from allocation_engine.close_period import close_period
from allocation_engine.commitment import commit_run
from metering.envelope import encode
from metering.errors import BooksError
from tests.doubles.memory_centre import PERIOD, bundle_of, closed_tables
from tests.golden import test_golden_periods as periods
from tests.golden import test_golden_tariffs as tariffs
from tests.golden import test_golden_trees as trees
from tests.long.divisions import dealt_out

PARTIES = ("owner", "t-01", "t-06")


def golden_runs() -> Iterator[tuple[str, list[str]]]:
    """Give run id, digests of the document in CBOR and in JSON, and commitment, of every golden case that closes."""
    for cases in (periods, tariffs, trees):
        for folder in cases.CASES:
            case = cases.read_case(folder)
            try:
                run = close_period(case.inputs, case.rules)
            except BooksError:
                continue
            document = run.to_document()
            forms = (encode(document), json.dumps(document, ensure_ascii=False).encode())
            yield folder.name, [run.id, *map(digest, forms), commit_run(run, bytes(32)).root.hex()]


def digest(octets: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(octets).hexdigest()


def witness() -> dict[str, object]:
    """Give everything that must be the same."""
    day = {party: digest(bundle_of(party)) for party in PARTIES}
    stored = sorted(closed_tables().statements)
    return {"runs": dict(golden_runs()), "period": PERIOD, "bundles": day, "statements": stored}


if __name__ == "__main__":
    locale.setlocale(locale.LC_ALL, "")
    with dealt_out(int(sys.argv[1])):
        found = {"runs": dict(islice(golden_runs(), 3))} if "few" in sys.argv else witness()
        sys.stdout.write(json.dumps(found))
