"""An engineer at the park: makes events that follow one another, sealed by the gateway's key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from metering.identity import GatewayId, MeterId, UnitId
from metering.obis import ENERGY_IMPORT
from metering.quantity import Shown, Unit
from provisioning.enrolment import Claim, Survey, seal_bundle
from provisioning.installation import (
    NO_VOUCHER,
    Bind,
    Binding,
    Body,
    Finding,
    InstallationEvent,
    ReadingSource,
    RegisterSeen,
)
from provisioning.installation_events import event_digest, seal_event
from provisioning.keys import FileSigner
from provisioning.place import Place
from provisioning.site import Meter, Site, Span
from provisioning.site_file import read_site

PARK = Path(__file__).parents[2] / "examples" / "park"
NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
SOUTH_GATE = Place(312_989_500, 1_205_853_000, 300, "riser B")


@cache
def park() -> Site:
    """Give the park as its files have it."""
    return read_site(PARK)


def showed(kwh: int, source: ReadingSource = ReadingSource.TYPED) -> RegisterSeen:
    """Give an import register that showed `kwh`."""
    return RegisterSeen(ENERGY_IMPORT, Shown(kwh * 100, -2, Unit.KWH), source)


def binding(
    meter: Meter, at: datetime, *, unit: str | None = None, findings: tuple[Finding, ...] = (), **changes: object
) -> Binding:
    """Put `meter`, with changes to it, at its node from `at` on."""
    fitted = replace(meter, span=Span(at), **changes)  # type: ignore[arg-type]
    unit_id = None if unit is None else UnitId(unit)
    return Binding(fitted, unit_id, fitted.serial, SOUTH_GATE, "S-1", (), (), findings)


class Installer:
    """Numbers and chains the acts at one gateway; each gives the event, `sealed` holds them all."""

    def __init__(
        self, gateway: str = "gw-a", *, site: Site | None = None, epoch: int = 1, by: str = "eng-1", seed: int = 7
    ) -> None:
        self.site = park() if site is None else site
        self.gateway = GatewayId(gateway)
        self.epoch = epoch
        self.by = by
        self.signer = FileSigner.from_seed(seed.to_bytes(32))
        self.voucher: bytes | None = None
        self.sealed: list[bytes] = []

    def act(self, body: Body, at: datetime = NOW) -> InstallationEvent:
        """Do something; the event is sealed behind the one before."""
        event = self.event(body, at)
        self.sealed.append(seal_event(event, self.signer))
        return event

    def event(self, body: Body, at: datetime = NOW) -> InstallationEvent:
        """Give the next event without keeping it."""
        previous = event_digest(self.sealed[-1]) if self.sealed else self.voucher or NO_VOUCHER
        number = len(self.sealed) + 1
        return InstallationEvent(self.site.id, self.gateway, self.epoch, number, previous, at, self.by, "phone-1", body)

    def bind(self, meter: str, at: datetime = NOW, *, unit: str | None = None, **changes: object) -> InstallationEvent:
        """Bind a meter of the site as the site has it, but for `changes`."""
        return self.act(Bind(binding=binding(self.site.meter(MeterId(meter)), at, unit=unit, **changes)), at)  # type: ignore[arg-type]

    def bundle(self, claim: Claim, csr: bytes | None = None) -> bytes:
        """Give the bundle with everything done so far."""
        survey = Survey(self.voucher, csr, tuple(self.sealed))
        return seal_bundle(
            self.gateway,
            epoch=self.epoch,
            claim=claim,
            public_key=self.signer.public_key,
            signer=self.signer,
            survey=survey,
        )


def later(hours: int) -> datetime:
    """Give an instant some hours after the installation."""
    return NOW + timedelta(hours=hours)
