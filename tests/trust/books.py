"""What the database holds, against what was sent: nothing lost, nothing doubled, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.trust.sources import Source

READINGS = 3
"""Readings of one test envelope, each of another meter."""
SHOWN = 5
"""Faults of one kind that are shown."""


@dataclass(frozen=True)
class Chain:
    """A row of chain_heads."""

    contiguous_seq: int
    head_hash: bytes
    envelopes: int
    repeats: int


def chains(dsn: str) -> dict[str, Chain]:
    """How far each gateway's chain has come, as committed."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT gateway, contiguous_seq, head_hash, envelopes, repeats FROM chain_heads")
        return {row[0]: Chain(row[1], bytes(row[2]), row[3], row[4]) for row in rows}


def ahead_of_commit(receipted: Mapping[str, int], found: Mapping[str, Chain]) -> list[str]:
    """Name the gateways whose receipts say more than is committed; `receipted` must have been noted first."""
    held = {name: found[name].contiguous_seq if name in found else 0 for name in receipted}
    return [
        f"{name}: receipted up to {seq}, committed up to {held[name]}"
        for name, seq in receipted.items()
        if seq > held[name]
    ]


def differences(dsn: str, sources: Sequence[Source]) -> list[str]:
    """Name whatever in the books is not exactly what the gateways sent, after everything was receipted."""
    sent = {
        (source.gateway.name, seq): digest for source in sources for seq, digest in enumerate(source.digests, start=1)
    }
    with psycopg.connect(dsn) as connection:
        return [
            *_compare("envelopes", sent, connection, "SELECT gateway, seq, sha256(octets) FROM envelopes"),
            *_compare(
                "readings",
                dict.fromkeys(sent, True),
                connection,
                f"SELECT gateway, seq, (count(*), count(DISTINCT meter)) = ({READINGS}, {READINGS}) "
                "FROM readings GROUP BY gateway, seq",
            ),
            *_compare(
                "ledger",
                dict.fromkeys(sent, True),
                connection,
                "SELECT gateway, seq, refused IS NULL AND epoch = 1 FROM ledger",
            ),
            *(f"quarantine: {row}" for row in connection.execute("SELECT reason, gateway, seq, times FROM quarantine")),
            *(f"alarm: {row}" for row in connection.execute("SELECT kind, gateway, seq FROM alarms")),
            *_compare_heads(sources, chains(dsn)),
        ]


def _compare(
    table: str, wanted: Mapping[tuple[str, int], object], connection: psycopg.Connection[tuple[Any, ...]], query: str
) -> Iterator[str]:
    """Each place once, with the content it must have."""
    seen: set[tuple[str, int]] = set()
    doubled: list[tuple[str, int]] = []
    changed: list[tuple[str, int]] = []
    for gateway, seq, content in connection.execute(query):
        place = (gateway, seq)
        if place in seen:
            doubled.append(place)
        seen.add(place)
        if content != wanted.get(place):
            changed.append(place)
    lost = [place for place in wanted if place not in seen]
    for what, places in (("lost", lost), ("doubled", doubled), ("not as sent", changed)):
        if places:
            yield f"{table}: {len(places)} {what}, as {sorted(places)[:SHOWN]}"


def _compare_heads(sources: Sequence[Source], found: Mapping[str, Chain]) -> Iterator[str]:
    for source in sources:
        head = found.get(source.gateway.name)
        wanted = (source.sent, source.links[-1] if source.links else bytes(32), source.sent)
        if source.sent and (head is None or (head.contiguous_seq, head.head_hash, head.envelopes) != wanted):
            yield f"head of {source.gateway.name}: {head}, sent were {source.sent}"
