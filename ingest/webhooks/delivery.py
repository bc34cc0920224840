"""SPINE: claim a delivery -> see it through its owner's eyes -> sign -> send -> judge -> write down.

At least once: the claim is a lease, not a lock, so a program that is killed between sending and writing down leaves
the delivery to be sent again, under the same `webhook-id`. Any number of programs may deliver at once. No order is
promised.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from ingest.access.policy_file import shipped_policy
from ingest.store.database import Connection, Database
from ingest.store.events import find_event, number_events
from ingest.store.webhooks import (
    Claimed,
    claim_delivery,
    health_of,
    note_health,
    settle_delivery,
    signing_secrets,
    turn_endpoint,
)
from ingest.webhooks.ladder import Answer, Fate, Verdict, judge
from ingest.webhooks.owners import DOCUMENT, event_document, may_hear, owner_of
from ingest.webhooks.post import Sender
from ingest.webhooks.signing import SealBroken, Secret, SecretBox, signed_headers
from metering.clock import Clock

AT_ONCE = 4
"""Tries that one endpoint may have in hand: a slow server keeps a few threads busy, and never all."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be sent: the body as it is signed, and what signs it."""

    body: bytes
    signing: tuple[Secret, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is sent, now and until somebody changes something."""

    fault: str


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Delivers; `chance` gives numbers from 0 to below 1."""

    database: Database
    box: SecretBox
    sender: Sender
    clock: Clock
    chance: Callable[[], float] = random.random

    def number(self) -> int:
        """Number what was told meanwhile, and lay out its deliveries; give how many events."""
        with self.database.transaction() as connection:
            return number_events(connection)

    def deliver_next(self) -> bool:
        """Try what has been due longest; False: nothing is due."""
        with self.database.transaction() as connection:
            claimed = claim_delivery(connection, self.clock.now(), AT_ONCE)
        if claimed is None:
            return False
        # Committed first: what nobody can make a letter of would otherwise be the oldest due for ever.
        with self.database.transaction() as connection:
            letter = self._letter(connection, claimed)
        answer = Answer(None, letter.fault) if isinstance(letter, Refusal) else self._send(claimed, letter)
        self._write_down(claimed, answer, is_refused=isinstance(letter, Refusal))
        return True

    def _letter(self, connection: Connection, claimed: Claimed) -> Letter | Refusal:
        event = find_event(connection, claimed.event)
        assert event is not None, "only what is numbered is delivered"
        owner, policy = owner_of(connection, claimed.owner), shipped_policy()
        if owner is None:
            return Refusal(f"{claimed.owner} was removed: somebody else has to add the endpoint")
        if not may_hear(policy, owner, event.kind, event.site):
            return Refusal(f"{claimed.owner} may not be told of {event.kind} at {event.site or 'the centre'}")
        seen = policy.mask(owner, DOCUMENT, event_document(event))
        try:
            signing = signing_secrets(connection, self.box, claimed.endpoint, self.clock.now())
        except SealBroken as broken:
            return Refusal(str(broken))
        return Letter(json.dumps(seen, ensure_ascii=False, separators=(",", ":")).encode(), signing)

    def _send(self, claimed: Claimed, letter: Letter) -> Answer:
        headers = signed_headers(claimed.event, self.clock.now(), letter.body, letter.signing)
        return self.sender.send(claimed.url, headers, letter.body)

    def _write_down(self, claimed: Claimed, answer: Answer, *, is_refused: bool) -> None:
        now = self.clock.now()
        with self.database.transaction() as connection:
            state, health = health_of(connection, claimed.endpoint)
            if is_refused:
                # Nobody was asked, so it says nothing of the endpoint; and trying again would say the same.
                verdict = Verdict(Fate.DEAD, now, health, None, None)
                settle_delivery(connection, claimed, answer, verdict, now)
                _log.warning("webhook.not_sent endpoint=%s event=%s", claimed.endpoint, claimed.event)
                return
            verdict = judge(answer, claimed.attempt, health, now, self.chance)
            settle_delivery(connection, claimed, answer, verdict, now)
            note_health(connection, claimed.endpoint, verdict, now)
            if verdict.turns is not None and state == "on":
                turn_endpoint(connection, claimed.endpoint, verdict.turns, now)
                _log.warning("webhook.turned_off endpoint=%s state=%s", claimed.endpoint, verdict.turns)
        level = logging.DEBUG if answer.is_delivered else logging.INFO
        _log.log(
            level,
            "webhook.tried endpoint=%s event=%s attempt=%s status=%s fault=%s took_ms=%s",
            *(claimed.endpoint, claimed.event, claimed.attempt, answer.status, answer.fault, answer.took_ms),
        )
