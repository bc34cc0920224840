"""The sealed batch: round trip, chain, and every mutation refused."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import cbor2
import pytest

from metering.clock import ClockState
from metering.disclosure import tree_root
from metering.envelope import (
    ENVELOPE_OCTETS_MAX,
    Algorithm,
    Envelope,
    EnvelopeMalformed,
    SignatureInvalid,
    Signer,
    Verifier,
    chain_digest,
    decode_canonical,
    disclose,
    encode,
    head_of,
    open_disclosed,
    open_sealed,
    parse_sealed,
    parse_sign1,
    seal,
    sign1,
)
from metering.identity import MeterId


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


def thaw(part: Any) -> Any:
    """Turn decoded tuples into lists, to be spoilt."""
    return [thaw(item) for item in part] if isinstance(part, list | tuple) else part


def spoil(whole: Any, place: tuple[int, ...], spoilt: Any) -> None:
    """Put `spoilt` in at `place`."""
    for index in place[:-1]:
        whole = whole[index]
    whole[place[-1]] = spoilt


SPOILT_HEADS = [
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
    ("one reading fewer than signed", (11,), 2, "array of 2"),
    ("more readings than any port", (11,), 5000, "count"),
    ("another root", (12,), bytes(32), "not those that were signed"),
    ("short root", (12,), bytes(31), "root"),
]


@pytest.mark.parametrize(
    ("place", "spoilt", "told"), [row[1:] for row in SPOILT_HEADS], ids=[row[0] for row in SPOILT_HEADS]
)
def test_a_well_signed_head_of_wrong_shape_is_refused(
    envelope: Envelope, gateway_signer: Any, place: tuple[int, ...], spoilt: Any, told: str
) -> None:
    octets = seal(envelope, gateway_signer)
    head = thaw(cbor2.loads(head_of(octets).payload))
    spoil(head, place, spoilt)
    shown = cbor2.loads(octets)[1]
    with pytest.raises(EnvelopeMalformed, match=told):
        open_sealed(encode([sign1(encode(head), gateway_signer), shown]), gateway_signer.verifier)


SPOILT_READINGS = [
    ("reading with seven fields", (), [1] * 7, "reading"),
    ("meter with a space", (0,), "m 1", "identifier"),
    ("profile index beyond the table", (1,), 2, "profile index"),
    ("group", (2,), 256, "group"),
    ("started as text", (3,), "now", "start"),
    ("quality", (5,), 7, "quality"),
    ("mantissa beyond 64 bits", (6, 0), 2**63, "mantissa"),
    ("mantissa as float", (6, 0), 1.5, "mantissa"),
    ("frame as text", (7,), ["68"], "frame"),
]


@pytest.mark.parametrize(
    ("place", "spoilt", "told"), [row[1:] for row in SPOILT_READINGS], ids=[row[0] for row in SPOILT_READINGS]
)
def test_a_well_signed_reading_of_wrong_shape_is_refused(
    envelope: Envelope, gateway_signer: Any, place: tuple[int, ...], spoilt: Any, told: str
) -> None:
    octets = seal(envelope, gateway_signer)
    head = thaw(cbor2.loads(head_of(octets).payload))
    _, (form, seed, readings) = thaw(cbor2.loads(octets))
    spoil(readings, (0, *place), spoilt)
    head[12] = tree_root(seed, [encode(reading) for reading in readings])
    with pytest.raises(EnvelopeMalformed, match=told):
        open_sealed(encode([sign1(encode(head), gateway_signer), [form, seed, readings]]), gateway_signer.verifier)


@pytest.mark.parametrize(
    "message",
    [
        [],
        [b""],
        [b"", []],
        [b"", [3, b"", []]],
        [b"", [1, b""]],
        [b"", [2, [], []]],
        ["", [2, []]],
        [b"", [True, []]],
        {},
    ],
    ids=repr,
)
def test_a_message_of_wrong_frame_is_refused(message: Any) -> None:
    with pytest.raises(EnvelopeMalformed):
        parse_sealed(encode(message))


def test_a_changed_reading_under_a_good_head_is_refused(envelope: Envelope, gateway_signer: Any) -> None:
    head, (form, seed, readings) = thaw(cbor2.loads(seal(envelope, gateway_signer)))
    readings[0][6][0] += 1
    with pytest.raises(EnvelopeMalformed, match="not those that were signed"):
        open_sealed(encode([head, [form, seed, readings]]), gateway_signer.verifier)


def test_one_meter_is_shown_and_proven_without_its_neighbours(envelope: Envelope, gateway_signer: Any) -> None:
    octets = seal(envelope, gateway_signer)
    shown = disclose(octets, {MeterId("m-lift")})
    opened = open_disclosed(shown, gateway_signer.verifier)
    assert opened.envelope == dataclasses.replace(envelope, readings=envelope.readings[2:])
    assert not opened.is_whole
    assert opened.digest == chain_digest(octets) == chain_digest(shown)
    assert b"m-u-a101" not in shown


def test_the_centre_takes_no_envelope_in_part(envelope: Envelope, gateway_signer: Any) -> None:
    shown = disclose(seal(envelope, gateway_signer), {reading.meter for reading in envelope.readings})
    with pytest.raises(EnvelopeMalformed, match="whole envelopes only"):
        open_sealed(shown, gateway_signer.verifier)
    with pytest.raises(EnvelopeMalformed, match="only a whole envelope"):
        disclose(shown, {MeterId("m-lift")})


def test_every_flipped_bit_of_a_disclosed_envelope_is_refused(envelope: Envelope, gateway_signer: Any) -> None:
    shown = disclose(seal(envelope, gateway_signer), {MeterId("m-u-a101")})
    for bit in range(len(shown) * 8):
        flipped = bytearray(shown)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises((EnvelopeMalformed, SignatureInvalid)):
            open_disclosed(bytes(flipped), gateway_signer.verifier)


def test_a_reading_cannot_be_shown_at_another_place(envelope: Envelope, gateway_signer: Any) -> None:
    head, (form, openings) = thaw(cbor2.loads(disclose(seal(envelope, gateway_signer), {MeterId("m-u-a101")})))
    openings[0][0] = 1
    with pytest.raises(EnvelopeMalformed, match="not one of those"):
        open_disclosed(encode([head, [form, openings]]), gateway_signer.verifier)


def test_salts_tell_nothing_of_one_another_and_change_with_every_envelope(
    make_envelope: Any, gateway_signer: Any
) -> None:
    first, second = (
        cbor2.loads(disclose(seal(make_envelope(seq), gateway_signer), {MeterId("m-u-a101"), MeterId("m-lift")}))
        for seq in (1, 2)
    )
    salts = [opening[1] for message in (first, second) for opening in message[1][1]]
    assert len(set(salts)) == 4


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
