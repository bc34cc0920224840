"""What the store knows of each gateway: its chains, what they lack, its clock. Functions take an open transaction.

The clock state stands in the signed head of each envelope and nowhere else: it is read from the newest in the books.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.store.database import Connection, load_queries
from ingest.store.quarantine import Kept
from metering.clock import ClockState
from metering.envelope import Algorithm, EnvelopeMalformed, Head, parse_sign1, read_head
from metering.identity import GatewayId, KeyId, SiteId
from metering.interval import SiteCalendar
from provisioning.site import Names

LOOKED_MAX = 1000
"""Entries of the ledger looked at behind a gap: ten days of one port. More show as `many`."""
GAPS_MAX = 200
HEAD_OCTETS_MAX = 8192
"""Octets of an envelope that hold its head: one with 200 profiles in use is 7 KiB."""


@dataclass(frozen=True, slots=True)
class GatewayChain:
    """One chain of a gateway as the books hold it.

    is_newest       the gateway's newest enrolled epoch
    contiguous_seq  every envelope up to here has arrived: what the receipt says
    refused         messages of this chain in quarantine whose signature held
    gap_since       when the first of those behind the first gap arrived; None without a gap
    waiting         envelopes that arrived behind a gap, at most LOOKED_MAX: no receipt frees them until it is closed
    clock           what the newest envelope says of the gateway's clock; None for an earlier epoch, or before the first
    sealed_at       the gateway's clock when it sealed that envelope; `sealed_received_at` is the centre's when it came
    alerts          kinds of the gateway's open alerts
    is_revoked      whether its key counts no more: nothing is expected of it, and what it lacks, it lacks for good
    """

    gateway: GatewayId
    site: SiteId
    epoch: int
    is_newest: bool
    enrolled_at: datetime
    key_id: KeyId
    algorithm: Algorithm
    contiguous_seq: int
    highest_seq: int
    newest_mark: datetime | None
    envelopes: int
    repeats: int
    received_at: datetime | None
    refused: int
    gap_since: datetime | None
    waiting: int
    clock: ClockState | None
    sealed_at: datetime | None
    sealed_received_at: datetime | None
    alerts: tuple[str, ...]
    is_revoked: bool = False

    @property
    def gap_open(self) -> bool:
        """Say whether anything is missing below the highest seq that may still come."""
        return self.highest_seq > self.contiguous_seq and not self.is_revoked

    @property
    def missing(self) -> int:
        """How many envelopes are missing; at most so many where more wait than were looked at."""
        return self.highest_seq - self.contiguous_seq - self.waiting


@dataclass(frozen=True, slots=True)
class ChainGap:
    """Envelopes `first_seq` to `last_seq` of an epoch are missing; the one behind them arrived at `since`."""

    epoch: int
    first_seq: int
    last_seq: int
    since: datetime


@dataclass(frozen=True, slots=True)
class SiteFace:
    """What a page needs of a site."""

    site: SiteId
    calendar: SiteCalendar
    names: Names


def gateway_chains(connection: Connection, gateway: GatewayId | None = None) -> tuple[GatewayChain, ...]:
    """Give every chain of every enrolled gateway or of one, by gateway, its newest epoch first."""
    wanted = {"gateway": gateway, "looked": LOOKED_MAX, "octets": HEAD_OCTETS_MAX}
    return tuple(_chain_from_row(row) for row in connection.execute(load_queries("fleet")["gateway_chains"], wanted))


def chain_gaps(connection: Connection, gateway: GatewayId) -> tuple[ChainGap, ...]:
    """Give what is missing in the chains of one gateway, newest epoch first, at most GAPS_MAX gaps."""
    wanted = {"gateway": gateway, "looked": LOOKED_MAX, "most": GAPS_MAX}
    return tuple(ChainGap(*row) for row in connection.execute(load_queries("fleet")["chain_gaps"], wanted))


def quarantine_of(connection: Connection, gateway: GatewayId, most: int) -> tuple[Kept, ...]:
    """Give the newest messages in quarantine that one gateway has signed, at most `most`."""
    wanted = {"gateway": gateway, "most": most}
    return tuple(Kept(*row) for row in connection.execute(load_queries("fleet")["quarantine_of_gateway"], wanted))


def site_faces(connection: Connection) -> Mapping[SiteId, SiteFace]:
    """Give zone and names of every imported site."""
    rows = connection.execute(load_queries("fleet")["site_faces"])
    return {SiteId(site): SiteFace(SiteId(site), SiteCalendar(zone), Names(zh, en)) for site, zone, zh, en in rows}


def head_at_start(octets: bytes) -> Head | None:
    """Read the signed head from the first octets of an envelope; None where it does not end within them."""
    # The first of the two parts of a message is a byte string: 58, 59 or 5a, then its length in 1, 2 or 4 octets.
    begin = {0x58: 3, 0x59: 4, 0x5A: 6}.get(octets[1] if len(octets) > 1 else 0, 0)
    end = begin + int.from_bytes(octets[2:begin], "big")
    if begin == 0 or end > len(octets):
        return None
    try:
        return read_head(parse_sign1(octets[begin:end]).payload)
    except EnvelopeMalformed:
        return None


def _chain_from_row(row: tuple[Any, ...]) -> GatewayChain:
    gateway, site, epoch, is_newest, enrolled_at, key_id, algorithm, *counts, octets, came_at, alerts, revoked = row
    head = None if octets is None else head_at_start(bytes(octets))
    clock = (*((None, None, None) if head is None else (head.clock, head.sealed_at, came_at)), tuple(alerts))
    return GatewayChain(
        GatewayId(gateway),
        SiteId(site),
        epoch,
        is_newest,
        enrolled_at,
        KeyId(bytes(key_id)),
        Algorithm(algorithm),
        *(*counts, *clock, revoked),
    )
