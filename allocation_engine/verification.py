"""Checks a bundle with public keys alone, and recomputes its lines. Knows no database and trusts nobody but the key.

The chain has these links, each named in the report where it breaks:

    bundle             the file can be read
    statement key      the statement names a key of the centre that the reader trusts
    statement          the centre's signature fits: not one digit was changed
    evidence           every envelope the statement rests on is there, unaltered: its signed head by SHA-256, and the
                       readings it shows by the hash tree below that head
    gateway signature  every envelope is signed by the key the statement names for its gateway and epoch
    reading            every stated register is what the envelope holds, decoded by the profile it was signed with
    line               registers -> energy by band -> cost -> amount; shares by their weights
    pool               the lines hang in the pool's tree of all lines, and the tree adds up to the pool's cost
    commitment         the pools hang in the run's tree, whose root is the same in every statement of the run
    total              the lines add up
    publication        the centre's signed word that the run is final; a statement without it is provisional
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from allocation_engine.bundle import Bundle, BundleMalformed, unpack_bundle
from allocation_engine.evidence import EnvelopeRef
from allocation_engine.inclusion import InclusionProof, ProvenPool, require_pool, require_run
from allocation_engine.money import show_minor
from allocation_engine.proof import Broken, decode_readings, prove_line
from allocation_engine.publication import Publication, open_publication
from allocation_engine.read_by_people import told_by_people
from allocation_engine.statement_content import STATEMENT_OCTETS_MAX, GatewayKey, StatementContent
from device_profiles.profile import Profile
from device_profiles.profile_file import profile_from_canonical
from metering.envelope import (
    Algorithm,
    EnvelopeMalformed,
    Sealed,
    SignatureInvalid,
    Verifier,
    chain_digest,
    decode_canonical,
    digest_of,
    head_of,
    open_disclosed,
    parse_sealed,
    parse_sign1,
)
from metering.errors import MeteringError

_UNFIT = (MeteringError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error)
"""What a statement may lead to that its own centre signed and that says nonsense: it does not hold, whatever it is."""

VerifierFor = Callable[[Algorithm, bytes], Verifier]
"""Gives the verifier of a raw public key; raises a MeteringError if the octets are no key."""


@dataclass(frozen=True, slots=True)
class Check:
    """One link of the chain: which, whether it holds, and what was found."""

    link: str
    holds: bool
    result: str


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """Every link that was checked, in order; where a link broke, what rests on it is not checked.

    content   the statement, once its signature was proven; None before
    pools     the pools of the statement that are proven to add up
    published what makes the statement final; None for a provisional one
    """

    content: StatementContent | None
    checks: tuple[Check, ...]
    pools: tuple[ProvenPool, ...] = ()
    published: Publication | None = None

    @property
    def holds(self) -> bool:
        """Say whether every link holds."""
        return all(check.holds for check in self.checks)

    @property
    def broken(self) -> tuple[Check, ...]:
        """Give the links that do not hold."""
        return tuple(check for check in self.checks if not check.holds)


def verify_bundle(
    octets: bytes, centre_keys: Mapping[bytes, Verifier], verifier_for: VerifierFor
) -> VerificationReport:
    """Check a bundle file; never raises for what stands in it.

    centre_keys   the centre's public keys that the reader trusts, by key id (8 octets)
    verifier_for  makes verifiers of the gateways' keys, for which the statement vouches
    """
    try:
        bundle = unpack_bundle(octets)
    except BundleMalformed as error:
        return VerificationReport(None, (Check("bundle", False, str(error)),))
    content, check = _open_statement(bundle.statement, centre_keys)
    if content is None:
        return VerificationReport(None, (check,))
    checks = [check]
    try:
        return _follow(content, bundle, centre_keys, verifier_for, checks)
    except _UNFIT as error:
        checks.append(Check("statement", False, f"what it says makes no sense: {error!r}"))
        return VerificationReport(content, tuple(checks))


def _follow(
    content: StatementContent,
    bundle: Bundle,
    centre_keys: Mapping[bytes, Verifier],
    verifier_for: VerifierFor,
    checks: list[Check],
) -> VerificationReport:
    """Follow the chain from a statement whose signature holds; what is found is added to `checks`."""
    found, faults = _find_evidence(content, bundle)
    checks += faults or [Check("evidence", True, f"{len(found)} envelopes are there, unaltered")]
    if not faults:
        checks += _check_evidence(content, bundle, found, verifier_for)
    pools, inclusion = _check_inclusion(content, bundle.proof)
    published, publication = _check_publication(content, bundle.publication, centre_keys)
    checks += [*inclusion, _check_total(content), publication]
    return VerificationReport(content, tuple(checks), pools, published)


def _open_statement(octets: bytes, centre_keys: Mapping[bytes, Verifier]) -> tuple[StatementContent | None, Check]:
    try:
        message = parse_sign1(octets, STATEMENT_OCTETS_MAX)
        if message.key_id not in centre_keys:
            trusted = ", ".join(key_id.hex() for key_id in centre_keys) or "none"
            told = f"signed with key {message.key_id.hex()}; keys you trust: {trusted}"
            return None, Check("statement key", False, told)
        payload = message.require(centre_keys[message.key_id])
        content = StatementContent.from_wire(decode_canonical(payload, STATEMENT_OCTETS_MAX))
    except SignatureInvalid as error:
        return None, Check("statement", False, f"it was changed after signing, or signed by someone else: {error}")
    except EnvelopeMalformed as error:
        return None, Check("statement", False, f"it cannot be read: {error}")
    return content, Check("statement", True, f"{content.number}, signed with key {message.key_id.hex()}")


def _find_evidence(content: StatementContent, bundle: Bundle) -> tuple[dict[EnvelopeRef, bytes], list[Check]]:
    """Match envelopes to the statement by digest; say of each that does not match whether it is missing or altered."""
    intact: dict[bytes, bytes] = {}
    altered: set[bytes | tuple[str, int, int]] = set()
    unreadable = 0
    for octets in bundle.evidence:
        try:
            sealed = parse_sealed(octets)
            intact[sealed.digest] = octets
            altered.add((sealed.envelope.gateway, sealed.envelope.epoch, sealed.envelope.seq))
        except EnvelopeMalformed:
            digest = _digest(octets)
            unreadable += digest is None
            altered.add(digest or b"")
    found = {ref: intact[ref.digest] for ref in content.evidence if ref.digest in intact}
    faults = []
    for ref in content.evidence:
        if ref not in found:
            is_altered = ref.digest in altered or (ref.gateway, ref.epoch, ref.seq) in altered
            told = "it was altered: it is not what was signed" if is_altered else "it is missing"
            faults.append(Check(_name("evidence", ref), False, told))
    if unreadable:
        faults.append(Check("evidence", False, f"{unreadable} envelopes were altered beyond reading"))
    return found, faults


def _digest(octets: bytes) -> bytes | None:
    try:
        return chain_digest(octets)
    except EnvelopeMalformed:
        return None


def _check_evidence(
    content: StatementContent, bundle: Bundle, found: Mapping[EnvelopeRef, bytes], verifier_for: VerifierFor
) -> Iterator[Check]:
    opened, faults = _open_envelopes(content, found, verifier_for)
    yield from faults or [Check("gateway signature", True, f"{len(opened)} envelopes, {len(content.keys)} keys")]
    if faults:
        return
    try:
        decode_readings(content, opened, _profiles(bundle.profiles))
        by_people = told_by_people(content, opened)
    except Broken as error:
        yield Check(error.link, False, str(error))
        return
    stated = sum(len(point.readings) for point in content.points)
    yield Check("reading", True, f"{stated} registers decode to what is stated{by_people}")
    for line in content.lines:
        try:
            yield Check(f"line {line.id}", True, prove_line(content, line))
        except _UNFIT as error:
            yield Check(f"line {line.id}", False, str(error) or "it cannot be recomputed")


def _open_envelopes(
    content: StatementContent, found: Mapping[EnvelopeRef, bytes], verifier_for: VerifierFor
) -> tuple[dict[EnvelopeRef, Sealed], list[Check]]:
    keys = {(key.gateway, key.epoch, key.key_id): key for key in content.keys}
    opened: dict[EnvelopeRef, Sealed] = {}
    faults: list[Check] = []
    for ref, octets in found.items():
        try:
            key = keys.get((ref.gateway, ref.epoch, head_of(octets).key_id))
            opened[ref] = _open_envelope(ref, octets, key, verifier_for)
        except MeteringError as error:
            faults.append(Check(_name("gateway signature", ref), False, str(error)))
    return opened, faults


def _open_envelope(ref: EnvelopeRef, octets: bytes, key: GatewayKey | None, verifier_for: VerifierFor) -> Sealed:
    if key is None:
        raise SignatureInvalid(f"it is signed with a key the statement does not name for {ref.gateway}")
    sealed = open_disclosed(octets, verifier_for(key.algorithm, key.public_key))
    if (sealed.envelope.gateway, sealed.envelope.epoch, sealed.envelope.seq) != (ref.gateway, ref.epoch, ref.seq):
        raise SignatureInvalid("it names another gateway, epoch or seq than the statement")
    return sealed


def _profiles(canonical: Iterable[bytes]) -> dict[bytes, Profile]:
    try:
        return {digest_of(octets): profile_from_canonical(octets) for octets in canonical}
    except MeteringError as error:
        raise Broken("profile", f"a profile cannot be read: {error}") from error


def _check_inclusion(content: StatementContent, octets: bytes) -> tuple[tuple[ProvenPool, ...], list[Check]]:
    try:
        proof = InclusionProof.from_octets(octets)
    except EnvelopeMalformed as error:
        return (), [Check("commitment", False, f"the proof cannot be read: {error}")]
    proven: list[ProvenPool] = []
    checks: list[Check] = []
    for pool in content.pools:
        try:
            proven.append(require_pool(content, proof, pool))
            checks.append(Check(f"pool {pool.id}", True, _told(proven[-1], content.currency)))
        except Broken as error:
            checks.append(Check(error.link, False, str(error)))
    try:
        require_run(content, proof)
        checks.append(Check("commitment", True, f"root {content.commitment.hex()}"))
    except Broken as error:
        checks.append(Check(error.link, False, str(error)))
    return tuple(proven), checks


def _told(proven: ProvenPool, currency: str) -> str:
    if proven.charges is None or proven.credits is None:
        return "your line is committed to; the registers of others stay hidden"
    own, all_lines = (show_minor(one, currency) for one in (proven.own, proven.charges - proven.credits))
    return f"yours, {own}, and the others' add up to its cost, {all_lines} {currency}"


def _check_total(content: StatementContent) -> Check:
    total_minor = sum(line.amount_minor for line in content.lines)
    told = f"{len(content.lines)} lines add up to {show_minor(total_minor, content.currency)} {content.currency}"
    return Check("total", total_minor == content.total_minor, told)


def _check_publication(
    content: StatementContent, octets: bytes | None, centre_keys: Mapping[bytes, Verifier]
) -> tuple[Publication | None, Check]:
    if octets is None:
        return None, Check("publication", True, "PROVISIONAL: its run was not published when this file was made")
    try:
        published = open_publication(octets, centre_keys)
    except (EnvelopeMalformed, SignatureInvalid) as error:
        return None, Check("publication", False, f"it cannot be trusted: {error}")
    if (published.run, published.commitment) != (content.run_id, content.commitment):
        return None, Check("publication", False, "it speaks of another run")
    told = f"final: published {published.published_at.isoformat()}, checked by {published.checked_by}"
    return published, Check("publication", True, f"{told}, approved by {published.approved_by}")


def _name(link: str, ref: EnvelopeRef) -> str:
    return f"{link} {ref.gateway}/{ref.epoch}/{ref.seq}"
