"""What could not be accepted, read back for people and for another try. Functions take an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingest.ports import GatewayEpoch
from ingest.store.database import Connection, load_queries


@dataclass(frozen=True, slots=True)
class Kept:
    """One message in quarantine. gateway, epoch and seq are None where no signature has proven them."""

    number: int
    reason: str
    detail: str
    proven: bool
    topic: str
    gateway: str | None
    epoch: int | None
    seq: int | None
    first_received_at: datetime
    last_received_at: datetime
    times: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """What the ledger holds under one seq. `refused`: why it is not in the books, None if it is."""

    digest: bytes
    refused: str | None
    received_at: datetime


def list_kept(connection: Connection, most: int, reason: str | None = None) -> tuple[Kept, ...]:
    """List the newest messages in quarantine, at most `most`, of one reason or of all."""
    rows = connection.execute(load_queries("intake")["list_kept"], {"most": most, "reason": reason})
    return tuple(Kept(*row) for row in rows)


def find_kept(connection: Connection, number: int) -> Kept | None:
    """Give one of them."""
    row = connection.execute(load_queries("intake")["find_kept"], {"number": number}).fetchone()
    return None if row is None else Kept(*row)


def forget_kept(connection: Connection, number: int) -> None:
    """Drop one that is in the books now, or is kept under another reason."""
    connection.execute(load_queries("intake")["forget_kept"], {"number": number})


def find_held(connection: Connection, owner: GatewayEpoch, seq: int) -> Held | None:
    """Say what the ledger holds under `seq`."""
    place = {"gateway": owner.gateway, "epoch": owner.epoch, "seq": seq}
    row = connection.execute(load_queries("intake")["find_held"], place).fetchone()
    return None if row is None else Held(bytes(row[0]), row[1], row[2])


def reasons_kept(connection: Connection) -> Sequence[tuple[str, int]]:
    """Count the messages in quarantine by reason."""
    return [(reason, count) for reason, count in connection.execute(load_queries("intake")["reasons_kept"])]
