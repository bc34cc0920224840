"""A stranger's check of a statement: it holds with public keys alone, and every broken link is named."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from allocation_engine.bundle import BundleMalformed, pack_bundle, unpack_bundle
from allocation_engine.close_period import close_period
from allocation_engine.commitment import commit_run
from allocation_engine.errors import PeriodNotReady
from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading, pick_readings
from allocation_engine.inputs import PeriodInputs
from allocation_engine.intervals import point_reading, settle_point
from allocation_engine.metered import evidence_needed
from allocation_engine.rules import Rules
from allocation_engine.run import Run
from allocation_engine.statement import GatewayKey, Statement, seal_statement
from allocation_engine.statement_content import StatementContent
from allocation_engine.verification import VerificationReport, verify_bundle
from device_profiles.catalogue import Catalogue
from device_profiles.decode import register_readings
from metering.clock import ClockQuality, ClockState
from metering.envelope import (
    Algorithm,
    Envelope,
    EnvelopeMalformed,
    Verifier,
    chain_digest,
    decode_canonical,
    encode,
    parse_sign1,
    seal,
    sign1,
)
from metering.identity import GatewayId, KeyId, MeterId, NodeId, PartyId
from metering.obis import ENERGY_IMPORT
from metering.reading import MeterReading, ReadQuality

PROFILE = Catalogue.shipped().by_id("dlt645/three-phase")
BILLING = PROFILE.group("billing")
IMPORT = next(channel for channel in BILLING.channels if channel.obis == ENERGY_IMPORT)
assert IMPORT.modulus is not None
MODULUS_WH = IMPORT.shown(IMPORT.modulus).to_base()
TWO_BANDS = {"rates": {"low": "0.30", "high": "1.00"}, "hours": {"low": ["00:00-01:00"], "high": ["01:00-24:00"]}}
BOOKED_AT = datetime(2026, 8, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Key:
    """An Ed25519 key made from a name: signs, and verifies with its public half."""

    name: str
    algorithm = Algorithm.EDDSA

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self.name.encode()).digest())

    @property
    def public_octets(self) -> bytes:
        """The raw public key."""
        return self._private.public_key().public_bytes_raw()

    @property
    def key_id(self) -> KeyId:
        """First 8 octets of the SHA-256 of the public key."""
        return KeyId(hashlib.sha256(self.public_octets).digest()[:8])

    def sign(self, message: bytes) -> bytes:
        """Sign."""
        return self._private.sign(message)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Verify."""
        try:
            self._private.public_key().verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PublicKey:
    """A verifier from raw octets, as a stranger makes one."""

    octets: bytes
    algorithm: Algorithm = Algorithm.EDDSA

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Verify."""
        try:
            Ed25519PublicKey.from_public_bytes(self.octets).verify(signature, message)
        except InvalidSignature:
            return False
        return True


CENTRE, GATEWAY, STRANGER = Key("centre"), Key("gateway"), Key("stranger")


def verifier_for(algorithm: Algorithm, octets: bytes) -> Verifier:
    """The verifier of a raw public key."""
    return PublicKey(octets, algorithm)


@dataclass(frozen=True)
class Book:
    """A closed period with its sealed envelopes and one statement."""

    inputs: PeriodInputs
    rules: Rules
    run: Run
    envelopes: dict[EnvelopeRef, bytes]

    def statement(self, party: str = "t-1", *, version: int = 1, keys: Sequence[GatewayKey] | None = None) -> Statement:
        """Seal the statement of a party."""
        registered = GatewayKey(GatewayId("gw-a"), 1, GATEWAY.key_id, Algorithm.EDDSA, GATEWAY.public_octets)
        return seal_statement(
            self.run,
            self.inputs,
            self.rules,
            PartyId(party),
            booked_at=BOOKED_AT,
            version=version,
            gateway_keys=(registered,) if keys is None else keys,
            commitment=commit_run(self.run, bytes(32)),
            signer=CENTRE,
        )

    def bundle(self, party: str = "t-1") -> bytes:
        """Pack the statement of a party."""
        statement = self.statement(party)
        evidence = [self.envelopes[ref] for ref in statement.evidence]
        return pack_bundle(statement.octets, statement.proof, evidence, [PROFILE.canonical])


def seal_course(
    inputs: PeriodInputs, course: Mapping[int, int | None], meter: str, sequence: Iterator[int]
) -> list[tuple[EnvelopeRef, bytes, PointReading]]:
    """Seal one envelope per read mark; `course` gives the register [10 Wh] at marks, by number."""
    sealed = []
    for mark_number, mantissa in course.items():
        mark = inputs.mark(mark_number)
        mantissas = tuple(mantissa if channel.obis == ENERGY_IMPORT else 0 for channel in BILLING.channels)
        reading = MeterReading(MeterId(meter), PROFILE.hash, BILLING.index, mark, mark, ReadQuality.MEASURED, mantissas)
        seq = next(sequence)
        clock = ClockState(ClockQuality.SYNCHRONISED, 0)
        envelope = Envelope(GatewayId("gw-a"), 1, seq, bytes(32), bytes(16), mark, clock, mark, (reading,))
        octets = seal(envelope, GATEWAY)
        ref = EnvelopeRef(GatewayId("gw-a"), 1, seq, chain_digest(octets))
        known = point_reading(register_readings(PROFILE, reading, mark)[BILLING.channels.index(IMPORT)], ref)
        assert known is not None
        sealed.append((ref, octets, known))
    return sealed


def close_book(
    bare: PeriodInputs,
    make_rules: Callable[..., Rules],
    pools: Sequence[Mapping[str, Any]],
    epochs: Sequence[Installation],
    courses: Mapping[str, Mapping[int, int | None]],
) -> Book:
    """Seal, settle and close: node `u-a` is measured by `courses`, the other nodes stay as they are."""
    sequence = count(1)
    sealed = [one for meter, course in courses.items() for one in seal_course(bare, course, meter, sequence)]
    readings = sorted((reading for _, _, reading in sealed), key=lambda one: one.mark)
    settled = settle_point(readings, bare.period, epochs)
    energy, quality = bare.import_wh.copy(), bare.quality.copy()
    energy[bare.row(NodeId("u-a"))] = settled.energy_wh
    quality[bare.row(NodeId("u-a"))] = settled.quality
    inputs = replace(bare, import_wh=energy, quality=quality)
    rules = make_rules(inputs, *pools, **TWO_BANDS)
    evidence = tuple(
        PointEvidence(node, obis, tuple(epochs), pick_readings(marks, readings))
        for (node, obis), marks in evidence_needed(inputs, rules).items()
    )
    inputs = replace(inputs, evidence=evidence)
    return Book(inputs, rules, close_period(inputs, rules), {ref: octets for ref, octets, _ in sealed})


def hung(meter: str = "m-1", **changes: Any) -> Installation:
    """A meter that always hung, with a multiplier of 2."""
    plain = Installation(MeterId(meter), None, None, 2, MODULUS_WH, None, None, None)
    return replace(plain, **changes)


@pytest.fixture
def bare(make_inputs: Callable[..., PeriodInputs]) -> PeriodInputs:
    """Unit a hands over from t-1 to t-2 at slot 5; the lift is shared by area with unit b."""
    return make_inputs(
        energy={"u-a": 0, "lift": 1000},
        units={"a": (300, "u-a"), "b": (100, None)},
        let=[("a", "t-1", 0, 5), ("a", "t-2", 5, 8)],
    )


@pytest.fixture
def book(
    bare: PeriodInputs, make_rules: Callable[..., Rules], area_pool: dict[str, Any], own_use_pool: dict[str, Any]
) -> Book:
    """The plain case: nine readings, nothing special."""
    course = {mark: 100 * mark + mark**2 for mark in range(9)}
    return close_book(bare, make_rules, (area_pool, {**own_use_pool, "units": ["a"]}), [hung()], {"m-1": course})


def verify(bundle: bytes, trusted: Key = CENTRE) -> VerificationReport:
    """Check as a stranger who trusts one key."""
    return verify_bundle(bundle, {trusted.key_id: PublicKey(trusted.public_octets)}, verifier_for)


def broken(bundle: bytes, trusted: Key = CENTRE) -> list[str]:
    """The links that do not hold."""
    return [check.link for check in verify(bundle, trusted).broken]


def repack(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Change the JSON of a bundle."""
    content = json.loads(bundle)
    change(content)
    return json.dumps(content).encode()


def reseal(bundle: bytes, change: Callable[[dict[str, Any]], None], signer: Key = CENTRE) -> bytes:
    """Change what a statement says and sign it again: a lying centre, not a forger."""
    parts = unpack_bundle(bundle)
    content = decode_canonical(parse_sign1(parts.statement).payload)
    change(content)
    return pack_bundle(sign1(encode(content), signer), parts.proof, parts.evidence, parts.profiles)


def test_an_honest_bundle_holds_and_recomputes_every_line(book: Book) -> None:
    report = verify(book.bundle())
    assert [(check.link, check.holds) for check in report.checks] == [
        ("statement", True),
        ("evidence", True),
        ("gateway signature", True),
        ("reading", True),
        ("line lift/a/t-1", True),
        ("line own-use/a/t-1", True),
        ("pool lift", True),
        ("pool own-use", True),
        ("commitment", True),
        ("total", True),
        ("publication", True),
    ]
    assert report.holds
    # Registers 0, 416 and 525 x 10 Wh x 2: 8.320 kWh at 0.30 and 2.180 kWh at 1.00.
    assert report.checks[5].result == "10.500 kWh from signed registers give 4.68 CNY"
    # 4.000 kWh at 0.30 and 4.000 at 1.00 are 5.20; a 300 x 5 of 3200.
    assert report.checks[4].result == "15 / 32 of 5.20 gives 2.44 CNY"


def test_the_evidence_is_only_what_the_partys_own_span_needs(book: Book) -> None:
    assert [ref.seq for ref in book.statement("t-1").evidence] == [1, 5, 6]
    assert [ref.seq for ref in book.statement("t-2").evidence] == [6, 9]


def test_the_owners_statement_needs_no_registers(book: Book) -> None:
    statement = book.statement("owner")
    assert statement.evidence == ()
    assert verify(book.bundle("owner")).holds


def test_statements_add_up_to_the_pools(book: Book) -> None:
    totals = [book.statement(party).total_minor for party in book.run.parties]
    assert sum(totals) == sum(pool.cost_minor for pool in book.run.pools)


def test_the_same_run_gives_the_same_octets(book: Book) -> None:
    assert book.statement().octets == book.statement().octets
    assert book.statement(version=2).octets != book.statement().octets
    assert book.statement(version=2).number == "park-2026-07-t-1-v2"


def test_a_statement_survives_its_wire_form(book: Book) -> None:
    content = StatementContent.from_wire(decode_canonical(parse_sign1(book.statement().octets).payload))
    assert content.to_wire() == decode_canonical(parse_sign1(book.statement().octets).payload)
    assert content.lines == book.run.lines_of(PartyId("t-1"))
    assert content.run_id.hex() == book.run.id


@pytest.mark.parametrize("place", range(0, 4000, 97))
def test_no_octet_of_a_statement_can_be_changed(book: Book, place: int) -> None:
    def change(content: dict[str, Any]) -> None:
        octets = bytearray(base64.b64decode(content["statement"]))
        octets[place % len(octets)] ^= 1
        content["statement"] = base64.b64encode(octets).decode()

    assert broken(repack(book.bundle(), change)) in (["statement"], ["statement key"])


def test_a_changed_digit_of_the_amount_breaks_the_signature(book: Book) -> None:
    def change(content: dict[str, Any]) -> None:
        content["lines"][1]["amount_minor"] -= 1

    parts, changed = unpack_bundle(book.bundle()), unpack_bundle(reseal(book.bundle(), change, STRANGER))
    message = cbor2.loads(parts.statement)
    protected, unprotected, _, signature = message.value
    payload = parse_sign1(changed.statement).payload
    forged = encode(cbor2.CBORTag(message.tag, [protected, unprotected, payload, signature]))
    report = verify(pack_bundle(forged, parts.proof, parts.evidence, parts.profiles))
    assert [check.link for check in report.broken] == ["statement"]
    assert report.content is None
    assert "it was changed after signing" in report.broken[0].result


def test_a_key_the_reader_does_not_trust_is_named(book: Book) -> None:
    report = verify(book.bundle(), STRANGER)
    assert [check.link for check in report.broken] == ["statement key"]
    assert CENTRE.key_id.hex() in report.broken[0].result
    assert STRANGER.key_id.hex() in report.broken[0].result


def test_a_wrong_key_under_the_right_id_breaks_the_signature(book: Book) -> None:
    report = verify_bundle(book.bundle(), {CENTRE.key_id: PublicKey(STRANGER.public_octets)}, verifier_for)
    assert [check.link for check in report.broken] == ["statement"]


def test_missing_evidence_is_named_by_its_place_in_the_chain(book: Book) -> None:
    report = verify(repack(book.bundle(), lambda content: content["evidence"].pop(1)))
    assert [(check.link, check.result) for check in report.broken] == [("evidence gw-a/1/5", "it is missing")]


def test_altered_evidence_is_named_by_its_place_in_the_chain(book: Book) -> None:
    head, (form, seed, readings) = cbor2.loads(book.envelopes[book.statement().evidence[1]])
    first = [*readings[0]]
    first[6] = [one + 1 for one in first[6]]
    forged = encode([head, [form, seed, [first, *readings[1:]]]])

    def change(bundle: dict[str, Any]) -> None:
        bundle["evidence"][1] = base64.b64encode(forged).decode()

    report = verify(repack(book.bundle(), change))
    assert [check.link for check in report.broken] == ["evidence gw-a/1/5"]
    assert "altered" in report.broken[0].result


def test_a_head_altered_is_named_too(book: Book) -> None:
    head, shown = cbor2.loads(book.envelopes[book.statement().evidence[1]])
    message = cbor2.loads(head)
    content = [*cbor2.loads(message.value[2])]
    content[7] += 1
    forged = encode(cbor2.CBORTag(message.tag, [*message.value[:2], encode(content), message.value[3]]))

    def change(bundle: dict[str, Any]) -> None:
        bundle["evidence"][1] = base64.b64encode(encode([forged, shown])).decode()

    report = verify(repack(book.bundle(), change))
    assert [check.link for check in report.broken] == ["evidence gw-a/1/5"]
    assert "altered" in report.broken[0].result


def test_evidence_altered_beyond_reading_is_told(book: Book) -> None:
    def change(bundle: dict[str, Any]) -> None:
        bundle["evidence"][1] = base64.b64encode(b"torn").decode()

    assert broken(repack(book.bundle(), change)) == ["evidence gw-a/1/5", "evidence"]


def test_evidence_that_nobody_named_is_ignored(book: Book) -> None:
    other = next(octets for ref, octets in book.envelopes.items() if ref.seq == 3)

    def change(bundle: dict[str, Any]) -> None:
        bundle["evidence"].append(base64.b64encode(other).decode())

    assert verify(repack(book.bundle(), change)).holds


def test_evidence_of_a_key_the_statement_does_not_name_is_refused(book: Book) -> None:
    def change(content: dict[str, Any]) -> None:
        content["keys"] = []

    assert broken(reseal(book.bundle(), change)) == [f"gateway signature gw-a/1/{seq}" for seq in (1, 5, 6)]


def test_evidence_signed_by_another_key_than_stated_is_refused(book: Book) -> None:
    def change(content: dict[str, Any]) -> None:
        content["keys"][0][4] = STRANGER.public_octets

    links = broken(reseal(book.bundle(), change))
    assert links[0] == "gateway signature gw-a/1/1"


def test_evidence_stated_under_another_seq_is_refused(book: Book) -> None:
    def change(content: dict[str, Any]) -> None:
        content["evidence"][0][2] = 2

    assert broken(reseal(book.bundle(), change)) == ["gateway signature gw-a/1/2"]


def lie(*path: str | int, by: int = 10) -> Callable[[dict[str, Any]], None]:
    """A change of one number of a statement."""

    def change(content: dict[str, Any]) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] += by

    return change


@pytest.mark.parametrize(
    ("change", "link"),
    [
        (lie("points", 0, "readings", 1, 2), "reading m-1 2026-06-30T17:00:00+00:00"),
        (lie("points", 0, "readings", 1, 0, by=900), "reading m-1 2026-06-30T17:15:00+00:00"),
        (lie("points", 0, "installations", 0, "multiplier", by=1), "line own-use/a/t-1"),
        (lie("points", 0, "installations", 0, "modulus_wh"), "reading m-1 2026-06-30T16:00:00+00:00"),
        (lie("lines", 1, "band_energy_wh", 0), "line own-use/a/t-1"),
        (lie("lines", 1, "trace", "cost_nano"), "line own-use/a/t-1"),
        (lie("bands", 0, 2), "line own-use/a/t-1"),
        (lie("band_runs", 1, 0, by=1), "line own-use/a/t-1"),
        (lie("lines", 0, "trace", "weight", by=1), "line lift/a/t-1"),
        (lie("lines", 0, "trace", "remainder", by=1), "line lift/a/t-1"),
        (lie("pools", 0, "cost_minor", by=32), "line lift/a/t-1"),
        (lie("total_minor", by=1), "total"),
    ],
)
def test_a_centre_that_lies_in_one_number_is_found_out(
    book: Book, change: Callable[[dict[str, Any]], None], link: str
) -> None:
    # A lie about what the run committed to breaks the pool's tree as well.
    others = [one for one in broken(reseal(book.bundle(), change)) if not one.startswith("pool ")]
    assert others == [link]


@pytest.mark.parametrize("line", [0, 1])
def test_an_amount_that_does_not_follow_breaks_its_line(book: Book, line: int) -> None:
    def change(content: dict[str, Any]) -> None:
        content["lines"][line]["amount_minor"] += 1
        content["total_minor"] += 1

    links = broken(reseal(book.bundle(), change))
    assert links == [["line lift/a/t-1", "pool lift"], ["line own-use/a/t-1", "pool own-use"]][line]


def test_an_odd_fen_given_against_the_rule_is_found_out(book: Book) -> None:
    def change(content: dict[str, Any]) -> None:
        content["lines"][0]["trace"]["extra"] = not content["lines"][0]["trace"]["extra"]
        content["lines"][0]["amount_minor"] += 1 if content["lines"][0]["trace"]["extra"] else -1
        content["total_minor"] += 1 if content["lines"][0]["trace"]["extra"] else -1

    assert broken(reseal(book.bundle(), change)) == ["line lift/a/t-1", "pool lift"]


def test_a_reading_left_out_by_the_centre_cannot_hide_energy(book: Book) -> None:
    def change(content: dict[str, Any]) -> None:
        content["points"][0]["readings"].pop(1)

    assert broken(reseal(book.bundle(), change)) == ["line own-use/a/t-1"]


def test_a_line_without_its_registers_is_found_out(book: Book) -> None:
    def change(content: dict[str, Any]) -> None:
        content["points"] = []

    assert broken(reseal(book.bundle(), change)) == ["line own-use/a/t-1"]


def test_a_profile_left_out_of_the_bundle_is_named(book: Book) -> None:
    def change(bundle: dict[str, Any]) -> None:
        bundle["profiles"] = []

    report = verify(repack(book.bundle(), change))
    assert [check.link for check in report.broken] == ["reading m-1 2026-06-30T16:00:00+00:00"]
    assert "the profile" in report.broken[0].result


def test_a_profile_that_cannot_be_read_is_named(book: Book) -> None:
    def change(bundle: dict[str, Any]) -> None:
        bundle["profiles"] = [base64.b64encode(b"\x01").decode()]

    assert broken(repack(book.bundle(), change)) == ["profile"]


def test_a_statement_of_another_format_is_not_guessed(book: Book) -> None:
    def change(content: dict[str, Any]) -> None:
        content["format"] = "metertree-statement/2"

    assert broken(reseal(book.bundle(), change)) == ["statement"]


def test_a_statement_that_lacks_a_part_is_malformed(book: Book) -> None:
    content = decode_canonical(parse_sign1(book.statement().octets).payload)
    for key in content:
        with pytest.raises(EnvelopeMalformed):
            StatementContent.from_wire({name: part for name, part in content.items() if name != key})


@pytest.mark.parametrize("octets", [b"", b"[]", b"{}", b"\xff", b'{"format": "x"}', b"[" * 100_000])
def test_what_is_no_bundle_is_told_and_never_raises(octets: bytes) -> None:
    assert broken(octets) == ["bundle"]
    with pytest.raises(BundleMalformed):
        unpack_bundle(octets)


def test_base64_with_stray_letters_is_no_bundle(book: Book) -> None:
    def change(bundle: dict[str, Any]) -> None:
        bundle["statement"] += "*"

    assert broken(repack(book.bundle(), change)) == ["bundle"]


def test_a_statement_without_evidence_in_the_books_is_refused(book: Book) -> None:
    poor = replace(book, inputs=replace(book.inputs, evidence=()))
    with pytest.raises(PeriodNotReady, match=r"no evidence for 1-0:1\.8\.0 of u-a"):
        poor.statement()


def test_readings_without_envelopes_are_no_evidence(book: Book) -> None:
    (point,) = book.inputs.evidence
    bare_point = replace(point, readings=tuple(replace(one, envelope=None) for one in point.readings))
    with pytest.raises(PeriodNotReady, match="without the envelopes"):
        replace(book, inputs=replace(book.inputs, evidence=(bare_point,))).statement()


def test_a_proof_that_was_left_out_or_cannot_be_read_is_named(book: Book) -> None:
    def change(bundle: dict[str, Any]) -> None:
        bundle["proof"] = base64.b64encode(b"\x80").decode()

    report = verify(repack(book.bundle(), change))
    assert [check.link for check in report.broken] == ["commitment"]
    assert report.pools == ()
    assert broken(repack(book.bundle(), lambda bundle: bundle.pop("proof"))) == ["bundle"]


def test_the_proof_of_another_party_is_of_no_use(book: Book) -> None:
    other = json.loads(book.bundle("t-2"))["proof"]

    def change(bundle: dict[str, Any]) -> None:
        bundle["proof"] = other

    assert broken(repack(book.bundle(), change)) == ["pool lift", "pool own-use"]


def test_a_root_the_centre_signs_for_one_party_alone_is_found_out(book: Book) -> None:
    def change(content: dict[str, Any]) -> None:
        content["commitment"] = bytes(32)

    assert broken(reseal(book.bundle(), change)) == ["commitment"]


def test_what_is_proven_of_each_pool_is_reported(book: Book) -> None:
    report = verify(book.bundle())
    assert [(one.pool.id, one.own, one.charges, one.credits) for one in report.pools] == [
        ("lift", 244, 520, 0),
        ("own-use", 468, None, None),
    ]
    told = {check.link: check.result for check in report.checks}
    assert told["pool lift"] == "yours, 2.44, and the others' add up to its cost, 5.20 CNY"
    assert told["commitment"] == f"root {commit_run(book.run, bytes(32)).root.hex()}"


# ---- The ladder, proven from evidence ----------------------------------------------------------------------------


def proven(report: VerificationReport) -> dict[str, str]:
    """What each line was proven to be; fails if anything broke."""
    assert report.holds, report.broken
    return {check.link: check.result for check in report.checks if check.link.startswith("line")}


def test_a_rollover_is_proven_with_the_profiles_modulus(
    bare: PeriodInputs, make_rules: Callable[..., Rules], own_use_pool: dict[str, Any]
) -> None:
    top = MODULUS_WH // 10
    course = {mark: (top - 350 + 100 * mark) % top for mark in range(9)}
    book = close_book(bare, make_rules, [{**own_use_pool, "units": ["a"]}], [hung()], {"m-1": course})
    assert proven(verify(book.bundle("t-1")))["line own-use/a/t-1"].startswith("10.000 kWh")
    assert [ref.seq for ref in book.statement("t-1").evidence] == [1, 4, 5, 6]


def test_an_exchange_with_another_multiplier_is_proven_from_declared_registers(
    bare: PeriodInputs, make_rules: Callable[..., Rules], own_use_pool: dict[str, Any]
) -> None:
    exchanged_at = bare.mark(2).replace(minute=37)
    epochs = [
        hung(end=exchanged_at, final_wh=2_480),
        hung("m-2", start=exchanged_at, initial_wh=50, multiplier=3),
    ]
    courses = {"m-1": {0: 0, 1: 100, 2: 200}, "m-2": {mark: 5 + 100 * (mark - 2) for mark in range(3, 9)}}
    book = close_book(bare, make_rules, [{**own_use_pool, "units": ["a"]}], epochs, courses)
    # 2 x 2,480 Wh on the old meter, 3 x (3,050 - 50) Wh on the new one until slot 5.
    assert proven(verify(book.bundle("t-1")))["line own-use/a/t-1"].startswith("13.960 kWh")


def test_an_estimate_over_a_handover_and_a_change_of_price_is_proven_from_the_readings_around_it(
    bare: PeriodInputs, make_rules: Callable[..., Rules], own_use_pool: dict[str, Any]
) -> None:
    course = {0: 0, 1: 100, 8: 811}
    book = close_book(bare, make_rules, [{**own_use_pool, "units": ["a"]}], [hung()], {"m-1": course})
    for party in ("t-1", "t-2"):
        proven(verify(book.bundle(party)))
    assert sum(sum(line.band_energy_wh) for line in book.run.lines) == 2 * 8110
    assert [ref.seq for ref in book.statement("t-2").evidence] == [2, 3]
