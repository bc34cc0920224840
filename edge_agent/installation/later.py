"""What happens at meters after their installation, as bodies of events; registers are read when it is told."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.installation.line_reader import BILLING
from edge_agent.installation.proving import Prover, registers_measured, typed_registers
from edge_agent.installation.view import Typed
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import Worksheet
from metering.identity import MeterId
from provisioning.installation import Binding, Exchange, ReadingSource, RegisterSeen
from provisioning.site import Meter, NotInSite, Site


def meter_there(sheet: Worksheet, meter: MeterId) -> Meter:
    """Find a meter of this gateway that is bound and not gone; raises DeskRefused."""
    there = {one.id: one for one in sheet.fitted()}
    site: Site = sheet.site()
    if meter not in there:
        try:
            known = site.meter(meter)
        except NotInSite:
            known = None
        if known is None or known.span.end is not None or site.port(known.port).gateway != sheet.gateway:
            raise refused("unknown-meter", meter=meter, known=", ".join(sorted(there)) or "-")
        return known
    return there[meter]


def opening_of(prover: Prover, sheet: Worksheet, meter: Meter) -> tuple[RegisterSeen, ...]:
    """Read what the settled registers show now; raises DeskRefused where the meter is silent."""
    return registers_measured(prover.look_at(sheet, meter, (BILLING,)))


def exchange_of(
    old: MeterId, closing: Sequence[RegisterSeen], new: Binding, opening: Sequence[RegisterSeen]
) -> Exchange:
    """Give the exchange, with the registers that both meters have: one that only one of them has is settled by none."""
    common = {one.obis for one in closing} & {one.obis for one in opening}
    return Exchange(
        old=old,
        closing=tuple(one for one in closing if one.obis in common),
        new=new,
        opening=tuple(one for one in opening if one.obis in common),
    )


def closing_of(
    prover: Prover,
    sheet: Worksheet,
    meter: Meter,
    typed: Sequence[Typed] | None,
    source: ReadingSource,
    photo: bytes | None,
) -> tuple[RegisterSeen, ...]:
    """Give the closing registers: as typed, as kept by `close_register`, or as read now."""
    if typed is not None:
        profile = prover.profile(meter.profile)
        return typed_registers(profile, meter.id, typed, source, photo)
    kept = sheet.closings.get(meter.id)
    return kept.registers if kept is not None else opening_of(prover, sheet, meter)


def free_successor(sheet: Worksheet, meter: MeterId) -> MeterId:
    """Give the next id that nobody has: m-a, m-a-2, m-a-3 ..."""
    stem, _, number = meter.rpartition("-")
    if not stem or not number.isdecimal():
        stem, number = meter, "1"
    taken = {one.id for one in sheet.site().meters} | set(sheet.bindings())
    return next(one for count in range(int(number) + 1, 100_000) if (one := MeterId(f"{stem}-{count}")) not in taken)
