"""What of an installation is fuzzed: what is opened at the centre and at the gateway, down to the document within."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cbor2

from metering.envelope import digest_of, encode, parse_sign1, sign1
from metering.identity import GatewayId, KeyId, MeterId, NodeId
from provisioning.enrolment import Claim, open_bundle
from provisioning.grant import GRANT_TAG, Grant, open_grant, seal_grant
from provisioning.installation import Decommission, Exchange, PortChange, RatioChange, Reparent, Replace
from provisioning.installation_events import EVENT_TAG, open_event
from provisioning.order_file import ORDER_TAG, open_order_file, plan_of, seal_order_file
from provisioning.package import photos_in, read_package, write_package
from provisioning.site import Names
from provisioning.voucher import VOUCHER_TAG, Voucher, open_voucher, seal_voucher
from tests.doubles.installer import NOW, Installer, binding, later, park, showed

Signed = tuple[str, tuple[bytes, ...], Callable[[bytes], object], Callable[[bytes], bytes]]
"""Name, seeds, how one is opened, how a changed one is signed again."""


def installation_targets() -> Iterator[Signed]:
    """Give each: the documents are changed within their tag and signature, the rest as it stands."""
    installer = everything_done()
    centre, verifier = installer.signer, installer.signer.verifier()
    voucher = seal_voucher(
        Voucher("order-1", park().id, GatewayId("gw-a"), Names("园区", "Park"), "http://c", "c:1883", centre.public_key,
                (b"\x30",), later(9)),
        centre,
    )  # fmt: skip
    order = seal_order_file(voucher, plan_of(park(), GatewayId("gw-a")), centre)
    grant = seal_grant(Grant(GatewayId("gw-a"), 1, KeyId(b"k" * 8), bytes(32), (), centre.public_key, NOW), centre)
    documents: tuple[tuple[str, str, tuple[bytes, ...], Callable[[bytes], object]], ...] = (
        ("installation-event", EVENT_TAG, tuple(installer.sealed), lambda one: open_event(one, verifier)),
        ("voucher", VOUCHER_TAG, (voucher,), lambda one: open_voucher(one, verifier)),
        ("order-file", ORDER_TAG, (order,), lambda one: open_order_file(one, verifier)),
        ("grant", GRANT_TAG, (grant,), lambda one: open_grant(one, verifier)),
    )
    for name, tag, sealed, opened in documents:
        seeds = tuple(cbor2.loads(parse_sign1(one, len(one)).payload)[1] for one in sealed)
        yield name, seeds, opened, lambda octets, tag=tag: sign1(encode([tag, octets]), centre)  # type: ignore[misc]
    bundle = parse_sign1(installer.bundle(Claim.of_number(9)), 1 << 20).payload
    yield "bundle", (bundle,), open_bundle, lambda octets: sign1(octets, centre)
    yield "package", (_package(installer),), _read, lambda octets: octets


def everything_done() -> Installer:
    """One event of every kind."""
    installer = Installer()
    meter = park().meter(MeterId("m-u-a101"))
    installer.bind(meter.id, unit="a101")
    new = binding(replace(meter, id=MeterId("m-n"), serial="9"), later(1))
    installer.act(Exchange(old=meter.id, closing=(showed(7),), new=new, opening=(showed(0),)))
    installer.act(Reparent(node=NodeId("lift"), parent=NodeId("bldg-a"), at=NOW))
    installer.act(RatioChange(meter=meter.id, new=MeterId("m-r"), ct=20, pt=1, at=NOW, registers=(showed(5),)))
    installer.act(Decommission(meter=meter.id, at=NOW, closing=()))
    installer.act(Replace(old_epoch=1, reason="flooded"))
    installer.act(PortChange(port=park().ports_of(GatewayId("gw-a"))[0]))
    return installer


def _package(installer: Installer) -> bytes:
    stream = io.BytesIO()
    photo = Path(__file__)
    photos = {digest_of(photo.read_bytes()): photo}
    write_package(stream, order=b"o", bundle=b"b", events=installer.sealed[:2], photos=photos)
    return stream.getvalue()


def _read(octets: bytes) -> object:
    return read_package(io.BytesIO(octets)), list(photos_in(io.BytesIO(octets)))
