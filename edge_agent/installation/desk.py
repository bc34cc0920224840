"""The installation desk: one object between the engineer's faces and the gateway. Every method that returns is on disk.

    begin -> scan -> bind -> read/compare/photograph -> check/accept -> seal -> deliver or package/take_grant
                                                                         `-> exchange, reparent, change_ratio, ...

Safe for several threads and, on one machine, for several processes: the running agent's page and a command line may
work on one journal. Lines are borrowed from the running agent (edge_agent/line_loan.py). docs/adr/0088.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edge_agent.installation import later
from edge_agent.installation.acts import (
    Accepted,
    Begun,
    Checked,
    Claimed,
    Drafted,
    Dropped,
    Scanned,
)
from edge_agent.installation.binding import binding_of_request, port_of
from edge_agent.installation.checking import look_at_everything, look_round, rechecked
from edge_agent.installation.courier import Courier
from edge_agent.installation.desk_core import kept_parts, node_of, with_binding
from edge_agent.installation.desk_later import GROUPS, LaterDesk
from edge_agent.installation.proving import live_meter
from edge_agent.installation.scan_text import scan_text
from edge_agent.installation.searching import search
from edge_agent.installation.standing import blocking, order_shown, worst_open
from edge_agent.installation.view import BindRequest, Delivery, DeskState, LiveMeter, OrderShown, Sealed, Typed, Who
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import meter_key
from edge_agent.line_loan import borrowed
from edge_agent.scanning.result import Progress, ScanResult
from metering.identity import MeterId, PortId
from provisioning.enrolment import Claim
from provisioning.finding_words import printable
from provisioning.installation import (
    Bind,
    Binding,
    Comparison,
    Finding,
    Photo,
    PhotoKind,
    PortChange,
)
from provisioning.keys import read_public_key, write_public_key
from provisioning.signers import make_signer
from provisioning.site import Port, PulsePort
from provisioning.tls_key import write_roots
from provisioning.wiring_proof import Clamp


class Desk(LaterDesk):
    """The desk of one gateway. Opening it finishes what a killed one had begun.

    Methods raise DeskRefused (told in both languages) for what cannot be done now, other MeteringErrors for what is
    wrong with what they were given.
    """

    # -- the order

    def look_at(self, order_file: bytes) -> OrderShown:
        """Open an order file and keep nothing: for comparing the fingerprint. Raises SenderError."""
        return order_shown(self._opened(order_file))

    def begin(
        self, order_file: bytes, who: Who, *, confirmed: str | None = None, claim: str | None = None
    ) -> DeskState:
        """Take the order: keep it, make the gateway's keys. The same order may be taken again.

        confirmed   the fingerprint that a person compared; needed where this machine has no anchor
        claim       the claim as typed; may come later, at the seal at the latest
        """
        order = self._opened(order_file)
        told = order.voucher.fingerprint
        if not order.voucher.is_anchored:
            if confirmed is None:
                raise refused("unconfirmed", fingerprint=told)
            if _plain(confirmed) != _plain(told):
                raise refused("wrong-fingerprint", fingerprint=told, confirmed=confirmed)
        parsed = None if claim is None else Claim.parse(claim)
        before = self._journal.worksheet()
        if before.order is not None and before.order_file != order_file:
            raise refused("order-already", order=before.order.voucher.voucher.order, home=self.home.root)
        make_signer(self.home.signing_key)
        write_public_key(self.home.centre_public_key, order.voucher.centre)
        if order.voucher.voucher.roots:
            write_roots(self.home.keys, order.voucher.voucher.roots)
        with self._journal.writing(who, self._clock.now()) as (sheet, write):
            if sheet.order is None:
                anchor = read_public_key(self.home.anchor).public_key if self.home.anchor.exists() else None
                write(Begun(order_file, anchor, None if order.voucher.is_anchored else told))
            if parsed is not None:
                write(Claimed(parsed.text))
        return self.state()

    def claim(self, text: str, who: Who) -> None:
        """Take the claim as typed; raises ClaimInvalid."""
        claim = Claim.parse(text)
        with self._changing(who) as (sheet, write):
            if sheet.is_sealed:
                raise refused("sealed-already")
            write(Claimed(claim.text))

    # -- meters

    def set_port(self, port: PortId, place: str, who: Who) -> Port:
        """Say where a port of the plan really is: a device path, or host:port."""
        with self._changing(who) as (sheet, write):
            changed = port_of(sheet, port).at(place)
            self._tell(sheet, write, f"port {port}", PortChange(changed), who)
        self._settle()
        return changed

    def scan(
        self,
        port: PortId,
        who: Who,
        progress: Progress,
        stop: threading.Event,
        *,
        is_thorough: bool = False,
        also: Sequence[str] = (),
    ) -> ScanResult:
        """Look for meters on a line until all expected ones are found, `stop` is set or nothing is left to try.

        also   serial numbers that hang there against the plan, such as that of a new meter
        Blocks for minutes. The line is borrowed from the running agent meanwhile; it is read again afterwards.
        """
        sheet = self._begun()
        line = port_of(sheet, port)
        if isinstance(line, PulsePort):
            raise refused("unscannable-port", port=port)
        with borrowed(self.home.state, port, stop) as loan:
            result = search(
                line,
                sheet,
                self.home,
                self._catalogue,
                self._clock,
                progress,
                stop,
                loan=loan,
                every=self._file.marks_of_agent(),
                is_thorough=is_thorough,
                also=also,
            )
        with self._changing(who) as (_, write):
            write(Scanned(port, scan_text(result)))
        return result

    def bind(self, request: BindRequest, who: Who) -> Binding:
        """Put a meter at a node; the same node bound again replaces it until the seal. Says at once what is wrong."""
        with self._changing(who) as (sheet, write):
            binding = binding_of_request(sheet, request, self._catalogue, self._clock.now())
            key = meter_key(binding.meter.id)
            before = sheet.bindings().get(binding.meter.id)
            if before is not None and sheet.draft_of(binding.meter.id) is not None:
                binding = kept_parts(before, binding)
            for other, draft in sheet.drafts.items():
                if other != key and node_of(draft) == binding.meter.node and isinstance(draft.body, Bind):
                    write(Dropped(other))
            self._try(self._without(sheet, key, binding.meter.node), Bind(binding))
            write(Drafted(key, Bind(binding)))
        return binding

    def unbind(self, meter: MeterId, who: Who) -> None:
        """Take back a binding that is not sealed yet."""
        with self._changing(who) as (sheet, write):
            self._draft(sheet, meter)
            write(Dropped(meter_key(meter)))

    def drop(self, key: str, who: Who) -> None:
        """Take back any other draft, by its key (`DeskState.drafts`)."""
        with self._changing(who) as (sheet, write):
            if key not in sheet.drafts:
                raise refused("unknown-draft", key=key, known=", ".join(sheet.drafts) or "-")
            write(Dropped(key))

    def read(self, meter: MeterId, groups: Sequence[str] = GROUPS) -> LiveMeter:
        """Read a bound meter now, for people to look at; keeps nothing."""
        sheet = self._begun()
        return live_meter(self._prover.look_at(sheet, later.meter_there(sheet, meter), groups))

    def compare(self, meter: MeterId, typed: Sequence[Typed], who: Who) -> tuple[Comparison, ...]:
        """Read the meter and compare with what its display showed; kept with the binding, findings as well."""
        sheet = self._begun()
        binding, proofs = self._prover.compared(sheet, self._draft(sheet, meter), typed, self._clock.now(), GROUPS)
        self._amend(
            meter, who, comparisons=binding.comparisons, findings=binding.findings, read_serial=binding.read_serial
        )
        return tuple(proof.comparison for proof in proofs)

    def judge_wiring(
        self, meter: MeterId, who: Who, *, clamps: Sequence[Clamp] = (), is_rotation_right: bool | None = None
    ) -> tuple[Finding, ...]:
        """Read the meter and judge its wiring, with clamp readings and a rotation tester where there are any."""
        sheet = self._begun()
        binding, told = self._prover.wired(
            sheet, self._draft(sheet, meter), clamps=clamps, is_rotation_right=is_rotation_right
        )
        self._amend(meter, who, findings=binding.findings)
        return told

    def photograph(self, meter: MeterId, kind: str, picture: bytes, who: Who) -> Photo:
        """Keep a picture (JPEG or PNG; its metadata is taken out) of kind meter, seal, cabinet or display."""
        try:
            wanted = PhotoKind(kind)
        except ValueError as error:
            raise refused("photo-kind", kind=kind, known=", ".join(PhotoKind)) from error
        binding = self._draft(self._begun(), meter)
        plain = self._pictures.keep(picture)
        photo = Photo(plain.sha256, wanted, self._clock.now(), len(plain.octets), plain.media)
        others = (one for one in binding.photos if one.sha256 != photo.sha256)
        self._amend(meter, who, photos=(*others, photo))
        return photo

    def picture(self, digest: bytes) -> bytes:
        """Give a photo that was kept."""
        return self._pictures.read(digest)

    # -- the whole

    def check(self, who: Who, *, with_meters: bool = True, window_s: int = 0) -> tuple[Finding, ...]:
        """Look at everything; `with_meters` also reads serial numbers and wiring over the bus.

        window_s   read all meters again after so long, and compare energies of parents and children [s]; 0: do not
        """
        sheet = self._begun()
        looks = look_round(sheet, self._reader) if with_meters else None
        again = None
        if looks is not None and window_s:
            self._clock.sleep(window_s)
            again = look_round(sheet, self._reader)
        with self._changing(who) as (sheet, write):
            for meter, binding in ({} if looks is None else rechecked(sheet, looks)).items():
                body = with_binding(sheet.drafts[meter_key(meter)].body, binding)
                write(Drafted(meter_key(meter), body, amends=True))
        with self._changing(who) as (sheet, write):
            write(Checked(look_at_everything(sheet, looks, again, self._clock.now())))
        return worst_open(self._journal.worksheet())

    def accept(self, code: str, subject: str, reason: str, who: Who) -> None:
        """Go on in spite of a finding, for a reason that is signed with it."""
        if not reason.strip():
            raise refused("no-reason")
        with self._changing(who) as (sheet, write):
            if all((one.code, one.subject) != (code, subject) for one in sheet.all_findings()):
                raise refused("unknown-finding", finding=code, subject=subject)
            write(Accepted(code, subject, printable(reason.strip())))

    def seal(self, who: Who) -> Sealed:
        """Sign everything and measure at once; nothing of it needs a network."""
        if not self._begun().is_checked:
            self.check(who)
        with self._changing(who) as (sheet, write):
            if not sheet.drafts:
                raise refused("nothing-bound")
            open_ones = blocking(sheet)
            if open_ones:
                raise refused(
                    "open-findings", count=len(open_ones), first=f"{open_ones[0].code} {open_ones[0].subject}"
                )
            self._sign(sheet, write, tuple(sheet.drafts))
        self._settle()
        sealed = self.state().sealed
        assert sealed is not None
        return sealed

    # -- the way to the centre

    def deliver(self) -> Delivery:
        """Try the gateway's own network once: bundle, photos, later events. Does not raise where the centre is away."""
        sheet = self._begun()
        if not sheet.is_sealed:
            raise refused("not-sealed")
        assert sheet.order is not None
        roots = self.home.roots if sheet.order.voucher.voucher.roots else None
        grant = self._posting.post(Courier(sheet.order.voucher.voucher.centre_url, roots))
        if grant is not None:
            self.take_grant(grant)
        return self.state().delivery

    def package(self) -> bytes:
        """Give the file for a telephone or a stick: all that the centre does not have yet, for it to take in one go."""
        return self._posting.package()

    def take_grant(self, octets: bytes) -> DeskState:
        """Take the centre's answer, which came by whatever way; raises SenderError where it is not for this bundle."""
        self._posting.take_grant(octets)
        self._settle()
        return self.state()


def _plain(text: str) -> str:
    return "".join(text.split()).lower()
