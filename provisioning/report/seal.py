"""How a report file carries its evidence and its seal, in HTML and in PDF, without being any less HTML or PDF.

Theory of operation. Both are lines that readers of the format pass over: in HTML a comment at the end, in PDF comment
lines before `startxref` (ISO 32000-2, 7.2.4: a comment counts as one white-space sign). No offset of a PDF lies behind
them, and its last lines stay those that a reader looks for.

    metertree-evidence   base64 of the evidence, in lines of 120 signs
    metertree-seal       base64 of COSE_Sign1 over [tag, SHA-256 of the file without both lines, that of the evidence]

A file is read only in the form in which it is written: it is taken apart, put together again and compared.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from enum import StrEnum

from metering.envelope import (
    EnvelopeMalformed,
    Signer,
    Verifier,
    decode_canonical,
    encode,
    parse_sign1,
    sign1,
)
from metering.errors import SenderError
from metering.identity import KeyId

SEAL_TAG = "metertree-report/1"
REPORT_OCTETS_MAX = 256 * 1024 * 1024
_SEAL_OCTETS_MAX = 1024
_LINE = 120


class ReportFileInvalid(SenderError):
    """A file is no report of ours, or was changed. The text says what, and the mend."""

    reason = "report-invalid"


class ReportKind(StrEnum):
    """The format of a report file."""

    HTML = "html"
    PDF = "pdf"


_OPENING = {ReportKind.HTML: ("<!--", "\n-->\n"), ReportKind.PDF: ("%", "\n")}


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A report file taken apart: the bare document, its evidence, and its seal, None where it has none."""

    kind: ReportKind
    body: bytes
    evidence: bytes
    seal: bytes | None

    def to_octets(self) -> bytes:
        """Give the file."""
        lines = _lines(self.kind, "metertree-evidence", self.evidence)
        if self.seal is not None:
            lines += _lines(self.kind, "metertree-seal", self.seal)
        if self.kind is ReportKind.HTML:
            return self.body + lines
        place = _before_startxref(self.body)
        return self.body[:place] + lines + self.body[place:]

    def sealed(self, signer: Signer) -> ReportFile:
        """Give the file with a seal of `signer`."""
        return ReportFile(self.kind, self.body, self.evidence, sign1(self._sealed_payload(), signer))

    def sealing_key(self) -> KeyId | None:
        """Give the key id that the seal names, unproven; raises ReportFileInvalid."""
        if self.seal is None:
            return None
        try:
            return parse_sign1(self.seal, _SEAL_OCTETS_MAX).key_id
        except EnvelopeMalformed as error:
            raise ReportFileInvalid(f"the seal is not one: {error}; take the file from its source again") from error

    def require_seal(self, verifier: Verifier) -> None:
        """Require that the seal is `verifier`'s and of this very file; raises ReportFileInvalid or SignatureInvalid."""
        if self.seal is None:
            raise ReportFileInvalid("the file has no seal: have it made at the gateway, or with --key")
        try:
            message = parse_sign1(self.seal, _SEAL_OCTETS_MAX)
            message.require(verifier)
            payload = decode_canonical(message.payload)
        except EnvelopeMalformed as error:
            raise ReportFileInvalid(f"the seal is not one: {error}; take the file from its source again") from error
        if encode(payload) != self._sealed_payload():
            raise ReportFileInvalid("the file was changed after it was sealed: take it from its source again")

    def _sealed_payload(self) -> bytes:
        digests = [hashlib.sha256(part).digest() for part in (self.body, self.evidence)]
        return encode([SEAL_TAG, *digests])


def _lines(kind: ReportKind, name: str, octets: bytes) -> bytes:
    text = base64.b64encode(octets).decode()
    rows = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    opening, closing = _OPENING[kind]
    if kind is ReportKind.HTML:
        return "\n".join((opening + name, *rows)).encode() + closing.encode()
    return "".join(f"%{row}\n" for row in (name, *rows, f"{name}-end")).encode()


def _before_startxref(body: bytes) -> int:
    place = body.rfind(b"startxref")
    if place <= 0 or body[place - 1 : place] not in (b"\n", b"\r"):
        raise ReportFileInvalid("not a PDF: it has no startxref")
    return place


def read_report_file(octets: bytes) -> ReportFile:
    """Take a report file apart; raises ReportFileInvalid. Nothing is proven by that."""
    if len(octets) > REPORT_OCTETS_MAX:
        raise ReportFileInvalid(f"more than {REPORT_OCTETS_MAX // 1024 // 1024} MiB: not a report of ours")
    kind = ReportKind.PDF if octets.startswith(b"%PDF-") else ReportKind.HTML
    marks = _Marks(kind)
    start = octets.rfind(marks.opening("metertree-evidence"))
    if start < 0:
        raise ReportFileInvalid(
            "the file carries no evidence: it is no report of ours, or was saved by another program"
        )
    evidence, place = marks.read(octets, "metertree-evidence", start)
    seal = None
    if octets.startswith(marks.opening("metertree-seal"), place):
        seal, place = marks.read(octets, "metertree-seal", place)
    found = ReportFile(kind, octets[:start] + octets[place:], evidence, seal)
    if (kind is ReportKind.HTML and place != len(octets)) or found.to_octets() != octets:
        raise ReportFileInvalid("the file was changed after it was made: take it from its source again")
    return found


@dataclass(frozen=True, slots=True)
class _Marks:
    """Where evidence and seal begin and end in a file of one kind."""

    kind: ReportKind

    def opening(self, name: str) -> bytes:
        """Give the line that begins a part."""
        return f"{_OPENING[self.kind][0]}{name}\n".encode()

    def read(self, octets: bytes, name: str, start: int) -> tuple[bytes, int]:
        """Give what stands between the marks, and where the file goes on."""
        begin = start + len(self.opening(name))
        closing = b"-->\n" if self.kind is ReportKind.HTML else f"%{name}-end\n".encode()
        end = octets.find(closing, begin)
        if end < 0:
            raise ReportFileInvalid("the file is cut short: take it from its source again")
        text = octets[begin:end].replace(b"%", b"") if self.kind is ReportKind.PDF else octets[begin:end]
        try:
            return base64.b64decode(text.replace(b"\n", b""), validate=True), end + len(closing)
        except binascii.Error as error:
            raise ReportFileInvalid(f"{name} is damaged: take the file from its source again") from error
