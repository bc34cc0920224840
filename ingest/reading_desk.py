"""What people read enters the books here: judged, sealed by the centre in a chain of the site's desk, then settled.

A reading that fits what is known counts at once. One that does not waits, and counts only when a second person says so.
What counts is sealed in an envelope as a gateway would: so it stands in the ledger, settles, proves a statement and is
verified by strangers in the same way as a register that came over a bus; a note beside it says who read it and by what.
Beside a bus that was heard at the same mark a hand reading is kept as a check and never counted.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from device_profiles.catalogue import Catalogue
from ingest.audit_log import Verb
from ingest.caller import Caller, acting
from ingest.ports import ChainAdvance, Entry, GatewayEpoch
from ingest.store.audit import note
from ingest.store.database import Connection, Database
from ingest.store.hand_readings import (
    HandReading,
    HandState,
    add_desk,
    add_hand_reading,
    decide_hand_reading,
    desk_key,
    find_hand_reading,
    list_hand_readings,
    neighbours,
    same_hand_reading,
    take_out,
)
from ingest.store.intake_store import PostgresGroup, PostgresIntakeStore
from ingest.store.photos import find_photo, put_photo
from ingest.store.sites import lock_site, require_site
from metering.clock import Clock, ClockQuality, ClockState
from metering.envelope import Envelope, Signer, open_sealed, seal
from metering.errors import BooksError
from metering.hand_note import DESK, SALT_OCTETS, HandNote, HandSource, reader_hash
from metering.identity import GatewayId, MeterId, SiteId, check_identifier
from metering.obis import Obis
from metering.reading import MeterReading, ReadQuality
from provisioning.hand_reading import (
    Display,
    Doubt,
    best_seen,
    bus_says_enough,
    display_of,
    displays_of,
    doubts_about,
    nearest_mark,
    photo_doubts,
    read_text,
    text_of,
    typed_step,
)
from provisioning.keys import raw_verifier
from provisioning.photo_file import PlainPhoto
from provisioning.photo_reading.reader import PhotoReader, SeenDigits
from provisioning.site import Meter

AHEAD = timedelta(minutes=5)
"""How far a telephone's clock may be ahead of the centre's."""
_BOOT = bytes(16)
"""A desk is never booted."""


class ReadingRefused(BooksError):
    """A reading cannot be entered; the text says why and what to do."""


class OwnReading(BooksError):
    """Somebody decided about what he read or entered himself."""


class ReadingDecided(BooksError):
    """A reading does not wait any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What somebody brings: which register, when, what it showed.

    obis    None where the meter has one register alone
    text    as the display showed it; None: what the photo shows
    reader  who looked; None: who brings it
    """

    site: SiteId
    meter: MeterId
    obis: Obis | None
    read_at: datetime
    text: str | None
    photo: bytes | None
    reader: str | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a photo shows of a register: the text with its point, and all rows of digits that were seen."""

    text: str | None
    confidence_pm: int | None
    seen: tuple[SeenDigits, ...]
    is_sure: bool


def desk_of(site: SiteId) -> GatewayId:
    """Name the chain in which what people read at a site is sealed; raises IdentifierInvalid for too long a name."""
    return GatewayId(check_identifier(f"{DESK}{site}"))


class ReadingDesk:
    """Takes readings and photos of people.

    signer      the centre's, with its raw public key
    reader      gives the reader of photos; None where none is installed
    on_counted  called when what counts has changed
    """

    def __init__(
        self,
        database: Database,
        signer: Signer,
        public_key: bytes,
        clock: Clock,
        catalogue: Catalogue,
        reader: Callable[[], PhotoReader | None],
        on_counted: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._store = PostgresIntakeStore(database)
        self._signer = signer
        self._public_key = public_key
        self._on_counted = on_counted
        self._clock = clock
        self._catalogue = catalogue
        self._reader = reader

    def put_photo(self, digest: bytes, octets: bytes, media: str, caller: Caller) -> bool:
        """Keep a photo and say whether it is new; raises PhotoRefused, PhotoNotPlain, PhotoMisnamed."""
        with acting(caller), self._database.transaction() as connection:
            is_new = put_photo(connection, digest, octets, media, self._clock.now(), by=caller.name)
            if is_new:
                after = {"octets": len(octets), "media": media}
                note(connection, Verb.PHOTO_PUT, f"photo/{digest.hex()}", after=after)
        return is_new

    def photo(self, digest: bytes) -> PlainPhoto:
        """Give a photo; raises PhotoUnknown."""
        with self._database.transaction() as connection:
            return find_photo(connection, digest)

    def candidate(self, look: Look) -> Candidate:
        """Say what a photo shows of a register, and enter nothing; raises PhotoUnknown, NotInSite, ReadingRefused."""
        seen = self._seen(look)
        with self._database.transaction() as connection:
            display = self._display(self._meter(connection, look), look.obis)
        best = best_seen(seen, display)
        text = None if best is None else text_of(best.digits, display)
        confidence_pm = None if best is None else best.confidence_pm
        return Candidate(text, confidence_pm, seen, text is not None and not photo_doubts(None, best))

    def add(self, look: Look, caller: Caller) -> HandReading:
        """Enter a reading: counted, kept beside the bus, or waiting. The same again gives what was entered.

        Raises ReadingRefused, TextNotRead, NotInSite, SiteUnknown, PhotoUnknown.
        """
        now = self._clock.now()
        if look.read_at > now + AHEAD:
            raise ReadingRefused(f"{look.read_at.isoformat()} has not come yet: look at the date and the zone")
        seen = self._seen(look)
        with acting(caller), self._store.group() as group:
            assert isinstance(group, PostgresGroup)
            connection = group.connection
            meter = self._meter(connection, look)
            display = self._display(meter, look.obis)
            desk = self._lock_desk(group, look.site)
            known = same_hand_reading(connection, meter.id, display.obis, nearest_mark(look.read_at))
            judged = self._judged(connection, look, display, best_seen(seen, display), caller, now)
            if known is not None:
                if known[1] == judged.register:
                    return find_hand_reading(connection, known[0])
                raise ReadingRefused(
                    f"reading {known[0]} of the same register and quarter hour says another number and is {known[2]}: "
                    f"withdraw or refuse that one first (metertree reading withdraw {known[0]} --reason ...)"
                )
            if judged.state is HandState.COUNTED:
                judged = self._sealed(group, desk, judged, meter, display)
            judged = replace(judged, number=add_hand_reading(connection, judged))
            _note(connection, Verb.READING_ADDED, judged)
        if judged.state is HandState.COUNTED:
            self._on_counted()
        return judged

    def decide(self, number: int, accept: bool, reason: str, caller: Caller) -> HandReading:
        """Let a waiting reading count, or not; raises OwnReading, ReadingDecided, NotInPerson, HandReadingUnknown."""
        caller.require_in_person("deciding about a reading that waits")
        with acting(caller), self._store.group() as group:
            assert isinstance(group, PostgresGroup)
            connection = group.connection
            one = find_hand_reading(connection, number)
            desk = self._lock_desk(group, one.site)
            if one.state is not HandState.WAITING:
                raise ReadingDecided(f"reading {number} does not wait: it is {one.state}")
            if caller.name.lower() in (one.reader.lower(), one.entered_by.lower()):
                raise OwnReading(f"{caller.name} read or entered reading {number}: somebody else has to decide")
            decided = replace(one, decided_by=caller.name, decided_at=self._clock.now(), reason=reason)
            if not accept:
                decided = replace(decided, state=HandState.REFUSED)
            else:
                meter = require_site(connection, one.site).site.meter(one.meter)
                display = self._display(meter, one.obis)
                known = neighbours(connection, self._catalogue, one.meter, one.obis, one.mark, desk.gateway)
                is_check = bus_says_enough(one.register, known) and Doubt.FELL not in one.doubts
                decided = replace(decided, state=HandState.KEPT if is_check else HandState.COUNTED)
                if decided.state is HandState.COUNTED:
                    decided = self._sealed(group, desk, decided, meter, display)
            decide_hand_reading(connection, decided)
            _note(connection, Verb.READING_DECIDED, decided, before=one)
        if decided.state is HandState.COUNTED:
            self._on_counted()
        return decided

    def withdraw(self, number: int, reason: str, caller: Caller) -> HandReading:
        """Take a counted reading out of the books, or a waiting one back; raises ReadingDecided, HandReadingUnknown."""
        with acting(caller), self._database.transaction() as connection:
            one = find_hand_reading(connection, number)
            if one.state not in (HandState.COUNTED, HandState.WAITING):
                raise ReadingDecided(f"reading {number} does not count: it is {one.state}")
            to = HandState.WITHDRAWN if one.state is HandState.COUNTED else HandState.REFUSED
            if to is HandState.REFUSED and caller.name.lower() in (one.reader.lower(), one.entered_by.lower()):
                raise OwnReading(f"reading {number} waits for a second person, who can refuse it")
            done = replace(one, state=to, decided_by=caller.name, decided_at=self._clock.now(), reason=reason)
            decide_hand_reading(connection, done)
            if to is HandState.WITHDRAWN:
                take_out(connection, one)
            _note(connection, Verb.READING_DECIDED, done, before=one)
        if to is HandState.WITHDRAWN:
            self._on_counted()
        return done

    def list(
        self, *, site: str | None, meter: str | None, state: HandState | None, most: int
    ) -> tuple[HandReading, ...]:
        """List the newest readings."""
        with self._database.transaction() as connection:
            return list_hand_readings(connection, site=site, meter=meter, state=state, most=most)

    def _meter(self, connection: Connection, look: Look) -> Meter:
        meter = require_site(connection, look.site).site.meter(look.meter)
        mark = nearest_mark(look.read_at)
        if mark not in meter.span:
            told = f"meter {meter.id} does not hang at {meter.node} at {mark.isoformat()}"
            raise ReadingRefused(f"{told}: look at the date and at the meter's number")
        return meter

    def _display(self, meter: Meter, obis: Obis | None) -> Display:
        return display_of(displays_of(self._catalogue.by_id(meter.profile)), obis)

    def _seen(self, look: Look) -> tuple[SeenDigits, ...]:
        """Have a photo read before anything is locked: it takes a machine a tenth of a second or more."""
        if look.photo is None:
            return ()
        with self._database.transaction() as connection:
            photo = find_photo(connection, look.photo)
        reader = self._reader()
        return () if reader is None else reader.read(photo)

    def _judged(
        self,
        connection: Connection,
        look: Look,
        display: Display,
        seen: SeenDigits | None,
        caller: Caller,
        now: datetime,
    ) -> HandReading:
        text = look.text
        if text is None:
            text = None if seen is None else text_of(seen.digits, display)
            if text is None:
                raise ReadingRefused("the photo shows no register of this meter: write down what the display shows")
        register = int(read_text(text, display) * display.step)
        mark, step = nearest_mark(look.read_at), typed_step(text, display)
        known = neighbours(connection, self._catalogue, look.meter, display.obis, mark, desk_of(look.site))
        doubts = [*doubts_about(register, step, mark, known, display.modulus), *photo_doubts(look.text, seen)]
        state = HandState.WAITING if doubts else HandState.COUNTED
        if not doubts and bus_says_enough(register, known):
            state = HandState.KEPT
        return HandReading(
            number=None,
            site=look.site,
            meter=look.meter,
            obis=display.obis,
            shown=text,
            register=register,
            read_at=look.read_at.astimezone(UTC),
            mark=mark.astimezone(UTC),
            source=HandSource.TYPED if look.photo is None else HandSource.PHOTO,
            photo=look.photo,
            seen=None if seen is None else seen.digits,
            confidence_pm=None if seen is None else seen.confidence_pm,
            reader=look.reader or caller.name,
            reader_salt=secrets.token_bytes(SALT_OCTETS),
            entered_at=now,
            entered_by=caller.name,
            state=state,
            doubts=tuple(doubts),
        )

    def _lock_desk(self, group: PostgresGroup, site: SiteId) -> GatewayEpoch:
        """Hold the chain of a site's desk; a new one begins with the first reading, or when the centre's key is new."""
        connection, desk = group.connection, desk_of(site)
        lock_site(connection, site)
        known = desk_key(connection, desk)
        if known is not None and not (known.is_desk and known.site == site):
            raise ReadingRefused(f"{desk} is a gateway of site {known.site}: that name is kept for readings of people")
        epoch = 0 if known is None else known.epoch
        if known is None or known.key_id != self._signer.key_id:
            epoch += 1
            add_desk(connection, desk, site, epoch, raw_verifier(self._public_key), self._clock.now())
        return GatewayEpoch(desk, epoch)

    def _sealed(
        self, group: PostgresGroup, desk: GatewayEpoch, one: HandReading, meter: Meter, display: Display
    ) -> HandReading:
        """Seal a reading as the next of the desk's chain and enter it."""
        chain = group.lock_chains({desk: ()})[desk]
        now = self._clock.now()
        assert one.reader_salt is not None
        beside = HandNote(
            one.source, one.shown, one.photo, one.seen, one.confidence_pm, reader_hash(one.reader, one.reader_salt)
        )
        reading = MeterReading(
            meter=one.meter,
            profile_hash=self._catalogue.by_id(meter.profile).hash,
            group=display.group,
            started_at=one.read_at,
            ended_at=one.read_at,
            quality=ReadQuality.MEASURED,
            mantissas=display.mantissas(int(one.register / display.step)),
            frames=(beside.to_frame(),),
        )
        envelope = Envelope(
            gateway=desk.gateway,
            epoch=desk.epoch,
            seq=chain.highest_seq + 1,
            previous_hash=chain.head_hash,
            boot=_BOOT,
            sealed_at=now,
            clock=ClockState(ClockQuality.ESTIMATED, None),
            mark=one.mark,
            readings=(reading,),
        )
        sealed = open_sealed(seal(envelope, self._signer), raw_verifier(self._public_key))
        group.enter([Entry(sealed, now, None)])
        group.advance({desk: ChainAdvance(envelope.seq, sealed.digest, envelope.seq, one.mark, 1, 0, now)})
        return replace(one, place=(desk, envelope.seq))


def _note(connection: Connection, verb: Verb, one: HandReading, before: HandReading | None = None) -> None:
    touches = (f"meter/{one.site}/{one.meter}", f"site/{one.site}")
    told = _told(one)
    note(
        connection,
        verb,
        f"reading/{one.number}",
        before=None if before is None else _told(before),
        after=told,
        reason=one.reason,
        touches=touches,
    )


def _told(one: HandReading) -> dict[str, str | int | list[str] | None]:
    return {
        "meter": one.meter,
        "obis": str(one.obis),
        "shown": one.shown,
        "read_at": one.read_at.isoformat(),
        "source": str(one.source),
        "photo": None if one.photo is None else one.photo.hex(),
        "reader": one.reader,
        "state": str(one.state),
        "doubts": [str(doubt) for doubt in one.doubts],
    }
