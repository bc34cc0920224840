"""Messages made to break a receiver, and a process of its own that takes them: `python -m tests.doubles.hostile`.

Prints how many were refused and how far its memory grew [MB], as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.verify import Rejected
from metering.clock import ManualClock
from metering.disclosure import tree_root
from metering.envelope import ENVELOPE_OCTETS_MAX, encode, sign1
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, MemoryHarness, wired

GW = Gateway()
SEED = bytes(16)
MOST = ENVELOPE_OCTETS_MAX


def unsigned() -> Iterator[bytes]:
    """What anyone who reaches the broker can send."""
    for major in range(8):
        for size in (26, 27):
            for count in (2**16, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1):
                if count < 1 << (8 << (size - 24)):
                    yield bytes([major << 5 | size]) + count.to_bytes(1 << (size - 24), "big")
    for first in (0x81, 0x9F, 0xA1, 0xBF, 0xC6, 0xD8, 0x5F, 0x7F):
        yield bytes([first]) * MOST
    yield b"\x9a\x00\x03\xff\xf0" + b"\x80" * (MOST - 5)
    yield b"\x9a\x00\x03\xff\xf0" + b"\xf6" * (MOST - 5)
    yield b"\xc2\x5a\x00\x03\xff\xf0" + b"\xff" * (MOST - 6)
    yield b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01"
    yield b"\xd8\x1d\x1b\xff\xff\xff\xff\xff\xff\xff\xff"
    yield b"\x82\x5a\x00\x03\xff\x00" + b"\x81" * (MOST - 6)
    yield b"\x82\x59\xff\xff" + b"\x00" * 70_000 + b"\x83\x01\x50" + SEED + b"\x9a\xff\xff\xff\xff"
    yield bytes(MOST)
    yield bytes(MOST + 1)


def signed(readings: bytes, count: int, root: bytes) -> bytes:
    """Rightly signed, with any octets in the place of the readings."""
    head = [1, 1, GW.id, 1, 1, bytes(32), bytes(16), 0, [2, 5], None, sorted(PROFILES), count, root]
    return b"\x82" + encode(sign1(encode(head), GW.signer)) + b"\x83\x01\x50" + SEED + readings


def by_a_gateway() -> Iterator[bytes]:
    """What a gateway with a key can sign."""
    reading = encode(["m-lift", 0, 0, 0, 0, 0, [], []])
    for count in (0, 1, 4096):
        yield signed(b"\x9a\xff\xff\xff\xff", count, tree_root(SEED, []))
        yield signed(b"\x99\x10\x00" + reading, count, tree_root(SEED, [reading]))
    for claimed in (b"\x9a\xff\xff\xff\xff", b"\x9b" + b"\x7f" + b"\xff" * 7, b"\x9f"):
        for field in (6, 7):
            items = [encode(item) for item in ["m-lift", 0, 0, 0, 0, 0, [], []]]
            items[field] = claimed
            odd = b"\x88" + b"".join(items)
            yield signed(b"\x81" + odd, 1, tree_root(SEED, [odd]))
    wide = encode(["m-lift", 0, 0, 0, 0, 0, [0] * 250_000, []])
    yield signed(b"\x81" + wide[:-1] + b"\x81", 1, tree_root(SEED, [wide]))
    far = encode(["m-lift", 0, 0, 2**47, -(2**47), 0, [], []])
    yield signed(b"\x81" + far, 1, tree_root(SEED, [far]))


def arrivals() -> list[Arrival]:
    """All of it, each three times: as sent, cut, and with an octet changed."""
    found: list[Arrival] = []
    for octets in (*unsigned(), *by_a_gateway()):
        changed = octets[: len(octets) // 2] + bytes([octets[len(octets) // 2] ^ 0x10]) + octets[len(octets) // 2 + 1 :]
        found += [Arrival(GW.topic, one) for one in (octets, octets[: len(octets) * 2 // 3], changed)]
    return found


def most_memory_mb() -> float:
    """The most this process has held."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Take it all, and then a good chain."""
    harness = MemoryHarness()
    harness.enrol(GW)
    harness.wire(wired(GW))
    intake = Intake(
        consumer=MemoryConsumer(),
        store=harness.store,
        signer=SeededSigner("metertree test centre"),
        clock=ManualClock(NOW),
        profiles=PROFILES,
    )
    intake.prove(Gateway("gw-b").chain(3))
    load = arrivals()
    before = most_memory_mb()
    refused = sum(isinstance(verdict, Rejected) for one in load for verdict in intake.prove([one]))
    grown = most_memory_mb() - before
    intake.take(load)
    chain = GW.chain(3)
    intake.take([chain[0], *load[:20], *chain[1:]])
    entered = len(harness.see().octets)
    print(json.dumps({"sent": len(load), "refused": refused, "grown_mb": grown, "entered": entered}))


if __name__ == "__main__":
    main()
