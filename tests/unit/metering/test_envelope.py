"""The sealed batch: round trip, chain, and every mutation refused."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import cbor2
import pytest

from metering.clock import ClockState
from metering.envelope import (
    ENVELOPE_OCTETS_MAX,
    Algorithm,
    Envelope,
    EnvelopeMalformed,
    SignatureInvalid,
    Signer,
    Verifier,
    decode_canonical,
    encode,
    open_sealed,
    parse_sealed,
    parse_sign1,
    seal,
    sign1,
)


def test_a_sealed_envelope_opens_to_what_was_sealed(envelope: Envelope, gateway_signer: Any) -> None:
    sealed = open_sealed(seal(envelope, gateway_signer), gateway_signer.verifier)
    assert sealed.envelope == envelope
    assert sealed.message.key_id == gateway_signer.key_id


def test_sealing_twice_gives_the_same_octets(envelope: Envelope, gateway_signer: Signer) -> None:
    assert seal(envelope, gateway_signer) == seal(envelope, gateway_signer)


def test_an_unaligned_envelope_without_known_clock_error_round_trips(envelope: Envelope, gateway_signer: Any) -> None:
    unaligned = dataclasses.replace(envelope, mark=None, clock=ClockState(envelope.clock.quality, None))
    assert open_sealed(seal(unaligned, gateway_signer), gateway_signer.verifier).envelope == unaligned


def test_an_envelope_without_readings_round_trips(envelope: Envelope, gateway_signer: Any) -> None:
    empty = dataclasses.replace(envelope, readings=())
    assert open_sealed(seal(empty, gateway_signer), gateway_signer.verifier).envelope == empty


def test_raw_frames_and_readings_ended_after_sealing_survive(envelope: Envelope, gateway_signer: Any) -> None:
    reading = dataclasses.replace(
        envelope.readings[0], frames=(b"\x68\x16", b""), ended_at=envelope.sealed_at + timedelta(milliseconds=3)
    )
    with_frames = dataclasses.replace(envelope, readings=(reading,))
    assert open_sealed(seal(with_frames, gateway_signer), gateway_signer.verifier).envelope == with_frames


def test_every_flipped_bit_is_refused(envelope: Envelope, gateway_signer: Any) -> None:
    octets = seal(envelope, gateway_signer)
    for bit in range(len(octets) * 8):
        flipped = bytearray(octets)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises((EnvelopeMalformed, SignatureInvalid)):
            open_sealed(bytes(flipped), gateway_signer.verifier)


def test_every_truncation_is_refused(envelope: Envelope, gateway_signer: Signer) -> None:
    octets = seal(envelope, gateway_signer)
    for length in range(len(octets)):
        with pytest.raises(EnvelopeMalformed):
            parse_sealed(octets[:length])


def test_an_appended_octet_is_refused(envelope: Envelope, gateway_signer: Signer) -> None:
    with pytest.raises(EnvelopeMalformed):
        parse_sealed(seal(envelope, gateway_signer) + b"\x00")


def test_the_key_of_another_gateway_is_refused(envelope: Envelope, gateway_signer: Any, centre_signer: Any) -> None:
    with pytest.raises(SignatureInvalid, match="not that of key"):
        open_sealed(seal(envelope, gateway_signer), centre_signer.verifier)


def test_the_algorithm_is_the_registrys_not_the_messages(envelope: Envelope, gateway_signer: Any) -> None:
    class Es256Verifier:
        algorithm = Algorithm.ES256

        def verifies(self, signature: bytes, message: bytes) -> bool:
            """Would accept anything."""
            return bool(signature and message)

    verifier: Verifier = Es256Verifier()
    with pytest.raises(SignatureInvalid, match="another algorithm"):
        open_sealed(seal(envelope, gateway_signer), verifier)


def wire_of(envelope: Envelope, signer: Signer) -> list[Any]:
    """The payload of a sealed envelope as plain lists, to be spoilt and signed again."""

    def thaw(part: Any) -> Any:
        return [thaw(item) for item in part] if isinstance(part, list | tuple) else part

    thawed: list[Any] = thaw(cbor2.loads(parse_sign1(seal(envelope, signer)).payload))
    return thawed


SPOILT = [
    ("format", (0,), 2, "format 2"),
    ("kind", (1,), 9, "kind"),
    ("gateway with a slash", (2,), "gw/a", "identifier"),
    ("gateway as octets", (2,), b"gw-a", "text"),
    ("epoch zero", (3,), 0, "epoch"),
    ("seq zero", (4,), 0, "seq"),
    ("seq as float", (4,), 1.0, "seq"),
    ("seq as truth", (4,), True, "seq"),
    ("short previous hash", (5,), bytes(31), "previous hash"),
    ("short boot", (6,), bytes(15), "boot"),
    ("sealed in the year 6429", (7,), 2**47 + 1, "sealed_at"),
    ("clock with one field", (8,), [2], "clock"),
    ("clock quality", (8, 0), 3, "clock quality"),
    ("negative clock error", (8, 1), -1, "clock error"),
    ("mark as text", (9,), "noon", "mark"),
    ("mark beyond year 6325", (9,), 2**37 + 1, "mark"),
    ("profile table as text", (10,), "none", "profiles"),
    ("short profile hash", (10, 0), bytes(8), "profile hash"),
    ("no profile for a reading", (10,), [], "profile"),
    ("readings as a map", (11,), {}, "readings"),
    ("reading with seven fields", (11, 0), [1] * 7, "reading"),
    ("meter with a space", (11, 0, 0), "m 1", "identifier"),
    ("profile index beyond the table", (11, 0, 1), 2, "profile index"),
    ("group", (11, 0, 2), 256, "group"),
    ("quality", (11, 0, 5), 7, "quality"),
    ("mantissa beyond 64 bits", (11, 0, 6, 0), 2**63, "mantissa"),
    ("mantissa as float", (11, 0, 6, 0), 1.5, "mantissa"),
    ("frame as text", (11, 0, 7), ["68"], "frame"),
]


@pytest.mark.parametrize(("place", "spoilt", "complaint"), [row[1:] for row in SPOILT], ids=[row[0] for row in SPOILT])
def test_a_well_signed_payload_of_wrong_shape_is_refused(
    envelope: Envelope, gateway_signer: Any, place: tuple[int, ...], spoilt: Any, complaint: str
) -> None:
    payload = wire_of(envelope, gateway_signer)
    target: Any = payload
    for index in place[:-1]:
        target = target[index]
    target[place[-1]] = spoilt
    with pytest.raises(EnvelopeMalformed, match=complaint):
        open_sealed(sign1(encode(payload), gateway_signer), gateway_signer.verifier)


def test_cbor_that_is_not_canonical_is_refused() -> None:
    with pytest.raises(EnvelopeMalformed, match="canonical"):
        decode_canonical(b"\x18\x01")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xff",
        b"\x9f\x01\xff",
        b"\xa2\x01\x01\x01\x02",
        b"\x81" * 40 + b"\x01",
        b"\x9b" + b"\xff" * 8,
        b"\x5b" + b"\x7f" * 8,
    ],
    ids=["empty", "break", "indefinite", "doubled key", "deep", "huge array", "huge string"],
)
def test_hostile_cbor_is_refused_without_harm(octets: bytes) -> None:
    with pytest.raises(EnvelopeMalformed):
        decode_canonical(octets)


def test_an_oversized_message_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(EnvelopeMalformed, match="at most"):
        decode_canonical(bytes(ENVELOPE_OCTETS_MAX + 1))


@pytest.mark.parametrize(
    "message",
    [
        [b"", {}, b"", b""],
        cbor2.CBORTag(18, [b"", {}, b""]),
        cbor2.CBORTag(18, [b"", {1: -8}, b"", b""]),
        cbor2.CBORTag(18, [b"", [], b"", b""]),
        cbor2.CBORTag(18, [encode({}), {}, b"", b""]),
        cbor2.CBORTag(18, [encode({1: -8, 4: b"k", 5: 0}), {}, b"", b""]),
        cbor2.CBORTag(18, [encode({1: -8, 4: b""}), {}, b"", b""]),
        cbor2.CBORTag(18, [encode({1: -37, 4: b"k"}), {}, b"", b""]),
        cbor2.CBORTag(18, [encode({1: -8, 4: b"k"}), {}, "text", b""]),
        cbor2.CBORTag(17, [encode({1: -8, 4: b"k"}), {}, b"", b""]),
    ],
)
def test_anything_but_our_one_cose_form_is_refused(message: Any) -> None:
    with pytest.raises(EnvelopeMalformed):
        parse_sign1(encode(message))
