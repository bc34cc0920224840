"""The label of a gateway's cabinet, 100 x 70 mm, as SVG and PDF: whose it is, its key's fingerprint, the meters in it.

Its QR code is a link to the gateway's page at the centre, with epoch and fingerprint behind the #, which no server is
sent: who stands before the cabinet compares the machine's own page, the label and the centre. Nothing on it is secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

from provisioning.paper.fonts import ChineseFont
from provisioning.paper.qr import qr_path
from provisioning.paper.typesetting import set_paper
from provisioning.report import svg
from provisioning.report.facts import Installation
from provisioning.site import Names, NotInSite

PX_PER_MM = 6
WIDTH, HEIGHT = 100 * PX_PER_MM, 70 * PX_PER_MM
ROWS_MAX = 14
"""Meters that have room on a label; of more the number is told."""
_QR_WIDTH = 204
_GROUPS_OF_A_LINE = 8


@dataclass(frozen=True, slots=True)
class CabinetLabel:
    """What a label says. `meters` are number, name of the node, serial; `installed` the local day."""

    site: Names
    gateway: str
    names: Names
    epoch: int
    fingerprint: str
    link: str
    order: str
    installed: str
    meters: tuple[tuple[int, str, str], ...]


def label_of(installation: Installation) -> CabinetLabel:
    """Give the label of an installation."""
    site, voucher = installation.site, installation.order.voucher.voucher
    meters = []
    for number, one in enumerate(installation.bound, start=1):
        try:
            name = site.node(one.meter.node).names.zh
        except NotInSite:
            name = str(one.meter.node)
        meters.append((number, name, one.meter.serial))
    digits = installation.fingerprint.replace(" ", "")
    return CabinetLabel(
        site=site.names,
        gateway=str(installation.gateway),
        names=site.gateway(installation.gateway).names,
        epoch=installation.epoch,
        fingerprint=installation.fingerprint,
        link=f"{voucher.centre_url.rstrip('/')}/fleet/{installation.gateway}#{installation.epoch}.{digits}",
        order=voucher.order,
        installed=f"{site.calendar.local(installation.finished_at):%Y-%m-%d}",
        meters=tuple(meters),
    )


def label_svg(label: CabinetLabel) -> str:
    """Draw a label; raises PaperImpossible where QR codes cannot be made."""
    return svg.drawing(WIDTH, HEIGHT, _parts(label), f"{label.site.en}, {label.gateway}", px_per_mm=PX_PER_MM)


def label_pdf(label: CabinetLabel, *, dated: datetime, font: ChineseFont | None = None) -> bytes:
    """Give the label as a PDF of its true size; raises PaperImpossible or FontMissing."""
    template = files("provisioning").joinpath("label.typ")
    title = f"{label.site.zh} {label.gateway}"
    return set_paper(template, {"title": title}, files={"label.svg": label_svg(label).encode()}, dated=dated, font=font)


def _parts(label: CabinetLabel) -> Iterator[str]:
    yield svg.box(1, 1, WIDTH - 2, HEIGHT - 2, stroke=svg.ACCENT, radius=12)
    yield f'<path d="M1 13a12 12 0 0 1 12-12h{WIDTH - 26}a12 12 0 0 1 12 12v43h{2 - WIDTH}z" fill="{svg.ACCENT}"/>'
    yield svg.text(20, 37, "计量网关", size=25, fill=svg.PAPER, bold=True)
    yield svg.text(132, 36, "Metering gateway", size=17, fill=svg.PAPER)
    yield svg.text(WIDTH - 20, 37, svg.fitted(label.gateway, 24, 250), size=24, fill=svg.PAPER, anchor="end", bold=True)
    yield qr_path(label.link, x=8, y=60, width=_QR_WIDTH)
    x, width = _QR_WIDTH + 18, WIDTH - _QR_WIDTH - 36
    yield svg.text(x, 90, svg.fitted(label.site.zh, 21, width), size=21, bold=True)
    yield svg.text(x, 110, svg.fitted(label.site.en, 14, width), size=14, fill=svg.FAINT)
    yield svg.text(x, 139, svg.fitted(label.names.zh, 17, width), size=17)
    yield svg.text(x, 157, svg.fitted(label.names.en, 13, width), size=13, fill=svg.FAINT)
    yield svg.text(x, 186, f"密钥指纹 Key fingerprint（纪元 epoch {label.epoch}）", size=12, fill=svg.FAINT)
    groups = label.fingerprint.split(" ")
    for line, start in enumerate(range(0, len(groups), _GROUPS_OF_A_LINE)):
        shown = "  ".join(groups[start : start + _GROUPS_OF_A_LINE])
        yield svg.text(x, 208 + 21 * line, shown, size=16.5, bold=True, letter_by_letter=True)
    yield svg.text(x, 253, f"{label.order}, {label.installed}", size=12, fill=svg.FAINT)
    yield svg.path([(16, 270), (WIDTH - 16, 270)], stroke=svg.LINE)
    yield from _meters(label)


def _meters(label: CabinetLabel) -> Iterator[str]:
    """List the meters in two columns, and say how many have no room."""
    count = len(label.meters)
    shown = label.meters if count <= ROWS_MAX else label.meters[: ROWS_MAX - 1]
    half = ROWS_MAX // 2
    column_width = (WIDTH - 48) / 2
    for place, (number, name, serial) in enumerate(shown):
        x, y = 18 + (place // half) * (column_width + 12), 291 + (place % half) * 18.5
        yield svg.text(x + 16, y, str(number), size=12, fill=svg.ACCENT, anchor="end", bold=True)
        yield svg.text(x + 24, y, svg.fitted(name, 13, 118), size=13)
        yield svg.text(x + 146, y, svg.fitted(serial, 13, column_width - 146), size=13, fill=svg.FAINT)
    if count > len(shown):
        rest = count - len(shown)
        x, y = 18 + column_width + 12 + 24, 291 + (half - 1) * 18.5
        yield svg.text(x, y, f"另 {rest} 块，见报告 · {rest} more, see the report", size=13, fill=svg.FAINT)
