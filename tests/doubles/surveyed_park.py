"""The park's gateway gw-a after an installation: order, acts of all kinds, photos; what a report is made of."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import replace
from datetime import timedelta
from functools import cache

from metering.envelope import digest_of
from metering.identity import MeterId, UnitId
from metering.obis import ENERGY_IMPORT
from metering.quantity import Shown, Unit
from provisioning.installation import (
    Bind,
    Comparison,
    Exchange,
    Finding,
    Photo,
    PhotoKind,
    ReadingSource,
    RegisterSeen,
    Severity,
)
from provisioning.keys import FileSigner
from provisioning.order_file import plan_of, seal_order_file
from provisioning.place import Place
from provisioning.report.evidence import Evidence
from provisioning.site import Names, Site
from provisioning.voucher import Voucher, seal_voucher
from tests.doubles.installer import NOW, Installer, binding, later, park

GATEWAY_SEED = bytes([77]) * 32
CENTRE = FileSigner.from_seed(bytes([9]) * 32)
_CORNER = (312_989_000, 1_205_852_000)


def picture(shade: int) -> bytes:
    """Give a PNG of 8 x 8 grey points."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    rows = b"".join(b"\0" + bytes([shade]) * 8 for _ in range(8))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def surveyed_site() -> Site:
    """Give the park with outlines of its two buildings, without the exchange its files tell of."""
    site = park()
    lat, lon = _CORNER
    outlines = {
        "bldg-a": ((lat, lon), (lat + 4_000, lon), (lat + 4_000, lon + 6_000), (lat, lon + 6_000)),
        "bldg-b": ((lat, lon + 9_000), (lat + 5_000, lon + 9_500), (lat + 5_000, lon + 14_000), (lat, lon + 13_500)),
    }
    nodes = tuple(replace(node, outline=outlines.get(node.id)) for node in site.nodes)
    gone = MeterId("m-u-a102-2")
    meters = tuple(
        replace(one, span=replace(one.span, end=None)) if one.id == "m-u-a102" else one
        for one in site.meters
        if one.id != gone
    )
    return replace(site, nodes=nodes, meters=meters, exchanges=())


def order_for(site: Site, gateway: str, centre: FileSigner = CENTRE) -> tuple[bytes, bytes]:
    """Give the sealed voucher and the order file of a gateway."""
    voucher = seal_voucher(
        Voucher(
            order="order-3f9a12c4d05e",
            site=site.id,
            gateway=site.gateway(next(one.id for one in site.gateways if one.id == gateway)).id,
            owner=Names("示范资产管理有限公司", "Example Estates"),
            centre_url="https://centre.example",
            broker="centre.example:8883",
            centre_public_key=centre.public_key,
            roots=(),
            not_after=NOW + timedelta(days=14),
        ),
        centre,
    )
    return voucher, seal_order_file(
        voucher, plan_of(site, next(o.id for o in site.gateways if o.id == gateway)), centre
    )


@cache
def surveyed() -> tuple[Evidence, dict[bytes, bytes], FileSigner]:
    """Give the evidence of an installation, its photos by digest, and the gateway's key."""
    site = surveyed_site()
    voucher, order = order_for(site, "gw-a")
    installer = Installer("gw-a", site=site)
    installer.signer = FileSigner.from_seed(GATEWAY_SEED)
    installer.voucher = digest_of(voucher)
    photos: dict[bytes, bytes] = {}

    def photo(kind: PhotoKind, shade: int) -> Photo:
        octets = picture(shade)
        digest = hashlib.sha256(octets).digest()
        photos[digest] = octets
        return Photo(digest, kind, NOW, len(octets), "image/png")

    def compared(typed: str, bus: int | None, verdict: str) -> Comparison:
        shown = None if bus is None else Shown(bus, -2, Unit.KWH)
        return Comparison(ENERGY_IMPORT, typed, None, shown, verdict, NOW)

    lat, lon = _CORNER
    units = {node.id: unit.id for unit in site.units for node in site.nodes if node.id == unit.node}
    bound = ["m-bldg-a", "m-u-a101", "m-u-a102", "m-u-a201", "m-u-a202", "m-lift", "m-fire-pump", "m-lobby-ac"]
    for number, name in enumerate(bound):
        meter = site.meter(MeterId(name))
        at = NOW + timedelta(minutes=7 * number)
        findings: tuple[Finding, ...] = ()
        check = compared(f"{1042 + number}.5{number}", 104_250 + number * 101, "equal")
        if name == "m-u-a201":
            told = Names(
                "总线读数与 A202 的显示相符：可能是另一块表", "the bus value is that of A202's display: another meter?"
            )
            findings = (Finding("other-meter", Severity.WRONG, name, told, None),)
            check = compared("20417.80", 104_553, "other-meter")
        if name == "m-lift":
            told = Names("此型号不能由总线读出表号", "this model does not tell its serial number")
            findings = (Finding("serial-unread", Severity.NOTE, name, told, None),)
        if name == "m-lobby-ac":
            told = Names("B 相电流方向相反", "the current of phase B is reversed")
            findings = (Finding("ct-reversed", Severity.DOUBTFUL, name, told, "发电机试运行 generator on test"),)
        made = binding(meter, at, unit=units.get(meter.node), findings=findings)
        place = Place(
            lat + 700 + 350 * (number // 2), lon + 900 + 2_300 * (number % 2), 250, f"{number // 2 + 1}F 弱电井 <A&B>"
        )
        installer.act(
            Bind(
                binding=replace(
                    made,
                    place=place,
                    seal=f"SJ-{40210 + number}",
                    read_serial=None if meter.protocol.is_modbus else meter.serial,
                    comparisons=(check,) if name != "m-fire-pump" else (),
                    photos=(photo(PhotoKind.METER, 40 + number), photo(PhotoKind.DISPLAY, 140 + number)),
                )
            ),
            at,
        )
    old = site.meter(MeterId("m-u-a102"))
    new = replace(old, id=MeterId("m-u-a102-2"), serial="LY7126070095", address="202607000095")
    seen = RegisterSeen(ENERGY_IMPORT, Shown(1834267, -2, Unit.KWH), ReadingSource.TYPED)
    fresh = RegisterSeen(ENERGY_IMPORT, Shown(12, -2, Unit.KWH), ReadingSource.MEASURED)
    installer.act(
        Exchange(
            old=old.id,
            closing=(seen,),
            new=replace(binding(new, later(3), unit="a102"), unit=UnitId("a102")),
            opening=(fresh,),
        ),
        later(3),
    )
    evidence = Evidence(order, installer.signer.public_key, tuple(installer.sealed), None, b"\x5a" * 32)
    return evidence, photos, installer.signer
