"""The desk for endpoints: added, changed, turned, rotated, tested and sent to again, each act in the audit log."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from ingest.access.policy_file import shipped_policy
from ingest.access.principal import Principal
from ingest.audit_log import Verb
from ingest.event_kinds import Event, EventKind
from ingest.store import webhooks as store
from ingest.store.audit import record
from ingest.store.database import Connection, Database
from ingest.store.events import number_events, tell_endpoint
from ingest.store.webhooks import Delivery, Endpoint, StoredSecret, Wants
from ingest.webhooks.guard import Guard
from ingest.webhooks.ladder import Fate
from ingest.webhooks.owners import kinds_heard, owner_name
from ingest.webhooks.signing import Algorithm, Secret, SecretBox
from metering.clock import Clock
from metering.errors import BooksError
from metering.identity import SiteId

ENDPOINTS_MAX = 50
"""Of one owner: each event is a delivery to each."""
OVERLAP_MAX_H = 24 * 14
REPLAY_MAX = timedelta(days=60)


class EndpointUnknown(BooksError):
    """There is no endpoint of this id that the caller may see."""


class EndpointRefused(BooksError):
    """An endpoint cannot be as it is wanted."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an endpoint shall be; None of `kinds` and `sites`: all that its owner may be told of."""

    url: str
    kinds: tuple[EventKind, ...] | None = None
    sites: tuple[SiteId, ...] | None = None
    description: str = ""

    @property
    def wants(self) -> Wants:
        """Which events it gets."""
        return Wants(self.kinds, self.sites)


@dataclass(frozen=True, slots=True)
class Shown:
    """An endpoint with its secrets' standing; `secret` is shown this once, None at any other time."""

    endpoint: Endpoint
    secrets: tuple[StoredSecret, ...]
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointDesk:
    """Keeps endpoints. Everybody sees and changes his own; an administrator of all sites those of all."""

    database: Database
    box: SecretBox
    guard: Guard
    clock: Clock

    def list(self, who: Principal) -> tuple[Endpoint, ...]:
        """List the endpoints that somebody may see."""
        with self.database.transaction() as connection:
            return store.endpoints(connection, owner=_scope(who))

    def read(self, endpoint: str, who: Principal) -> Shown:
        """Give one; raises EndpointUnknown."""
        with self.database.transaction() as connection:
            return self._shown(connection, endpoint, who)

    def add(self, wish: Wish, algorithm: Algorithm, who: Principal) -> Shown:
        """Add an endpoint; its secret, or public key, is shown this once. Raises UrlRefused, EndpointRefused."""
        self.guard.read(wish.url)
        wish = _within(wish, who)
        now, endpoint, secret = self.clock.now(), f"whe_{secrets.token_hex(16)}", Secret.fresh(algorithm)
        with self.database.transaction() as connection:
            if len(store.endpoints(connection, owner=owner_name(who))) >= ENDPOINTS_MAX:
                raise EndpointRefused(f"you have {ENDPOINTS_MAX} endpoints already: remove one you no longer need")
            store.add_endpoint(
                connection,
                endpoint,
                owner=owner_name(who),
                url=wish.url,
                wants=wish.wants,
                description=wish.description,
                now=now,
            )
            store.add_secret(connection, self.box, endpoint, secret, now)
            after = _told(wish) | {"owner": owner_name(who), "signing": str(algorithm)}
            record(connection, who.caller.act(now, Verb.ENDPOINT_ADDED, _subject(endpoint), after=after))
            return replace(self._shown(connection, endpoint, who), secret=secret.shown)

    def change(self, endpoint: str, wish: Wish, who: Principal) -> Shown:
        """Give an endpoint another URL, or other wants; raises EndpointUnknown, UrlRefused, EndpointRefused."""
        self.guard.read(wish.url)
        now = self.clock.now()
        with self.database.transaction() as connection:
            before = self._shown(connection, endpoint, who).endpoint
            wish = _within(wish, who)
            store.change_endpoint(connection, endpoint, url=wish.url, wants=wish.wants, description=wish.description)
            was = Wish(before.url, before.wants.kinds, before.wants.sites, before.description)
            act = who.caller.act(now, Verb.ENDPOINT_CHANGED, _subject(endpoint), before=_told(was), after=_told(wish))
            record(connection, act)
            return self._shown(connection, endpoint, who)

    def turn(self, endpoint: str, state: str, who: Principal, reason: str = "") -> Shown | None:
        """Turn an endpoint `on`, `off`, or for good `removed` (gives None then); raises EndpointUnknown."""
        now = self.clock.now()
        with self.database.transaction() as connection:
            before = self._shown(connection, endpoint, who).endpoint
            if before.state != state:
                store.turn_endpoint(connection, endpoint, state, now)
                act = who.caller.act(
                    now,
                    Verb.ENDPOINT_CHANGED,
                    _subject(endpoint),
                    before={"state": before.state},
                    after={"state": state},
                    reason=reason,
                )
                record(connection, act)
            return None if state == "removed" else self._shown(connection, endpoint, who)

    def rotate(self, endpoint: str, who: Principal, *, algorithm: Algorithm | None, overlap_h: int) -> Shown:
        """Give an endpoint a new secret, shown this once; the old ones sign beside it for `overlap_h` [h]."""
        if not 0 <= overlap_h <= OVERLAP_MAX_H:
            raise EndpointRefused(f"an overlap is 0 to {OVERLAP_MAX_H} hours, not {overlap_h}")
        now = self.clock.now()
        with self.database.transaction() as connection:
            before = self._shown(connection, endpoint, who)
            secret = Secret.fresh(algorithm or before.secrets[0].algorithm)
            ends_at = now + timedelta(hours=overlap_h)
            store.end_secrets(connection, endpoint, ends_at)
            number = store.add_secret(connection, self.box, endpoint, secret, now)
            after = {"secret": number, "signing": str(secret.algorithm), "before_ends_at": ends_at.isoformat()}
            record(connection, who.caller.act(now, Verb.SECRET_ROTATED, _subject(endpoint), after=after))
            return replace(self._shown(connection, endpoint, who), secret=secret.shown)

    def test(self, endpoint: str, who: Principal) -> str:
        """Have a `webhook.test` sent to an endpoint and nobody else; gives the event's id."""
        with self.database.transaction() as connection:
            self._shown(connection, endpoint, who)
            event = Event(EventKind.WEBHOOK_TEST, None, _subject(endpoint), self.clock.now(), {"endpoint": endpoint})
            return tell_endpoint(connection, event, endpoint)

    def deliveries(
        self, endpoint: str, who: Principal, *, state: Fate | None, before: int | None, most: int
    ) -> tuple[Delivery, ...]:
        """List deliveries to an endpoint, of the newest events first; raises EndpointUnknown."""
        with self.database.transaction() as connection:
            self._shown(connection, endpoint, who)
            number_events(connection)
        with self.database.transaction() as connection:
            return store.deliveries(connection, endpoint, state=state, before=before, most=most)

    def replay(
        self, endpoint: str, who: Principal, *, event: str | None, since: datetime | None, only_dead: bool = False
    ) -> int:
        """Send one event, or all told since an instant, to an endpoint again; gives how many.

        Raises EndpointUnknown, EndpointRefused.
        """
        now = self.clock.now()
        if (event is None) == (since is None):
            raise EndpointRefused("say either which event is sent again, or since when")
        if since is not None and (since.tzinfo is None or now - since > REPLAY_MAX):
            raise EndpointRefused(f"`since` carries a time zone and is at most {REPLAY_MAX.days} days ago")
        with self.database.transaction() as connection:
            found = self._shown(connection, endpoint, who).endpoint
            if event is not None:
                count = int(store.replay_one(connection, found, event, now))
                if not count:
                    raise EndpointRefused(f"there is no event {event} that this endpoint gets")
            else:
                assert since is not None
                count = store.replay_since(connection, found, since, now, only_dead=only_dead)
            after = {"event": event, "since": None if since is None else since.isoformat(), "deliveries": count}
            record(connection, who.caller.act(now, Verb.DELIVERIES_REPLAYED, _subject(endpoint), after=after))
            return count

    def _shown(self, connection: Connection, endpoint: str, who: Principal) -> Shown:
        found = store.endpoints(connection, endpoint=endpoint, owner=_scope(who))
        if not found:
            raise EndpointUnknown(f"there is no webhook endpoint {endpoint}")
        return Shown(found[0], store.secrets_of(connection, endpoint))


def _scope(who: Principal) -> str | None:
    """Give whose endpoints somebody sees; None: those of all, which takes all sites, for deliveries tell of any."""
    sees_all = who.sites is None and shipped_policy().may(who, "webhooks.all")
    return None if sees_all else owner_name(who)


def _within(wish: Wish, who: Principal) -> Wish:
    """Refuse what somebody may not be told of; of "all" take what he may, as long as he may it."""
    heard = kinds_heard(shipped_policy(), who)
    beyond = [str(one) for one in wish.kinds or () if one not in heard]
    if beyond:
        raise EndpointRefused(f"you may not be told of {', '.join(beyond)}")
    foreign = [one for one in wish.sites or () if not who.reaches(one)]
    if foreign:
        raise EndpointRefused(f"{', '.join(foreign)} is none of your sites")
    kinds: Sequence[EventKind] | None = wish.kinds
    if kinds is None and len(heard) < len(EventKind):
        kinds = heard
    sites = wish.sites if wish.sites is not None or who.sites is None else tuple(sorted(who.sites))
    return replace(wish, kinds=None if kinds is None else tuple(kinds), sites=sites)


def _told(wish: Wish) -> dict[str, object]:
    """Give a wish for the log: of the URL its host only, since the rest may hold what nobody else should read."""
    wants = wish.wants.columns
    return {"host": urlsplit(wish.url).netloc, "kinds": wants["kinds"], "sites": wants["sites"]}


def _subject(endpoint: str) -> str:
    return f"webhook/{endpoint}"
