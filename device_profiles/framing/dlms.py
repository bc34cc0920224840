"""DLMS/COSEM as a conversation: link, association, GET, release; over HDLC or the TCP wrapper. Sans I/O.

Theory of operation. A read is a list of attributes. The conversation sets up the link, associates at the lowest level,
by password (LLS) or by GMAC challenges (HLS 5), gets every attribute, several in a request where the meter knows lists,
puts long answers together from their blocks, and releases. The body it returns is the data of the attributes one
behind the other in A-XDR, which ends by itself. An attribute that the meter refuses ends the read, and the association
is released first; one that not every meter of the model has is null-data where it is lacking. Over the wrapper invoke
numbers count requests, so a late answer is noticed; over HDLC frames have numbers, and requests all have number 1, as
meters are used to. Where the profile asks for ciphering, every APDU is encrypted and authenticated, and an answer that
is not is refused.

Secrets come from the gateway's key folder: `password`; `encryption`, `authentication` and our system `title`. The
client's challenge is drawn from a key and a count that is never given twice, so it is fresh and nobody can foresee it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from device_profiles.framing import xdlms
from device_profiles.framing.acse import (
    AUTHENTICATION_REQUIRED,
    GLO_INITIATE_REQUEST,
    GLO_INITIATE_RESPONSE,
    READING,
    AssociationRequest,
    AssociationResponse,
    Conformance,
    Initiate,
    Mechanism,
)
from device_profiles.framing.axdr import NULL, AxdrReader, Data, DataTag, array, length_to_wire, octet_string
from device_profiles.framing.conversation import NO_SECRETS, Conversation, Exchange, MeterSecrets
from device_profiles.framing.dlms_security import GmacKeys, GmacSecurity, NotAuthentic
from device_profiles.framing.dlms_wrapper import WrapperClient, check_port
from device_profiles.framing.errors import AnswerMismatch, ExceptionReply, FrameError
from device_profiles.framing.hdlc import HdlcAddress
from device_profiles.framing.hdlc_link import HdlcClient
from device_profiles.framing.xdlms import Attribute, Block, NewestEntries, Result
from device_profiles.profile import LinkOptions, ReadRequest
from metering.obis import Obis

PDU_OCTETS_MAX = 0xFFFF
LONG_ANSWER_OCTETS_MAX = 1 << 20
LIST_MAX = 16
"""Most attributes of one request: enough to save round trips, few enough for the answer buffers of small meters."""
CHALLENGE_OCTETS = 16
CHALLENGE_OCTETS_MIN = 8
ASSOCIATION = (15, Obis.parse("0-0:40.0.0"))
REPLY_TO_CHALLENGE = 1
_LIST_HEAD_OCTETS = 4
_CIPHER_OCTETS = 22
_ENTRIES_IN_USE = 7

T = TypeVar("T")
Steps = Generator[Exchange, bytes, T]


@dataclass(frozen=True, slots=True)
class DlmsOptions(LinkOptions):
    """How a model is associated with.

    client          number of the client: 16 public, 1 management, others as the maker says
    mechanism       how the client shows who it is
    is_ciphered     whether every APDU is encrypted and authenticated (suite 0)
    address_octets  least length of the meter's HDLC address: 1, 2 or 4; 0 for the shortest that fits
    """

    client: int = 16
    mechanism: Mechanism = Mechanism.LOWEST
    is_ciphered: bool = False
    address_octets: int = 0


@dataclass(frozen=True, slots=True)
class DlmsRead(ReadRequest):
    """Read `attributes`, in this order, in one association. Those that are `optional` may be unknown to the meter."""

    attributes: tuple[Attribute, ...]
    options: DlmsOptions = DlmsOptions()
    optional: frozenset[Attribute] = frozenset()


class Transport(Protocol):
    """What carries APDUs: HDLC or the wrapper. `is_numbered`: its frames have numbers, so requests need none."""

    is_numbered: bool

    def connect(self) -> Steps[None]:
        """Set the link up."""

    def transfer(self, apdu: bytes) -> Steps[bytes]:
        """Send an APDU and give the one that answers it."""

    def release(self) -> Steps[None]:
        """End the association and the link."""


class DlmsCodec:
    """DLMS/COSEM over one kind of link; see `Codec`."""

    def __init__(self, check: Callable[[str], object], transport: Callable[[str, DlmsOptions], Transport]) -> None:
        self._check = check
        self._transport = transport

    def check_address(self, text: str) -> str:
        """Return a well-formed address; raises AddressInvalid."""
        self._check(text)
        return text

    def converse(self, address: str, read: DlmsRead, secrets: MeterSecrets = NO_SECRETS) -> Conversation:
        """Associate, get every attribute, release. What secrets lack is said before anything is sent."""
        transport = self._transport(address, read.options)
        association = _Association(transport, read.options, secrets)
        yield from transport.connect()
        try:
            yield from association.open()
            found = yield from association.attributes(read)
        except ExceptionReply:
            yield from transport.release()
            raise
        yield from transport.release()
        return b"".join(element.to_wire() for element in found)


HDLC = DlmsCodec(
    check=HdlcAddress.server,
    transport=lambda address, options: HdlcClient(
        HdlcAddress.server(address, options.address_octets), HdlcAddress.client(options.client)
    ),
)
WRAPPER = DlmsCodec(
    check=check_port,
    transport=lambda address, options: WrapperClient(check_port(address), options.client),
)


def body_elements(body: bytes) -> tuple[Data, ...]:
    """Split the body of a read into the data of its attributes; raises AxdrError."""
    reader = AxdrReader(body)
    elements: list[Data] = []
    while reader.rest:
        elements.append(reader.data())
    return tuple(elements)


def _required(attribute: Attribute, result: Result) -> Data:
    if isinstance(result, int):
        raise xdlms.refusal(result, str(attribute))
    return result


class _Association:
    """One association, from AARQ to the last answer."""

    def __init__(self, transport: Transport, options: DlmsOptions, secrets: MeterSecrets) -> None:
        self._transport = transport
        self._options = options
        self._secrets = secrets
        self._security: GmacSecurity | None = None
        self._invoke = 0
        self._agreed = Initiate(READING, PDU_OCTETS_MAX)
        self._shown = self._prepare()

    def open(self) -> Steps[None]:
        """Associate; raises ExceptionReply when the meter declines, NotAuthentic when it cannot show who it is."""
        mechanism = self._options.mechanism
        received = yield from self._transport.transfer(self._request().to_wire())
        response = AssociationResponse.from_wire(received)
        if not response.is_accepted:
            raise ExceptionReply(response.diagnostic, f"no association: {response.reason}")
        if (response.diagnostic == AUTHENTICATION_REQUIRED) is not (mechanism is Mechanism.GMAC):
            raise FrameError(f"the meter agreed to another authentication than {mechanism.name}")
        if self._security is not None:
            self._security.meet(response.title)
        self._agreed = Initiate.from_wire(self._opened_initiate(response.user_information))
        if self._security is not None:
            yield from self._challenge(self._security, response.authentication)

    def attributes(self, read: DlmsRead) -> Steps[list[Data]]:
        """Get every attribute, in order; raises ExceptionReply for one that the meter must have."""
        found: list[Data] = []
        for batch in self._batches(read.attributes):
            selection = batch[0].selection
            if isinstance(selection, NewestEntries):
                results: tuple[Result, ...] = ((yield from self._newest(batch[0], selection)),)
            else:
                results = yield from self._get(batch)
            for attribute, result in zip(batch, results, strict=True):
                is_lacked = attribute in read.optional and result in xdlms.LACKED
                found.append(NULL if is_lacked else _required(attribute, result))
        return found

    def _batches(self, attributes: tuple[Attribute, ...]) -> Iterator[tuple[Attribute, ...]]:
        """Cut into requests: one attribute each, or as many as the meter takes where it knows lists."""
        longest = self._agreed.pdu_octets_max or PDU_OCTETS_MAX
        room = longest - _LIST_HEAD_OCTETS - _CIPHER_OCTETS * self._options.is_ciphered
        most = LIST_MAX if self._agreed.conformance & Conformance.MULTIPLE_REFERENCES else 1
        batch: list[Attribute] = []
        left = room
        for attribute in attributes:
            octets = 0 if attribute.selection else len(attribute.to_wire())
            if batch and (attribute.selection or batch[-1].selection or len(batch) == most or octets > left):
                yield tuple(batch)
                batch, left = [], room
            batch.append(attribute)
            left -= octets
        if batch:
            yield tuple(batch)

    def _newest(self, attribute: Attribute, selection: NewestEntries) -> Steps[Result]:
        """Get the newest entries of a profile: how many there are, then those."""
        entries = (yield from self._get((Attribute(attribute.interface, attribute.obis, _ENTRIES_IN_USE),)))[0]
        if isinstance(entries, int):
            return entries
        if not entries.is_integer:
            raise FrameError(f"{attribute.obis} has {entries.tag.name} entries")
        chosen = selection.among(entries.number)
        if chosen is None:
            return array()
        return (yield from self._get((replace(attribute, selection=chosen),)))[0]

    def _get(self, attributes: tuple[Attribute, ...]) -> Steps[tuple[Result, ...]]:
        """Get some attributes by one request."""
        invoke = self._next_invoke()
        answer = yield from self._call(xdlms.get_request(invoke, attributes))
        parsed = xdlms.parse_get_response(answer, invoke, len(attributes))
        if isinstance(parsed, Block):
            return (yield from self._blocks(parsed, invoke, len(attributes)))
        return parsed

    def _blocks(self, block: Block, invoke: int, count: int) -> Steps[tuple[Result, ...]]:
        """Ask for the blocks that follow the first, and read them as one answer."""
        octets, number = b"", 1
        while True:
            if block.number != number or len(octets) > LONG_ANSWER_OCTETS_MAX:
                raise AnswerMismatch(f"block {block.number} of a long answer where block {number} was asked")
            octets += block.octets
            if block.is_last:
                return xdlms.block_results(octets, count)
            answer = yield from self._call(xdlms.get_next(invoke, number))
            parsed = xdlms.parse_get_response(answer, invoke, count)
            if not isinstance(parsed, Block):
                raise AnswerMismatch("a long answer ends without its last block")
            block, number = parsed, number + 1

    def _call(self, apdu: bytes) -> Steps[bytes]:
        """Send a request and give its answer, both protected where the association is."""
        if self._security is None or not self._options.is_ciphered:
            return (yield from self._transport.transfer(apdu))
        answer = yield from self._transport.transfer(self._security.protect_apdu(apdu))
        if answer[:1] == bytes((xdlms.EXCEPTION_RESPONSE,)):
            return answer
        return self._security.open_apdu(answer)

    def _request(self) -> AssociationRequest:
        is_gmac = self._options.mechanism is Mechanism.GMAC
        initiate = Initiate(READING | Conformance.ACTION * is_gmac, PDU_OCTETS_MAX).to_request()
        title = b""
        if self._security is not None:
            title = self._security.title
            if self._options.is_ciphered:
                protected = self._security.protect(initiate)
                initiate = bytes((GLO_INITIATE_REQUEST,)) + length_to_wire(len(protected)) + protected
        return AssociationRequest(self._options.mechanism, initiate, self._shown, title, self._options.is_ciphered)

    def _opened_initiate(self, octets: bytes) -> bytes:
        if self._security is None or not self._options.is_ciphered:
            return octets
        reader = AxdrReader(octets)
        if reader.octet() != GLO_INITIATE_RESPONSE:
            raise NotAuthentic("the meter's initiate response is not protected")
        return self._security.open(reader.string())

    def _prepare(self) -> bytes:
        """Take up what the mechanism wants and give what it shows first: nothing, the password, or our challenge."""
        secrets = self._secrets
        if self._options.mechanism is Mechanism.LOWEST:
            return b""
        if self._options.mechanism is Mechanism.LOW:
            return secrets.secret("password")
        keys = GmacKeys(secrets.secret("encryption"), secrets.secret("authentication"))
        self._security = GmacSecurity(keys, secrets.secret("title"), secrets.next_count)
        fresh = b"challenge" + self._security.title + secrets.next_count().to_bytes(8)
        return hmac.digest(keys.authentication, fresh, hashlib.sha256)[:CHALLENGE_OCTETS]

    def _challenge(self, security: GmacSecurity, theirs: bytes) -> Steps[None]:
        """Answer the meter's challenge, and check its answer to ours."""
        if len(theirs) < CHALLENGE_OCTETS_MIN or theirs == self._shown:
            raise NotAuthentic("the meter's challenge is too short, or our own")
        invoke = self._next_invoke()
        answer = octet_string(security.answer_to(theirs))
        received = yield from self._call(xdlms.action_request(invoke, *ASSOCIATION, REPLY_TO_CHALLENGE, answer))
        returned = xdlms.parse_action_response(received, invoke)
        if returned is None or returned.tag is not DataTag.OCTET_STRING:
            raise NotAuthentic("the meter has not answered our challenge")
        security.check_answer(returned.octets, self._shown)

    def _next_invoke(self) -> int:
        self._invoke = 1 if self._transport.is_numbered else self._invoke % 15 + 1
        return self._invoke
