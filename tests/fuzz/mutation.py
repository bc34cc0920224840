"""Changes octets the way wires, bugs and adversaries do; seeded, so that a find can be repeated."""

from __future__ import annotations

import random
from collections.abc import Sequence

EDGES = (0x00, 0x01, 0x0F, 0x10, 0x16, 0x33, 0x68, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF)
"""Octets that mean something somewhere: ends, frame starts, signs, lengths."""
TWISTS_MAX = 4
OCTETS_MAX = 4096


def mutated(draw: random.Random, octets: bytes, others: Sequence[bytes]) -> bytes:
    """Give `octets` changed in one to four ways; `others` lend their parts."""
    changed = bytearray(octets)
    for _ in range(draw.randint(1, TWISTS_MAX)):
        _twist(draw, changed, others)
    return bytes(changed[:OCTETS_MAX])


def _twist(draw: random.Random, octets: bytearray, others: Sequence[bytes]) -> None:
    at = draw.randrange(len(octets) + 1)
    kind = draw.randrange(9)
    if kind == 0 and octets:
        octets[at % len(octets)] ^= 1 << draw.randrange(8)
    elif kind == 1 and octets:
        octets[at % len(octets)] = draw.choice(EDGES)
    elif kind == 2 and octets:
        octets[at % len(octets)] = draw.randrange(256)
    elif kind == 3:
        del octets[at : at + draw.randint(1, 8)]
    elif kind == 4:
        octets[at:at] = draw.randbytes(draw.randint(1, 8))
    elif kind == 5:
        octets[at:at] = octets[at : at + draw.randint(1, 32)] * draw.randint(1, 4)
    elif kind == 6:
        del octets[at:]
    elif kind == 7 and others:
        other = draw.choice(others)
        start = draw.randrange(len(other) + 1)
        octets[at:] = other[start:]
    else:
        octets[at : at + 2] = draw.randrange(1 << 16).to_bytes(2, "little")
