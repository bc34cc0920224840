"""Installation events as they travel: sealed by the gateway, each with the digest of the one before."""

from __future__ import annotations

from collections.abc import Sequence

from metering.envelope import Signer, Verifier, digest_of, parse_sign1
from metering.errors import SenderError
from metering.identity import KeyId
from provisioning.installation import NO_VOUCHER, InstallationEvent
from provisioning.sealed_document import open_document, parse_document, seal_document

EVENT_TAG = "metertree-installation/1"
EVENT_OCTETS_MAX = 64 * 1024
"""A binding with its comparisons and findings is about 2 KiB; photos travel beside."""


class EventChainBroken(SenderError):
    """Events do not follow one another."""

    reason = "event-chain"


def seal_event(event: InstallationEvent, signer: Signer) -> bytes:
    """Sign an event at the gateway; equal events give equal octets with an Ed25519 key."""
    return seal_document(EVENT_TAG, event, signer)


def open_event(octets: bytes, verifier: Verifier) -> InstallationEvent:
    """Verify, then read an event; raises EnvelopeMalformed or SignatureInvalid."""
    return open_document(EVENT_TAG, InstallationEvent, octets, verifier, octets_max=EVENT_OCTETS_MAX)


def parse_event(octets: bytes) -> InstallationEvent:
    """Read an event without checking who signed it, to show it; raises EnvelopeMalformed."""
    return parse_document(EVENT_TAG, InstallationEvent, octets, octets_max=EVENT_OCTETS_MAX)[0]


def signer_of(octets: bytes) -> KeyId:
    """Give the key id an event names, unproven; raises EnvelopeMalformed."""
    return parse_sign1(octets, EVENT_OCTETS_MAX).key_id


def event_digest(octets: bytes) -> bytes:
    """SHA-256 of a sealed event: what the next one names as previous."""
    return digest_of(octets)


def open_events(
    sealed: Sequence[bytes], verifier: Verifier, *, previous: bytes = NO_VOUCHER, number: int = 1
) -> tuple[InstallationEvent, ...]:
    """Open events that must follow one another, the first with `number` and `previous`.

    Raises EventChainBroken naming the first that does not fit, EnvelopeMalformed or SignatureInvalid.
    """
    events: list[InstallationEvent] = []
    for octets in sealed:
        event = open_event(octets, verifier)
        if (event.number, event.previous) != (number, previous):
            raise EventChainBroken(
                f"event {event.id} does not follow number {number - 1}: send all events from number {number} on"
            )
        if events and (event.gateway, event.epoch, event.site) != (events[0].gateway, events[0].epoch, events[0].site):
            raise EventChainBroken(f"event {event.id} is of another gateway, epoch or site than the first")
        events.append(event)
        previous, number = event_digest(octets), number + 1
    return tuple(events)
