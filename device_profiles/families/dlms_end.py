"""The meter's end of DLMS/COSEM for simulation: link, association, objects, long answers, security; any profile.

It associates as the profile's link says and refuses everything else. Its secrets are published ones, since it guards
nothing and whoever is tried on it must know them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from device_profiles.families.family import Registers
from device_profiles.framing import acse, xdlms
from device_profiles.framing.acse import AssociationRequest, AssociationResponse, Conformance, Initiate, Mechanism
from device_profiles.framing.axdr import (
    NULL,
    AxdrReader,
    Data,
    DataTag,
    array,
    integer,
    length_to_wire,
    octet_string,
    structure,
)
from device_profiles.framing.cosem import moment_to_octets, scaler_unit_for
from device_profiles.framing.dlms import ASSOCIATION, REPLY_TO_CHALLENGE, DlmsOptions
from device_profiles.framing.dlms_security import GmacKeys, GmacSecurity, NotAuthentic
from device_profiles.framing.dlms_wrapper import check_port, unwrapped, wrapped
from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.framing.hdlc import HdlcAddress
from device_profiles.framing.hdlc_link import HdlcServer, LinkLimits
from device_profiles.framing.published_secrets import AUTHENTICATION, ENCRYPTION, METER_TITLE, PASSWORD
from device_profiles.framing.xdlms import Attribute, EntryRange
from device_profiles.profile import Channel, ChannelKind
from metering.errors import MeteringError
from metering.obis import Obis

KEYS = GmacKeys(ENCRYPTION, AUTHENTICATION)
PDU_OCTETS = 512
"""Longest APDU of a simulated meter, about that of small real ones."""
_AGREED = acse.READING | Conformance.ACTION
_REJECTED = 1
_WRONG_AUTHENTICATION = 13
_NOT_ALLOWED = bytes((xdlms.EXCEPTION_RESPONSE, 1, 1))
_NOT_DECIPHERED = bytes((xdlms.EXCEPTION_RESPONSE, 1, 5))
_CAPTURE_OBJECTS, _CAPTURE_PERIOD, _ENTRIES_IN_USE = 3, 4, 7
_PERIOD_S = 900


@dataclass(frozen=True, slots=True)
class SimulatedObject:
    """One channel of the profile, where it stands in the meter's objects."""

    channel: Channel
    attribute: Attribute
    column: Attribute | None
    scaler: Attribute | None


class DlmsEnd:
    """One simulated meter."""

    def __init__(
        self,
        objects: tuple[SimulatedObject, ...],
        options: DlmsOptions,
        address: str,
        registers: Registers,
        *,
        is_wrapped: bool,
        limits: LinkLimits | None = None,
        pdu_octets: int = PDU_OCTETS,
    ) -> None:
        self._present = objects[0].channel.obis
        self._registers = registers
        self._server = _Application(_Objects(objects, registers), options, pdu_octets)
        if is_wrapped:
            self._link: Callable[[bytes], bytes | None] = _Wrapper(check_port(address), self._server.respond).answer
        else:
            server = HdlcAddress.server(address, options.address_octets)
            link = HdlcServer(server, self._server.respond, self._server.forget, limits or LinkLimits())
            self._link = link.answer

    def answer(self, received: bytes) -> bytes | None:
        """Give the reply to one request; None when it is not for this meter, or the meter is off the bus."""
        return self._link(received) if self._registers(self._present) is not None else None


class _Wrapper:
    """The wrapper at the meter's end."""

    def __init__(self, port: int, respond: Callable[[bytes], bytes | None]) -> None:
        self._port = port
        self._respond = respond

    def answer(self, received: bytes) -> bytes | None:
        """Give the wrapped answer to one whole request; None when it is for another port."""
        try:
            source, destination, apdu = unwrapped(received)
        except FrameError:
            return None
        response = self._respond(apdu) if destination == self._port else None
        return None if response is None else wrapped(self._port, source, response)


class _Objects:
    """What the meter holds, by attribute."""

    def __init__(self, objects: tuple[SimulatedObject, ...], registers: Registers) -> None:
        self._registers = registers
        self._shown: dict[Attribute, Channel] = {}
        self._scalers: dict[Attribute, Data] = {}
        self._columns: dict[Obis, dict[Attribute, Channel]] = {}
        for each in objects:
            if each.scaler is not None:
                self._scalers[each.scaler] = scaler_unit_for(each.channel.unit, each.channel.exponent).to_data()
            if each.column is not None:
                self._columns.setdefault(each.attribute.obis, {})[each.column] = each.channel
            else:
                self._shown[each.attribute] = each.channel

    def result(self, attribute: Attribute) -> Data | int:
        """Give an attribute's data, or why not."""
        if attribute.obis in self._columns:
            return self._of_profile(attribute, self._columns[attribute.obis])
        if attribute in self._scalers:
            return self._scalers[attribute]
        if attribute in self._shown:
            return self._data(self._shown[attribute])
        return xdlms.OBJECT_UNDEFINED

    def _of_profile(self, attribute: Attribute, columns: dict[Attribute, Channel]) -> Data | int:
        if attribute.number == _CAPTURE_OBJECTS:
            return array(*(xdlms.capture_object(column) for column in columns))
        if attribute.number == _CAPTURE_PERIOD:
            return integer(DataTag.DOUBLE_LONG_UNSIGNED, _PERIOD_S)
        if attribute.number == _ENTRIES_IN_USE:
            return integer(DataTag.DOUBLE_LONG_UNSIGNED, 1)
        selection = attribute.selection
        if isinstance(selection, EntryRange) and not selection.first <= 1 <= (selection.last or 1):
            return array()
        return array(structure(*(self._data(channel) for channel in columns.values())))

    def _data(self, channel: Channel) -> Data:
        register = self._registers(channel.obis)
        if register is None:
            return NULL
        if channel.kind is ChannelKind.TIME:
            return octet_string(moment_to_octets(register))
        if channel.kind is ChannelKind.STATE:
            return integer(DataTag.LONG64_UNSIGNED, register)
        mantissa = channel.mantissa_at(register)
        if mantissa < 0:
            return integer(DataTag.DOUBLE_LONG if mantissa >= -(2**31) else DataTag.LONG64, mantissa)
        is_short = mantissa < 2**32
        return integer(DataTag.DOUBLE_LONG_UNSIGNED if is_short else DataTag.LONG64_UNSIGNED, mantissa)


class _Application:
    """Association and services, one client at a time."""

    def __init__(self, objects: _Objects, options: DlmsOptions, pdu_octets: int) -> None:
        self._objects = objects
        self._options = options
        self._pdu_octets = pdu_octets
        self._counter = 0
        self._challenges = 0
        self.forget()

    def forget(self) -> None:
        """End the association."""
        self._is_open = False
        self._security: GmacSecurity | None = None
        self._ours = self._theirs = b""
        self._long: list[bytes] = []
        self._block_octets = self._pdu_octets

    def respond(self, apdu: bytes) -> bytes | None:
        """Give the APDU that answers; whatever comes, there is an answer or none, never an error."""
        if not apdu:
            return None
        try:
            if apdu[:1] == bytes((acse.AARQ,)):
                return self._associate(AssociationRequest.from_wire(apdu))
            if apdu[:1] == bytes((acse.RLRQ,)):
                self.forget()
                return acse.release_response()
            return self._served(apdu)
        except NotAuthentic:
            return _NOT_DECIPHERED
        except (FrameError, ExceptionReply, MeteringError):
            return _NOT_ALLOWED

    def _associate(self, request: AssociationRequest) -> bytes:
        self.forget()
        options = self._options
        is_right = request.mechanism is options.mechanism and request.is_ciphered is options.is_ciphered
        if options.mechanism is Mechanism.LOW:
            is_right = is_right and request.authentication == PASSWORD
        if not is_right:
            return AssociationResponse(_REJECTED, _WRONG_AUTHENTICATION, b"\x0e\x01\x06\x01").to_wire()
        is_gmac = options.mechanism is Mechanism.GMAC
        if is_gmac:
            self._security = GmacSecurity(KEYS, METER_TITLE, self._next_count)
            self._security.meet(request.title)
            self._challenges += 1
            self._theirs = request.authentication
            self._ours = hashlib.sha256(b"simulated %d" % self._challenges).digest()[:16]
        asked = Initiate.from_wire(self._opened(request.user_information))
        self._block_octets = min(self._pdu_octets, asked.pdu_octets_max or self._pdu_octets)
        self._is_open = not is_gmac
        agreed = Initiate(asked.conformance & _AGREED, self._pdu_octets).to_response()
        return AssociationResponse(
            result=acse.ACCEPTED,
            diagnostic=acse.AUTHENTICATION_REQUIRED if is_gmac else 0,
            user_information=self._protected(agreed),
            authentication=self._ours,
            title=METER_TITLE if is_gmac else b"",
            is_ciphered=options.is_ciphered,
        ).to_wire()

    def _served(self, apdu: bytes) -> bytes:
        security = self._security if self._options.is_ciphered else None
        request = apdu if security is None else security.open_apdu(apdu)
        reader = AxdrReader(request)
        tag, form, invoke = reader.take(3)
        if tag == xdlms.ACTION_REQUEST:
            response = self._answer_challenge(reader, invoke)
        elif tag == xdlms.GET_REQUEST and self._is_open:
            response = self._got(reader, form, invoke)
        else:
            response = None
        if response is None:
            return _NOT_ALLOWED
        if security is None:
            return response
        return security.protect_apdu(response, is_general=apdu[0] == xdlms.GENERAL_CIPHERED)

    def _answer_challenge(self, reader: AxdrReader, invoke: int) -> bytes | None:
        called = (reader.unsigned(2), Obis.from_wire(reader.take(6)), reader.octet())
        if self._security is None or called != (*ASSOCIATION, REPLY_TO_CHALLENGE) or not reader.octet():
            return None
        self._security.check_answer(reader.data().octets, self._ours)
        self._is_open = True
        answer = octet_string(self._security.answer_to(self._theirs))
        return bytes((xdlms.ACTION_RESPONSE, xdlms.NORMAL, invoke, 0, 1, 0)) + answer.to_wire()

    def _got(self, reader: AxdrReader, form: int, invoke: int) -> bytes | None:
        if form == xdlms.NEXT_OR_BLOCK:
            return self._block(invoke, reader.unsigned(4) + 1)
        count = reader.octet() if form == xdlms.WITH_LIST else 1
        attributes = [Attribute.read(reader) for _ in range(count)]
        reader.require_end()
        found = [self._objects.result(attribute) for attribute in attributes]
        whole = b"".join(bytes((1, each)) if isinstance(each, int) else b"\0" + each.to_wire() for each in found)
        if form == xdlms.WITH_LIST:
            whole = bytes((count,)) + whole
        if len(whole) + 3 <= self._block_octets or (form == xdlms.NORMAL and isinstance(found[0], int)):
            return bytes((xdlms.GET_RESPONSE, form, invoke)) + whole
        longest = self._block_octets - 16
        raw = whole[1:] if form == xdlms.NORMAL else whole
        self._long = [raw[at : at + longest] for at in range(0, len(raw), longest)]
        return self._block(invoke, 1)

    def _block(self, invoke: int, number: int) -> bytes | None:
        if not 1 <= number <= len(self._long):
            return None
        octets = self._long[number - 1]
        head = bytes((xdlms.GET_RESPONSE, xdlms.NEXT_OR_BLOCK, invoke, number == len(self._long)))
        return head + number.to_bytes(4) + b"\0" + length_to_wire(len(octets)) + octets

    def _opened(self, initiate: bytes) -> bytes:
        if self._security is None or not self._options.is_ciphered:
            return initiate
        reader = AxdrReader(initiate)
        if reader.octet() != acse.GLO_INITIATE_REQUEST:
            raise NotAuthentic("not protected")
        return self._security.open(reader.string())

    def _protected(self, initiate: bytes) -> bytes:
        if self._security is None or not self._options.is_ciphered:
            return initiate
        protected = self._security.protect(initiate)
        return bytes((acse.GLO_INITIATE_RESPONSE,)) + length_to_wire(len(protected)) + protected

    def _next_count(self) -> int:
        self._counter += 1
        return self._counter
