"""What is done at the desk after an installation: exchange, move, other ratio, taking away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from edge_agent.installation import later
from edge_agent.installation.acts import (
    Closed,
    Drafted,
)
from edge_agent.installation.binding import binding_of_request, port_of
from edge_agent.installation.desk_core import DeskCore
from edge_agent.installation.proving import live_meter, registers_measured
from edge_agent.installation.view import BindRequest, LiveMeter, Typed, Who
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import meter_key
from metering.identity import MeterId, NodeId
from metering.interval import SLOT, floor_to_mark
from provisioning.finding_words import printable
from provisioning.installation import (
    Binding,
    Decommission,
    RatioChange,
    ReadingSource,
    Reparent,
    Replace,
)

GROUPS = ("billing", "status")


class LaterDesk(DeskCore):
    """Acts at meters that are bound and counted."""

    def close_register(self, old: MeterId, who: Who) -> LiveMeter:
        """Read and keep the closing registers of a meter that is about to be exchanged or taken away."""
        sheet = self._begun()
        look = self._prover.look_at(sheet, later.meter_there(sheet, old), GROUPS[:1])
        with self._changing(who) as (_, write):
            write(Closed(old, registers_measured(look), look.snapshot.read_at))
        return live_meter(look)

    def exchange(
        self,
        old: MeterId,
        request: BindRequest,
        who: Who,
        *,
        closing: Sequence[Typed] | None = None,
        source: str = "typed",
        photo: bytes | None = None,
    ) -> Binding:
        """Put a new meter in place of `old` now: a draft until the seal, so that it can be compared and photographed.

        closing   what the old one showed; None: what `close_register` kept, or it is read now
        source    photo or typed: where typed closing registers come from; `photo` is the SHA-256 of the picture
        """
        sheet = self._begun()
        gone = later.meter_there(sheet, old)
        registers = later.closing_of(self._prover, sheet, gone, closing, ReadingSource(source), photo)
        wanted = replace(request, node=gone.node, meter=request.meter or later.free_successor(sheet, old))
        binding = binding_of_request(sheet, wanted, self._catalogue, self._clock.now(), instead_of=old)
        port = port_of(sheet, binding.meter.port)
        look = self._reader.look_at(port, binding.meter, GROUPS)
        self._prover.note(look)
        body = later.exchange_of(old, registers, replace(binding, read_serial=look.serial), registers_measured(look))
        with self._changing(who) as (sheet, write):
            if sheet.draft_of(old) is not None:
                raise refused("not-signed", meter=old)
            key = meter_key(body.new.meter.id)
            self._try(self._without(sheet, key, None), body)
            write(Drafted(key, body))
        return body.new

    def reparent(self, node: NodeId, parent: NodeId, who: Who, *, at: datetime | None = None) -> None:
        """Hang a node below another one from the quarter hour `at` on; None: from the next one."""
        instant = at or floor_to_mark(self._clock.now()) + SLOT
        self._event(f"node {node}", Reparent(node, parent, instant), who)

    def change_ratio(self, meter: MeterId, ct: int, pt: int, who: Who) -> MeterId:
        """Note that other transformers were fitted now; gives the id under which the meter counts from now on."""
        sheet = self._begun()
        old = later.meter_there(sheet, meter)
        look = self._prover.look_at(sheet, old, GROUPS[:1])
        new = later.free_successor(sheet, meter)
        body = RatioChange(meter, new, ct, pt, self._clock.now(), registers_measured(look))
        self._event(f"ratio {meter}", body, who)
        return new

    def decommission(self, meter: MeterId, who: Who, *, closing: Sequence[Typed] | None = None) -> None:
        """Take a meter away now; its closing registers are read unless they were kept or are given."""
        sheet = self._begun()
        gone = later.meter_there(sheet, meter)
        registers = later.closing_of(self._prover, sheet, gone, closing, ReadingSource.TYPED, None)
        self._event(f"gone {meter}", Decommission(meter, self._clock.now(), registers), who)

    def replace_gateway(self, old_epoch: int, reason: str, who: Who) -> None:
        """Note that this machine takes the place of one that was lost or broken; before the seal."""
        with self._changing(who) as (sheet, write):
            if sheet.is_sealed:
                raise refused("sealed-already")
            write(Drafted("replace", Replace(old_epoch, printable(reason))))
