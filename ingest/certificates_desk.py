"""Certificates of gateways at the centre: the first with the enrolment, then renewals; and keys that hand over.

A decision, what it gives and its entry in the audit log are one transaction, under the gateway's lock. The pure part is
in `provisioning/renewal.py` and `provisioning/rollover.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingest.audit_log import Verb
from ingest.caller import Caller
from ingest.store import certificates as store
from ingest.store.audit import record
from ingest.store.database import Connection, Database
from metering.clock import Clock
from metering.envelope import Signer, digest_of
from metering.errors import BooksError
from metering.identity import GatewayId
from provisioning.authority_folder import CentreAuthority
from provisioning.grant import Grant, seal_grant
from provisioning.keys import KeyLevel
from provisioning.renewal import (
    Answer,
    NotRenewable,
    Plea,
    Renewable,
    decide_renewal,
    read_request,
    seal_answer,
)
from provisioning.rollover import KeyState, NotRolledOver, RolledOver, Rollover, decide_rollover, read_rollover


class CertificateRefused(BooksError):
    """A certificate or a new key is refused; `reason` is a stable code."""

    def __init__(self, what: str, reason: str, mend: str) -> None:
        super().__init__(f"{what} is refused: {reason} ({mend})")
        self.what = what
        self.reason = reason
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Centre:
    """What the centre signs with. `public_key`: raw, of `signer`. `authority`: None where it issues no certificates."""

    signer: Signer
    public_key: bytes
    authority: CentreAuthority | None


GATEWAY = "gateway/{}"


class CertificateDesk:
    """Gives certificates and takes new keys, over one store."""

    def __init__(self, database: Database, clock: Clock, centre: Centre) -> None:
        self._database = database
        self._clock = clock
        self._centre = centre

    def issue(self, connection: Connection, gateway: GatewayId, epoch: int, csr: bytes | None) -> tuple[bytes, ...]:
        """Give the first certificate of an epoch (DER, its own first), in the transaction of its enrolment.

        () without a request or without an authority. The same request gets the same certificate. Raises CsrInvalid.
        """
        if csr is None or self._centre.authority is None:
            return ()
        plea = Plea(gateway, epoch, csr, None)
        return store.chain_of_request(connection, gateway, plea.csr_digest) or self._given(connection, plea)

    def renew(self, octets: bytes, caller: Callable[[str], Caller]) -> bytes:
        """Answer a request, signed; the same request gets the same certificate for ever.

        caller   gives who asks, once his name is proven

        Raises CertificateRefused, CsrInvalid, EnvelopeMalformed or SignatureInvalid.
        """
        authority = self._centre.authority
        if authority is None:
            raise CertificateRefused("a certificate", "no-authority", "this centre issues none: metertree-provision ca")
        asked = read_request(octets)
        plea = asked.plea
        with self._database.transaction() as connection:
            # Proven before it holds the gateway up, and looked at again behind whoever held it.
            asked.message.require(self._speaking(connection, plea).verifier)
            store.hold(connection, plea.gateway)
            self._speaking(connection, plea)
            chain = store.chain_of_request(connection, plea.gateway, plea.csr_digest)
            if not chain:
                outcome = self._decided(connection, plea)
                chain = self._given(connection, plea)
                told = caller(GATEWAY.format(plea.gateway))
                self._recorded(connection, plea, chain, told, is_beside=outcome.is_beside)
            elif plea.certificate is not None:
                self._decided(connection, plea, is_new=False)
        now = self._clock.now()
        return seal_answer(Answer(plea.gateway, plea.csr_digest, chain, authority.roots, now), self._centre.signer)

    def roll_over(self, octets: bytes, caller: Callable[[str], Caller]) -> bytes:
        """Take a key that the one before hands over to; gives the grant of the new epoch, signed.

        Raises CertificateRefused, EnvelopeMalformed or SignatureInvalid.
        """
        rollover = read_rollover(octets)
        handover, now = rollover.handover, self._clock.now()
        with self._database.transaction() as connection:
            old = self._old_key(connection, rollover)
            rollover.message.require(old.verifier)
            store.hold(connection, handover.gateway)
            old, state = self._old_key(connection, rollover), self._state(connection, rollover)
            if old.revoked_at is not None:
                raise CertificateRefused("a new key", "key-revoked", "enrol the gateway with a new order")
            outcome = decide_rollover(rollover, state, old.verifier)
            if isinstance(outcome, NotRolledOver):
                raise CertificateRefused("a new key", outcome.reason, outcome.mend)
            if outcome == RolledOver(again=False):
                self._taken(connection, rollover, old, caller)
        grant = Grant(
            gateway=handover.gateway,
            epoch=handover.new_epoch,
            key_id=rollover.new_key.key_id,
            bundle_digest=rollover.digest,
            certificates=(),
            centre_public_key=self._centre.public_key,
            at=now,
        )
        return seal_grant(grant, self._centre.signer)

    @property
    def is_issuing(self) -> bool:
        """Say whether there is an authority."""
        return self._centre.authority is not None

    def _old_key(self, connection: Connection, rollover: Rollover) -> store.EpochKey:
        found = store.key_of_epoch(connection, rollover.handover.gateway, rollover.handover.epoch)
        if found is None:
            raise CertificateRefused("a new key", "key-unknown", "this gateway and epoch are not enrolled here")
        return found

    def _state(self, connection: Connection, rollover: Rollover) -> KeyState:
        found = store.key_state(connection, rollover.handover.gateway, rollover.handover.epoch)
        assert found is not None, "the key was found"
        return found

    def revoked_list(self) -> bytes:
        """Give the list of revoked certificates, PEM; raises CertificateRefused without an authority."""
        authority = self._centre.authority
        if authority is None:
            raise CertificateRefused("the list", "no-authority", "this centre issues none: metertree-provision ca")
        now = self._clock.now()
        with self._database.transaction() as connection:
            return authority.revoked_list(store.revoked(connection, now), now)

    def let_in(self) -> tuple[GatewayId, ...]:
        """Give the gateways that the broker is to let in."""
        with self._database.transaction() as connection:
            return store.gateways_let_in(connection)

    def _speaking(self, connection: Connection, plea: Plea) -> store.EpochKey:
        key = store.key_of_epoch(connection, plea.gateway, plea.epoch)
        if key is None:
            raise CertificateRefused("a certificate", "key-unknown", "this gateway and epoch are not enrolled here")
        if key.revoked_at is not None:
            raise CertificateRefused("a certificate", "key-revoked", "enrol the gateway with a new order")
        if key.is_ended:
            raise CertificateRefused("a certificate", "key-over", "this key has handed over: ask with the new one")
        return key

    def _decided(self, connection: Connection, plea: Plea, *, is_new: bool = True) -> Renewable:
        now = self._clock.now()
        ever, today = store.counted(connection, plea.gateway, now)
        kept = None if plea.certificate is None else store.issued(connection, plea.certificate, plea.csr_digest)
        outcome = decide_renewal(plea, kept, had_any=ever > 0, asked_today=today if is_new else 0, now=now)
        if isinstance(outcome, NotRenewable):
            raise CertificateRefused("a certificate", outcome.reason, outcome.mend)
        return outcome

    def _given(self, connection: Connection, plea: Plea) -> tuple[bytes, ...]:
        assert self._centre.authority is not None, "callers have looked"
        now = self._clock.now()
        chain = self._centre.authority.issue(plea.gateway, plea.csr, now)
        renews = None if plea.certificate is None else digest_of(plea.certificate)
        store.add_certificate(
            connection, plea.gateway, plea.epoch, csr_digest=plea.csr_digest, chain=chain, renews=renews, now=now
        )
        return chain

    def _recorded(
        self, connection: Connection, plea: Plea, chain: tuple[bytes, ...], caller: Caller, *, is_beside: bool
    ) -> None:
        after = {"epoch": plea.epoch, "certificate": digest_of(chain[0]).hex()}
        before = None if plea.certificate is None else {"certificate": digest_of(plea.certificate).hex()}
        reason = "another request has renewed the same certificate: is a copy of the card about?" if is_beside else ""
        subject = GATEWAY.format(plea.gateway)
        now = self._clock.now()
        record(
            connection,
            caller.act(now, Verb.CERTIFICATE_ISSUED, subject, before=before, after=after, reason=reason),
        )

    def _taken(
        self, connection: Connection, rollover: Rollover, old: store.EpochKey, caller: Callable[[str], Caller]
    ) -> None:
        handover, now = rollover.handover, self._clock.now()
        store.end_key(
            connection,
            handover.gateway,
            handover.epoch,
            last_seq=handover.last_seq,
            rolled_by=rollover.digest,
        )
        store.begin_key(connection, rollover, old.site, now)
        store.set_key_level(connection, handover.gateway, handover.new_epoch, KeyLevel(handover.level))
        subject = GATEWAY.format(handover.gateway)
        act = caller(subject).act(
            now,
            Verb.KEY_ROLLED,
            subject,
            before={"epoch": handover.epoch, "key": old.verifier.key_id.hex(), "last_seq": handover.last_seq},
            after={"epoch": handover.new_epoch, "key": rollover.new_key.key_id.hex(), "level": handover.level},
            touches=(f"site/{old.site}",),
        )
        record(connection, act)
