"""The installation desk: one object between the engineer's faces and the gateway. Every method that returns is on disk.

    begin -> scan -> bind -> read/compare/photograph -> check/accept -> seal -> deliver or package/take_grant
                                                                         `-> exchange, reparent, change_ratio, ...

Safe for several threads and, on one machine, for several processes: the running agent's page and a command line may
work on one journal. Lines are borrowed from the running agent (edge_agent/line_loan.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from device_profiles.catalogue import Catalogue
from edge_agent.installation.home import Home
from edge_agent.installation.view import (
    BindRequest,
    Delivery,
    DeskState,
    LiveMeter,
    OrderShown,
    Sealed,
    Typed,
    Who,
)
from metering.clock import Clock
from metering.identity import MeterId, NodeId, PortId

if TYPE_CHECKING:
    from edge_agent.scanning.result import ScanProgress, ScanResult
    from provisioning.installation import Binding, Comparison, Finding, Photo


class Desk:
    """The desk of one gateway. Opening it finishes what a killed one had begun.

    Methods raise DeskRefused (told in both languages) for what cannot be done now, other MeteringErrors for what is
    wrong with what they were given.
    """

    def __init__(self, home: Home, catalogue: Catalogue, clock: Clock) -> None:
        self._home = home
        self._catalogue = catalogue
        self._clock = clock

    def close(self) -> None:
        """Close the journal."""
        raise NotImplementedError

    def state(self) -> DeskState:
        """Give the desk at this moment; asks no meter."""
        raise NotImplementedError

    # -- the order

    def look_at(self, order_file: bytes) -> OrderShown:
        """Open an order file and keep nothing: for comparing the fingerprint. Raises SenderError or DocumentError."""
        raise NotImplementedError

    def begin(
        self, order_file: bytes, who: Who, *, confirmed: str | None = None, claim: str | None = None
    ) -> DeskState:
        """Take the order: keep it, make the gateway's keys.

        confirmed   the fingerprint that a person compared; needed where this machine has no anchor
        claim       the claim as typed; may come later, at the seal at the latest
        """
        raise NotImplementedError

    def claim(self, text: str, who: Who) -> None:
        """Take the claim as typed; raises ClaimInvalid."""
        raise NotImplementedError

    # -- meters

    def scan(
        self,
        port: PortId,
        who: Who,
        progress: Callable[[ScanProgress], None],
        stop: threading.Event,
        *,
        is_thorough: bool = False,
    ) -> ScanResult:
        """Look for meters on a line until all expected ones are found, `stop` is set or nothing is left to try.

        Blocks for minutes. The line is borrowed from the running agent meanwhile; it is read again afterwards.
        """
        raise NotImplementedError

    def bind(self, request: BindRequest, who: Who) -> Binding:
        """Put a meter at a node; the same node bound again replaces it until the seal. Says at once what is wrong."""
        raise NotImplementedError

    def unbind(self, meter: MeterId, who: Who) -> None:
        """Take back a binding that is not sealed yet."""
        raise NotImplementedError

    def read(self, meter: MeterId, groups: Sequence[str] = ("billing", "status")) -> LiveMeter:
        """Read a bound meter now, for people to look at; keeps nothing."""
        raise NotImplementedError

    def compare(self, meter: MeterId, typed: Sequence[Typed], who: Who) -> tuple[Comparison, ...]:
        """Read the meter and compare with what its display showed; kept with the binding."""
        raise NotImplementedError

    def photograph(self, meter: MeterId, kind: str, picture: bytes, who: Who) -> Photo:
        """Keep a picture (JPEG or PNG; its metadata is taken out) of kind meter, seal, cabinet or display."""
        raise NotImplementedError

    # -- the whole

    def check(self, who: Who, *, with_meters: bool = True) -> tuple[Finding, ...]:
        """Look at everything; `with_meters` also reads serial numbers and wiring over the bus."""
        raise NotImplementedError

    def accept(self, code: str, subject: str, reason: str, who: Who) -> None:
        """Go on in spite of a finding, for a reason that is signed with it."""
        raise NotImplementedError

    def seal(self, who: Who) -> Sealed:
        """Sign everything and measure at once; nothing of it needs a network."""
        raise NotImplementedError

    # -- the way to the centre

    def deliver(self) -> Delivery:
        """Try the gateway's own network once: bundle, photos, later events. Does not raise where the centre is away."""
        raise NotImplementedError

    def package(self) -> bytes:
        """Give the file for a telephone or a stick: all that the centre does not have yet, for it to take in one go."""
        raise NotImplementedError

    def take_grant(self, octets: bytes) -> DeskState:
        """Take the centre's answer, which came by whatever way; raises SenderError where it is not for this bundle."""
        raise NotImplementedError

    # -- later

    def exchange(
        self,
        old: MeterId,
        request: BindRequest,
        who: Who,
        *,
        closing: Sequence[Typed] | None = None,
        source: str = "measured",
        at: datetime | None = None,
    ) -> Binding:
        """Put a new meter in place of `old`, with closing and opening registers.

        closing   what the old one showed, where it answers no more; None: it is read now
        source    measured, photo or typed: where the closing registers come from
        at        None: now
        """
        raise NotImplementedError

    def close_register(self, old: MeterId, who: Who) -> LiveMeter:
        """Read and keep the closing registers of a meter that is about to be exchanged or taken away."""
        raise NotImplementedError

    def reparent(self, node: NodeId, parent: NodeId, who: Who, *, at: datetime | None = None) -> None:
        """Hang a node below another one from `at` on."""
        raise NotImplementedError

    def change_ratio(self, meter: MeterId, ct: int, pt: int, who: Who) -> None:
        """Note that other transformers were fitted; the registers at the change are read now."""
        raise NotImplementedError

    def decommission(self, meter: MeterId, who: Who, *, closing: Sequence[Typed] | None = None) -> None:
        """Take a meter away; its closing registers are read now unless given."""
        raise NotImplementedError

    def replace_gateway(self, old_epoch: int, reason: str, who: Who) -> None:
        """Note that this machine takes the place of one that was lost or broken; before the seal."""
        raise NotImplementedError
