"""The example park's books without gateways: sealed readings of the played world, put straight into a real store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from allocation_engine.rules import Rules
from device_profiles.catalogue import Catalogue
from device_profiles.profile import Channel
from ingest.demo.loads_file import Play, read_play
from ingest.demo.world import PlayedMeter
from ingest.ports import ChainAdvance, Entry, GatewayEpoch
from ingest.site_folder import read_site_folder
from ingest.store.database import Database
from ingest.store.gateways import add_order, enrol
from ingest.store.intake_store import PostgresIntakeStore
from ingest.store.sites import import_site
from metering.clock import ClockQuality, ClockState
from metering.envelope import Envelope, chain_digest, digest_of, parse_sealed, seal
from metering.identity import GatewayId, MeterId
from metering.reading import MeterReading, ReadQuality
from provisioning.enrolment import Claim, open_bundle, open_order, seal_bundle
from provisioning.keys import FileSigner
from provisioning.site import Meter, Site

PARK = Path(__file__).parents[2] / "examples" / "park"
ORDERED_AT = datetime(2026, 6, 1, tzinfo=UTC)
CENTRE = FileSigner.from_seed(b"\x07" * 32)
GROUP = 400

Skip = Callable[[MeterId, datetime], bool]


def read_park(directory: Path = PARK) -> tuple[Site, Rules, Play, Catalogue]:
    """Read the park with its rules and loads."""
    catalogue = Catalogue.shipped()
    site, rules = read_site_folder(directory, catalogue)
    return site, rules, read_play(directory / "loads.toml", site, csv=None, days=None), catalogue


@dataclass
class ParkBooks:
    """Writes the park's readings into `database`, mark by mark, in any order of marks, of all meters or `only` some."""

    database: Database
    site: Site
    rules: Rules
    play: Play
    catalogue: Catalogue
    only: frozenset[MeterId] | None = None
    claims_from: int = 0
    seqs: dict[GatewayId, int] = field(default_factory=dict)
    heads: dict[GatewayId, bytes] = field(default_factory=dict)

    def enrol_all(self) -> None:
        """Import the site and enrol its gateways with keys that are the same every time."""
        with self.database.transaction() as connection:
            import_site(connection, self.site, self.rules.document, imported_at=ORDERED_AT)
            for number, gateway in enumerate(self.site.gateways):
                claim = Claim.of_number(self.claims_from + number + 1)
                order = open_order(
                    site=self.site.id,
                    gateway=gateway.id,
                    engineer="fitter",
                    ordered_at=ORDERED_AT,
                    expires_at=ORDERED_AT + timedelta(days=14),
                    claim=claim,
                )
                add_order(connection, order)
                signer = signer_of(gateway.id)
                octets = seal_bundle(gateway.id, epoch=1, claim=claim, public_key=signer.public_key, signer=signer)
                enrol(connection, open_bundle(octets), ORDERED_AT)

    def write(self, marks: Iterable[datetime], skip: Skip = lambda _meter, _mark: False) -> None:
        """Seal and store one envelope per port and mark; `skip` makes a meter silent."""
        store = PostgresIntakeStore(self.database)
        for group in _groups(self._entries(marks, skip)):
            with store.group() as entry:
                entry.lock_chains({GatewayEpoch(gateway.id, 1): () for gateway in self.site.gateways})
                entry.enter(group)
                entry.advance({GatewayEpoch(gateway, 1): self._advance(gateway, group) for gateway in self.seqs})

    def _advance(self, gateway: GatewayId, group: Sequence[Entry]) -> ChainAdvance:
        marks = [one.sealed.envelope.mark for one in group if one.sealed.envelope.gateway == gateway]
        seq = self.seqs[gateway]
        newest = max((mark for mark in marks if mark is not None), default=None)
        return ChainAdvance(seq, self.heads[gateway], seq, newest, len(marks), 0, ORDERED_AT)

    def _entries(self, marks: Iterable[datetime], skip: Skip) -> Iterator[Entry]:
        played = {meter.id: self._played(meter) for meter in self.site.meters}
        for mark, port in itertools.product(marks, self.site.ports):
            meters = [
                meter
                for meter in self.site.meters
                if meter.port == port.id and mark in meter.span and self._is_read(meter)
            ]
            readings = tuple(self._reading(meter, played[meter.id], mark, skip) for meter in meters)
            seq = self.seqs[port.gateway] = self.seqs.get(port.gateway, 0) + 1
            envelope = Envelope(
                gateway=port.gateway,
                epoch=1,
                seq=seq,
                previous_hash=self.heads.get(port.gateway, bytes(32)),
                boot=bytes(16),
                sealed_at=mark + timedelta(seconds=2),
                clock=ClockState(ClockQuality.SYNCHRONISED, 0),
                mark=mark,
                readings=readings,
            )
            octets = seal(envelope, signer_of(port.gateway))
            self.heads[port.gateway] = chain_digest(octets)
            yield Entry(parse_sealed(octets), ORDERED_AT, None)

    def _is_read(self, meter: Meter) -> bool:
        return self.only is None or meter.id in self.only

    def _played(self, meter: Meter) -> PlayedMeter:
        return PlayedMeter(meter, self.catalogue.by_id(meter.profile).side, self.play)

    def _reading(self, meter: Meter, played: PlayedMeter, mark: datetime, skip: Skip) -> MeterReading:
        profile = self.catalogue.by_id(meter.profile)
        group = profile.group("billing")
        registers = [played.register(channel.obis, mark) for channel in group.channels]
        silent = skip(meter.id, mark) or None in registers
        return MeterReading(
            meter=meter.id,
            profile_hash=profile.hash,
            group=group.index,
            started_at=mark,
            ended_at=mark + timedelta(seconds=1),
            quality=ReadQuality.NO_ANSWER if silent else ReadQuality.MEASURED,
            mantissas=()
            if silent
            else tuple(_mantissa(channel, base) for channel, base in zip(group.channels, registers, strict=True)),
        )


def signer_of(gateway: GatewayId) -> FileSigner:
    """The key of a gateway of the park."""
    return FileSigner.from_seed(digest_of(gateway.encode()))


def _mantissa(channel: Channel, base: int | None) -> int:
    step = channel.shown(10**6).to_base()
    mantissa = (base or 0) * 10**6 // step
    return mantissa if channel.modulus is None else mantissa % channel.modulus


def _groups(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    while group := list(itertools.islice(entries, GROUP)):
        yield group
