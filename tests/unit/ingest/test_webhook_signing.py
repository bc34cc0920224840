"""Deliveries are signed as the Standard Webhooks specification says, and secrets are sealed to their place."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ingest.webhooks.signing import Algorithm, SealBroken, Secret, SecretBox, signed_headers

EVENT, AT = "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
PUBLISHED = Secret(Algorithm.HMAC, base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
BOX = SecretBox(bytes(range(32)))


def test_the_published_vector_of_the_specifications_libraries_is_met() -> None:
    """The vector that every library of github.com/standard-webhooks tests its signing with."""
    headers = signed_headers(EVENT, AT, BODY, [PUBLISHED])
    assert headers == {
        "webhook-id": EVENT,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert PUBLISHED.shown == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_specifications_own_library_takes_what_is_signed_here() -> None:
    oracle = pytest.importorskip("standardwebhooks")
    old, new = (Secret.fresh(Algorithm.HMAC) for _ in range(2))
    headers = dict(signed_headers("evt_1", datetime.now(UTC), BODY, [new, Secret.fresh(Algorithm.ED25519), old]))
    for secret in (old, new):
        assert oracle.Webhook(secret.shown).verify(BODY, headers) == {"test": 2432232314}
    with pytest.raises(oracle.WebhookVerificationError):
        oracle.Webhook(Secret.fresh(Algorithm.HMAC).shown).verify(BODY, headers)
    with pytest.raises(oracle.WebhookVerificationError):
        oracle.Webhook(old.shown).verify(BODY + b" ", headers)
    with pytest.raises(oracle.WebhookVerificationError):
        oracle.Webhook(old.shown).verify(BODY, headers | {"webhook-id": "evt_2"})


def test_with_ed25519_the_receiver_needs_the_public_key_only() -> None:
    secret = Secret.fresh(Algorithm.ED25519)
    headers = signed_headers(EVENT, AT, BODY, [secret])
    scheme, _, signature = headers["webhook-signature"].partition(",")
    assert scheme == "v1a"
    assert secret.shown.startswith("whpk_")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret.shown.removeprefix("whpk_")))
    content = b"%s.1614265330.%s" % (EVENT.encode(), BODY)
    public.verify(base64.b64decode(signature), content)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature), content + b" ")


def test_the_ed25519_vector_of_rfc_8032_is_met() -> None:
    """RFC 8032, 7.1, test 1: the seed's public key, as the specification writes one."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert Secret(Algorithm.ED25519, seed).public_key == "whpk_" + base64.b64encode(public).decode()


def test_signatures_stand_in_one_header_with_a_space_between_while_a_secret_is_rotated() -> None:
    signing = [Secret.fresh(one) for one in (Algorithm.ED25519, Algorithm.HMAC)]
    header = signed_headers(EVENT, AT, BODY, signing)["webhook-signature"]
    assert [one.partition(",")[0] for one in header.split(" ")] == ["v1a", "v1"]


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_secret_is_fresh_long_enough_and_shows_in_no_text(algorithm: Algorithm) -> None:
    secret = Secret.fresh(algorithm)
    assert 24 <= len(secret.octets) <= 64
    assert secret != Secret.fresh(algorithm)
    assert secret.octets.hex() not in repr(secret)
    assert "octets" not in repr(secret)


def test_a_sealed_secret_opens_in_its_place_only() -> None:
    secret = Secret.fresh(Algorithm.HMAC)
    sealed = BOX.seal(secret, "whe_1", 1)
    assert secret.octets not in sealed
    assert BOX.open(sealed, Algorithm.HMAC, "whe_1", 1) == secret
    for box, octets, algorithm, endpoint, number in (
        (BOX, sealed, Algorithm.HMAC, "whe_2", 1),
        (BOX, sealed, Algorithm.HMAC, "whe_1", 2),
        (BOX, sealed, Algorithm.ED25519, "whe_1", 1),
        (BOX, sealed[:-1] + bytes([sealed[-1] ^ 1]), Algorithm.HMAC, "whe_1", 1),
        (BOX, b"", Algorithm.HMAC, "whe_1", 1),
        (SecretBox(bytes(32)), sealed, Algorithm.HMAC, "whe_1", 1),
    ):
        with pytest.raises(SealBroken, match=r"rotate the secret"):
            box.open(octets, algorithm, endpoint, number)


def test_the_same_secret_is_sealed_another_way_each_time() -> None:
    secret = Secret.fresh(Algorithm.HMAC)
    assert BOX.seal(secret, "whe_1", 1) != BOX.seal(secret, "whe_1", 1)
