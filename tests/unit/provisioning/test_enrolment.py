"""Enrolment by a claim: who is let in, who is not, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import cbor2
import pytest

from metering.envelope import (
    Algorithm,
    EnvelopeMalformed,
    SignatureInvalid,
    Signer,
    decode_canonical,
    encode,
    parse_sign1,
    sign1,
)
from metering.errors import SenderError
from metering.identity import GatewayId, IdentifierInvalid, KeyId, SiteId
from provisioning.enrolment import (
    BUNDLE_FORMAT,
    CLAIM_BITS,
    EPOCH_LEAP_MAX,
    EPOCH_MAX,
    Claim,
    ClaimInvalid,
    Enrolled,
    InstallOrder,
    OrderInvalid,
    Refused,
    decide,
    open_bundle,
    open_order,
    seal_bundle,
)
from provisioning.keys import FileSigner

NOW = datetime(2026, 6, 30, 8, tzinfo=UTC)
CLAIM = Claim.of_number(2**129 + 12345)
GATEWAY = GatewayId("gw-a")
SIGNER = FileSigner.from_seed(bytes([7]) * 32)
OTHER = FileSigner.from_seed(bytes([8]) * 32)


def order_for(claim: Claim = CLAIM, gateway: str = "gw-a") -> InstallOrder:
    """An open order of a day before, good for two weeks."""
    return open_order(
        site=SiteId("park"),
        gateway=GatewayId(gateway),
        engineer="shift 2",
        ordered_at=NOW - timedelta(days=1),
        expires_at=NOW + timedelta(days=13),
        claim=claim,
    )


def bundle_of(epoch: int = 1, claim: Claim = CLAIM, signer: FileSigner = SIGNER) -> bytes:
    """What the gateway at the site presents."""
    return seal_bundle(GATEWAY, epoch=epoch, claim=claim, public_key=signer.public_key, signer=signer)


def refusal(outcome: Enrolled | Refused) -> str:
    """The reason of a refusal."""
    assert isinstance(outcome, Refused)
    assert outcome.mend
    return outcome.reason


def accepted(outcome: Enrolled | Refused) -> Enrolled:
    """An enrolment that must have been accepted."""
    assert isinstance(outcome, Enrolled), outcome
    return outcome


def test_a_gateway_with_its_claim_is_enrolled() -> None:
    bundle = open_bundle(bundle_of())
    outcome = accepted(decide(bundle, order_for(), last_epoch=0, now=NOW))
    assert not outcome.again
    assert (outcome.bundle.gateway, outcome.bundle.epoch) == ("gw-a", 1)
    assert outcome.bundle.public_key == SIGNER.public_key
    assert outcome.bundle.key_id == SIGNER.key_id
    assert outcome.order.burned_at == NOW
    assert outcome.order.burned_by == bundle.digest


def test_a_wrong_claim_is_refused() -> None:
    bundle = open_bundle(bundle_of(claim=Claim.of_number(1)))
    assert refusal(decide(bundle, None, last_epoch=0, now=NOW)) == "claim-unknown"
    assert refusal(decide(bundle, order_for(), last_epoch=0, now=NOW)) == "claim-unknown"


def test_a_claim_serves_once() -> None:
    burned = accepted(decide(open_bundle(bundle_of()), order_for(), last_epoch=0, now=NOW)).order
    second = open_bundle(bundle_of(signer=OTHER))
    assert refusal(decide(second, burned, last_epoch=1, now=NOW)) == "claim-used"
    higher = open_bundle(bundle_of(epoch=2))
    assert refusal(decide(higher, burned, last_epoch=1, now=NOW)) == "claim-used"


def test_the_same_bundle_gets_the_same_answer_again_even_after_the_order_lapsed() -> None:
    burned = accepted(decide(open_bundle(bundle_of()), order_for(), last_epoch=0, now=NOW)).order
    late = NOW + timedelta(days=60)
    outcome = accepted(decide(open_bundle(bundle_of()), burned, last_epoch=1, now=late))
    assert outcome.again
    assert outcome.order == burned


@pytest.mark.parametrize(("late_by", "expired"), [(-1, False), (0, True), (1, True)])
def test_an_order_lapses_at_its_instant(late_by: int, expired: bool) -> None:
    order = order_for()
    now = order.expires_at + timedelta(milliseconds=late_by)
    outcome = decide(open_bundle(bundle_of()), order, last_epoch=0, now=now)
    assert isinstance(outcome, Refused) == expired
    if expired:
        assert refusal(outcome) == "order-expired"


def test_a_claim_does_not_serve_another_gateway() -> None:
    order = order_for(gateway="gw-b")
    assert refusal(decide(open_bundle(bundle_of()), order, last_epoch=0, now=NOW)) == "gateway-mismatch"


def test_an_epoch_is_never_given_twice() -> None:
    bundle = open_bundle(bundle_of(epoch=3))
    outcome = decide(bundle, order_for(), last_epoch=3, now=NOW)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.mend) == ("epoch-used", "enrol again with --epoch 4")
    accepted(decide(bundle, order_for(), last_epoch=2, now=NOW))


def test_nobody_takes_a_gateway_all_its_epochs() -> None:
    last = open_bundle(bundle_of(epoch=EPOCH_MAX))
    assert refusal(decide(last, order_for(), last_epoch=3, now=NOW)) == "epoch-leaps"
    accepted(decide(open_bundle(bundle_of(epoch=3 + EPOCH_LEAP_MAX)), order_for(), last_epoch=3, now=NOW))


def test_a_bundle_is_the_same_octets_each_time() -> None:
    assert bundle_of() == bundle_of()


def test_every_flipped_bit_of_a_bundle_is_refused() -> None:
    octets = bundle_of()
    for position in range(len(octets) * 8):
        altered = bytearray(octets)
        altered[position // 8] ^= 1 << position % 8
        with pytest.raises(SenderError):
            open_bundle(bytes(altered))


def test_every_cut_of_a_bundle_is_refused() -> None:
    octets = bundle_of()
    for length in range(len(octets)):
        with pytest.raises(EnvelopeMalformed):
            open_bundle(octets[:length])


def test_a_bundle_for_the_key_of_another_is_refused() -> None:
    """Whoever overhears a public key must not enrol it as his own: the bundle is signed by the key it presents."""
    stolen = seal_bundle(GATEWAY, epoch=1, claim=CLAIM, public_key=OTHER.public_key, signer=SIGNER)
    with pytest.raises(EnvelopeMalformed, match="another key"):
        open_bundle(stolen)


class Posing:
    """Signs with its own key under the key id of another."""

    algorithm = Algorithm.EDDSA

    def __init__(self, signer: FileSigner, key_id: KeyId) -> None:
        self._signer = signer
        self.key_id = key_id

    def sign(self, message: bytes) -> bytes:
        """Sign with the own key."""
        return self._signer.sign(message)


def test_a_signature_of_another_key_is_refused() -> None:
    posing = Posing(SIGNER, OTHER.key_id)
    with pytest.raises(SignatureInvalid):
        open_bundle(seal_bundle(GATEWAY, epoch=1, claim=CLAIM, public_key=OTHER.public_key, signer=posing))


def content_of(octets: bytes) -> list[object]:
    """The fields of a bundle."""
    content = decode_canonical(parse_sign1(octets).payload)
    return list(content)


@pytest.mark.parametrize(
    ("field", "content"),
    [
        (0, "metertree-enrolment/2"),
        (0, 1),
        (1, 7),
        (1, "gw/a"),
        (2, 0),
        (2, -1),
        (2, 2**31),
        (2, True),
        (2, "1"),
        (3, -7),
        (3, None),
        (4, "text"),
        (4, b""),
        (4, bytes(31)),
        (5, 12),
        (5, "WRNG-CLAM"),
        (5, CLAIM.text[:-1] + ("0" if CLAIM.text[-1] != "0" else "1")),
    ],
)
def test_a_bundle_with_a_malformed_field_is_refused(field: int, content: object) -> None:
    fields = content_of(bundle_of())
    fields[field] = content
    with pytest.raises(EnvelopeMalformed):
        open_bundle(sign1(encode(fields), SIGNER))


@pytest.mark.parametrize("payload", [b"", b"\xff", encode(None), encode([]), encode([BUNDLE_FORMAT]), encode({})])
def test_a_payload_of_another_shape_is_refused(payload: bytes) -> None:
    with pytest.raises(EnvelopeMalformed):
        open_bundle(sign1(payload, SIGNER))


def test_an_envelope_is_not_taken_for_a_bundle_nor_the_other_way_round() -> None:
    fields = content_of(bundle_of())
    assert fields[0] == BUNDLE_FORMAT, "an envelope begins with a number"
    with pytest.raises(EnvelopeMalformed, match="not a bundle"):
        open_bundle(sign1(encode([1, 1, "gw-a", 1, 1, b""]), SIGNER))


def test_an_unknown_algorithm_is_refused() -> None:
    message = cbor2.loads(bundle_of())
    protected = encode({1: -257, 4: SIGNER.key_id})
    octets = encode(cbor2.CBORTag(18, [protected, {}, message.value[2], message.value[3]]))
    with pytest.raises(EnvelopeMalformed, match="not in use"):
        open_bundle(octets)


def test_a_signer_may_be_hardware() -> None:
    """`seal_bundle` asks for nothing but the Signer protocol."""
    signer: Signer = Posing(SIGNER, SIGNER.key_id)
    open_bundle(seal_bundle(GATEWAY, epoch=1, claim=CLAIM, public_key=SIGNER.public_key, signer=signer))


def test_a_claim_holds_at_least_128_bits() -> None:
    assert CLAIM_BITS >= 128
    assert len({Claim.fresh().text for _ in range(100)}) == 100


def test_a_claim_is_readable_over_the_telephone() -> None:
    text = Claim.fresh().text
    assert len(text.split("-")) == 7
    assert all(len(group) == 4 for group in text.split("-"))
    assert not set(text) & set("ILOU")


@pytest.mark.parametrize("spelling", [str.lower, lambda text: text.replace("-", " "), lambda text: f" {text}\n"])
def test_a_claim_may_be_typed_in_any_spelling(spelling: object) -> None:
    assert callable(spelling)
    assert Claim.parse(spelling(CLAIM.text)) == CLAIM


def test_misread_signs_are_understood() -> None:
    claim = Claim.of_number(1)
    assert claim.text.startswith("0000-")
    assert Claim.parse(claim.text.replace("0", "o").replace("1", "l")) == claim


def test_a_mistyped_claim_is_told_before_anyone_asks_the_centre() -> None:
    signs = list(CLAIM.text)
    signs[0], signs[1] = signs[1], signs[0]
    with pytest.raises(ClaimInvalid, match="mistyped"):
        Claim.parse("".join(signs))


@pytest.mark.parametrize(
    "text", ["", "ABCD", CLAIM.text[:-1], CLAIM.text + "0", CLAIM.text.replace("-", "!"), "ü" * 28]
)
def test_what_is_no_claim_is_refused(text: str) -> None:
    with pytest.raises(ClaimInvalid):
        Claim.parse(text)


def test_only_the_hash_of_a_claim_is_kept() -> None:
    order = order_for()
    assert order.claim_hash == CLAIM.hash
    assert CLAIM.text not in repr(order)
    assert CLAIM.text not in repr(CLAIM)


def test_an_order_that_lapses_before_it_begins_is_refused() -> None:
    with pytest.raises(OrderInvalid):
        open_order(
            site=SiteId("park"), gateway=GATEWAY, engineer="x", ordered_at=NOW, expires_at=NOW, claim=CLAIM
        )  # fmt: skip


def test_an_order_for_a_malformed_gateway_is_refused() -> None:
    with pytest.raises(IdentifierInvalid):
        order_for(gateway="gw/+")
