"""An installation told as a report: which blocks, in which order, in one language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from provisioning.display_explanations import Verdict
from provisioning.finding_words import verdict_words, worst_first
from provisioning.installation import (
    Bind,
    Binding,
    Comparison,
    Decommission,
    Exchange,
    Finding,
    InstallationEvent,
    PhotoKind,
    PortChange,
    RatioChange,
    Reparent,
    Severity,
)
from provisioning.place import E7
from provisioning.report.blocks import (
    Block,
    Card,
    Drawing,
    Figures,
    Grid,
    Heading,
    Pairs,
    Paragraph,
    Picture,
    Pictures,
    Report,
    SignatureLines,
    Text,
    Tone,
)
from provisioning.report.drawings import site_map, trees
from provisioning.report.facts import BoundMeter, Installation
from provisioning.report.words import word
from provisioning.site import NotInSite

_TONES = {Severity.WRONG: Tone.WRONG, Severity.DOUBTFUL: Tone.DOUBTFUL, Severity.NOTE: Tone.FAINT}


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells one installation in one language."""

    installation: Installation
    language: str
    photos: Mapping[bytes, bytes]

    def say(self, key: str, **parts: object) -> str:
        """Give a word."""
        return word(key, self.language, **parts)

    def time(self, instant: datetime) -> str:
        """Give an instant in local time of the site, to the minute, with its offset."""
        local = self.installation.site.calendar.local(instant)
        offset = local.strftime("%z")
        return f"{local:%Y-%m-%d %H:%M} UTC{offset[:3]}:{offset[3:]}"

    def node_name(self, binding: Binding) -> str:
        """Name the node of a meter; one that came with the binding too."""
        try:
            return self.installation.site.node(binding.meter.node).names.of(self.language)
        except NotInSite:
            return binding.meter.node if binding.node is None else binding.node.names.of(self.language)

    def unit_name(self, binding: Binding) -> str:
        """Name the unit that a meter is for."""
        if binding.unit is None:
            return self.say("common")
        try:
            return self.installation.site.unit(binding.unit).names.of(self.language)
        except NotInSite:
            return binding.unit


def compose(installation: Installation, language: str, *, made_at: datetime, photos: Mapping[bytes, bytes]) -> Report:
    """Tell an installation in `language` ("zh" or "en"); `photos` are the pictures at hand by SHA-256."""
    teller = _Teller(installation, language, photos)
    site, gateway = installation.site, installation.gateway
    name = site.gateway(gateway).names.of(language)
    return Report(
        language=language,
        title=teller.say("title"),
        subtitle=f"{site.names.of(language)} — {name}",
        foot=f"{gateway} | {installation.order.voucher.voucher.order} | {installation.fingerprint[:19]}",
        blocks=(
            *_summary(teller, made_at),
            *_overview(teller),
            Heading(teller.say("meters")),
            _table(teller),
            *(_card(teller, number, one) for number, one in enumerate(installation.bound, start=1)),
            *_checks(teller),
            *_missing(teller),
            *_acts(teller),
            *_signatures(teller),
        ),
    )


def _summary(teller: _Teller, made_at: datetime) -> Iterator[Block]:
    done = teller.installation
    standing = [*(finding for _, finding in done.findings), *done.checks]
    doubtful = sum(one.severity is Severity.DOUBTFUL for one in standing)
    agreeing = sum(bool(one.binding.comparisons) and all(map(_agrees, one.binding.comparisons)) for one in done.bound)
    voucher = done.order.voucher.voucher
    expected = len(done.order.plan.expected)
    yield Figures(
        (
            (f"{len(done.bound)} / {expected}", teller.say("bound"), Tone.PLAIN),
            (f"{agreeing} / {len(done.bound)}", teller.say("proven"), _good_if(agreeing == len(done.bound))),
            (str(len(done.missing)), teller.say("missing"), _good_if(not done.missing)),
            (str(done.wrong), teller.say("wrong"), Tone.WRONG if done.wrong else Tone.GOOD),
            (str(doubtful), teller.say("doubtful"), Tone.DOUBTFUL if doubtful else Tone.GOOD),
        )
    )
    times = sorted({teller.time(one.event.at)[:10] for one in done.bound}) or [teller.time(done.finished_at)[:10]]
    state = (
        teller.say("not-granted") if done.granted is None else teller.say("granted", at=teller.time(done.granted.at))
    )
    yield Pairs(
        (
            (teller.say("site"), Text(f"{done.site.names.of(teller.language)} ({done.site.id})")),
            (teller.say("owner"), Text(voucher.owner.of(teller.language))),
            (teller.say("gateway"), Text(f"{done.gateway} ({teller.say('epoch')} {done.epoch})")),
            (teller.say("order"), Text(voucher.order)),
            (teller.say("engineer"), Text(", ".join(sorted({event.by for _, event in done.events})))),
            (teller.say("device"), Text(", ".join(sorted({event.device for _, event in done.events})))),
            (teller.say("installed"), Text(" – ".join(dict.fromkeys((times[0], times[-1]))))),
            (teller.say("made"), Text(teller.time(made_at))),
            (teller.say("standing"), Text(state)),
            (teller.say("gateway-key"), Text(done.fingerprint, Tone.CODE)),
        )
    )
    yield Paragraph(Text(teller.say("pending"), Tone.FAINT))


def _good_if(good: bool) -> Tone:
    return Tone.GOOD if good else Tone.DOUBTFUL


def _agrees(comparison: Comparison) -> bool:
    return any(comparison.verdict == one for one in Verdict if one.agrees)


def _overview(teller: _Teller) -> Iterator[Block]:
    yield Heading(teller.say("tree"))
    yield from trees(teller.installation, teller.language)
    yield Heading(teller.say("map"))
    sketch: Drawing | None = site_map(teller.installation, teller.language)
    yield sketch if sketch is not None else Paragraph(Text(teller.say("map-none"), Tone.FAINT))


def _table(teller: _Teller) -> Grid:
    rows = []
    for number, one in enumerate(teller.installation.bound, start=1):
        meter, first = one.meter, next(iter(one.binding.comparisons), None)
        rows.append(
            (
                Text(str(number)),
                Text(teller.node_name(one.binding)),
                Text(teller.unit_name(one.binding)),
                Text(meter.serial, Tone.CODE),
                Text(f"{meter.port} / {meter.address}", Tone.CODE),
                Text(f"{meter.ct} × {meter.pt}"),
                Text("–" if first is None else first.typed),
                Text("–" if first is None or first.bus is None else str(first.bus)),
                _state(teller, one),
            )
        )
    heads = ("number", "node", "unit", "serial", "bus", "ratio", "display", "bus-value", "verdict")
    return Grid(tuple(map(teller.say, heads)), tuple(rows), (0, 4, 3, 4, 6, 0, 3, 4, 0))


def _state(teller: _Teller, one: BoundMeter) -> Text:
    """Say in one word how a meter stands: by what was found, and by whether its display was compared at all."""
    open_ones = {finding.severity for finding in one.open_findings}
    reasoned = any(finding.accepted is not None for finding in one.binding.findings)
    if Severity.WRONG in open_ones or any(event is one.event for event, _ in teller.installation.unfitting):
        return Text(teller.say("state-wrong"), Tone.WRONG)
    if not one.binding.comparisons:
        return Text(teller.say("no-comparison"), Tone.DOUBTFUL)
    if open_ones or not all(map(_agrees, one.binding.comparisons)):
        return Text(teller.say("state-doubtful"), Tone.DOUBTFUL)
    return Text(teller.say("state-reasoned"), Tone.DOUBTFUL) if reasoned else Text(teller.say("state-good"), Tone.GOOD)


def _card(teller: _Teller, number: int, one: BoundMeter) -> Card:
    meter, binding = one.meter, one.binding
    serial = Text(teller.say("not-read"), Tone.FAINT)
    if binding.read_serial is not None:
        tone = Tone.CODE if binding.read_serial == meter.serial else Tone.WRONG
        serial = Text(binding.read_serial, tone)
    pairs = [
        (teller.say("serial"), Text(meter.serial, Tone.CODE)),
        (teller.say("read-serial"), serial),
        (teller.say("model"), Text(f"{meter.profile}, {meter.protocol}")),
        (teller.say("bus"), Text(f"{meter.port} / {meter.address}", Tone.CODE)),
        (teller.say("ratio"), Text(f"{meter.ct} × {meter.pt} = {meter.multiplier}")),
        (teller.say("seal"), Text(binding.seal or "–", Tone.CODE)),
        (teller.say("place"), Text(_place(binding))),
        (teller.say("bound-at"), Text(f"{teller.time(binding.at)[:16]}, {one.event.by}")),
    ]
    if one.replaced is not None:
        pairs.append((teller.say("replaces"), Text(one.replaced)))
    if one.expected is not None and one.expected.serial not in (None, meter.serial):
        pairs.append((teller.say("planned"), Text(str(one.expected.serial), Tone.DOUBTFUL)))
    found = worst_first(binding.findings)
    blocks: list[Pairs | Grid | Pictures | Paragraph] = [Pairs(tuple(pairs))]
    blocks += [_comparisons(teller, binding)] if binding.comparisons else []
    blocks += [Paragraph(_finding(teller, finding)) for finding in found]
    blocks += [_pictures(teller, binding)] if binding.photos else []
    title = f"{number}  {teller.node_name(binding)}"
    return Card(title, f"{teller.unit_name(binding)}, {meter.id}", _state(teller, one), tuple(blocks))


def _place(binding: Binding) -> str:
    place = binding.place
    if place is None:
        return "–"
    accuracy = "" if place.accuracy_cm is None else f" ± {place.accuracy_cm / 100:.1f} m"
    where = f"{place.lat_e7 / E7:.6f}, {place.lon_e7 / E7:.6f}{accuracy}"
    return where if place.note is None else f"{place.note} ({where})"


def _comparisons(teller: _Teller, binding: Binding) -> Grid:
    rows = tuple(
        (
            Text(str(one.obis)),
            Text(one.typed),
            Text("–" if one.bus is None else str(one.bus)),
            Text(verdict_words(one.verdict).of(teller.language), Tone.GOOD if _agrees(one) else Tone.WRONG),
            Text(teller.time(one.at)[:16]),
        )
        for one in binding.comparisons
    )
    heads = ("register", "display", "bus-value", "verdict", "at")
    return Grid(tuple(map(teller.say, heads)), rows, (2, 2, 3, 4, 3))


def _finding(teller: _Teller, finding: Finding) -> Text:
    told = finding.told.of(teller.language)
    if finding.accepted is None:
        return Text(told, _TONES[finding.severity])
    colon = "：" if teller.language == "zh" else ": "
    tone = Tone.PLAIN if finding.severity is Severity.NOTE else Tone.DOUBTFUL
    return Text(f"{told} — {teller.say('reason')}{colon}{finding.accepted}", tone)


def _pictures(teller: _Teller, binding: Binding) -> Pictures:
    order = list(PhotoKind)
    photos = sorted(binding.photos, key=lambda photo: (order.index(photo.kind), photo.taken_at))
    return Pictures(
        tuple(
            Picture(
                photo.sha256,
                photo.media,
                teller.photos.get(photo.sha256),
                f"{teller.say(f'photo-{photo.kind}')}, {teller.time(photo.taken_at)[:16]}",
            )
            for photo in photos
        )
    )


def _checks(teller: _Teller) -> Iterator[Block]:
    yield Heading(teller.say("checks"))
    if not teller.installation.checks:
        yield Paragraph(Text(teller.say("checks-none"), Tone.GOOD))
    for finding in teller.installation.checks:
        yield Paragraph(_finding(teller, finding))


def _missing(teller: _Teller) -> Iterator[Block]:
    yield Heading(teller.say("missing-title"))
    if not teller.installation.missing:
        yield Paragraph(Text(teller.say("none-missing"), Tone.GOOD))
        return
    site = teller.installation.site
    heads = tuple(map(teller.say, ("node", "serial", "model")))
    rows = tuple(
        (
            Text(site.node(one.node).names.of(teller.language)),
            Text(one.serial or "–", Tone.CODE),
            Text(one.profile or "–"),
        )
        for one in teller.installation.missing
    )
    yield Grid(heads, rows, (3, 3, 3))


def _acts(teller: _Teller) -> Iterator[Block]:
    done = teller.installation
    if done.unfitting:
        yield Heading(teller.say("unfitting-title"))
        for event, why in done.unfitting:
            yield Paragraph(Text(f"{event.id}: {why}", Tone.WRONG))
    yield Heading(teller.say("acts"))
    heads = tuple(map(teller.say, ("number", "at", "act", "who", "device", "digest")))
    rows = tuple(
        (
            Text(str(event.number)),
            Text(teller.time(event.at)[:16]),
            Text(_act(teller, event)),
            Text(event.by),
            Text(event.device),
            Text(digest.hex()[:16], Tone.CODE),
        )
        for digest, event in done.events
    )
    yield Grid(heads, rows, (0, 3, 5, 2, 3, 3))


def _act(teller: _Teller, event: InstallationEvent) -> str:
    body = event.body
    match body:
        case Bind():
            return teller.say("act-bind", meter=body.binding.meter.id, node=body.binding.meter.node)
        case Exchange():
            return teller.say("act-exchange", old=body.old, meter=body.new.meter.id)
        case Reparent():
            return teller.say("act-reparent", node=body.node, parent=body.parent)
        case RatioChange():
            return teller.say("act-ratio-change", meter=body.meter, ct=body.ct, pt=body.pt)
        case Decommission():
            return teller.say("act-decommission", meter=body.meter)
        case PortChange():
            return teller.say("act-port-change", port=body.port.id)
    return teller.say("act-replace", epoch=body.old_epoch, reason=body.reason)


def _signatures(teller: _Teller) -> Iterator[Block]:
    done = teller.installation
    rows = [
        (teller.say("gateway-key"), Text(done.fingerprint, Tone.CODE)),
        (teller.say("centre-key"), Text(done.centre_fingerprint, Tone.CODE)),
    ]
    if done.bundle_digest is not None:
        rows.append((teller.say("bundle"), Text(done.bundle_digest.hex(), Tone.CODE)))
    yield Heading(teller.say("signatures"))
    yield Pairs(tuple(rows))
    yield Paragraph(Text(teller.say("verify"), Tone.FAINT))
    yield SignatureLines((teller.say("sign-installed"), teller.say("sign-checked")))
