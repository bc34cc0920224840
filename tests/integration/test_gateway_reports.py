"""What gateways report of themselves, in a real database: boots are dated, settings are ordered and reported on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.cli import main
from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.settings_desk import GatewayNotEnrolled, SettingsDesk
from ingest.store import gateway_reports
from ingest.store.database import Database
from ingest.store.gateway_reports import undated_counts
from metering.clock import ClockQuality, ClockState, ManualClock
from metering.envelope import Kind, chain_digest, from_ms
from metering.identity import GatewayId
from metering.order import open_order
from metering.report import Anchor, Outcome, SettingsReport, TimeSource
from metering.topics import config_topic
from provisioning.keys import FileSigner, write_signing_key
from provisioning.remote_settings import RemoteSettings, remote_settings
from provisioning.site import Span
from tests.doubles.chains import METERS, PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, PostgresHarness

GW = Gateway()
BOOT = bytes(range(16))
BOOTED = datetime(2026, 7, 1, 2, tzinfo=UTC)
UNKNOWN = ClockState(ClockQuality.UNKNOWN, None)
CENTRE = FileSigner.from_seed(bytes(32))


class Chain:
    """A gateway's chain that a test writes as it likes."""

    def __init__(self) -> None:
        self.seq = 0
        self.previous = bytes(32)

    def add(self, **changes: Any) -> Arrival:
        """Seal the next envelope."""
        self.seq += 1
        arrival = GW.sealed(replace(GW.envelope(self.seq, self.previous), boot=BOOT, **changes))
        self.previous = chain_digest(arrival.octets)
        return arrival

    def undated(self, since_boot_s: int, boot: bytes = BOOT) -> Arrival:
        """A sweep of a gateway that does not know the time."""
        plain = GW.envelope(self.seq + 1, self.previous)
        sealed_at = from_ms(1000 * since_boot_s)
        shift = plain.sealed_at - sealed_at
        readings = tuple(
            replace(one, started_at=one.started_at - shift, ended_at=one.ended_at - shift) for one in plain.readings
        )
        arrival = self.add(sealed_at=sealed_at, mark=None, clock=UNKNOWN, readings=readings)
        if boot != BOOT:
            raise AssertionError("one boot is enough for a chain")
        return arrival

    def report(self, *records: Anchor | SettingsReport) -> Arrival:
        """A report."""
        leaves = tuple(record.to_wire() for record in records)
        return self.add(kind=Kind.REPORT, records=leaves, readings=(), mark=None)


def anchor(error_ms: int = 100, off: timedelta = timedelta(0), boot: bytes = BOOT) -> Anchor:
    """At the 4,000th second of the boot."""
    return Anchor(boot, 4_000_000, BOOTED + timedelta(seconds=4000) + off, error_ms, TimeSource.HOST)


class Books:
    """An intake over a fresh database, and a look into its tables."""

    def __init__(self, database: Database) -> None:
        self.database = database
        harness = PostgresHarness(database)
        harness.enrol(GW)
        harness.wire({GW.id: METERS})
        self.harness = harness
        self.consumer = MemoryConsumer()
        self.clock = ManualClock(NOW)
        self.intake = Intake(
            consumer=self.consumer, store=harness.store, signer=CENTRE, clock=self.clock, profiles=PROFILES
        )

    def take(self, *arrivals: Arrival) -> None:
        """Take them in one group."""
        self.intake.take(arrivals)

    def readings(self) -> list[tuple[Any, ...]]:
        """Seq, meter, whether aligned, and the time of each reading."""
        with self.database.transaction() as connection:
            rows = connection.execute("SELECT seq, meter, aligned, due_at, read_at FROM readings ORDER BY seq, meter")
            return rows.fetchall()

    def waiting(self) -> dict[GatewayId, int]:
        """How many envelopes wait to be dated."""
        with self.database.transaction() as connection:
            return undated_counts(connection)


@pytest.fixture
def books(database: Database) -> Books:
    """Fresh books."""
    return Books(database)


def dated(rows: Sequence[tuple[Any, ...]], seq: int) -> list[datetime]:
    """When the readings of `seq` were read."""
    return [row[4] for row in rows if row[0] == seq]


def test_readings_without_a_time_wait_for_their_anchor(books: Books) -> None:
    chain = Chain()
    books.take(chain.undated(600), chain.undated(900))
    assert books.readings() == []
    assert books.waiting() == {GW.id: 2}
    assert books.harness.see().heads[GW.owner].contiguous_seq == 2
    assert books.harness.see().quarantine == []
    books.take(chain.report(anchor()))
    rows = books.readings()
    assert [row[0] for row in rows] == [1] * 3 + [2] * 3
    assert all(not aligned and due_at == read_at for _, _, aligned, due_at, read_at in rows)
    assert {at.replace(microsecond=0) for at in dated(rows, 1)} <= {
        BOOTED + timedelta(seconds=600 - back) for back in range(30)
    }
    assert books.waiting() == {}
    assert {day for _, day in books.harness.see().unsettled} == {BOOTED.date()}


def test_what_comes_after_its_anchor_is_dated_at_once(books: Books) -> None:
    chain = Chain()
    first, report, late = chain.undated(600), chain.report(anchor()), chain.undated(900)
    books.take(report)
    books.take(late)
    assert {row[0] for row in books.readings()} == {3}
    books.take(first)
    assert {row[0] for row in books.readings()} == {1, 3}


def test_all_in_one_group_is_the_same(books: Books) -> None:
    chain = Chain()
    books.take(chain.undated(600), chain.report(anchor()), chain.undated(4100))
    rows = books.readings()
    assert {row[0] for row in rows} == {1, 3}
    assert dated(rows, 3)[0] - dated(rows, 1)[0] == timedelta(seconds=3500)


def test_readings_are_dated_once(books: Books) -> None:
    chain = Chain()
    envelopes = [chain.undated(600), chain.report(anchor())]
    books.take(*envelopes)
    before = books.readings()
    books.take(*envelopes)
    books.take(chain.report(anchor(error_ms=1, off=timedelta(seconds=30))))
    assert books.readings() == before


def test_the_surest_anchor_that_is_here_dates(books: Books) -> None:
    chain = Chain()
    sweep = chain.undated(600)
    rough, sure = chain.report(anchor(5000, timedelta(seconds=3))), chain.report(anchor(10))
    books.take(rough, sure)
    books.take(sweep)
    assert dated(books.readings(), 1)[0] <= BOOTED + timedelta(seconds=600)


def test_an_anchor_of_another_boot_dates_nothing(books: Books) -> None:
    chain = Chain()
    books.take(chain.undated(600), chain.report(anchor(boot=bytes(16))))
    assert books.readings() == []
    assert books.waiting() == {GW.id: 1}


def test_what_was_dated_is_kept_as_it_was_signed(books: Books) -> None:
    chain = Chain()
    sweep = chain.undated(600)
    books.take(sweep, chain.report(anchor()))
    assert books.harness.see().octets[(GW.id, 1, 1)] == sweep.octets


def test_a_report_counts_as_no_reading(books: Books) -> None:
    chain = Chain()
    books.take(chain.add(), chain.report(anchor()))
    assert books.intake.counters.readings == 3
    assert books.intake.counters.accepted == 2


def test_a_report_that_nobody_can_read_holds_up_nothing(books: Books) -> None:
    chain = Chain()
    books.take(chain.add(kind=Kind.REPORT, records=(("anchor", 7),), readings=(), mark=None), chain.add())
    assert books.harness.see().heads[GW.owner].contiguous_seq == 2
    assert books.harness.see().quarantine == []


@pytest.mark.parametrize(("since_boot_ms", "instant_ms"), [(2**47, 0), (0, 2**47)])
def test_an_anchor_that_gives_no_possible_time_stops_nobody(books: Books, since_boot_ms: int, instant_ms: int) -> None:
    chain = Chain()
    late = chain.add(sealed_at=from_ms(2**47 if instant_ms else 600_000), mark=None, clock=UNKNOWN)
    books.take(late, chain.report(replace(anchor(), since_boot_ms=since_boot_ms, instant=from_ms(instant_ms))))
    assert books.readings() == []
    assert books.harness.see().heads[GW.owner].contiguous_seq == 2


def test_a_meter_is_not_dated_into_a_time_in_which_another_gateway_reads_it(books: Books) -> None:
    chain = Chain()
    until = Span(None, BOOTED + timedelta(seconds=700))
    books.harness.wire({GW.id: dict.fromkeys(METERS, until)})
    books.take(chain.undated(600), chain.undated(900), chain.report(anchor()))
    assert {row[0] for row in books.readings()} == {1}
    assert books.waiting() == {GW.id: 1}


def test_a_mark_of_a_clock_that_knew_no_time_dates_nothing(books: Books) -> None:
    chain = Chain()
    books.take(chain.add(sealed_at=from_ms(600_000), clock=UNKNOWN), chain.report(anchor()))
    assert [row[2] for row in books.readings()] == [False] * 3


def test_more_than_is_dated_at_once_is_dated_all_the_same(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_reports, "DATED_AT_ONCE", 2)
    chain = Chain()
    books.take(*(chain.undated(60 * minute) for minute in range(10, 15)), chain.report(anchor()))
    assert {row[0] for row in books.readings()} == {1, 2, 3, 4, 5}
    assert books.waiting() == {}


def test_a_report_of_very_many_records_costs_no_more_than_a_few(books: Books) -> None:
    chain = Chain()
    books.take(chain.report(*(replace(anchor(), since_boot_ms=at) for at in range(500))), chain.add())
    with books.database.transaction() as connection:
        row = connection.execute("SELECT count(*) FROM clock_anchors").fetchone()
    assert row == (gateway_reports.RECORDS_MAX,)
    assert books.harness.see().heads[GW.owner].contiguous_seq == 2


def test_a_reason_that_the_books_cannot_hold_as_it_is_holds_up_no_chain(books: Books) -> None:
    SettingsDesk(books.database, CENTRE, books.clock).order(GW.id, wanted(books), "operator")
    chain = Chain()
    books.take(chain.report(SettingsReport(1, Outcome.REFUSED, "a\0b")), chain.add())
    assert books.harness.see().heads[GW.owner].contiguous_seq == 2
    (kept,) = SettingsDesk(books.database, CENTRE, books.clock).orders(GW.id)
    assert kept.reason == "a\\0b"


def wanted(books: Books) -> RemoteSettings:
    """What follows from the site of the test."""
    desk = SettingsDesk(books.database, CENTRE, books.clock)
    return remote_settings(desk.site_of(GW.id), GW.id, every_s=900, group="billing", trial_s=600, places={})


def test_an_order_is_sent_until_its_gateway_has_reported(books: Books) -> None:
    desk = SettingsDesk(books.database, CENTRE, books.clock)
    order = desk.order(GW.id, wanted(books), "operator")
    assert (order.version, order.epoch) == (1, 1)
    for pause_s in (0, 120, 240, 480):
        books.clock.sleep(pause_s)
        assert books.intake.send_orders() == 1
        assert books.intake.send_orders() == 0
    topic, octets = books.consumer.published[-1]
    assert topic == config_topic(GW.id)
    assert open_order(octets, CENTRE.verifier()) == order
    chain = Chain()
    books.take(chain.report(SettingsReport(1, Outcome.APPLIED, "")))
    books.clock.sleep(86_400)
    assert books.intake.send_orders() == 0
    (kept,) = desk.orders(GW.id)
    assert (kept.outcome, kept.times, kept.ordered_by) == ("applied", 4, "operator")


def test_only_the_newest_order_is_sent(books: Books) -> None:
    desk = SettingsDesk(books.database, CENTRE, books.clock)
    for _ in range(3):
        desk.order(GW.id, wanted(books), "operator")
    assert books.intake.send_orders() == 1
    assert open_order(books.consumer.published[-1][1], CENTRE.verifier()).version == 3


def test_an_order_of_an_earlier_epoch_is_sent_no_more(books: Books) -> None:
    desk = SettingsDesk(books.database, CENTRE, books.clock)
    desk.order(GW.id, wanted(books), "operator")
    books.harness.enrol(replace(GW, epoch=2))
    assert books.intake.send_orders() == 0
    assert desk.order(GW.id, wanted(books), "operator").epoch == 2
    assert books.intake.send_orders() == 1


def test_a_gateway_that_is_not_enrolled_cannot_be_ordered_anything(books: Books) -> None:
    desk = SettingsDesk(books.database, CENTRE, books.clock)
    with pytest.raises(GatewayNotEnrolled):
        desk.order(GatewayId("gw-z"), wanted(books), "operator")
    with pytest.raises(GatewayNotEnrolled):
        desk.site_of(GatewayId("gw-z"))


def test_the_command_drafts_orders_and_shows(
    books: Books, database: Database, migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "centre.key"
    write_signing_key(key, bytes(32))
    settings = ["--dsn", migrated_dsn, "--centre-key", str(key)]

    def told(verb: str, *words: str) -> tuple[int, str]:
        code = main(["gateway-config", verb, GW.id, *words, *settings])
        return code, capsys.readouterr().out

    assert told("show")[1].startswith("nothing was ordered")
    code, text = told("draft", "--every-s", "300")
    assert code == 0
    assert RemoteSettings.from_text(text).every_s == 300
    (tmp_path / "wanted.toml").write_text(text)
    assert told("order", "--by", "operator", "--file", str(tmp_path / "wanted.toml"))[0] == 0
    assert told("order", "--by", "operator")[0] == 0
    code, text = told("show")
    assert code == 1
    assert text.count("no word from the gateway yet") == 2
    books.take(Chain().report(SettingsReport(2, Outcome.ROLLED_BACK, "no meter answered on any port")))
    assert "rolled-back (no meter answered on any port)" in told("show")[1]
    assert json.loads(told("show", "--json")[1])[0]["outcome"] == "rolled-back"
    (tmp_path / "wanted.toml").write_text(text)
    assert told("order", "--by", "operator", "--file", str(tmp_path / "wanted.toml"))[0] == 1
    del database
