"""What people read, from the display to the statement: judged, sealed, settled, billed, and verified by a stranger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from allocation_engine.verification import verify_bundle
from ingest.alert_rules import AlertKind
from ingest.alerts import Alerting, evaluate
from ingest.audit_log import Verb
from ingest.caller import NotInPerson
from ingest.closing import Closing
from ingest.explanation import Explanation
from ingest.ports import GatewayEpoch
from ingest.reading_desk import OwnReading, ReadingDecided, ReadingDesk, ReadingRefused, desk_of
from ingest.settlement import Settlement
from ingest.statement_file import statement_file
from ingest.store.audit import touching
from ingest.store.database import Database
from ingest.store.erasure import erase, plan_engineer
from ingest.store.fleet import gateway_chains
from ingest.store.gateways import gateway_states
from ingest.store.hand_readings import HandReadingUnknown, HandState
from ingest.store.photos import PhotoMisnamed, PhotoNotPlain, PhotoUnknown
from ingest.store.statements import find_statement
from metering.envelope import digest_of, parse_sealed
from metering.hand_note import HandSource, note_of, reader_hash
from metering.identity import MeterId
from metering.interval import SLOT
from metering.obis import ENERGY_IMPORT
from provisioning.hand_reading import Doubt, TextNotRead
from provisioning.keys import FileSigner, public_verifier
from provisioning.photo_file import plain_photo
from provisioning.photo_reading.reader import SeenDigits
from tests.doubles.hand_park import ADMIN, AN, BO, BUS_METER, HAND_METER, PARK_ID, HandCentre, drawn, look
from tests.doubles.park_books import CENTRE
from tests.doubles.plain_photos import chunk

PERIOD = "2026-07-01--2026-07-01"


@pytest.fixture
def centre(database: Database) -> HandCentre:
    """A centre with the park imported and its gateways enrolled."""
    built = HandCentre(database)
    built.books.enrol_all()
    return built


@pytest.fixture
def start(centre: HandCentre) -> datetime:
    """The first mark of the period."""
    return centre.site.calendar.period(PERIOD).start


def test_a_reading_that_fits_counts_at_once_and_is_sealed_by_the_centre(centre: HandCentre, start: datetime) -> None:
    first = centre.desk.add(look("001000.00", start - timedelta(days=1, minutes=3)), AN)
    second = centre.desk.add(look("001024.50", start + timedelta(days=2, minutes=4), reader="eng-1"), AN)
    assert (first.state, second.state) == (HandState.COUNTED, HandState.COUNTED)
    assert centre.counted == 2
    assert first.place is not None
    assert second.place is not None
    assert (first.place[0].gateway, first.place[1], second.place[1]) == (desk_of(PARK_ID), 1, 2)
    assert second.mark == start + timedelta(days=2)
    with centre.database.transaction() as connection:
        acts = touching(connection, [f"meter/park/{HAND_METER}"])
    assert [(one.verb, one.who) for one in acts] == [(Verb.READING_ADDED, "an")] * 2
    assert acts[0].told["after"]["reader"] == "eng-1"


def test_a_meter_without_a_bus_is_billed_and_a_stranger_verifies_it(centre: HandCentre, start: datetime) -> None:
    centre.books.write(start + index * SLOT for index in range(97))
    centre.desk.add(look("001000.00", start - timedelta(days=1)), AN)
    centre.desk.add(look("001024.00", start + timedelta(days=2)), AN)
    closing = Closing(Settlement(centre.database, centre.catalogue), CENTRE, bytes(32))
    stored, _ = closing.close(PARK_ID, PERIOD, booked_at=start + timedelta(days=31), actor="an")
    exceptions = [one for one in stored.document["exceptions"] if one["node"] == "u-b301"]
    assert {one["reason"] for one in exceptions} == {"gap"}
    assert "m-u-b301 read by a person 1000000 Wh" in exceptions[0]["basis"]
    with centre.database.transaction() as connection:
        statement = find_statement(connection, "park-2026-07-01--2026-07-01-t-08-v1")
        assert statement is not None
        file = statement_file(connection, statement, centre.catalogue)
    report = verify_bundle(file, {CENTRE.key_id: public_verifier(CENTRE.algorithm, CENTRE.public_key)}, public_verifier)
    assert report.holds, report.broken
    assert report.content is not None
    own = [line for line in report.content.lines if line.unit == "b301" and sum(line.band_energy_wh) == 8000]
    assert own, [(line.pool, line.band_energy_wh) for line in report.content.lines]
    readings = next(check for check in report.checks if check.link == "reading")
    assert "2 of them read by people" in readings.result
    for language, word in (("zh", "人工抄读"), ("en", "read by a person")):
        steps = Explanation(report.content, language, all_spans=False).steps(own[0])
        (step,) = [one.text for one in steps if "u-b301" in one.text]
        assert step.count(word) == 2
        assert "1024.000 kWh 07-03" in step


def states(centre: HandCentre) -> list[HandState]:
    return [one.state for one in centre.desk.list(site="park", meter=None, state=None, most=10)]


def energy_of(centre: HandCentre, node: str) -> dict[str, int]:
    """Settle, and give the energy of a node by day."""
    Settlement(centre.database, centre.catalogue).settle_site(PARK_ID)
    with centre.database.transaction() as connection:
        rows = connection.execute(
            b"SELECT day::text, (SELECT sum(one) FROM unnest(energy) AS one), exceptions FROM settled_days "
            b"WHERE node = %(node)s AND obis = '1-0:1.8.0' ORDER BY day",
            {"node": node},
        ).fetchall()
    return {day: int(total) for day, total, _ in rows}


def test_the_same_reading_twice_is_one_and_another_number_is_refused(centre: HandCentre, start: datetime) -> None:
    first = centre.desk.add(look("001000.00", start), AN)
    assert centre.desk.add(look("001000.00", start + timedelta(minutes=6)), BO) == first
    with pytest.raises(ReadingRefused, match=f"reading {first.number} of the same register"):
        centre.desk.add(look("001000.10", start), BO)
    assert states(centre) == [HandState.COUNTED]


@pytest.mark.parametrize(
    ("text", "doubt"), [("000900.00", Doubt.FELL), ("009000.00", Doubt.MUCH_MORE), ("000001.00", Doubt.FELL)]
)
def test_what_does_not_fit_waits_and_counts_only_by_a_second_person(
    centre: HandCentre, start: datetime, text: str, doubt: Doubt
) -> None:
    centre.desk.add(look("000980.00", start - timedelta(days=20)), AN)
    centre.desk.add(look("001000.00", start - timedelta(days=10)), AN)
    waiting = centre.desk.add(look(text, start), AN)
    assert (waiting.state, waiting.doubts, waiting.place) == (HandState.WAITING, (doubt,), None)
    assert waiting.number is not None
    with pytest.raises(NotInPerson):
        centre.desk.decide(waiting.number, True, "it is so", ADMIN)
    with pytest.raises(OwnReading):
        centre.desk.decide(waiting.number, True, "it is so", AN)
    assert energy_of(centre, "u-b301").get("2026-06-30", 0) == 0
    decided = centre.desk.decide(waiting.number, True, "looked at it again", BO)
    assert (decided.state, decided.decided_by) == (HandState.COUNTED, "bo")
    with pytest.raises(ReadingDecided):
        centre.desk.decide(waiting.number, False, "too late", BO)
    with centre.database.transaction() as connection:
        (act,) = touching(connection, [f"reading/{waiting.number}"], verb=Verb.READING_DECIDED)
    assert (act.who, act.told["before"]["state"], act.told["after"]["state"]) == ("bo", "waiting", "counted")


def test_what_waits_is_an_alert_until_somebody_decides(centre: HandCentre, start: datetime) -> None:
    centre.desk.add(look("001000.00", start - timedelta(days=10)), AN)
    waiting = centre.desk.add(look("000100.00", start), AN)
    assert told(centre) == [("readings-wait", "park")]
    assert waiting.number is not None
    centre.desk.decide(waiting.number, False, "a slip of the pen", BO)
    centre.clock.sleep(3600)
    assert told(centre) == []


def told(centre: HandCentre) -> list[tuple[str, str]]:
    with centre.database.transaction() as connection:
        found = evaluate(connection, centre.clock.now(), Alerting()).is_open
    return [(str(one.cause.kind), one.cause.subject) for one in found if one.cause.kind is AlertKind.READINGS_WAIT]


def test_a_refused_reading_never_counts_and_leaves_room_for_another(centre: HandCentre, start: datetime) -> None:
    centre.desk.add(look("001000.00", start - timedelta(days=10)), AN)
    wrong = centre.desk.add(look("000100.00", start), AN)
    assert wrong.number is not None
    assert centre.desk.decide(wrong.number, False, "a slip of the pen", BO).state is HandState.REFUSED
    assert centre.desk.add(look("001010.00", start), AN).state is HandState.COUNTED
    assert energy_of(centre, "u-b301")["2026-06-30"] == 1000


def test_who_entered_for_another_decides_as_little_as_he(centre: HandCentre, start: datetime) -> None:
    centre.desk.add(look("001000.00", start - timedelta(days=10)), AN)
    for caller, reader in ((AN, "bo"), (BO, "eng-1")):
        day = start + timedelta(days=1 if caller is AN else 2)
        waiting = centre.desk.add(look("000100.00", day, reader=reader), caller)
        assert waiting.number is not None
        with pytest.raises(OwnReading):
            centre.desk.decide(waiting.number, True, "it is so", BO)


def test_beside_a_bus_that_was_heard_a_reading_is_kept_and_changes_no_energy(
    centre: HandCentre, start: datetime
) -> None:
    centre.books.write(start + index * SLOT for index in range(97))
    before = energy_of(centre, "u-b201")
    register = register_of(centre, BUS_METER, start + 40 * SLOT)
    kept = centre.desk.add(look(register, start + 40 * SLOT, meter=BUS_METER, obis=ENERGY_IMPORT), AN)
    assert (kept.state, kept.place) == (HandState.KEPT, None)
    wrong = centre.desk.add(look("000001.00", start + 41 * SLOT, meter=BUS_METER, obis=ENERGY_IMPORT), AN)
    assert (wrong.state, wrong.doubts) == (HandState.WAITING, (Doubt.DIFFERS_FROM_BUS,))
    assert wrong.number is not None
    assert centre.desk.decide(wrong.number, True, "the display says so", BO).state is HandState.KEPT
    assert energy_of(centre, "u-b201") == before


def test_in_a_gap_of_the_bus_a_reading_divides_the_energy_and_yields_when_the_bus_comes(
    centre: HandCentre, start: datetime
) -> None:
    silent = range(20, 80)
    centre.books.write(start + index * SLOT for index in range(97) if index not in silent)
    total = energy_of(centre, "u-b201")
    register = register_of(centre, BUS_METER, start + 50 * SLOT)
    read = centre.desk.add(look(register, start + 50 * SLOT, meter=BUS_METER, obis=ENERGY_IMPORT), AN)
    assert read.state is HandState.COUNTED
    assert energy_of(centre, "u-b201") == total, "it is divided otherwise, and never more"
    assert "read-by-hand" in reasons(centre, "u-b201")
    centre.books.write(start + index * SLOT for index in silent)
    assert energy_of(centre, "u-b201") == total
    assert states(centre) == [HandState.YIELDED]
    assert reasons(centre, "u-b201") == set()


def test_a_withdrawn_reading_counts_no_more_and_its_envelope_stays(centre: HandCentre, start: datetime) -> None:
    centre.desk.add(look("001000.00", start - timedelta(days=10)), AN)
    wrong = centre.desk.add(look("001500.00", start), AN)
    centre.desk.add(look("001600.00", start + timedelta(days=10)), AN)
    assert energy_of(centre, "u-b301")["2026-06-30"] == 50_000
    assert wrong.number is not None
    assert centre.desk.withdraw(wrong.number, "wrong meter", AN).state is HandState.WITHDRAWN
    assert energy_of(centre, "u-b301")["2026-06-30"] == 30_000
    with pytest.raises(ReadingDecided):
        centre.desk.withdraw(wrong.number, "again", AN)
    with centre.database.transaction() as connection:
        assert connection.execute(b"SELECT count(*) FROM envelopes WHERE gateway LIKE 'read-by%%'", {}).fetchone() == (
            3,
        )
    assert centre.desk.add(look("001300.00", start), AN).state is HandState.COUNTED


@pytest.mark.parametrize(
    ("text", "days", "wrong", "word"),
    [
        ("001000", 0, TextNotRead, "the display has 2"),
        ("1000000.00", 0, TextNotRead, "more than this meter can show"),
        ("001000.00", 60, ReadingRefused, "has not come yet"),
    ],
)
def test_what_cannot_be_is_refused_with_the_mend(
    centre: HandCentre, start: datetime, text: str, days: int, wrong: type[Exception], word: str
) -> None:
    with pytest.raises(wrong, match=word):
        centre.desk.add(look(text, start + timedelta(days=days)), AN)
    assert states(centre) == []


def test_a_meter_that_does_not_hang_there_then_has_no_reading(centre: HandCentre, start: datetime) -> None:
    with pytest.raises(ReadingRefused, match="does not hang"):
        centre.desk.add(look("001000.00", start, meter=MeterId("m-u-a102-2"), obis=ENERGY_IMPORT), AN)
    with pytest.raises(HandReadingUnknown):
        centre.desk.withdraw(2**62, "none", AN)


def test_a_photo_is_kept_checks_what_was_typed_and_may_speak_alone(centre: HandCentre, start: datetime) -> None:
    octets = drawn("00100050")
    digest = plain_photo(octets).sha256
    assert centre.desk.put_photo(digest, octets, "image/png", AN)
    assert not centre.desk.put_photo(digest, octets, "", AN)
    centre.machine.sees = (SeenDigits("12", 999), SeenDigits("00100050", 970))
    assert centre.desk.candidate(look(None, start, photo=digest)).text == "001000.50"
    alone = centre.desk.add(look(None, start, photo=digest), AN)
    assert (alone.state, alone.shown, alone.source) == (HandState.COUNTED, "001000.50", HandSource.PHOTO)
    assert (alone.seen, alone.confidence_pm, alone.photo) == ("00100050", 970, digest)
    typed = centre.desk.add(look("001001.50", start + timedelta(days=1), photo=digest), AN)
    assert typed.doubts == (Doubt.PHOTO_DIFFERS,)
    centre.machine.sees = (SeenDigits("00100250", 500),)
    unsure = centre.desk.add(look(None, start + timedelta(days=2), photo=digest), AN)
    assert unsure.doubts == (Doubt.PHOTO_UNSURE,)
    centre.machine.sees = ()
    with pytest.raises(ReadingRefused, match="write down what the display shows"):
        centre.desk.add(look(None, start + timedelta(days=3), photo=digest), AN)
    assert centre.desk.add(look("001003.00", start + timedelta(days=3), photo=digest), AN).state is HandState.COUNTED


def test_a_photo_that_was_damaged_or_carries_more_than_the_picture_is_not_kept(centre: HandCentre) -> None:
    octets = drawn("1")
    with pytest.raises(PhotoMisnamed, match="send the photo again"):
        centre.desk.put_photo(bytes(32), octets, "", AN)
    more = octets[:33] + chunk(b"tEXt", b"Author\0an") + octets[33:]
    with pytest.raises(PhotoNotPlain, match="strip"):
        centre.desk.put_photo(digest_of(more), more, "", AN)
    with pytest.raises(PhotoMisnamed, match="name it for what it is"):
        centre.desk.put_photo(digest_of(octets), octets, "image/jpeg", AN)
    with pytest.raises(PhotoUnknown):
        centre.desk.photo(digest_of(octets))


def test_what_is_sealed_names_the_reader_to_nobody_but_the_centre(centre: HandCentre, start: datetime) -> None:
    one = centre.desk.add(look("001000.00", start, reader="eng-1"), AN)
    with centre.database.transaction() as connection:
        row = connection.execute(b"SELECT octets FROM envelopes WHERE gateway LIKE 'read-by%%'", {}).fetchone()
    assert row is not None
    (reading,) = parse_sealed(bytes(row[0])).envelope.readings
    note = note_of(reading)
    assert note is not None
    assert one.reader_salt is not None
    assert note.reader == reader_hash("eng-1", one.reader_salt)
    assert b"eng-1" not in bytes(row[0])


def test_a_new_key_of_the_centre_begins_a_new_chain(centre: HandCentre, start: datetime) -> None:
    centre.desk.add(look("001000.00", start), AN)
    other = FileSigner.from_seed(b"\x08" * 32)
    desk = ReadingDesk(centre.database, other, other.public_key, centre.clock, centre.catalogue, lambda: None)
    second = desk.add(look("001001.00", start + timedelta(days=1)), AN)
    assert second.place == (GatewayEpoch(desk_of(PARK_ID), 2), 1)


def test_a_desk_is_no_machine_of_the_fleet_and_no_machine_may_take_its_name(
    centre: HandCentre, start: datetime
) -> None:
    centre.desk.add(look("001000.00", start), AN)
    with centre.database.transaction() as connection:
        assert {one.gateway for one in gateway_chains(connection)} == {"gw-a", "gw-b"}
        assert {one.gateway for one in gateway_states(connection)} == {"gw-a", "gw-b"}
        connection.execute(b"UPDATE gateways SET is_desk = false WHERE is_desk", {})
    with pytest.raises(ReadingRefused, match="that name is kept"):
        centre.desk.add(look("001001.00", start + timedelta(days=1)), AN)


def test_two_who_enter_at_once_take_turns_in_one_chain(centre: HandCentre, start: datetime) -> None:
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(centre.desk.add, look(f"{1000 + day:06d}.00", start + timedelta(days=day)), AN)
            for day in range(8)
        ]
        found = [job.result() for job in jobs]
    assert sorted(one.place[1] for one in found if one.place) == list(range(1, 1 + sum(1 for o in found if o.place)))
    with centre.database.transaction() as connection:
        rows = connection.execute(
            b"SELECT seq, digest, previous_hash FROM ledger WHERE gateway LIKE 'read-by%%' ORDER BY seq"
        )
        chain = [(seq, bytes(digest), bytes(previous)) for seq, digest, previous in rows]
    assert [previous for _, _, previous in chain] == [bytes(32), *(digest for _, digest, _ in chain[:-1])]


def test_a_reader_is_taken_out_and_what_he_read_stays(centre: HandCentre, start: datetime) -> None:
    digest = plain_photo(drawn("1")).sha256
    centre.desk.put_photo(digest, drawn("1"), "", AN)
    number = centre.desk.add(look("001000.00", start, reader="eng-1"), AN).number
    for name in ("eng-1", "an"):
        with centre.database.transaction() as connection:
            plan = plan_engineer(connection, name, centre.clock.now())
            assert plan.records == 1
            erase(connection, plan, "he asked", centre.clock.now())
    (one,) = centre.desk.list(site=None, meter=None, state=None, most=10)
    assert (one.number, one.state, one.reader_salt) == (number, HandState.COUNTED, None)
    assert one.reader.startswith("erased ")
    assert one.entered_by.startswith("erased ")
    with centre.database.transaction() as connection:
        assert connection.execute(b"SELECT put_by LIKE 'erased %%' FROM photos", {}).fetchone() == (True,)


def register_of(centre: HandCentre, meter: MeterId, mark: datetime) -> str:
    """What the display of a meter of the park shows at `mark`, to the decimal of a kilowatt hour."""
    played = centre.books._played(centre.site.meter(meter))
    register = played.register(ENERGY_IMPORT, mark)
    assert register is not None
    return f"{register // 1000}.{register % 1000 // 100}"


def reasons(centre: HandCentre, node: str) -> set[str]:
    with centre.database.transaction() as connection:
        rows = connection.execute(b"SELECT exceptions FROM settled_days WHERE node = %(node)s", {"node": node})
        return {one["reason"] for row in rows for one in row[0] if one["reason"] not in _EDGES}


_EDGES = {"no-reading-before", "no-reading-after"}
