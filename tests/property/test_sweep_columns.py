"""The fast way into the books against the readable one: both take the same octets, with the same content."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.store.reading_rows import COPY_BEGIN, COPY_END, reading_rows, unsettled_days
from ingest.sweeps import Sweep, frame_of, meters_of, open_sweeps
from metering.clock import ClockQuality, ClockState
from metering.disclosure import tree_root
from metering.envelope import (
    READINGS_MAX,
    Algorithm,
    Envelope,
    EnvelopeMalformed,
    Sealed,
    encode,
    open_sealed,
    parse_sign1,
    read_head,
    seal,
    sign1,
    to_ms,
)
from metering.identity import MeterId
from metering.reading import MeterReading, ReadQuality
from tests.conftest import MARK, SeededSigner, build_envelope
from tests.doubles.binary_copy import fields_of, reading_row

SIGNER = SeededSigner("metertree test gateway")
PROFILES = [hashlib.sha256(name).digest() for name in (b"profile a", b"profile b")]
SEED = bytes(range(16))


class Believer:
    """Takes every signature, so that what is behind it is reached."""

    algorithm = Algorithm.EDDSA

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say yes."""
        return True


def readable(octets: bytes) -> Sealed | None:
    """The readable way, signatures aside."""
    try:
        return open_sealed(octets, Believer())
    except EnvelopeMalformed:
        return None


def fast(*messages: bytes) -> list[Sweep | None]:
    """The fast way, as intake goes it."""
    found: list[Sweep | None] = []
    framed = []
    for octets in messages:
        frame = frame_of(octets)
        try:
            head = None if frame is None else read_head(parse_sign1(frame.sealed_head).payload)
        except EnvelopeMalformed:
            head = None
        framed.append(None if frame is None or head is None else (octets, frame, head))
    opened = iter(open_sweeps([one for one in framed if one is not None]))
    for one in framed:
        found.append(None if one is None else next(opened))
    return found


def rows(sweeps: list[Sweep]) -> list[tuple[Any, ...]]:
    """What would stand in `readings`."""
    octets = COPY_BEGIN + reading_rows(sweeps).tobytes() + COPY_END
    return [reading_row(fields) for fields in fields_of(octets)]


def rows_of(envelope: Envelope) -> list[tuple[Any, ...]]:
    """The same, made from the objects."""
    return [
        (
            one.meter,
            envelope.mark or one.ended_at,
            envelope.mark is not None,
            one.started_at,
            one.ended_at,
            int(one.quality),
            one.profile_hash,
            one.group,
            list(one.mantissas),
            envelope.gateway,
            envelope.epoch,
            envelope.seq,
        )
        for one in envelope.readings
    ]


def check_same(sweep: Sweep, sealed: Sealed) -> None:
    """Both say the same."""
    assert (sweep.octets, sweep.digest, sweep.head) == (sealed.octets, sealed.digest, sealed.head)
    assert sweep.envelope == sealed.envelope
    assert meters_of(sweep.roster) == [one.meter for one in sealed.envelope.readings]
    assert rows([sweep]) == rows_of(sealed.envelope)
    assert unsettled_days([sweep]) == {
        (one.meter, (sealed.envelope.mark or one.ended_at).astimezone(UTC).date()) for one in sealed.envelope.readings
    }


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", fullmatch=True)
instants = st.datetimes(datetime(1990, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC)).map(
    lambda one: one.replace(microsecond=one.microsecond // 1000 * 1000)
)
edges = st.sampled_from([0, 1, -1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, -(2**63), -24, -25])
mantissas = st.one_of(st.none(), edges, st.integers(-(2**63), 2**63 - 1))
meter_readings = st.builds(
    MeterReading,
    meter=names.map(MeterId),
    profile_hash=st.sampled_from(PROFILES),
    group=st.integers(0, 255),
    started_at=instants,
    ended_at=instants,
    quality=st.sampled_from(ReadQuality),
    mantissas=st.lists(mantissas, max_size=30).map(tuple),
    frames=st.lists(st.binary(max_size=300), max_size=3).map(tuple),
)
envelopes = st.builds(
    lambda readings, mark, sealed_at, quality, seq: replace(
        build_envelope(seq),
        readings=tuple(readings),
        mark=mark,
        sealed_at=sealed_at,
        clock=ClockState(quality, None),
    ),
    st.lists(meter_readings, max_size=20),
    st.one_of(st.none(), instants.map(lambda one: one.replace(microsecond=0))),
    instants,
    st.sampled_from(ClockQuality),
    st.integers(1, 2**63 - 1),
)


@given(st.lists(envelopes, min_size=1, max_size=5))
def test_what_a_gateway_seals_is_opened_alike(sent: list[Envelope]) -> None:
    messages = [seal(envelope, SIGNER) for envelope in sent]
    sweeps = fast(*messages)
    for octets, sweep in zip(messages, sweeps, strict=True):
        sealed = readable(octets)
        assert sweep is not None
        assert sealed is not None
        check_same(sweep, sealed)
    together = [sweep for sweep in sweeps if sweep is not None]
    assert rows(together) == [row for envelope in sent for row in rows_of(envelope)]
    assert unsettled_days(together) == {(row[0], row[1].date()) for row in rows(together)}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 127, 128, 129, 255, 256, 257, 480, 1000, READINGS_MAX])
def test_sweeps_of_every_size_have_the_root_of_the_readable_way(count: int) -> None:
    reading = build_envelope().readings[0]
    many = tuple(replace(reading, meter=MeterId(f"m-{number}"), mantissas=(number,)) for number in range(count))
    (sweep,) = fast(seal(replace(build_envelope(), readings=many), SIGNER))
    assert sweep is not None
    assert [row[8] for row in rows([sweep])] == [[number] for number in range(count)]


def test_sweeps_of_different_sizes_are_hashed_side_by_side() -> None:
    reading = build_envelope().readings[0]
    sent = [seal(replace(build_envelope(seq), readings=tuple([reading] * (seq % 37))), SIGNER) for seq in range(1, 150)]
    assert all(sweep is not None for sweep in fast(*sent))


# Messages whose readings are not what they must be, under a root and a signature that hold.

Reading = list[Any]
odd = st.one_of(
    st.none(),
    st.booleans(),
    edges,
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.binary(max_size=40),
    st.text(max_size=70),
    st.lists(st.integers(), max_size=3),
    st.just({}),
    st.sampled_from([2**47, 2**47 + 1, -(2**47), -(2**47) - 1, 4, 5, -5]),
    st.sampled_from(["", "-a", "a-", "a" * 64, "a" * 65, "A", "a_b", "é"]),
)
PLAIN: Reading = ["m-lift", 0, 0, 246, 208, 0, [1, None], []]


def message_of(readings: list[bytes], *, count: int | None = None, sealed_ms: int = to_ms(MARK)) -> bytes:
    """A message with these encoded readings, whatever they are."""
    head = [1, 1, "gw-a", 1, 7, bytes(32), bytes(16), sealed_ms, [2, 5], None, PROFILES]
    head += [len(readings) if count is None else count, tree_root(SEED, readings)]
    array = bytes([0x80 | len(readings)]) if len(readings) < 24 else bytes([0x98, len(readings)])
    signed = encode(sign1(encode(head), SIGNER))
    return b"\x82" + signed + b"\x83\x01\x50" + SEED + array + b"".join(readings)


def check_alike(octets: bytes) -> bool:
    """Both ways take it, with the same content, or neither does; say which."""
    sealed, (sweep,) = readable(octets), fast(octets)
    assert (sealed is None) == (sweep is None), octets.hex()
    if sealed is not None and sweep is not None:
        check_same(sweep, sealed)
    return sealed is not None


def test_the_plain_reading_is_taken() -> None:
    assert check_alike(message_of([encode(PLAIN)] * 3))


@settings(max_examples=600)
@given(st.integers(0, 7), odd, st.integers(0, 2))
def test_a_field_of_any_kind_is_judged_alike(place: int, content: object, at: int) -> None:
    readings = [list(PLAIN) for _ in range(3)]
    readings[at][place] = content
    check_alike(message_of([encode(one) for one in readings]))


@settings(max_examples=200)
@given(st.integers(6, 7), st.lists(odd, max_size=4))
def test_arrays_of_any_content_are_judged_alike(place: int, content: list[object]) -> None:
    reading = list(PLAIN)
    reading[place] = content
    check_alike(message_of([encode(reading)]))


@given(st.lists(st.one_of(st.just(PLAIN), odd, st.lists(odd, max_size=9)), max_size=4), st.integers(0, 5))
def test_readings_of_any_form_and_number_are_judged_alike(readings: list[Any], count: int) -> None:
    check_alike(message_of([encode(one) for one in readings], count=count))


@settings(max_examples=300)
@given(st.integers(0, 7), st.integers(0, 3), st.integers(0, 3))
def test_a_form_that_is_not_the_shortest_is_refused_by_both(place: int, longer: int, at: int) -> None:
    """The head of one item is written in more octets than it needs, and the root is over just these octets."""
    items = [encode(item) for item in PLAIN]
    raw, (first, *rest) = items[place], items[place]
    head = 1 + {24: 1, 25: 2}.get(first & 31, 0)
    argument = int.from_bytes(raw[1:head], "big") if head > 1 else first & 31
    size = 1 << longer
    if argument < 1 << (8 * size) and size >= head:
        items[place] = bytes([first & 0xE0 | 24 + longer]) + argument.to_bytes(size, "big") + raw[head:]
        odd_one = b"\x88" + b"".join(items)
        assert not check_alike(message_of([encode(PLAIN)] * at + [odd_one]))
    assert len(rest) == len(raw) - 1


@example(b"\x9f", 0)
@example(b"\xff", 1)
@given(st.binary(max_size=12), st.integers(0, 60))
def test_octets_put_in_anywhere_are_judged_alike(extra: bytes, at: int) -> None:
    raw = encode(PLAIN)
    changed = raw[:at] + extra + raw[at:]
    check_alike(message_of([changed]))
    check_alike(message_of([encode(PLAIN)]) + extra)


@settings(max_examples=300)
@given(st.data())
def test_any_changed_cut_or_added_octet_is_judged_alike(data: st.DataObject) -> None:
    octets = bytearray(message_of([encode(PLAIN)] * 2))
    place = data.draw(st.integers(0, len(octets) - 1))
    octets[place] ^= data.draw(st.integers(0, 255))
    check_alike(bytes(octets[: data.draw(st.integers(0, len(octets)))]))
    check_alike(bytes(octets))


@pytest.mark.parametrize("sealed_ms", [2**47, -(2**47), 253_402_300_799_999, -62_135_596_800_000, 0])
@pytest.mark.parametrize("age_ms", [0, 1, -1, 2**47, -(2**47)])
def test_instants_at_the_ends_of_time_are_judged_alike(sealed_ms: int, age_ms: int) -> None:
    reading = [*PLAIN[:3], age_ms, age_ms, *PLAIN[5:]]
    check_alike(message_of([encode(reading)], sealed_ms=sealed_ms))


def test_one_bad_sweep_does_not_touch_those_beside_it() -> None:
    good, bad = message_of([encode(PLAIN)] * 5), message_of([encode([*PLAIN[:5], 9, *PLAIN[6:]])] * 5)
    sweeps = fast(good, bad, good, b"rubbish", good)
    assert [sweep is None for sweep in sweeps] == [False, True, False, True, False]
    assert all(rows([sweep]) == rows_of(sweep.envelope) for sweep in sweeps if sweep is not None)


def test_a_head_of_each_length_form_is_found() -> None:
    for count in (0, 1, 8, 2000):
        profiles = sorted(hashlib.sha256(b"%d" % number).digest() for number in range(count))
        head = [1, 1, "gw-a", 1, 7, bytes(32), bytes(16), to_ms(MARK), [2, 5], None, profiles]
        signed = sign1(encode([*head, 0, hashlib.sha256(b"").digest()]), SIGNER)
        assert check_alike(encode([signed, [1, SEED, []]]))


def test_a_reading_in_part_or_of_no_form_is_refused_by_both() -> None:
    for readings in ([1, SEED[:15], []], [1, SEED, [], 0], [2, []], [3, SEED, []], [], 7):
        head = [1, 1, "gw-a", 1, 7, bytes(32), bytes(16), to_ms(MARK), [2, 5], None, []]
        signed = sign1(encode([*head, 0, hashlib.sha256(b"").digest()]), SIGNER)
        octets = encode([signed, readings])
        sealed, (sweep,) = readable(octets), fast(octets)
        assert (sealed, sweep) == (None, None)


def test_days_of_an_unaligned_sweep_are_those_of_its_readings() -> None:
    late = replace(build_envelope().readings[0], ended_at=MARK + timedelta(hours=9))
    sent = replace(build_envelope(), mark=None, readings=(build_envelope().readings[0], late))
    (sweep,) = fast(seal(sent, SIGNER))
    assert sweep is not None
    assert {day.isoformat() for _, day in unsettled_days([sweep])} == {"2026-06-30", "2026-07-01"}
