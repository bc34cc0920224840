"""A statement file changed at any place never verifies: random damage, and the attacks somebody would think of."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine import verification
from allocation_engine.bundle import Bundle, BundleMalformed, pack_bundle, unpack_bundle
from allocation_engine.verification import Check, VerificationReport, verify_bundle
from metering.envelope import Algorithm, Verifier, decode_canonical, digest_of, encode, parse_sealed, parse_sign1, sign1
from provisioning.keys import Ed25519Verifier, FileSigner, public_verifier
from tests.doubles.memory_centre import bundle_of
from tests.doubles.park_books import CENTRE, signer_of

STRANGER = FileSigner.from_seed(b"\x66" * 32)
PARTY, NEIGHBOUR = "t-01", "t-02"
ALWAYS = settings(max_examples=60, deadline=None)


def trusted(*keys: FileSigner) -> Mapping[bytes, Verifier]:
    """What the reader trusts."""
    return {key.key_id: public_verifier(Algorithm.EDDSA, key.public_key) for key in keys or (CENTRE,)}


def verify(octets: bytes) -> VerificationReport:
    """Check a file as its reader does."""
    return verify_bundle(octets, trusted(), public_verifier)


@cache
def honest(party: str = PARTY) -> Bundle:
    """The parts of an honest file."""
    return unpack_bundle(bundle_of(party))


def packed(bundle: Bundle, **changes: Any) -> bytes:
    """Pack the parts again, some of them changed."""
    parts = {name: changes.get(name, getattr(bundle, name)) for name in Bundle.__slots__}
    return pack_bundle(parts["statement"], parts["proof"], parts["evidence"], parts["profiles"])


def require_refused(octets: bytes) -> VerificationReport:
    """Accept a report that names at least one broken link and says of each what is wrong."""
    report = verify(octets)
    assert not report.holds
    assert all(check.link and check.result for check in report.broken)
    return report


def test_honest_files_hold() -> None:
    for party in (PARTY, NEIGHBOUR, "owner"):
        assert verify(bundle_of(party)).holds, party


@st.composite
def damages(draw: st.DrawFn, octets: bytes) -> bytes:
    """Other octets than `octets`: flipped, cut, lengthened, repeated or rearranged."""
    place = draw(st.integers(0, len(octets) - 1))
    far = draw(st.integers(0, len(octets) - 1))
    kind = draw(st.sampled_from(["flip", "flip", "flip", "cut", "drop", "insert", "swap", "append", "zero"]))
    flipped = octets[:place] + bytes([octets[place] ^ draw(st.integers(1, 255))]) + octets[place + 1 :]
    near, after = min(place, far), max(place, far)
    made = {
        "flip": flipped,
        "cut": octets[:place],
        "drop": octets[:place] + octets[place + 1 :],
        "insert": octets[:place] + draw(st.binary(min_size=1, max_size=4)) + octets[place:],
        "swap": octets[:near] + octets[after : after + 1] + octets[near + 1 :],
        "append": octets + draw(st.binary(min_size=1, max_size=8)),
        "zero": octets[:place] + bytes(len(octets) - place),
    }[kind]
    return made if made != octets else flipped


@ALWAYS
@given(st.data())
def test_a_damaged_statement_never_verifies(data: st.DataObject) -> None:
    report = require_refused(packed(honest(), statement=data.draw(damages(honest().statement))))
    assert report.content is None, "nothing of it is believed"
    assert [check.link for check in report.broken] in (["statement"], ["statement key"])


@ALWAYS
@given(st.data())
def test_a_damaged_proof_never_verifies(data: st.DataObject) -> None:
    report = require_refused(packed(honest(), proof=data.draw(damages(honest().proof))))
    assert all(check.link.startswith(("pool", "commitment")) for check in report.broken)


@ALWAYS
@given(st.data())
def test_a_damaged_envelope_never_verifies(data: st.DataObject) -> None:
    evidence = list(honest().evidence)
    number = data.draw(st.integers(0, len(evidence) - 1))
    evidence[number] = data.draw(damages(evidence[number]))
    report = require_refused(packed(honest(), evidence=evidence))
    assert all(check.link.startswith("evidence") for check in report.broken)


def needed_profiles(bundle: Bundle) -> set[bytes]:
    """Give the profiles by which the stated registers were read; the file also holds those of other meters."""
    stated = decode_canonical(parse_sign1(bundle.statement).payload)["points"]
    meters = {reading[1] for point in stated for reading in point["readings"]}
    read = (reading for octets in bundle.evidence for reading in parse_sealed(octets).envelope.readings)
    hashes = {reading.profile_hash for reading in read if reading.meter in meters}
    return {profile for profile in bundle.profiles if digest_of(profile) in hashes}


@settings(ALWAYS, max_examples=30)
@given(st.data())
def test_a_damaged_profile_that_a_register_was_read_by_never_verifies(data: st.DataObject) -> None:
    (needed,) = needed_profiles(honest())
    others = [profile for profile in honest().profiles if profile != needed]
    require_refused(packed(honest(), profiles=[*others, data.draw(damages(needed))]))
    assert verify(packed(honest(), profiles=[needed])).holds


@ALWAYS
@given(st.data())
def test_a_file_damaged_as_text_says_the_same_or_does_not_verify(data: st.DataObject) -> None:
    octets = data.draw(damages(bundle_of(PARTY)))
    try:
        parts = unpack_bundle(octets)
    except BundleMalformed:
        assert [check.link for check in require_refused(octets).broken] == ["bundle"]
        return
    assert verify(octets).holds == (parts == honest())


@ALWAYS
@given(st.data())
def test_a_file_holds_exactly_when_nothing_it_needs_is_missing_or_changed(data: st.DataObject) -> None:
    parties = [PARTY, NEIGHBOUR, "owner"]
    sources = {name: honest(data.draw(st.sampled_from(parties), label=name)) for name in Bundle.__slots__}
    bundle = Bundle(**{name: getattr(sources[name], name) for name in Bundle.__slots__})
    keep = data.draw(st.lists(st.booleans(), min_size=len(bundle.evidence), max_size=len(bundle.evidence)))
    evidence = [one for one, kept in zip(bundle.evidence, keep, strict=True) if kept or data.draw(st.booleans())]
    evidence = data.draw(st.permutations(evidence))
    own = sources["statement"]
    holds = (
        bundle.proof == own.proof and set(own.evidence) <= set(evidence) and set(own.profiles) <= set(bundle.profiles)
    )
    report = verify(pack_bundle(bundle.statement, bundle.proof, evidence, bundle.profiles))
    assert report.holds == holds


# Attacks on the statement's envelope


def opened(octets: bytes) -> tuple[int, list[Any]]:
    """Take a COSE_Sign1 apart: its tag, and protected, unprotected, payload, signature."""
    message = cbor2.loads(octets)
    return message.tag, list(message.value)


def rebuilt(octets: bytes, change: Callable[[list[Any]], None], tag: int | None = None) -> bytes:
    """Change a part of a COSE_Sign1 without signing again."""
    kept, parts = opened(octets)
    change(parts)
    return cbor2.dumps(cbor2.CBORTag(kept if tag is None else tag, parts), canonical=True)


def replaced(index: int, part: Any) -> Callable[[list[Any]], None]:
    """Replace one part."""

    def change(parts: list[Any]) -> None:
        parts[index] = part(parts[index]) if callable(part) else part

    return change


def header(change: Callable[[dict[Any, Any]], None]) -> Callable[[list[Any]], None]:
    """Change the protected header."""

    def rewrite(octets: bytes) -> bytes:
        fields = dict(cbor2.loads(octets))
        change(fields)
        return cbor2.dumps(fields, canonical=True)

    return replaced(0, rewrite)


ENVELOPE_ATTACKS: dict[str, Callable[[bytes], bytes]] = {
    "another algorithm in the header": lambda one: rebuilt(one, header(lambda fields: fields.update({1: -7}))),
    "no algorithm": lambda one: rebuilt(one, header(lambda fields: fields.pop(1))),
    "the algorithm none": lambda one: rebuilt(one, header(lambda fields: fields.update({1: 0}))),
    "another key id": lambda one: rebuilt(one, header(lambda fields: fields.update({4: STRANGER.key_id}))),
    "no key id": lambda one: rebuilt(one, header(lambda fields: fields.pop(4))),
    "a field more in the header": lambda one: rebuilt(one, header(lambda fields: fields.update({99: 1}))),
    "an empty header": lambda one: rebuilt(one, replaced(0, b"")),
    "a field in the unprotected header": lambda one: rebuilt(one, replaced(1, {4: b"x" * 8})),
    "an empty signature": lambda one: rebuilt(one, replaced(3, b"")),
    "a signature of zeros": lambda one: rebuilt(one, replaced(3, bytes(64))),
    "a signature cut short": lambda one: rebuilt(one, replaced(3, lambda signature: signature[:-1])),
    "a longer signature": lambda one: rebuilt(one, replaced(3, lambda signature: signature + b"\0")),
    "its two halves exchanged": lambda one: rebuilt(one, replaced(3, lambda it: it[32:] + it[:32])),
    "the signature of another statement": lambda one: rebuilt(
        one, replaced(3, opened(honest(NEIGHBOUR).statement)[1][3])
    ),
    "the content of another statement": lambda one: rebuilt(
        one, replaced(2, opened(honest(NEIGHBOUR).statement)[1][2])
    ),
    "no content": lambda one: rebuilt(one, replaced(2, b"")),
    "detached content": lambda one: rebuilt(one, replaced(2, None)),
    "another tag": lambda one: rebuilt(one, lambda _: None, tag=98),
    "no tag": lambda one: cbor2.dumps(opened(one)[1], canonical=True),
    "a part more": lambda one: rebuilt(one, lambda parts: parts.append(b"")),
    "a part less": lambda one: rebuilt(one, lambda parts: parts.pop()),
    "two statements in a row": lambda one: one + one,
    "wrapped in another tag": lambda one: cbor2.dumps(cbor2.CBORTag(55799, cbor2.loads(one)), canonical=True),
    "an envelope of a gateway": lambda _: honest().evidence[0],
    "signed by a stranger": lambda one: sign1(parse_sign1(one).payload, STRANGER),
    "signed by a gateway": lambda one: sign1(parse_sign1(one).payload, signer_of("gw-a")),  # type: ignore[arg-type]
    "signed by a stranger under the centre's id": lambda one: rebuilt(
        sign1(parse_sign1(one).payload, STRANGER), replaced(0, opened(one)[1][0])
    ),
    "indefinite length": lambda one: b"\xd2\x9f" + one[2:] + b"\xff",
}


@pytest.mark.parametrize("attack", ENVELOPE_ATTACKS)
def test_a_tampered_envelope_of_the_statement_is_refused(attack: str) -> None:
    octets = ENVELOPE_ATTACKS[attack](honest().statement)
    assert octets != honest().statement
    report = require_refused(packed(honest(), statement=octets))
    assert report.content is None


# A centre that lies: what it says is signed with its own key, and still does not follow from the evidence


def numbers(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the paths of all numbers in a statement."""
    if isinstance(part, bool) or part is None:
        return []
    if isinstance(part, int):
        return [path]
    if isinstance(part, dict):
        return [found for key, each in part.items() for found in numbers(each, (*path, key))]
    if isinstance(part, list | tuple):
        return [found for index, each in enumerate(part) for found in numbers(each, (*path, index))]
    return []


SUMMED = {"total_minor", "amount_minor", "band_energy_wh", "weight", "readings", "multiplier"}
"""The numbers that registers, energies and amounts are; the others tell where they come from."""


def lied(path: tuple[Any, ...], by: int) -> bytes:
    """Change one number, and sign it as the centre."""
    content = _plain(decode_canonical(parse_sign1(honest().statement).payload))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] += by
    return packed(honest(), statement=sign1(encode(content), CENTRE))


def _plain(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _plain(each) for key, each in part.items()}
    return [_plain(each) for each in part] if isinstance(part, list | tuple) else part


@ALWAYS
@given(st.data())
def test_a_centre_that_changes_one_number_of_the_sum_is_found_out(data: st.DataObject) -> None:
    content = decode_canonical(parse_sign1(honest().statement).payload)
    paths = [path for path in numbers(content) if SUMMED & set(path)]
    path = data.draw(st.sampled_from(paths))
    require_refused(lied(path, data.draw(st.sampled_from([-1, 1, 100, 900, -900]))))


def test_a_verifier_that_skips_a_link_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ("total_minor",)
    require_refused(lied(path, 1))
    monkeypatch.setattr(verification, "_check_total", lambda _: Check("total", True, "planted"))
    with pytest.raises(AssertionError):
        require_refused(lied(path, 1))


def test_a_verifier_that_believes_every_signature_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    forged = packed(honest(), statement=ENVELOPE_ATTACKS["a signature of zeros"](honest().statement))
    require_refused(forged)
    monkeypatch.setattr(Ed25519Verifier, "verifies", lambda *_: True)
    with pytest.raises(AssertionError):
        require_refused(forged)


def test_a_reader_who_trusts_nobody_believes_nothing() -> None:
    report = verify_bundle(bundle_of(PARTY), {}, public_verifier)
    assert [(check.link, "none" in check.result) for check in report.broken] == [("statement key", True)]


def test_a_reader_may_trust_two_keys_of_the_centre() -> None:
    assert verify_bundle(bundle_of(PARTY), trusted(STRANGER, CENTRE), public_verifier).holds


def test_a_key_with_another_name_does_not_help() -> None:
    renamed = {CENTRE.key_id: public_verifier(Algorithm.EDDSA, STRANGER.public_key)}
    assert [check.link for check in verify_bundle(bundle_of(PARTY), renamed, public_verifier).broken] == ["statement"]


def test_parts_that_are_no_base64_or_missing_are_no_bundle() -> None:
    content = json.loads(bundle_of(PARTY))
    for name in content:
        assert [c.link for c in require_refused(json.dumps({**content, name: 7}).encode()).broken] == ["bundle"]
        lacking = {key: part for key, part in content.items() if key != name}
        assert [c.link for c in require_refused(json.dumps(lacking).encode()).broken] == ["bundle"]
    for text in ("*", "QQ", base64.b64encode(b"x").decode() + "\n!"):
        assert [c.link for c in require_refused(json.dumps({**content, "proof": text}).encode()).broken] == ["bundle"]


def test_evidence_is_named_by_the_digest_of_its_octets() -> None:
    stated = decode_canonical(parse_sign1(honest().statement).payload)["evidence"]
    assert {bytes(one[3]) for one in stated} == {parse_sealed(octets).digest for octets in honest().evidence}
