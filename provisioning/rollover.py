"""Changing a gateway's signing key while it has the old one: a statement that both keys sign. Sans-IO, both roles.

A new key begins a new epoch. The statement says how far the old key went: seq and digest of the last envelope of its
epoch. So both keys hold at once, each for its own: what the old one sealed and still lies in the outbox is taken as it
arrives, while anything beyond that seq under the old key is refused, whoever has it. Seq 1 of the new epoch names the
statement's digest as its predecessor, as the first epoch names the bundle: the chain goes on across the change.

The old key signs inside, the new one outside. The same statement presented again gets the same answer. A key that is
*lost* cannot do this: the gateway is enrolled again with a new order, and the old epoch ends with what has arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

from metering.envelope import Algorithm, EnvelopeMalformed, Sign1, Signer, digest_of
from metering.identity import GatewayId, check_identifier
from provisioning.enrolment import EPOCH_MAX
from provisioning.keys import KeyLevel, PublicKeyInvalid, PublicVerifier, public_verifier
from provisioning.sealed_document import parse_document, seal_document
from provisioning.signers import SigningKey

HANDOVER_TAG = "metertree-key-handover/1"
ROLLOVER_TAG = "metertree-rollover/1"
ROLLOVER_OCTETS_MAX = 4096
ROLLOVER_FILE = "rollover.cose"
"""In the key folder: a statement that the centre has not answered yet."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What the old key says.

    epoch       of the old key; the new one's is one more
    last_seq    last envelope that the old key has sealed, 0 for none; `last_digest` its digest, 32 zero octets for none
    algorithm   COSE number of the new key's; `public_key` its raw public half
    level       where the new key is kept
    """

    gateway: GatewayId
    epoch: int
    last_seq: int
    last_digest: bytes
    algorithm: int
    public_key: bytes
    level: str

    def __post_init__(self) -> None:
        check_identifier(self.gateway)
        if not 1 <= self.epoch < EPOCH_MAX or not 0 <= self.last_seq < 2**63 or len(self.last_digest) != 32:
            raise EnvelopeMalformed("a handover names epoch, last seq and last digest of the old key")
        if self.level not in set(KeyLevel):
            raise EnvelopeMalformed(f"{self.level!r} is no place for a key")

    @property
    def new_epoch(self) -> int:
        """Epoch that begins with the new key."""
        return self.epoch + 1


@dataclass(frozen=True, slots=True)
class _Rollover:
    handover: bytes


@dataclass(frozen=True, slots=True)
class Rollover:
    """A statement that is whole and signed by the new key; the registry's old key is to be required of `message`.

    digest   SHA-256 of the sealed octets: what seq 1 of the new epoch names as its predecessor
    """

    handover: Handover
    new_key: PublicVerifier
    message: Sign1
    digest: bytes


@dataclass(frozen=True, slots=True)
class KeyState:
    """The old epoch as the registry has it.

    newest        whether it is the gateway's newest epoch
    highest_seq   highest seq that has arrived of it
    rolled_by     digest of the statement that ended it; None while it goes on
    """

    newest: bool
    highest_seq: int
    rolled_by: bytes | None


@dataclass(frozen=True, slots=True)
class RolledOver:
    """The new key is accepted; `again`: it was before, by this same statement."""

    again: bool


@dataclass(frozen=True, slots=True)
class NotRolledOver:
    """The new key is not accepted; `reason` is a stable code, `mend` says what to do."""

    reason: str
    mend: str


def handover_to(gateway: GatewayId, *, epoch: int, last_seq: int, last_digest: bytes, key: SigningKey) -> Handover:
    """Say what the old key of `epoch` is to say about the new `key`."""
    return Handover(gateway, epoch, last_seq, last_digest, int(key.algorithm), key.public_key, str(key.level))


def seal_rollover(handover: Handover, old: Signer, new: Signer) -> bytes:
    """Sign a handover with both keys."""
    return seal_document(ROLLOVER_TAG, _Rollover(seal_document(HANDOVER_TAG, handover, old)), new)


def read_rollover(octets: bytes) -> Rollover:
    """Read a statement and prove that it is the new key's; raises EnvelopeMalformed or SignatureInvalid."""
    outer, signed = parse_document(ROLLOVER_TAG, _Rollover, octets, octets_max=ROLLOVER_OCTETS_MAX)
    handover, inner = parse_document(HANDOVER_TAG, Handover, outer.handover, octets_max=ROLLOVER_OCTETS_MAX)
    try:
        new_key = public_verifier(Algorithm(handover.algorithm), handover.public_key)
    except (ValueError, PublicKeyInvalid) as error:
        raise EnvelopeMalformed(f"the new key: {error}") from error
    signed.require(new_key)
    return Rollover(handover, new_key, inner, digest_of(octets))


def decide_rollover(rollover: Rollover, state: KeyState, old: PublicVerifier) -> RolledOver | NotRolledOver:
    """Decide at the centre about a statement that the old key has signed, too."""
    if state.rolled_by is not None:
        if state.rolled_by == rollover.digest:
            return RolledOver(again=True)
        return NotRolledOver("rolled-over", "this key has handed over already, to another one: is a copy of it about?")
    if not state.newest:
        return NotRolledOver("epoch-over", "this key's epoch is over: roll over from the newest one")
    if rollover.new_key.public_key == old.public_key:
        return NotRolledOver("same-key", "make a new key first")
    if state.highest_seq > rollover.handover.last_seq:
        mend = "more has come under the old key than it says it sealed: is a copy of it about? Enrol with a new order"
        return NotRolledOver("seq-behind", mend)
    return RolledOver(again=False)
