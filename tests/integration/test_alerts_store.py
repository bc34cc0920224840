"""Alerts over a real database and a real intake: every cause opens one alert, and its end closes it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest import alerts as spine
from ingest.alert_rules import Alert, AlertKind, Cause, Changes, Finding, Scope, Severity, Thresholds
from ingest.alerts import Alerting, Evaluated, evaluate
from ingest.cli import main
from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.store.alerts import (
    AlertAcknowledged,
    AlertUnknown,
    Wanted,
    acknowledge,
    changed_alerts,
    equivocations_of,
    list_alerts,
    lock_alerts,
    newest_change,
    open_alerts,
    store_changes,
)
from ingest.store.database import Database
from ingest.store.fleet import chain_gaps, gateway_chains, quarantine_of, site_faces
from metering.clock import ClockQuality, ClockState, ManualClock
from metering.envelope import chain_digest
from metering.identity import GatewayId, MeterId
from metering.interval import SLOT
from tests.conftest import MARK, SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.memory_database import MemoryDatabase
from tests.doubles.park_books import ParkBooks, read_park
from tests.doubles.store_harness import NOW, PostgresHarness, wired

GW = Gateway()
MINUTE = timedelta(minutes=1)


class Room:
    """A database with an intake, a clock that is moved by hand, and looks."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.harness = PostgresHarness(database)
        self.clock = ManualClock(NOW)
        # What the layout lacks depends on the day; it has a test of its own.
        self.alerting = Alerting()
        self.intake = Intake(
            consumer=MemoryConsumer(),
            store=self.harness.store,
            signer=SeededSigner("metertree test centre"),
            clock=self.clock,
            profiles=PROFILES,
        )

    def enrol(self, *gateways: Gateway) -> None:
        """Register and wire gateways."""
        self.harness.enrol(*gateways)
        self.harness.wire(wired(*gateways))

    def later(self, minutes: float) -> Room:
        """Let time pass."""
        self.clock.sleep(60 * minutes)
        return self

    def look(self) -> Evaluated:
        """Look once."""
        with self.database.transaction() as connection:
            return evaluate(connection, self.clock.now(), self.alerting)

    def told(self) -> list[tuple[str, str]]:
        """Kind and subject of what is open after a look."""
        return [(str(one.cause.kind), one.cause.subject) for one in self.look().is_open]

    def all(self) -> tuple[Alert, ...]:
        """Every alert there ever was, the oldest first."""
        with self.database.transaction() as connection:
            return tuple(sorted(list_alerts(connection, Wanted(most=1000)), key=lambda one: one.alert))


@pytest.fixture
def room(database: Database, monkeypatch: pytest.MonkeyPatch) -> Room:
    """A fleet of one gateway. Partitions and waiting readings are left out: tests of their own ask for them."""
    monkeypatch.setattr(spine, "missing_steps", lambda *_: ())
    monkeypatch.setattr(spine.store, "waits_since", lambda *_: None)
    monkeypatch.setattr(spine.store, "backed_up", lambda *_: (None, None))
    made = Room(database)
    made.enrol(GW)
    return made


def test_a_gateway_that_falls_silent_is_told_once_and_closes_when_it_speaks(room: Room) -> None:
    chain = GW.chain(3)
    room.intake.take(chain[:1])
    assert room.told() == []
    assert room.later(46).told() == [("gateway-silent", "gw-a")]
    for _ in range(5):
        assert room.later(1).look().opened == ()
    room.intake.take(chain[1:])
    assert room.told() == [("gateway-silent", "gw-a")], "it may be gone again at once"
    assert room.later(9).told() == [("gateway-silent", "gw-a")]
    done = room.later(2).look()
    assert [one.alert for one in done.closed] == [1]
    assert done.is_open == ()
    (kept,) = room.all()
    assert (kept.times, kept.closed_at) == (1, room.clock.now())


def test_a_gateway_that_flaps_keeps_its_alert(room: Room) -> None:
    chain = GW.chain(4)
    for number in range(3):
        room.intake.take(chain[number : number + 1])
        room.told()
        room.later(12).look()
        room.later(40).look()
    assert [(one.alert, one.is_open) for one in room.all()] == [(1, True)]
    assert room.all()[0].times in (2, 3)


def test_an_enrolled_gateway_that_never_sends_is_told(room: Room) -> None:
    assert room.later(46).told() == [("gateway-silent", "gw-a")]
    assert room.all()[0].detail["never"] is True


def test_a_gap_is_told_when_it_stays_and_closes_when_it_is_filled(room: Room) -> None:
    chain = GW.chain(5)
    room.intake.take([chain[0], chain[3]])
    room.later(30).intake.take([chain[4]])
    assert room.told() == []
    room.later(31)
    room.intake.take([chain[4]])
    assert room.told() == [("chain-gap", "gw-a")]
    with room.database.transaction() as connection:
        (found,) = gateway_chains(connection)
        assert (found.missing, found.waiting, found.gap_since) == (2, 2, NOW)
        assert [(gap.first_seq, gap.last_seq) for gap in chain_gaps(connection, GW.id)] == [(2, 3)]
    room.intake.take(chain[1:3])
    room.later(1).look()
    assert room.later(11).told() == []


def test_a_clone_is_told_until_a_person_closes_it_and_again_when_it_goes_on(room: Room) -> None:
    chain = GW.chain(3)
    room.intake.take([*chain, GW.other(2, chain_digest(chain[0].octets))])
    assert room.told() == [("equivocation", "gw-a")]
    for _ in range(3):
        room.later(30).intake.take(chain[:1])
        assert ("equivocation", "gw-a") in room.told(), "quiet does not close it"
    with room.database.transaction() as connection:
        done = acknowledge(connection, 1, by="night shift", note="card copied", now=room.clock.now())
    assert not done.is_open
    assert room.told() == []
    room.intake.take([GW.other(3, chain_digest(chain[1].octets))])
    assert room.told() == [("equivocation", "gw-a")]
    assert [(one.alert, one.is_open) for one in room.all()] == [(1, False), (2, True)]


def test_a_clone_that_is_committed_after_the_acknowledgement_is_not_lost(room: Room) -> None:
    """Its alarm carries an earlier instant than the acknowledgement: times do not rise in the order of commits."""
    chain = GW.chain(3)
    room.intake.take([*chain, GW.other(1, bytes(32))])
    room.look()
    early = room.clock.now()
    room.later(10)
    with room.database.transaction() as connection:
        acknowledge(connection, 1, by="night shift", note="", now=room.clock.now())
    with room.database.transaction() as connection:
        connection.execute(
            "INSERT INTO alarms (raised_at, kind, gateway, epoch, seq, detail) "
            "VALUES (%s, 'equivocation', %s, 1, 2, '{}')",
            (early, GW.id),
        )
    assert ("equivocation", "gw-a") in room.told()


def test_a_loss_that_its_gateway_tells_stays_until_a_person_closes_it(room: Room) -> None:
    chain = GW.chain(9)
    room.intake.take([chain[0], *chain[5:], GW.tombstone(chain, 2, 3)])
    assert room.told() == [("batches-lost", "gw-a")]
    room.intake.take([GW.tombstone(chain, 2, 5)])
    (told,) = room.look().is_open
    assert told.severity is Severity.CRITICAL
    assert (told.detail["batches"], told.detail["count"]) == (4, 1)
    assert told.detail["first_mark"] == (MARK + SLOT).isoformat()
    assert told.detail["last_mark"] == (MARK + 4 * SLOT).isoformat()
    with room.database.transaction() as connection:
        assert chain_gaps(connection, GW.id) == ()
        acknowledge(connection, told.alert, by="night shift", note="outage of a month", now=room.clock.now())
    assert room.told() == []
    longer = GW.chain(12)
    room.intake.take([longer[11], GW.tombstone(longer, 10, 11)])
    assert room.told() == [("batches-lost", "gw-a")]


def test_a_gateway_that_tells_of_every_seq_there_is_hides_no_other_gateway(room: Room) -> None:
    chain = GW.chain(9)
    room.intake.take([chain[0], *chain[5:], GW.tombstone(chain, 2, 5)])
    with room.database.transaction() as connection:
        for epoch in (7, 8):
            connection.execute(
                b"INSERT INTO lost_batches SELECT (told).* FROM (SELECT jsonb_populate_record(one, jsonb_build_object("
                b"'epoch', %s::int, 'first_seq', 1, 'last_seq', 9223372036854775807)) AS told FROM lost_batches one "
                b"WHERE epoch < 7 LIMIT 1) AS made",
                (epoch,),
            )
    (told,) = room.look().is_open
    assert told.detail["batches"] == 2**63 - 1


def test_a_clock_that_is_not_set_is_told_and_closes_when_it_is(room: Room) -> None:
    unset = ClockState(ClockQuality.UNKNOWN, None)
    first = GW.sealed(replace(GW.envelope(1, bytes(32)), clock=unset))
    room.intake.take([first])
    assert room.told() == [("clock-off", "gw-a")]
    room.intake.take([GW.sealed(GW.envelope(2, chain_digest(first.octets)))])
    assert room.later(11).told() == []


def test_quarantine_that_grows_is_told_by_its_reason_once(room: Room) -> None:
    room.alerting = Alerting(thresholds=Thresholds(quarantine_hour=3))
    for gateway in (GW, Gateway("gw-b"), Gateway("gw-c")):
        room.intake.take([Arrival(gateway.topic, b"rubbish from " + gateway.name.encode())])
    assert room.told() == [("quarantine-growing", "malformed")]
    room.later(61).look()
    told = [kind for kind, _ in room.later(11).told()]
    assert "quarantine-growing" not in told, "nothing has come for it within the hour"


def test_half_a_site_that_falls_silent_together_is_one_alert(room: Room) -> None:
    others = [Gateway(f"gw-{letter}") for letter in "bcdef"]
    room.harness.enrol(*others)
    for gateway in (GW, *others):
        room.intake.take(gateway.chain(1))
    room.later(40)
    room.intake.take(GW.chain(1))
    found = room.later(6).look()
    assert [(str(one.cause.scope), one.cause.subject, one.severity) for one in found.opened] == [
        ("site", "park", Severity.CRITICAL)
    ]
    assert (found.opened[0].detail["count"], found.opened[0].detail["of"]) == (5, 6)


def test_a_site_that_falls_silent_gateway_by_gateway_is_one_alert_in_the_end(room: Room) -> None:
    others = [Gateway(f"gw-{letter}") for letter in "bcdefgh"]
    room.harness.enrol(*others)
    for gateway in (GW, *others):
        room.intake.take(gateway.chain(1))
        room.later(1)
    room.later(37)
    for _ in range(8):
        room.later(1).look()
    scopes = [str(one.cause.scope) for one in room.all()]
    assert scopes == ["gateway", "gateway", "gateway", "site"]
    assert (room.all()[3].detail["count"], room.all()[3].detail["of"]) == (8, 8)


def test_two_that_look_at_once_tell_nothing_twice(room: Room) -> None:
    room.later(60)
    ready = threading.Barrier(2)
    found: list[Evaluated] = []

    def work() -> None:
        ready.wait(20)
        found.append(room.look())

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(len(one.opened) for one in found) == [0, 1]
    assert len(room.all()) == 1


def test_one_cause_cannot_have_two_open_alerts_even_by_hand(room: Room) -> None:
    room.later(60).look()
    with pytest.raises(psycopg.errors.UniqueViolation), room.database.transaction() as connection:
        connection.execute(
            "INSERT INTO alerts (alert, kind, scope, subject, severity, opened_at, seen_at, detail, change) "
            "SELECT 99, kind, scope, subject, severity, opened_at, seen_at, detail, 99 FROM alerts"
        )


# Books and layout


def test_a_backup_that_is_too_old_is_told_and_a_new_one_closes_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(spine, "missing_steps", lambda *_: ())
    assert ("backup-old", "") in room.later(27 * 60).told(), "what was enrolled a day ago was never backed up"
    with room.database.transaction() as connection:
        connection.execute(
            "INSERT INTO backups (backup, kind, place, started_at, finished_at) "
            "VALUES ('b', 'logical', '/b', %(at)s, %(at)s)",
            {"at": room.clock.now()},
        )
    room.look()
    assert ("backup-old", "") not in room.later(11).told()


def test_readings_that_wait_too_long_are_told_but_not_those_of_meters_that_are_gone(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(spine, "missing_steps", lambda *_: ())
    monkeypatch.setattr(spine.store, "backed_up", lambda *_: (None, None))
    room.intake.take(GW.chain(1))
    _let_wait(room, NOW - 31 * MINUTE, "UPDATE unsettled_days SET since = %s")
    assert room.told() == [("settlement-stuck", "")]
    with room.database.transaction() as connection:
        connection.execute("DELETE FROM unsettled_days")
    assert room.later(11).told() == []
    gone = "INSERT INTO unsettled_days (since, meter, day, arrivals) VALUES (%s, 'm-gone', '2026-07-01', 1)"
    _let_wait(room, NOW - timedelta(days=2), gone)
    assert room.told() == []


def test_a_day_that_goes_on_filling_waits_since_its_first_reading(room: Room) -> None:
    chain = GW.chain(2)
    room.intake.take(chain[:1])
    _let_wait(room, NOW - timedelta(days=1), "UPDATE unsettled_days SET since = %s")
    room.intake.take(chain[1:])
    with room.database.transaction() as connection:
        waits = connection.execute("SELECT max(arrivals), max(since) FROM unsettled_days").fetchone()
    assert waits == (2, NOW - timedelta(days=1))


def _let_wait(room: Room, since: datetime, statement: str) -> None:
    with room.database.transaction() as connection:
        connection.execute(statement.encode(), (since,))


def test_a_partition_that_is_missing_is_told(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(spine.store, "backed_up", lambda *_: (None, None))
    room.clock.sleep_until(datetime.fromisoformat("2031-01-01T00:00:00+00:00"))
    kinds = [kind for kind, _ in room.told()]
    with room.database.transaction() as connection:
        is_partitioned = connection.execute("SELECT to_regclass('readings_default') IS NOT NULL").fetchone() == (True,)
    if is_partitioned:
        assert "partitions-missing" in kinds


# Acknowledging and pulling


def test_an_acknowledgement_is_one_persons(room: Room) -> None:
    room.later(60).look()
    now = room.clock.now()
    with room.database.transaction() as connection:
        first = acknowledge(connection, 1, by="crew 3", note="on our way", now=now)
        again = acknowledge(connection, 1, by="crew 3", note="later words", now=now + MINUTE)
        assert first == again
        assert (first.acknowledged_by, first.note, first.is_open) == ("crew 3", "on our way", True)
        with pytest.raises(AlertAcknowledged, match="crew 3"):
            acknowledge(connection, 1, by="crew 4", note="", now=now)
        with pytest.raises(AlertUnknown, match="metertree alerts list"):
            acknowledge(connection, 2, by="crew 3", note="", now=now)
    assert room.look().is_open[0].acknowledged_by == "crew 3"


def test_a_reader_that_pulls_sees_every_change_once_and_in_order(room: Room) -> None:
    cursor, seen = 0, []
    for minutes in (0, 46, 0, 60):
        room.later(minutes)
        if minutes == 0:
            room.intake.take(GW.chain(1))
        room.look()
        room.later(11).look()
        with room.database.transaction() as connection:
            found = changed_alerts(connection, cursor, Wanted())
            seen += [one.change for one in found]
            cursor = max([cursor, *seen])
            assert cursor == newest_change(connection)
    assert seen == sorted(set(seen))
    assert seen


def test_a_change_is_not_visible_before_an_earlier_one(room: Room) -> None:
    """Whoever writes holds the lock to its commit; so a reader who saw change n has seen all below it."""
    room.later(60).look()
    begun, done = threading.Event(), threading.Event()

    def second() -> None:
        begun.set()
        with room.database.transaction() as connection:
            acknowledge(connection, 1, by="second", note="", now=NOW)
        done.set()

    with room.database.transaction() as connection:
        lock_alerts(connection)
        worker = threading.Thread(target=second)
        worker.start()
        assert begun.wait(20)
        assert not done.wait(0.2)
    worker.join(30)
    assert done.is_set()


# The fleet


def test_a_gateway_shows_its_epochs_clock_and_quarantine(room: Room) -> None:
    chain = GW.chain(3)
    room.intake.take([chain[0], chain[2], GW.other(1, bytes(32))])
    room.harness.enrol(Gateway(epoch=2))
    with room.database.transaction() as connection:
        newest, first = gateway_chains(connection, GW.id)
        assert gateway_chains(connection, GatewayId("gw-z")) == ()
        (kept,) = quarantine_of(connection, GW.id, 10)
        face = site_faces(connection)[newest.site]
    assert ((newest.epoch, newest.is_newest), (first.epoch, first.is_newest)) == ((2, True), (1, False))
    assert (newest.clock, newest.received_at, newest.highest_seq) == (None, None, 0)
    assert (first.missing, first.waiting, first.refused, first.received_at) == (1, 1, 1, NOW)
    assert (kept.reason, kept.seq) == ("sequence-replayed", 1)
    assert (face.calendar.zone, face.names.en) == ("Asia/Shanghai", "park")


def test_the_clock_is_that_of_the_newest_envelope_in_the_books(room: Room) -> None:
    chain = GW.chain(2)
    room.intake.take(chain)
    room.intake.take(
        [
            GW.sealed(
                replace(
                    GW.envelope(3, chain_digest(chain[1].octets)),
                    clock=ClockState(ClockQuality.UNKNOWN, None),
                    readings=(),
                )
            )
        ]
    )
    with room.database.transaction() as connection:
        (found,) = gateway_chains(connection)
    assert found.clock == ClockState(ClockQuality.UNKNOWN, None)
    assert found.sealed_received_at == NOW


def _play(store: Database) -> list[Any]:
    """A morning of the park, torn, looked at and told; every answer of the store on the way."""
    site, rules, play, catalogue = read_park()
    books = ParkBooks(store, site, rules, play, catalogue, only=frozenset({MeterId("m-lift")}))
    books.enrol_all()
    start = site.calendar.period("2026-07-01--2026-07-01").start
    books.write(start + mark * SLOT for mark in range(4))
    first, second = Cause(AlertKind.CHAIN_GAP, Scope.GATEWAY, "gw-a"), Cause(AlertKind.DISK_FULL, Scope.SERVICE, "/d")
    found = (Finding(first, Severity.WARNING, True, {"site": "park"}), Finding(second, Severity.CRITICAL))
    answers: list[Any] = []
    with store.transaction() as connection:
        answers += [gateway_chains(connection), chain_gaps(connection, GW.id), site_faces(connection)]
        answers += [
            equivocations_of(connection, GW.id, 5),
            quarantine_of(connection, GW.id, 5),
            open_alerts(connection),
        ]
        store_changes(connection, Changes(found, (), (), ()), NOW)
        answers += [open_alerts(connection), gateway_chains(connection, GW.id)[0].alerts]
        acknowledge(connection, 2, by="crew", note="n", now=NOW)
        store_changes(connection, Changes((), (), (), open_alerts(connection)[:1]), NOW + MINUTE)
        for wanted in (Wanted(), Wanted(True), Wanted(kind="chain-gap"), Wanted(scope="service"), Wanted(most=1)):
            answers += [list_alerts(connection, wanted), changed_alerts(connection, 0, wanted)]
        answers += [changed_alerts(connection, 3, Wanted()), newest_change(connection)]
    return answers


def test_the_double_answers_as_postgresql_does(database: Database) -> None:
    for number, (real, double) in enumerate(zip(_play(database), _play(MemoryDatabase()), strict=True)):
        assert real == double, number


# The command line


def test_the_command_looks_lists_and_acknowledges(
    migrated_dsn: str, room: Room, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dsn = ["--dsn", migrated_dsn]
    assert main(["alerts", "list", *dsn]) == 0
    assert capsys.readouterr().out == "no alert is open\n"
    main(["alerts", "look", "--json", "--watch-disks", str(tmp_path / "none"), *dsn])
    found = {one["kind"]: one for one in json.loads(capsys.readouterr().out)["alerts"]}
    assert {"gateway-silent", "disk-full"} <= set(found)
    number = str(found["gateway-silent"]["alert"])
    assert main(["alerts", "acknowledge", number, "--by", "crew 3", "--note", "on our way", "--lang", "zh", *dsn]) == 0
    told = capsys.readouterr().out
    assert "网关" in told or "gw-a" in told
    assert "crew 3" in told
    assert main(["alerts", "acknowledge", number, "--by", "crew 4", *dsn]) == 1
    assert "crew 3" in capsys.readouterr().err
    assert main(["alerts", "list", "--gateway", "gw-a", "--csv", *dsn]) == 0
    assert "gateway-silent" in capsys.readouterr().out


def test_the_fleet_is_listed_and_one_gateway_shown(
    migrated_dsn: str, room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = GW.chain(3)
    room.intake.take([chain[0], chain[2]])
    assert main(["fleet", "--dsn", migrated_dsn]) == 0
    assert "gw-a" in capsys.readouterr().out
    assert main(["fleet", "--json", "--state", "gap", "--dsn", migrated_dsn]) == 0
    (one,) = json.loads(capsys.readouterr().out)["gateways"]
    assert (one["gateway"], one["missing"], one["waiting"], one["gap_open"]) == ("gw-a", 1, 1, True)
    assert main(["fleet", "gw-a", "--lang", "zh", "--dsn", migrated_dsn]) == 0
    assert "报文链缺口" in capsys.readouterr().out
    assert main(["fleet", "gw-z", "--dsn", migrated_dsn]) == 1
    assert "not enrolled" in capsys.readouterr().err
    assert main(["fleet", "--state", "sleepy", "--dsn", migrated_dsn]) == 2
    assert main(["fleet", "--csv", "--dsn", migrated_dsn]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("gw-a,")
