"""The gateway renews its certificate by itself, and tells the centre of a key that took over. One step at a time.

A step looks whether something is due and does it: a certificate from its 30th day on, or the first one, or a statement
of handed over keys that the centre has not answered. What fails is tried again, later each time, for as long as it
takes: a gateway that was off for a year finds its broker shut, and its way here open. Nothing here reads a clock.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from metering.envelope import EnvelopeMalformed, Verifier
from metering.errors import MeteringError
from metering.identity import GatewayId
from provisioning.grant import open_grant
from provisioning.renewal import Plea, open_answer, renewal_due, seal_request
from provisioning.rollover import ROLLOVER_FILE, read_rollover
from provisioning.signers import SigningKey
from provisioning.tls_key import (
    install_certificate,
    key_in_use,
    key_that_waits,
    own_certificate,
    request_certificate,
    write_roots,
)

log = logging.getLogger(__name__)
RENEWALS = "/v1/certificates/renewals"
HANDOVERS = "/v1/key-handovers"
LOOK_EVERY = timedelta(hours=1)
"""A clock may be set meanwhile, so nobody sleeps until a date."""
RETRY_FIRST = timedelta(minutes=5)
RETRY_LAST = timedelta(hours=6)
RESTS = timedelta(days=1)
"""After a renewal nothing is renewed for so long, whatever a clock says that jumps about."""
Post = Callable[[str, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a step came to, and when to look again.

    renewed   until when the new certificate is good; None where there was none to get, or none was got
    fault     what went wrong; empty where nothing did
    """

    wait: timedelta
    renewed: datetime | None = None
    fault: str = ""


class Renewal:
    """Renews what lies in one key folder.

    centre   the centre's public key, which signs what it gives
    post     hands a message over and gives the answer; raises MeteringError where that fails
    """

    def __init__(
        self, folder: Path, gateway: GatewayId, epoch: int, signer: SigningKey, centre: Verifier, post: Post
    ) -> None:
        self._folder = folder
        self._gateway = gateway
        self._epoch = epoch
        self._signer = signer
        self._centre = centre
        self._post = post
        self._failed = 0
        self._rests = timedelta()

    def step(self, now: datetime, passed: timedelta = LOOK_EVERY) -> Standing:
        """Do what is due at `now`; `passed` is the time since the step before, by a clock that nobody sets."""
        self._rests -= min(passed, self._rests)
        try:
            self._hand_over()
            certificate = own_certificate(self._folder)
            if self._rests or not self._is_due(certificate, now):
                self._failed = 0
                return Standing(LOOK_EVERY)
            renewed = self._renew(certificate)
        except (MeteringError, OSError) as error:
            self._failed += 1
            return Standing(self._retry(), fault=str(error) or type(error).__name__)
        self._failed, self._rests = 0, RESTS
        return Standing(LOOK_EVERY, renewed=renewed.not_valid_after_utc)

    def _is_due(self, certificate: x509.Certificate | None, now: datetime) -> bool:
        if certificate is None:
            return True
        # A clock from before the certificate knows nothing: asking costs little, being locked out a visit.
        return now < certificate.not_valid_before_utc or now >= renewal_due(certificate, self._gateway)

    def _renew(self, certificate: x509.Certificate | None) -> x509.Certificate:
        csr = request_certificate(self._folder, self._gateway)
        old = None if certificate is None else certificate.public_bytes(Encoding.DER)
        key = key_that_waits(self._folder) if certificate is None else key_in_use(self._folder)
        assert key is not None, "a certificate lies with its key, a request with its own"
        plea = Plea(self._gateway, self._epoch, csr, old)
        answer = open_answer(self._post(RENEWALS, seal_request(plea, key, self._signer)), self._centre, plea)
        if answer.roots:
            write_roots(self._folder, answer.roots)
        return install_certificate(self._folder, self._gateway, answer.certificates)

    def _hand_over(self) -> None:
        """Tell the centre of the key that this one took over from, until it has answered."""
        path = self._folder / ROLLOVER_FILE
        if not path.exists():
            return
        octets = path.read_bytes()
        rollover = read_rollover(octets)
        if rollover.handover.new_epoch != self._epoch:
            return
        grant = open_grant(self._post(HANDOVERS, octets), self._centre)
        if grant.bundle_digest != rollover.digest:
            raise EnvelopeMalformed("the centre answered for another key")
        path.unlink()

    def _retry(self) -> timedelta:
        """Wait longer each time, and not all gateways equally long."""
        share = hashlib.sha256(f"{self._gateway} {self._failed}".encode()).digest()[0] / 256
        return min(RETRY_FIRST * (1 << min(self._failed - 1, 10)), RETRY_LAST) * (0.75 + share / 2)


def keep_renewing(renewal: Renewal, now: Callable[[], datetime], stop: threading.Event) -> None:
    """Step until `stop` is set; what comes of it stands in the log."""
    passed = LOOK_EVERY
    while not stop.is_set():
        standing = renewal.step(now(), passed)
        if standing.fault:
            log.warning("certificate-not-renewed", extra={"reason": standing.fault})
        elif standing.renewed is not None:
            log.info("certificate-renewed", extra={"good_until": standing.renewed.isoformat()})
        passed = standing.wait
        stop.wait(passed.total_seconds())
