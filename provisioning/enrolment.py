"""Enrolment of a gateway by a claim, both roles, without any I/O.

Theory of operation. The back office opens an install order: it names one gateway and an engineer, lapses, and yields a
claim, a secret of 130 bits that is shown once and kept only as its hash. At the site the gateway makes its key
and signs a bundle: its id, public key, epoch and the claim. The bundle proves two things at once: whoever made it
holds the private key (its own signature) and was sent by the back office (the claim). It may travel by any way, also as
a file on a stick. The centre burns the claim and binds the key to the gateway from that epoch on.

The same bundle may be presented again, and again gives the same answer, because an answer can be lost on the way; any
other bundle with that claim is refused. A gateway that lost its state or its key enrols anew with a higher epoch.

A bundle of format 2 also carries the survey: what was done at the site, as sealed events, the voucher that the engineer
brought, and a request for a TLS certificate. Its digest is what the gateway's first envelope names as previous. It may
lie on a telephone for days, so the claim itself does not stand in it: a key is made of the claim, its public half is in
the bundle and in the books of the centre, and it signs the bundle too. Nobody can enrol with what he finds there.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from metering.envelope import (
    Algorithm,
    EnvelopeMalformed,
    SignatureInvalid,
    Signer,
    Verifier,
    decode_canonical,
    digest_of,
    encode,
    expect_bytes,
    expect_list,
    expect_text,
    parse_sign1,
    sign1,
)
from metering.errors import MeteringError
from metering.identity import GatewayId, IdentifierInvalid, KeyId, SiteId, check_identifier
from provisioning.installation import DIGEST_OCTETS, EVENTS_MAX, NO_VOUCHER, InstallationEvent
from provisioning.installation_events import EventChainBroken, open_events
from provisioning.keys import FileSigner, KeyLevel, PublicKeyInvalid, key_id_of, public_verifier

BUNDLE_FORMAT = "metertree-enrolment/1"
"""Opens the payload, so that no other message the same key signs can be taken for a bundle."""
SURVEY_FORMAT = "metertree-enrolment/2"
BUNDLE_OCTETS_MAX = 4 * 1024 * 1024
"""Bindings of a thousand meters; photos travel beside."""
CSR_OCTETS_MAX = 8 * 1024
CLAIM_KEY_OCTETS, CLAIM_PROOF_OCTETS = 32, 64
EPOCH_MAX = 2**31 - 1
EPOCH_LEAP_MAX = 1000
"""Epochs that may be left out: one bundle with the last of all would leave a gateway none to go on with, for ever."""

# Crockford's base 32: no I, L, O, U, so nothing is misread from paper or over the telephone.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})
_SECRET_DIGITS = 26
_CHECK_DIGITS = 2
_GROUP = 4
_CLAIM_KEY_DOMAIN = b"metertree-claim/2"
CLAIM_BITS = 5 * _SECRET_DIGITS


class ClaimInvalid(MeteringError):
    """A text is no claim: it was mistyped or cut short."""


class OrderInvalid(MeteringError):
    """An install order contradicts itself."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The secret of one install order, as printed: seven groups of four signs, the last two signs a check."""

    text: str

    @classmethod
    def fresh(cls) -> Claim:
        """Make a new claim of 130 random bits."""
        return cls.of_number(secrets.randbits(CLAIM_BITS))

    @classmethod
    def of_number(cls, number: int) -> Claim:
        """Give the claim that holds `number`, 0 <= number < 2^130."""
        digits = "".join(_ALPHABET[number >> shift & 31] for shift in range(CLAIM_BITS - 5, -1, -5))
        whole = digits + _check(digits)
        return cls("-".join(whole[start : start + _GROUP] for start in range(0, len(whole), _GROUP)))

    @classmethod
    def parse(cls, text: str) -> Claim:
        """Read a claim as a person types it: any case, any spacing, O for 0, I or L for 1. Raises ClaimInvalid."""
        whole = text.strip().upper().translate(_MISREAD)
        if len(whole) != _SECRET_DIGITS + _CHECK_DIGITS or not set(whole) <= set(_ALPHABET):
            raise ClaimInvalid(f"a claim has {_SECRET_DIGITS + _CHECK_DIGITS} letters and digits in groups of {_GROUP}")
        digits = whole[:_SECRET_DIGITS]
        if whole[_SECRET_DIGITS:] != _check(digits):
            raise ClaimInvalid("the claim's last two signs do not fit the rest: a sign was mistyped")
        number = 0
        for digit in digits:
            number = number << 5 | _ALPHABET.index(digit)
        return cls.of_number(number)

    @property
    def signer(self) -> FileSigner:
        """The key that is made of the claim: it proves the claim to whoever knows its public half."""
        return FileSigner.from_seed(hashlib.sha256(_CLAIM_KEY_DOMAIN + self.text.encode()).digest())

    @property
    def hash(self) -> bytes:
        """SHA-256 of the text: what the centre keeps. A random secret of 130 bits needs no slow hash."""
        return hashlib.sha256(self.text.encode()).digest()

    def __repr__(self) -> str:
        return "Claim(...)"


def _check(digits: str) -> str:
    """Two signs over all others: misses one mistyped claim in 1024, before anyone asks the centre."""
    number = int.from_bytes(hashlib.sha256(digits.encode()).digest()[:2])
    return _ALPHABET[number >> 5 & 31] + _ALPHABET[number & 31]


@dataclass(frozen=True, slots=True)
class InstallOrder:
    """One permission to enrol one gateway.

    order       id of the order
    engineer    who was sent
    expires_at  first instant at which the claim no longer serves
    burned_at   when the claim was burned, by the bundle with digest `burned_by`; both None until then
    claim_key   public half of the claim's key; None of an order from before claims had keys
    """

    order: str
    site: SiteId
    gateway: GatewayId
    engineer: str
    ordered_at: datetime
    expires_at: datetime
    claim_hash: bytes
    burned_at: datetime | None
    burned_by: bytes | None
    claim_key: bytes | None = None

    def __post_init__(self) -> None:
        check_identifier(self.site)
        check_identifier(self.gateway)
        if self.expires_at <= self.ordered_at:
            raise OrderInvalid(f"an order of {self.ordered_at} cannot have lapsed at {self.expires_at}")

    def is_claimed_by(self, bundle: Bundle) -> bool:
        """Say whether the bundle proves the claim of this order, by its text or by its key."""
        if bundle.claim_key is not None:
            return bundle.claim_key == self.claim_key
        return bundle.claim_hash == self.claim_hash


@dataclass(frozen=True, slots=True)
class Survey:
    """What a gateway presents of its installation.

    voucher_digest   SHA-256 of the sealed voucher; None where there was none
    csr              request for the certificate of its TLS key, DER (PKCS #10); None if it wants none
    events           sealed installation events, from number 1
    key_level        where the gateway says it keeps its signing key
    """

    voucher_digest: bytes | None
    csr: bytes | None
    events: tuple[bytes, ...]
    key_level: KeyLevel = KeyLevel.FILE


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a gateway presents; made by `seal_bundle`, proven whole and its own by `open_bundle`.

    claim_hash, claim_key   what it proves: of format 1 the claim, of format 2 its key; the other one is None
    digest   SHA-256 of the sealed octets; may serve as the first link of the gateway's chain
    survey   what came with it; None in format 1
    events   of the survey, opened
    """

    gateway: GatewayId
    epoch: int
    algorithm: Algorithm
    public_key: bytes
    claim_hash: bytes | None
    digest: bytes
    claim_key: bytes | None = None
    survey: Survey | None = None
    events: tuple[InstallationEvent, ...] = ()

    @property
    def key_id(self) -> KeyId:
        """Id of the presented key."""
        return key_id_of(self.public_key)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The bundle is accepted: bind its key from its epoch on, and keep `order`, whose claim is burned now.

    again   the same bundle was accepted before: there is nothing to keep, only to answer
    """

    bundle: Bundle
    order: InstallOrder
    again: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The bundle is not accepted; `reason` is a stable code, `mend` says what to do."""

    reason: str
    mend: str


def open_order(
    *, site: SiteId, gateway: GatewayId, engineer: str, ordered_at: datetime, expires_at: datetime, claim: Claim
) -> InstallOrder:
    """Make the install order that `claim` belongs to; raises OrderInvalid. Its id tells nothing about the claim."""
    return InstallOrder(
        order=f"order-{secrets.token_hex(6)}",
        site=site,
        gateway=gateway,
        engineer=engineer,
        ordered_at=ordered_at,
        expires_at=expires_at,
        claim_hash=claim.hash,
        burned_at=None,
        burned_by=None,
        claim_key=claim.signer.public_key,
    )


def seal_bundle(
    gateway: GatewayId,
    *,
    epoch: int,
    claim: Claim,
    public_key: bytes,
    signer: Signer,
    survey: Survey | None = None,
) -> bytes:
    """Sign the bundle at the gateway; the same arguments give the same octets with an Ed25519 key.

    public_key   raw public half of `signer`
    survey       None gives a bundle of format 1
    """
    if survey is None:
        return sign1(encode([BUNDLE_FORMAT, gateway, epoch, int(signer.algorithm), public_key, claim.text]), signer)
    content = [SURVEY_FORMAT, gateway, epoch, int(signer.algorithm), public_key, claim.signer.public_key]
    content += [survey.voucher_digest, survey.csr, list(survey.events), str(survey.key_level)]
    return sign1(encode([*content, claim.signer.sign(encode(content))]), signer)


def open_bundle(octets: bytes) -> Bundle:
    """Check that a bundle is whole and signed by the key it presents, and its events by the same.

    Raises EnvelopeMalformed, SignatureInvalid or EventChainBroken, and nothing else. Whether the key may speak is not
    decided here.
    """
    message = parse_sign1(octets, BUNDLE_OCTETS_MAX)
    content: Any = decode_canonical(message.payload, BUNDLE_OCTETS_MAX)
    lengths = {BUNDLE_FORMAT: 6, SURVEY_FORMAT: 11}
    first = content[0] if isinstance(content, list | tuple) and content else None
    if not isinstance(first, str) or len(content) != lengths.get(first):
        raise EnvelopeMalformed(f"not a bundle of format {BUNDLE_FORMAT} or {SURVEY_FORMAT}")
    _, gateway, epoch, algorithm, public_key, claim = content[:6]
    if type(gateway) is not str or type(public_key) is not bytes:
        raise EnvelopeMalformed("the gateway must be a text, the public key octets")
    if type(epoch) is not int or not 1 <= epoch <= EPOCH_MAX:
        raise EnvelopeMalformed(f"epoch: expected an integer from 1 to {EPOCH_MAX}")
    try:
        check_identifier(gateway)
        verifier = public_verifier(message.algorithm, public_key)
        claim_hash = Claim.parse(expect_text(claim, "claim")).hash if first == BUNDLE_FORMAT else None
    except (IdentifierInvalid, PublicKeyInvalid, ClaimInvalid) as error:
        raise EnvelopeMalformed(str(error)) from error
    if algorithm != message.algorithm or verifier.key_id != message.key_id:
        raise EnvelopeMalformed("the header names another key or algorithm than the bundle presents")
    message.require(verifier)
    opened = Bundle(GatewayId(gateway), epoch, message.algorithm, public_key, claim_hash, digest_of(octets))
    if first == BUNDLE_FORMAT:
        return opened
    survey = _survey(content[6:10])
    events = _events(survey, verifier, gateway, epoch)
    return replace(opened, claim_key=_claim_key(content), survey=survey, events=events)


def _claim_key(content: Sequence[Any]) -> bytes:
    """Give the claim's key, once it is proven that it signed the rest; raises EnvelopeMalformed, SignatureInvalid."""
    key = expect_bytes(content[5], CLAIM_KEY_OCTETS, "claim key")
    try:
        claimed = public_verifier(Algorithm.EDDSA, key)
    except PublicKeyInvalid as error:
        raise EnvelopeMalformed(str(error)) from error
    proof = expect_bytes(content[10], CLAIM_PROOF_OCTETS, "proof of the claim")
    if not claimed.verifies(proof, encode(list(content[:10]))):
        raise SignatureInvalid("the proof of the claim is not that of the claim's key")
    return key


def _survey(content: Sequence[Any]) -> Survey:
    voucher, csr, events, level = content
    events = expect_list(events, None, "events")
    if len(events) > EVENTS_MAX:
        raise EnvelopeMalformed(f"{len(events)} events; at most {EVENTS_MAX} are allowed")
    if csr is not None and len(expect_bytes(csr, None, "request for a certificate")) > CSR_OCTETS_MAX:
        raise EnvelopeMalformed(f"a request for a certificate has at most {CSR_OCTETS_MAX} octets")
    if expect_text(level, "level") not in set(KeyLevel):
        raise EnvelopeMalformed("a key is kept in a file or in a token")
    return Survey(
        voucher_digest=None if voucher is None else expect_bytes(voucher, DIGEST_OCTETS, "voucher digest"),
        csr=csr,
        events=tuple(expect_bytes(one, None, "event") for one in events),
        key_level=KeyLevel(level),
    )


def _events(survey: Survey, verifier: Verifier, gateway: str, epoch: int) -> tuple[InstallationEvent, ...]:
    events = open_events(survey.events, verifier, previous=survey.voucher_digest or NO_VOUCHER)
    if any((event.gateway, event.epoch) != (gateway, epoch) for event in events):
        raise EventChainBroken("the events of a bundle are those of its gateway and epoch")
    return events


def decide(bundle: Bundle, order: InstallOrder | None, *, last_epoch: int, now: datetime) -> Enrolled | Refused:
    """Decide at the centre about an opened bundle.

    order        the install order with the bundle's claim hash, if there is one
    last_epoch   highest epoch the gateway was ever enrolled with; 0 for a new one
    """
    if order is None or not order.is_claimed_by(bundle):
        return Refused("claim-unknown", "compare the claim with the install order, or ask for a new order")
    if order.gateway != bundle.gateway:
        return Refused("gateway-mismatch", "this claim was given for another gateway: use the claim of this one")
    if order.burned_at is not None:
        if order.burned_by == bundle.digest:
            return Enrolled(bundle, order, again=True)
        return Refused("claim-used", "this claim has served already: ask for a new order")
    if now >= order.expires_at:
        return Refused("order-expired", "the order has lapsed: ask for a new one")
    if bundle.epoch <= last_epoch:
        return Refused("epoch-used", f"enrol again with --epoch {last_epoch + 1}")
    if bundle.epoch > last_epoch + EPOCH_LEAP_MAX:
        return Refused("epoch-leaps", f"no gateway begins anew so often: enrol with --epoch {last_epoch + 1}")
    return Enrolled(bundle, replace(order, burned_at=now, burned_by=bundle.digest), again=False)
