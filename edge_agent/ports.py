"""What the gateway's core needs of the world, and the words they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from device_profiles.framing import codec_of
from device_profiles.framing.conversation import NO_SECRETS, Conversation, MeterSecrets
from device_profiles.framing.errors import FrameError
from device_profiles.profile import Protocol as MeterProtocol
from device_profiles.profile import ReadRequest
from metering.errors import MeterError, MeteringError
from provisioning.site import LineSettings


class BusTimeout(MeterError):
    """A meter stayed silent through its timeout."""


class AnswerCut(FrameError):
    """An answer ended before it was whole: noise, or a firmware that cuts long ones."""


class LineFixed(MeterError):
    """A meter needs the line set otherwise, and nobody can switch it."""


class PortLost(MeteringError):
    """A port cannot be opened, or vanished: device unplugged, line closed, connection reset."""


class Stopped(MeteringError):
    """The gateway was told to stop while it waited."""


class BrokerUnreachable(MeteringError):
    """The broker cannot be reached, or refuses us."""


class OutboxDamaged(MeteringError):
    """The outbox on disk contradicts itself; the gateway must be enrolled again in a new epoch."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer.

    started_at    first octet of the request; `ended_at` last octet of the answer
    turnaround_s  how long the meter took to begin, as seen at the port; the longest of its exchanges [s]
    """

    body: bytes
    started_at: datetime
    ended_at: datetime
    turnaround_s: float


class Bus(Protocol):
    """One port with the meters behind it; one transaction at a time."""

    def open(self) -> bool:
        """Open the port unless it is open, and say whether it had to be opened; raises PortLost."""

    def close(self) -> None:
        """Close the port."""

    def ask(
        self,
        protocol: MeterProtocol,
        address: str,
        request: ReadRequest,
        *,
        reply_s: float,
        late_s: float,
        line: LineSettings | None = None,
        secrets: MeterSecrets = NO_SECRETS,
    ) -> Answer:
        """Ask one meter once: hold the conversation that `request` takes.

        reply_s   how long to wait for each answer to begin [s]
        late_s    how long after a request its answer may still begin [s], at least `reply_s`
        line      how the line must be set for this meter, None for the port's own way
        secrets   what the meter's protocol needs beyond the profile

        Raises BusTimeout, another MeterError for an answer that fails its checks, or PortLost. Returns and raises only
        when no answer to this request can be taken for one to the next.
        """
        conversation = codec_of(protocol).converse(address, request, secrets)
        return self.converse(conversation, reply_s=reply_s, late_s=late_s, line=line)

    def converse(
        self, conversation: Conversation, *, reply_s: float, late_s: float, line: LineSettings | None = None
    ) -> Answer:
        """Hold any conversation, such as a search or a broadcast; the rest as for `ask`."""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The newest batch of an epoch: where the next one joins on. `seq` 0 before the first."""

    epoch: int
    seq: int
    digest: bytes
    mark: datetime | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch in the outbox. `octets` are the sealed envelope, or the signed tombstone of what was evicted."""

    epoch: int
    seq: int
    sealed_at: datetime
    mark: datetime | None
    octets: bytes
    evicted: bool = False


class Outbox(Protocol):
    """Batches on disk, in order of epoch and seq, until receipted and 30 days longer; tombstones of what is gone."""

    def head(self, epoch: int) -> ChainHead:
        """Give the newest batch of `epoch`."""

    def newest_mark(self) -> datetime | None:
        """Give the latest mark of any epoch: no mark up to it may be read again."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Add the next batches of one chain, in one synced commit."""

    def after(self, epoch: int, seq: int, limit: int) -> list[Entry]:
        """Give up to `limit` entries of `epoch` above `seq`, in order."""

    def receipted(self, epoch: int) -> int:
        """Give the highest seq of `epoch` that a receipt covers, 0 for none."""

    def acknowledge(self, epoch: int, seq: int) -> None:
        """Note that a receipt covers everything up to `seq`; written with the next commit."""

    def recall(self, epoch: int, seq: int) -> None:
        """Note at once that the centre holds no more than up to `seq`, though a receipt once said more.

        What is no longer kept above it is told by a tombstone from then on.
        """

    def unfinished_epochs(self) -> list[int]:
        """List the epochs that hold batches without receipt, oldest first."""


class Broker(Protocol):
    """The way to the centre. Events come back through the callable the adapter was built with."""

    def connect(self) -> None:
        """Begin a new session without any message of an earlier one; raises BrokerUnreachable."""

    def publish(self, octets: bytes) -> None:
        """Hand over one envelope; nothing is promised. Raises BrokerUnreachable."""

    def close(self) -> None:
        """End the session."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted the session."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The session ended or was refused, with the reason given."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReceiptArrived:
    """Octets came on the receipt topic; nothing about them is proven."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class ConfigArrived:
    """Octets came on the configuration topic; nothing about them is proven."""

    octets: bytes


BrokerEvent = Connected | Lost | ReceiptArrived | ConfigArrived
