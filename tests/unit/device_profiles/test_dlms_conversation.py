"""Whole reads of simulated DLMS meters: associations of each kind, lists, blocks, segments, and everybody who lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest

from device_profiles.families.dlms import DlmsSource
from device_profiles.families.dlms_end import DlmsEnd, SimulatedObject
from device_profiles.framing import acse, axdr, dlms, hdlc, xdlms
from device_profiles.framing.acse import AssociationResponse, Initiate, Mechanism
from device_profiles.framing.axdr import DataTag
from device_profiles.framing.conversation import NO_SECRETS, Exchange, MeterSecrets, SecretMissing, drive
from device_profiles.framing.dlms import DlmsOptions, DlmsRead, body_elements
from device_profiles.framing.dlms_security import COUNTER_MAX, GmacKeys, GmacSecurity, NotAuthentic, SecretUnfit
from device_profiles.framing.dlms_wrapper import unwrapped, wrapped
from device_profiles.framing.errors import AddressInvalid, AddressMismatch, AnswerMismatch, ExceptionReply, FrameError
from device_profiles.framing.hdlc import HdlcAddress, HdlcFrame
from device_profiles.framing.hdlc_link import LLC_REPLY, LinkLimits
from device_profiles.framing.published_secrets import AUTHENTICATION, ENCRYPTION, METER_TITLE, PublishedSecrets
from device_profiles.framing.xdlms import Attribute, Block, ClockRange, EntryRange, NewestEntries
from device_profiles.profile import Channel, ChannelKind
from metering.errors import MeterError
from metering.obis import Obis
from metering.quantity import Unit

KINDS = {
    "lowest": DlmsOptions(16),
    "low": DlmsOptions(1, Mechanism.LOW),
    "gmac": DlmsOptions(1, Mechanism.GMAC),
    "ciphered": DlmsOptions(1, Mechanism.GMAC, is_ciphered=True),
}
REGISTERS = {Obis.parse(f"1-0:1.8.{tariff}"): 1000 + tariff for tariff in range(20)}


def attribute(obis: Obis, number: int = 2) -> Attribute:
    """Give an attribute of a register."""
    return Attribute(3, obis, number)


def objects(count: int) -> tuple[SimulatedObject, ...]:
    """Give `count` energy registers that count in Wh."""
    channels = [
        Channel(obis, Unit.WH, 0, ChannelKind.COUNTER, None, DlmsSource(attribute(obis)))
        for obis in list(REGISTERS)[:count]
    ]
    return tuple(
        SimulatedObject(channel, attribute(channel.obis), None, attribute(channel.obis, 3)) for channel in channels
    )


class Meter:
    """A simulated meter behind a line that can be spoilt."""

    def __init__(
        self,
        options: DlmsOptions,
        *,
        count: int = 2,
        is_wrapped: bool = False,
        limits: LinkLimits | None = None,
        pdu_octets: int = 512,
    ) -> None:
        self.is_wrapped = is_wrapped
        self.end = DlmsEnd(
            objects(count),
            options,
            self.address,
            REGISTERS.get,
            is_wrapped=is_wrapped,
            limits=limits,
            pdu_octets=pdu_octets,
        )
        self.carried: list[tuple[bytes, bytes]] = []
        self.spoil: Callable[[int, bytes], bytes] = lambda _, octets: octets

    @property
    def address(self) -> str:
        """How the meter is called."""
        return "1" if self.is_wrapped else "1/17"

    def carry(self, exchange: Exchange) -> bytes:
        """Carry out one exchange."""
        reply = self.spoil(len(self.carried), self.end.answer(exchange.request) or b"")
        self.carried.append((exchange.request, reply))
        return reply

    def read(self, read: DlmsRead, secrets: MeterSecrets | None = None) -> tuple[axdr.Data, ...]:
        """Hold the conversation."""
        codec = dlms.WRAPPER if self.is_wrapped else dlms.HDLC
        return body_elements(drive(codec.converse(self.address, read, secrets or PublishedSecrets()), self.carry))

    def answers(self) -> list[bytes]:
        """Give the APDUs that the meter sent, segments left out."""
        if self.is_wrapped:
            return [unwrapped(reply)[2] for _, reply in self.carried]
        frames = [frame for _, reply in self.carried for frame in hdlc.scan(reply)[0]]
        return [frame.information[3:] for frame in frames if frame.information[:3] == LLC_REPLY]


def everything(count: int) -> tuple[Attribute, ...]:
    """Give scaler and number of `count` registers."""
    return tuple(attribute(obis, number) for obis in list(REGISTERS)[:count] for number in (3, 2))


def numbers(elements: Sequence[axdr.Data]) -> list[int]:
    """Give the numbers among scalers and numbers."""
    return [element.number for element in elements[1::2]]


@pytest.mark.parametrize("is_wrapped", [False, True], ids=["hdlc", "wrapper"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_meter_is_read_by_each_kind_of_association(kind: str, is_wrapped: bool) -> None:
    meter = Meter(KINDS[kind], is_wrapped=is_wrapped)
    assert numbers(meter.read(DlmsRead(everything(2), KINDS[kind]))) == [1000, 1001]
    assert numbers(meter.read(DlmsRead(everything(2), KINDS[kind]))) == [1000, 1001]


@pytest.mark.parametrize("is_wrapped", [False, True], ids=["hdlc", "wrapper"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pdu_octets", [60, 100, 512])
@pytest.mark.parametrize("octets", [16, 128])
def test_long_answers_are_put_together(kind: str, is_wrapped: bool, pdu_octets: int, octets: int) -> None:
    limits = LinkLimits(sends=octets, takes=octets)
    meter = Meter(KINDS[kind], count=20, is_wrapped=is_wrapped, limits=limits, pdu_octets=pdu_octets)
    found = meter.read(DlmsRead(everything(20), KINDS[kind]))
    assert numbers(found) == list(REGISTERS.values())


def test_a_request_is_no_longer_than_the_meter_takes() -> None:
    meter = Meter(KINDS["lowest"], count=20, is_wrapped=True, pdu_octets=100)
    meter.read(DlmsRead(everything(20), KINDS["lowest"]))
    requests = [unwrapped(request)[2] for request, _ in meter.carried]
    assert all(len(request) <= 100 for request in requests)
    assert sum(request[:2] == b"\xc0\x03" for request in requests) == 5


def test_a_meter_without_lists_is_asked_one_by_one() -> None:
    options = KINDS["lowest"]
    meter = Meter(options, is_wrapped=True)
    plain = Initiate(0x1015, 512).to_response()

    def without_lists(at: int, octets: bytes) -> bytes:
        if at:
            return octets
        source, destination, _ = unwrapped(octets)
        return wrapped(source, destination, AssociationResponse(0, 0, plain).to_wire())

    meter.spoil = without_lists
    assert numbers(meter.read(DlmsRead(everything(2), options))) == [1000, 1001]
    assert [unwrapped(request)[2][1] for request, _ in meter.carried[1:-1]] == [1, 1, 1, 1]


def test_requests_over_the_wrapper_are_numbered() -> None:
    meter = Meter(KINDS["lowest"], count=20, is_wrapped=True, pdu_octets=60)
    meter.read(DlmsRead(everything(20), KINDS["lowest"]))
    invokes = [unwrapped(request)[2][2] & 0x0F for request, _ in meter.carried[1:-1]]
    assert set(invokes) >= {1, 2, 3}


def test_a_late_answer_over_the_wrapper_is_not_taken_for_the_next() -> None:
    meter = Meter(KINDS["lowest"], count=20, is_wrapped=True, pdu_octets=60)
    seen: list[bytes] = []

    def late(at: int, octets: bytes) -> bytes:
        seen.append(octets)
        return seen[1] if at == 2 else octets

    meter.spoil = late
    with pytest.raises(AnswerMismatch):
        meter.read(DlmsRead(everything(20), KINDS["lowest"]))


def test_the_association_is_released_though_the_meter_refuses() -> None:
    unknown = Attribute(3, Obis.parse("1-0:99.8.0"), 2)
    meter = Meter(KINDS["lowest"], is_wrapped=True)
    with pytest.raises(ExceptionReply, match=r"object undefined \(class 3, 1-0:99.8.0, attribute 2\)") as caught:
        meter.read(DlmsRead((*everything(1), unknown), KINDS["lowest"]))
    assert caught.value.code == xdlms.OBJECT_UNDEFINED
    assert unwrapped(meter.carried[-1][0])[2] == acse.release_request()


@pytest.mark.parametrize("kind", KINDS)
def test_what_not_every_meter_has_is_null_where_it_is_lacking(kind: str) -> None:
    unknown = Attribute(3, Obis.parse("1-0:99.8.0"), 2)
    read = DlmsRead((unknown, *everything(1)), KINDS[kind], frozenset({unknown}))
    found = Meter(KINDS[kind]).read(read)
    assert found[0] == axdr.NULL
    assert found[2].number == 1000


@pytest.mark.parametrize("is_wrapped", [False, True], ids=["hdlc", "wrapper"])
def test_silence_at_the_release_is_no_fault(is_wrapped: bool) -> None:
    meter = Meter(KINDS["lowest"], is_wrapped=is_wrapped)
    meter.spoil = lambda at, octets: b"" if at == (2 if is_wrapped else 3) else octets
    assert numbers(meter.read(DlmsRead(everything(1), KINDS["lowest"]))) == [1000]
    assert meter.carried[-1][1] == b""


class Changed(PublishedSecrets):
    """Secrets of which some are others."""

    def __init__(self, **changed: bytes) -> None:
        super().__init__()
        self._changed = changed

    def secret(self, name: str) -> bytes:
        """Give a secret."""
        return self._changed.get(name) or super().secret(name)


@pytest.mark.parametrize("is_wrapped", [False, True], ids=["hdlc", "wrapper"])
def test_a_wrong_password_is_refused_and_said_so(is_wrapped: bool) -> None:
    meter = Meter(KINDS["low"], is_wrapped=is_wrapped)
    with pytest.raises(ExceptionReply, match="wrong password or key"):
        meter.read(DlmsRead(everything(1), KINDS["low"]), Changed(password=b"12345678"))
    assert numbers(meter.read(DlmsRead(everything(1), KINDS["low"]))) == [1000]


@pytest.mark.parametrize("kind", ["gmac", "ciphered"])
@pytest.mark.parametrize("name", ["encryption", "authentication"])
def test_a_wrong_key_reads_nothing(kind: str, name: str) -> None:
    with pytest.raises(MeterError):
        Meter(KINDS[kind]).read(DlmsRead(everything(1), KINDS[kind]), Changed(**{name: bytes(16)}))


@pytest.mark.parametrize(("name", "octets"), [("encryption", b"short"), ("title", b"seven77")])
def test_a_secret_of_another_form_is_refused_before_it_is_used(name: str, octets: bytes) -> None:
    meter = Meter(KINDS["ciphered"], is_wrapped=True)
    with pytest.raises(SecretUnfit, match="key folder"):
        meter.read(DlmsRead(everything(1), KINDS["ciphered"]), Changed(**{name: octets}))
    assert meter.carried == []


@pytest.mark.parametrize("kind", ["low", "gmac", "ciphered"])
def test_a_secret_that_is_not_there_is_said_before_anything_is_sent(kind: str) -> None:
    meter = Meter(KINDS[kind])
    with pytest.raises(SecretMissing, match="key folder"):
        meter.read(DlmsRead(everything(1), KINDS[kind]), NO_SECRETS)
    assert meter.carried == []


def test_keys_are_never_shown() -> None:
    keys = GmacKeys(ENCRYPTION, AUTHENTICATION)
    request = acse.AssociationRequest(Mechanism.LOW, b"", b"00000000")
    for text in (repr(keys), repr(request)):
        assert ENCRYPTION.hex() not in text
        assert "00000000" not in text
        assert repr(ENCRYPTION)[2:-1] not in text


@pytest.mark.parametrize("asked", KINDS)
@pytest.mark.parametrize("kept", KINDS)
def test_a_meter_agrees_only_to_its_own_kind_of_association(asked: str, kept: str) -> None:
    meter = Meter(KINDS[kept], is_wrapped=True)
    read = DlmsRead(everything(1), KINDS[asked])
    if asked == kept:
        assert numbers(meter.read(read)) == [1000]
        return
    with pytest.raises(MeterError):
        meter.read(read)


def rewritten(change: Callable[[bytes], bytes], exchanges: Iterable[int]) -> Callable[[int, bytes], bytes]:
    """Change the APDU of some answers over the wrapper."""
    chosen = set(exchanges)

    def spoil(at: int, octets: bytes) -> bytes:
        if at not in chosen:
            return octets
        source, destination, apdu = unwrapped(octets)
        return wrapped(source, destination, change(apdu))

    return spoil


def test_an_answer_that_is_not_protected_is_refused() -> None:
    """Somebody on the line answers a ciphered association in the clear."""
    meter = Meter(KINDS["ciphered"], is_wrapped=True)
    number = axdr.integer(DataTag.DOUBLE_LONG_UNSIGNED, 1)
    forged = bytes((xdlms.GET_RESPONSE, 1, 0xC2, 0)) + number.to_wire()
    meter.spoil = rewritten(lambda _: forged, [2])
    with pytest.raises(FrameError):
        meter.read(DlmsRead(everything(1)[1:], KINDS["ciphered"]))


@pytest.mark.parametrize("at", [1, 2])
def test_a_message_of_an_earlier_association_is_refused(at: int) -> None:
    """Recorded answers carry good tags; the counter and the challenge show that they are old."""
    meter = Meter(KINDS["ciphered"], is_wrapped=True)
    read = DlmsRead(everything(1), KINDS["ciphered"])
    meter.read(read)
    recorded = [reply for _, reply in meter.carried]
    meter.carried.clear()
    meter.spoil = lambda now, octets: recorded[now] if now == at else octets
    secrets = PublishedSecrets()
    for _ in range(5):
        secrets.next_count()
    with pytest.raises(NotAuthentic):
        meter.read(read, secrets)


def test_a_recorded_association_as_a_whole_is_refused() -> None:
    meter = Meter(KINDS["ciphered"], is_wrapped=True)
    read = DlmsRead(everything(1), KINDS["ciphered"])
    meter.read(read)
    recorded = [reply for _, reply in meter.carried]
    meter.carried.clear()
    meter.spoil = lambda at, _: recorded[at]
    secrets = PublishedSecrets()
    secrets.next_count()
    with pytest.raises(NotAuthentic, match="answer to our challenge is wrong"):
        meter.read(read, secrets)


def test_our_own_challenge_sent_back_is_refused() -> None:
    meter = Meter(KINDS["gmac"], is_wrapped=True)

    def mirrored(apdu: bytes) -> bytes:
        ours = acse.AssociationRequest.from_wire(unwrapped(meter_request[0])[2]).authentication
        response = AssociationResponse.from_wire(apdu)
        return AssociationResponse(
            response.result, response.diagnostic, response.user_information, ours, response.title
        ).to_wire()

    meter_request: list[bytes] = []
    carry = meter.carry

    def noted(exchange: Exchange) -> bytes:
        meter_request.append(exchange.request)
        return carry(exchange)

    meter.carry = noted  # type: ignore[method-assign]
    meter.spoil = rewritten(mirrored, [0])
    with pytest.raises(NotAuthentic, match="our own"):
        meter.read(DlmsRead(everything(1), KINDS["gmac"]))


@pytest.mark.parametrize("title", [b"", b"short", bytes.fromhex("4d4d4d0000000001")])
def test_a_meter_without_a_title_of_its_own_is_refused(title: bytes) -> None:
    def untitled(apdu: bytes) -> bytes:
        response = AssociationResponse.from_wire(apdu)
        return AssociationResponse(
            response.result, response.diagnostic, response.user_information, response.authentication, title
        ).to_wire()

    meter = Meter(KINDS["gmac"], is_wrapped=True)
    meter.spoil = rewritten(untitled, [0])
    with pytest.raises(NotAuthentic, match="no system title"):
        meter.read(DlmsRead(everything(1), KINDS["gmac"]))


def test_a_meter_that_leaves_out_the_challenges_is_refused() -> None:
    """Whoever answers HLS by a plain "accepted" need not know the keys."""
    easy = AssociationResponse(0, 0, Initiate(0x1215, 512).to_response(), title=METER_TITLE).to_wire()
    meter = Meter(KINDS["gmac"], is_wrapped=True)
    meter.spoil = rewritten(lambda _: easy, [0])
    with pytest.raises(FrameError, match="another authentication than GMAC"):
        meter.read(DlmsRead(everything(1), KINDS["gmac"]))


def test_a_repeated_counter_is_refused() -> None:
    meter = GmacSecurity(GmacKeys(ENCRYPTION, AUTHENTICATION), METER_TITLE, lambda: 7)
    client = GmacSecurity(GmacKeys(ENCRYPTION, AUTHENTICATION), b"MTR12345", lambda: 1)
    client.meet(METER_TITLE)
    message = meter.protect(b"\xc4\x01")
    assert client.open(message) == b"\xc4\x01"
    with pytest.raises(NotAuthentic, match="was heard already"):
        client.open(message)


def test_a_changed_message_that_is_authenticated_alone_is_refused() -> None:
    client = GmacSecurity(GmacKeys(ENCRYPTION, AUTHENTICATION), b"MTR12345", lambda: 1)
    client.meet(METER_TITLE)
    good = bytes.fromhex("1001234567C0010000080000010000FF020006725D910F9221D263877516")
    for at in range(len(good)):
        with pytest.raises(NotAuthentic):
            client.open(good[:at] + bytes((good[at] ^ 0x01,)) + good[at + 1 :])
    assert client.open(good).hex() == "c0010000080000010000ff0200"


def test_encryption_without_authentication_is_refused() -> None:
    client = GmacSecurity(GmacKeys(ENCRYPTION, AUTHENTICATION), b"MTR12345", lambda: 1)
    client.meet(METER_TITLE)
    with pytest.raises(NotAuthentic, match="must be authenticated"):
        client.open(bytes.fromhex("2001234567411312FF935A47566827C467BC"))


def test_a_used_up_counter_is_refused() -> None:
    security = GmacSecurity(GmacKeys(ENCRYPTION, AUTHENTICATION), METER_TITLE, lambda: COUNTER_MAX + 1)
    with pytest.raises(NotAuthentic, match="used up"):
        security.protect(b"")


@pytest.mark.parametrize("kind", ["lowest", "ciphered"])
def test_every_changed_octet_of_every_answer_over_hdlc_is_refused(kind: str) -> None:
    clean = Meter(KINDS[kind])
    read = DlmsRead(everything(1), KINDS[kind])
    clean.read(read)
    for at, (_, reply) in enumerate(clean.carried[:-1]):
        for place in range(0, len(reply), 3):
            meter = Meter(KINDS[kind])
            meter.spoil = lambda now, octets, at=at, place=place: (
                octets[:place] + bytes((octets[place] ^ 0x01,)) + octets[place + 1 :] if now == at else octets
            )
            with pytest.raises(MeterError):
                meter.read(read)


def test_every_changed_octet_of_a_protected_answer_is_refused_without_the_help_of_hdlc() -> None:
    read = DlmsRead(everything(1), KINDS["ciphered"])
    clean = Meter(KINDS["ciphered"], is_wrapped=True)
    clean.read(read)
    for at in (1, 2):
        apdu = clean.answers()[at]
        for place in range(len(apdu)):
            meter = Meter(KINDS["ciphered"], is_wrapped=True)
            meter.spoil = rewritten(
                lambda octets, place=place: octets[:place] + bytes((octets[place] ^ 0x20,)) + octets[place + 1 :], [at]
            )
            with pytest.raises(MeterError):
                meter.read(read)


def block_answer(number: int, octets: bytes, *, is_last: bool) -> bytes:
    """Build a block of a long answer."""
    head = bytes((xdlms.GET_RESPONSE, 2, 0xC1, is_last)) + number.to_bytes(4) + b"\0"
    return head + axdr.length_to_wire(len(octets)) + octets


def test_blocks_out_of_order_are_refused() -> None:
    meter = Meter(KINDS["lowest"], is_wrapped=True)
    meter.spoil = rewritten(lambda _: block_answer(2, b"\x06\x00", is_last=False), [1])
    with pytest.raises(AnswerMismatch, match="block 2 of a long answer where block 1"):
        meter.read(DlmsRead(everything(1)[1:], KINDS["lowest"]))


def test_an_answer_of_endless_blocks_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlms, "LONG_ANSWER_OCTETS_MAX", 500)
    meter = Meter(KINDS["lowest"], is_wrapped=True)

    def endless(at: int, octets: bytes) -> bytes:
        if at == 0:
            return octets
        return wrapped(1, 16, block_answer(at, bytes(100), is_last=False))

    meter.spoil = endless
    with pytest.raises(AnswerMismatch):
        meter.read(DlmsRead(everything(1)[1:], KINDS["lowest"]))
    assert len(meter.carried) < 10


def test_the_blocks_of_a_list_and_of_one_attribute_differ() -> None:
    number = axdr.integer(DataTag.UNSIGNED, 5)
    assert xdlms.block_results(number.to_wire(), 1) == (number,)
    assert xdlms.block_results(b"\x02\x00" + number.to_wire() + b"\x01\x04", 2) == (number, 4)
    assert xdlms.parse_get_response(block_answer(1, b"ab", is_last=True), 1, 2) == Block(1, b"ab", is_last=True)


def test_a_block_that_is_refused_says_why() -> None:
    with pytest.raises(ExceptionReply, match="long get aborted"):
        xdlms.parse_get_response(bytes((xdlms.GET_RESPONSE, 2, 1, 1, 0, 0, 0, 1, 1, 15)), 1, 1)


@pytest.mark.parametrize(
    ("octets", "meaning"), [("d80102", "service not supported"), ("d80100", "service not allowed")]
)
def test_an_exception_response_is_a_refusal(octets: str, meaning: str) -> None:
    meter = Meter(KINDS["lowest"], is_wrapped=True)
    meter.spoil = rewritten(lambda _: bytes.fromhex(octets), [1])
    with pytest.raises(ExceptionReply, match=meaning):
        meter.read(DlmsRead(everything(1), KINDS["lowest"]))


@pytest.mark.parametrize(
    "answer",
    ["", "c4", "c401c1", "c402c1", "c403c10200", "c401c100", "c401c102", "c401c20006 00000001", "c701c10000", "ff01c1"],
)
def test_what_is_no_answer_is_refused(answer: str) -> None:
    meter = Meter(KINDS["lowest"], is_wrapped=True)
    meter.spoil = rewritten(lambda _: bytes.fromhex(answer), [1])
    with pytest.raises(MeterError):
        meter.read(DlmsRead(everything(1)[1:], KINDS["lowest"]))


def test_the_wrapper_tells_devices_apart() -> None:
    meter = Meter(KINDS["lowest"], is_wrapped=True)
    meter.spoil = lambda at, octets: wrapped(2, 16, unwrapped(octets)[2]) if at == 1 else octets
    with pytest.raises(AddressMismatch, match="answer from 2 to 16"):
        meter.read(DlmsRead(everything(1), KINDS["lowest"]))
    assert meter.end.answer(wrapped(16, 2, b"\x60\x00")) is None
    assert meter.end.answer(b"\x00\x02") is None


@pytest.mark.parametrize("text", ["", "0", "65536", "1/17", "x", "01"])
def test_what_is_no_wrapper_port_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid, match="write the meter's logical device"):
        dlms.WRAPPER.check_address(text)
    assert dlms.WRAPPER.check_address("65535") == "65535"
    assert dlms.HDLC.check_address("1/17") == "1/17"


def test_a_meter_off_the_bus_is_silent() -> None:
    end = DlmsEnd(objects(1), KINDS["lowest"], "1/17", lambda _: None, is_wrapped=False)
    snrm = HdlcFrame(HdlcAddress.server("1/17"), HdlcAddress.client(16), hdlc.SNRM).to_wire()
    assert end.answer(snrm) is None


def test_selections_on_the_wire() -> None:
    buffer = Attribute(7, Obis.parse("1-0:99.1.0"), 2, EntryRange(5, 9))
    assert (
        buffer.to_wire().hex()
        == "0007" + "0100630100ff" + "02" + "01" + "02" + "0204060000000506000000091200011200" + "00"
    )
    reader = axdr.AxdrReader(buffer.to_wire())
    assert Attribute.read(reader) == buffer
    first, last = bytes(12), bytes([7] * 12)
    clocked = Attribute(7, Obis.parse("1-0:99.1.0"), 2, ClockRange(first, last))
    wire = clocked.to_wire()
    assert wire[9:11] == b"\x01\x01"
    assert wire[11:].hex().startswith("0204" + "0204" + "120008" + "0906" + "0000010000ff" + "0f02" + "120000" + "090c")
    assert wire.endswith(b"\x01\x00")
    assert Attribute.read(axdr.AxdrReader(wire)) == clocked
    with pytest.raises(TypeError):
        Attribute(7, buffer.obis, 2, NewestEntries()).to_wire()
    with pytest.raises(FrameError, match="access selector 3"):
        Attribute.read(axdr.AxdrReader(buffer.to_wire()[:10] + b"\x03" + axdr.structure().to_wire()))


@pytest.mark.parametrize(
    ("entries", "newest", "chosen"),
    [
        (0, NewestEntries(), None),
        (7, NewestEntries(), EntryRange(7, 7)),
        (7, NewestEntries(3), EntryRange(5, 7)),
        (2, NewestEntries(3), EntryRange(1, 2)),
        (7, NewestEntries(3, is_newest_first=True), EntryRange(1, 3)),
    ],
)
def test_the_newest_entries(entries: int, newest: NewestEntries, chosen: EntryRange | None) -> None:
    assert newest.among(entries) == chosen
