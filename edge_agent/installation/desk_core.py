"""What everything at the desk stands on: the journal, the gateway's file, signing, and the rules of changing them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from device_profiles.catalogue import Catalogue
from edge_agent.installation.acts import (
    Configured,
    Drafted,
)
from edge_agent.installation.gateway_file import GatewayFile
from edge_agent.installation.home import Home
from edge_agent.installation.journal import Journal, Write
from edge_agent.installation.line_reader import LineReader
from edge_agent.installation.pictures import PictureFolder
from edge_agent.installation.posting import GATEWAY, Posting
from edge_agent.installation.proving import Prover
from edge_agent.installation.signing import epoch_after, signed
from edge_agent.installation.standing import desk_state, waiting
from edge_agent.installation.view import DeskState, Who
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import Draft, Worksheet, meter_key
from edge_agent.timekeeping import FLOOR
from metering.clock import Clock
from metering.identity import MeterId, NodeId
from provisioning.installation import (
    Bind,
    Binding,
    Body,
    Exchange,
    binding_of,
)
from provisioning.installation_events import signer_of
from provisioning.keys import KeyFileInvalid, fingerprint, read_public_key
from provisioning.order_file import OpenedOrder, open_order_file
from provisioning.signers import SigningKey, open_signer
from provisioning.site import SiteInvalid
from provisioning.tls_key import request_certificate


class DeskCore:
    """Opens a home and keeps it whole; see `Desk` for what is done there."""

    def __init__(self, home: Home, catalogue: Catalogue, clock: Clock) -> None:
        self.home = home
        self._catalogue = catalogue
        self._clock = clock
        make_private_folder(home.keys)
        make_private_folder(home.state)
        self._journal = Journal(home.journal)
        self._pictures = PictureFolder(home.photos)
        self._reader = LineReader(home, catalogue, clock)
        self._prover = Prover(self._reader, catalogue)
        self._file = GatewayFile(home)
        self._posting = Posting(home, self._journal, self._pictures, clock)
        self._settle()

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def waiting(self) -> int:
        """Count what the centre does not have yet; cheap."""
        return waiting(self._journal.worksheet())

    def last_by(self) -> str | None:
        """Say who acted last, leaving out the gateway itself; None before anybody did."""
        return self._journal.last_by(GATEWAY.by)

    def state(self) -> DeskState:
        """Give the desk at this moment; asks no meter."""
        sheet = self._journal.worksheet()
        return desk_state(
            sheet,
            key_fingerprint=self._key_fingerprint(),
            is_measuring=sheet.is_sealed and self._file.is_measuring(),
            has_agent=self._file.has_agent(),
            attempt=self._journal.attempt(),
        )

    @contextmanager
    def _changing(self, who: Who) -> Iterator[tuple[Worksheet, Write]]:
        """Write acts onto the newest worksheet; there must be an order, and a clock that was set."""
        now = self._clock.now()
        if now < FLOOR:
            raise refused("clock-unset", now=f"{now:%Y-%m-%d %H:%M}")
        with self._journal.writing(who, now) as (sheet, write):
            if sheet.order is None:
                raise refused("no-order")
            yield sheet, write

    def _begun(self) -> Worksheet:
        sheet = self._journal.worksheet()
        if sheet.order is None:
            raise refused("no-order")
        return sheet

    def _event(self, key: str, body: Body, who: Who) -> None:
        with self._changing(who) as (sheet, write):
            self._tell(sheet, write, key, body, who)
        self._settle()

    def _tell(self, sheet: Worksheet, write: Write, key: str, body: Body, who: Who) -> None:
        """Have something signed: at once behind the first seal, with it before."""
        self._try(sheet, body)
        write(Drafted(key, body))
        if sheet.is_sealed:
            drafts = {key: Draft(body, who, self._clock.now())}
            self._sign(replace(sheet, drafts={**sheet.drafts, **drafts}), write, (key,))

    def _sign(self, sheet: Worksheet, write: Write, keys: tuple[str, ...]) -> None:
        csr = None
        assert sheet.order is not None
        if not sheet.is_sealed and sheet.order.voucher.voucher.roots:
            csr = request_certificate(self.home.keys, sheet.gateway)
        write(
            signed(
                sheet,
                self._clock.now(),
                keys=keys,
                signer=self.signer(),
                csr=csr,
                epoch=self._file.epoch() if sheet.is_sealed else epoch_after(sheet, self._file.newest_epoch()),
                outranks=self._file.newest_order(),
            )
        )

    def _settle(self) -> None:
        """Have the gateway's file say what the journal says; after a kill, what was not said yet."""
        sheet = self._journal.worksheet()
        if sheet.is_configured:
            return
        with self._journal.writing(GATEWAY, self._clock.now()) as (sheet, write):
            if not sheet.is_configured:
                self._file.write(sheet)
                write(Configured(len(sheet.events)))

    def _try(self, sheet: Worksheet, body: Body) -> None:
        try:
            sheet.site(body)
        except SiteInvalid as error:
            raise refused("site-invalid", problem=error) from error

    def _without(self, sheet: Worksheet, key: str, node: NodeId | None) -> Worksheet:
        drafts = {
            other: draft
            for other, draft in sheet.drafts.items()
            if other != key and (node is None or not isinstance(draft.body, Bind) or node_of(draft) != node)
        }
        return replace(sheet, drafts=drafts)

    def _draft(self, sheet: Worksheet, meter: MeterId) -> Binding:
        """Give a binding that is not signed yet; raises DeskRefused."""
        bindings = sheet.bindings()
        if meter not in bindings:
            raise refused("unknown-meter", meter=meter, known=", ".join(bindings) or "-")
        if sheet.draft_of(meter) is None:
            raise refused("signed-already", meter=meter)
        return bindings[meter]

    def _amend(self, meter: MeterId, who: Who, **parts: object) -> None:
        """Change parts of a drafted binding as it is by now."""
        with self._changing(who) as (sheet, write):
            binding = replace(self._draft(sheet, meter), **parts)  # type: ignore[arg-type]
            key = meter_key(meter)
            write(Drafted(key, with_binding(sheet.drafts[key].body, binding), amends=True))

    def _opened(self, order_file: bytes) -> OpenedOrder:
        anchor = read_public_key(self.home.anchor) if self.home.anchor.exists() else None
        return open_order_file(order_file, anchor)

    def signer(self) -> SigningKey:
        """Give the key that signs now: the one of the gateway's file, the home's first one before there is a file."""
        is_sealed = self._journal.worksheet().is_sealed
        return open_signer((self._file.signing_key() if is_sealed else None) or self.home.signing_key)

    def signer_of_events(self) -> SigningKey:
        """Give the key that signed the newest events; raises DeskRefused before the seal, or where it is gone."""
        sheet = self._journal.worksheet()
        wanted = signer_of(sheet.events[-1].octets) if sheet.events else None
        for path in sorted(self.home.keys.glob("signing*.key")):
            key = open_signer(path)
            if key.key_id == wanted:
                return key
        raise refused("not-sealed")

    def _key_fingerprint(self) -> str | None:
        return fingerprint(self.signer().public_key) if self.home.signing_key.exists() else None


def make_private_folder(path: Path) -> None:
    """Make a folder for its owner alone; raises KeyFileInvalid."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileInvalid(path, f"cannot be made: {error}", "name a home that this account may write") from error


def node_of(draft: Draft) -> NodeId | None:
    """Give the node that a draft binds a meter to; None for other drafts."""
    binding = binding_of(draft.body)
    return None if binding is None else binding.meter.node


def with_binding(body: Body, binding: Binding) -> Body:
    """Give a binding or an exchange with another binding in it."""
    return replace(body, new=binding) if isinstance(body, Exchange) else Bind(binding)


def kept_parts(before: Binding, binding: Binding) -> Binding:
    """Keep what was proven of the same device when its binding is corrected."""
    same = (before.meter.serial, before.meter.port, before.meter.address, before.meter.profile)
    if same != (binding.meter.serial, binding.meter.port, binding.meter.address, binding.meter.profile):
        return binding
    is_same_ratio = (before.meter.ct, before.meter.pt) == (binding.meter.ct, binding.meter.pt)
    return replace(
        binding,
        photos=before.photos,
        seal=binding.seal or before.seal,
        comparisons=before.comparisons if is_same_ratio else (),
        findings=before.findings if is_same_ratio else (),
    )
