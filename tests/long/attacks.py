"""Attacks on provisioning at length: `make attacks`, or some of it with

    python -m tests.long.attacks --revocations 100 --guesses 20000 --entries 100000 --changes 5000 --seed 1

Revocations of gateways that keep sending to a real Mosquitto and two intake workers; guesses of claims over HTTP while
honest gateways enrol; an audit log of that length verified, and changed in one place after the other. Prints what was
measured; ends with 1 where anything got through.
"""

from __future__ import annotations

import argparse
import http.client
import logging
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ingest.audit_desk import AuditDesk
from ingest.audit_log import FIRST, Entry, Verb, chain_faults, chained
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.store.database import Database, load_queries
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from provisioning.enrolment import Claim
from tests.doubles.chains import Gateway
from tests.doubles.installing import ENROLMENTS, NOW, InstallingCentre, bundle, machine
from tests.doubles.mosquitto import Mosquitto, find_mosquitto
from tests.doubles.revoked_session import BY, RevokedSessions
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import wired

GUESSERS = 4
BOUND_S = 5.0


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def revocations(database: Database, folder: Path, trials: int) -> bool:
    """Revoke gateways one after the other while each sends; say whether nothing entered after any answer."""
    gateways = [Gateway(f"gw-{number:03}") for number in range(trials)]
    folder.joinpath("broker").mkdir()
    broker = Mosquitto(folder / "broker")
    sessions = RevokedSessions(database, broker)
    sessions.harness.enrol(*gateways)
    sessions.harness.wire(wired(*gateways))
    with running(broker, SystemClock()), sessions.working():
        found = [sessions.trial(gateway, 100) for gateway in gateways]
    took_s = sorted(one.took_s for one in found)
    entered = sum(one.after - one.before for one in found)
    say(
        f"revocations: {trials} open sessions, all connected to the end: {all(one.still_connected for one in found)}; "
        f"answered in {took_s[len(took_s) // 2] * 1000:.0f} ms (median), {took_s[-1] * 1000:.0f} ms (most); "
        f"{sum(one.quarantined for one in found)} envelopes refused, {entered} entered after the answer"
    )
    return entered == 0 and took_s[-1] < BOUND_S


def guesses(database: Database, count: int, seed: int) -> bool:
    """Guess claims from one address; enrol an honest gateway meanwhile from another."""
    with InstallingCentre(database).open() as centre:
        claim = centre.order()
        numbers = random.Random(seed)
        bodies = [bundle(Claim.of_number(numbers.getrandbits(130)).text, machine(66)) for _ in range(200)]
        url = centre.client.base_url

        def guess(worker: int) -> Counter[int]:
            answered: Counter[int] = Counter()
            caller = http.client.HTTPConnection(url.host, url.port, source_address=("127.0.0.66", 0))
            for number in range(worker, count, GUESSERS):
                caller.request("POST", ENROLMENTS, bodies[number % len(bodies)])
                answer = caller.getresponse()
                answer.read()
                answered[answer.status] += 1
            caller.close()
            return answered

        begun_s = time.perf_counter()
        with ThreadPoolExecutor(GUESSERS) as pool:
            under_way = [pool.submit(guess, worker) for worker in range(GUESSERS)]
            with centre.calling_from("127.0.0.7") as honest:
                status = honest.post(ENROLMENTS, content=bundle(claim, machine(1))).status_code
            honest_s = time.perf_counter() - begun_s
            total = sum((one.result() for one in under_way), Counter[int]())
    took_s = time.perf_counter() - begun_s
    say(
        f"guesses: {count} in {took_s:.0f} s over HTTP, answered {dict(sorted(total.items()))}; an honest gateway at "
        f"another address was answered {status} after {honest_s * 1000:.0f} ms"
    )
    return status == 201 and set(total) == {403, 429}


def made_log(length: int) -> Iterator[Entry]:
    """A log of so many acts."""
    previous = FIRST
    for number in range(1, length + 1):
        act = BY.act(
            NOW + timedelta(seconds=number),
            Verb.ALERT_ACKNOWLEDGED,
            f"alert/{number}",
            after={"by": "eng-1", "kind": "gateway-silent", "of": f"gateway/gw-{number % 500}"},
            reason="power cut in the building",
            touches=(f"gateway/gw-{number % 500}",),
        )
        made = chained(act, number, previous, number.to_bytes(16))
        previous = made.digest
        yield made


def verifying(database: Database, length: int) -> bool:
    """Verify a long log in the database."""
    with database.transaction() as connection:
        for one in made_log(length):
            row = {name: getattr(one, name) for name in Entry.__slots__} | {"touches": list(one.touches)}
            connection.execute(load_queries("audit")["add_entry"], row)
    begun_s = time.perf_counter()
    found = AuditDesk(database).verify(None, {})
    took_s = time.perf_counter() - begun_s
    say(f"audit: {found.entries} entries verified in {took_s:.1f} s, {len(found.faults)} faults")
    return found.entries == length and not found.faults


def changing(changes: int, seed: int) -> bool:
    """Change a log in one place after the other: a column, an entry gone, doubled or moved."""
    numbers, log = random.Random(seed), list(made_log(400))
    unseen = 0
    for _ in range(changes):
        place = numbers.randrange(len(log))
        unseen += not list(chain_faults(_changed(numbers, log, place)))
    say(f"audit: {changes} single changes of a log of {len(log)} entries, {unseen} unseen")
    return unseen == 0


def _changed(numbers: random.Random, log: Sequence[Entry], place: int) -> list[Entry]:
    changed = list(log)
    kind = numbers.randrange(14)
    if kind == 0 and place + 1 < len(log):
        del changed[place]
    elif kind == 1:
        changed.insert(place, log[place])
    elif kind == 2:
        other = (place + 1 + numbers.randrange(len(log) - 1)) % len(log)
        changed[place], changed[other] = changed[other], changed[place]
    else:
        name = numbers.choice(Entry.__slots__)
        changed[place] = replace(log[place], **{name: _other(numbers, getattr(log[place], name))})
    return changed


def _other(numbers: random.Random, was: Any) -> Any:
    if isinstance(was, bytes):
        bit = numbers.randrange(8 * len(was))
        return (int.from_bytes(was) ^ 1 << bit).to_bytes(len(was))
    if isinstance(was, str):
        place = numbers.randrange(len(was))
        return was[:place] + chr(ord(was[place]) ^ 1 << numbers.randrange(7)) + was[place + 1 :]
    if isinstance(was, tuple):
        return (*was, "site/park")
    return was + (timedelta(milliseconds=1) if not isinstance(was, int) else 1)


@contextmanager
def books(server: EmbeddedPostgres, name: str) -> Iterator[Database]:
    """A database of its own with the newest schema."""
    import psycopg

    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with Database(server.dsn_of(name), connections=6) as database:
        migrate(database)
        yield database


def main(argv: Sequence[str] | None = None) -> int:
    """Attack, and say what got through."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, most in (("revocations", 100), ("guesses", 20_000), ("entries", 100_000), ("changes", 5000), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=most)
    args = parser.parse_args(argv)
    # What intake says of each group that it refuses is what is wanted here.
    logging.disable(logging.WARNING)
    folder = open_folder()
    server = EmbeddedPostgres(folder / "postgres")
    held = []
    try:
        with running(server, SystemClock()):
            if args.revocations and find_mosquitto() is not None:
                with books(server, "revoked") as database:
                    held.append(revocations(database, folder, args.revocations))
            if args.guesses:
                with books(server, "guessed") as database:
                    held.append(guesses(database, args.guesses, args.seed))
            if args.entries:
                with books(server, "logged") as database:
                    held.append(verifying(database, args.entries))
            if args.changes:
                held.append(changing(args.changes, args.seed))
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)
    say("nothing got through" if all(held) else "SOMETHING GOT THROUGH")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
