"""A great many random divisions against exact rationals, in pieces that each follow from a seed alone.

One division is an amount and weights by id. The engine divides it by ids in a shuffled order, and once more by rows;
a slow twin divides it by fractions. All three must agree on every part, so ties, order and signs are right as well. One
in `EVERY_CHUNKED` is divided again with its rows dealt out to 1, 2, 3 and 16 threads.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from allocation_engine import blocks
from allocation_engine.apportion import apportion, apportion_rows
from metering.errors import MeteringError
from tests.reference.test_apportion_twin import exact_apportionment

LARGEST = 2**62 - 1
EVERY_CHUNKED = 200
PIECE = 10_000
"""Divisions that follow from one seed: a failure is run again in seconds."""
TRIES_MAX = 5_000
"""A counterexample is made smaller for some seconds, not for as long as it can be."""


@dataclass(frozen=True)
class Division:
    """What is divided."""

    amount: int
    weights: dict[str, int]

    def __str__(self) -> str:
        return f"{self.amount} by {self.weights}"


@dataclass
class Tally:
    """What a piece came to; `broken` is the smallest division found that breaks a law, in words."""

    divisions: int = 0
    parts: int = 0
    credits: int = 0
    ties: int = 0
    chunked: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take up what another piece came to."""
        for name in ("divisions", "parts", "credits", "ties", "chunked", "broken"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def draw(chance: random.Random) -> Division:
    """Draw a division: few parties or, rarely, thousands; weights that tie, that differ, that fill 62 bits."""
    count = chance.randint(1000, 3000) if chance.random() < 0.0005 else chance.choice((1, 2, 3, 5, 8, 13, 21))
    ids = [f"u-{number:x}" for number in chance.sample(range(10 * count), count)]
    most = chance.choice((1, 3, 400, 10**7, LARGEST // count))
    weights = [chance.randint(0, most) for _ in ids]
    if chance.random() < 0.1:
        weights = [most] * count
    if not any(weights):
        weights[0] = 1
    amount = chance.randint(0, chance.choice((1, count, 10**4, 10**10, LARGEST)))
    return Division(-amount if chance.random() < 0.3 else amount, dict(zip(ids, weights, strict=True)))


def law_broken(division: Division, chance: random.Random, threads: int = 1) -> str:
    """Say which law a division breaks; empty if none."""
    amount, weights = division.amount, division.weights
    shuffled = dict(chance.sample(sorted(weights.items()), len(weights)))
    try:
        with dealt_out(threads):
            found = apportion(amount, shuffled)
            rows = apportion_rows(amount, np.array([weights[one] for one in sorted(weights)], np.int64))
    except MeteringError as error:
        return f"refused: {error}"
    parts = {one: part.amount for one, part in found.parts.items()}
    total = sum(weights.values())
    if sum(parts.values()) != amount:
        return f"parts add up to {sum(parts.values())}"
    if any(abs(parts[one] * total - amount * weight) >= total for one, weight in weights.items()):
        return "a part is a whole unit or more from its exact share"
    if parts != exact_apportionment(amount, weights):
        return f"parts are {parts}, exactly they are {exact_apportionment(amount, weights)}"
    if rows.tolist() != [parts[one] for one in sorted(weights)]:
        return f"by rows the parts are {rows.tolist()}"
    return ""


@contextmanager
def dealt_out(threads: int) -> Iterator[None]:
    """Deal rows out to so many threads, however few rows there are; 1 leaves everything as delivered."""
    cells, ranges, count = blocks.CELLS_MIN, blocks.RANGES_PER_THREAD, blocks.os.cpu_count
    if threads > 1:
        blocks.CELLS_MIN, blocks.os.cpu_count = 1, lambda: threads
    try:
        yield
    finally:
        blocks.CELLS_MIN, blocks.RANGES_PER_THREAD, blocks.os.cpu_count = cells, ranges, count


def check_piece(seed: int, piece: int, count: int = PIECE) -> Tally:
    """Check the divisions of one piece; stops at the first that breaks a law, and makes it as small as it can."""
    chance, tally = random.Random(f"{seed}/{piece}"), Tally()
    for number in range(count):
        division = draw(chance)
        chunked = number % EVERY_CHUNKED == 0
        for threads in (1, 2, 3, 16) if chunked else (1,):
            broken = law_broken(division, chance, threads)
            if broken:
                smallest, broken = shrink(division, lambda one: law_broken(one, random.Random(0), threads))  # noqa: B023
                tally.broken.append(f"piece {piece}, division {number}, {threads} threads: {smallest}: {broken}")
                return tally
        tally.divisions += 1
        tally.parts += len(division.weights)
        tally.credits += division.amount < 0
        tally.ties += len(set(division.weights.values())) < len(division.weights)
        tally.chunked += chunked
    return tally


def shrink(division: Division, broken: Callable[[Division], str]) -> tuple[Division, str]:
    """Take parties away and make numbers smaller for as long as some law stays broken."""
    told = broken(division) or "broken only in the order it was first drawn in"
    tries = iter(range(TRIES_MAX))
    shrunk = True
    while shrunk:
        shrunk = False
        for smaller, _ in zip(_smaller(division), tries, strict=False):
            still = broken(smaller)
            if still:
                division, told, shrunk = smaller, still, True
                break
    return division, told


def _smaller(division: Division) -> Iterator[Division]:
    amount, weights = division.amount, division.weights
    for one in weights if len(weights) > 1 else ():
        rest = {other: weight for other, weight in weights.items() if other != one}
        if any(rest.values()):
            yield Division(amount, rest)
    for less in _nearer(amount):
        yield Division(less, weights)
    for one, weight in weights.items():
        for less in _nearer(weight):
            if sum(weights.values()) - weight + less:
                yield Division(amount, {**weights, one: less})


def _nearer(number: int) -> list[int]:
    """Give numbers of the same sign nearer to 0, from a leap to a step of one sixteenth."""
    sign, size = -1 if number < 0 else 1, abs(number)
    return [sign * less for less in sorted({size - -(-size // part) for part in (1, 2, 4, 16)}) if less < size]
