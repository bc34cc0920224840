"""The tables about gateways and alerts: for pages, spreadsheets and terminals alike. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from ingest.alert_rules import Alert, Scope, Severity
from ingest.alert_words import (
    UTC_CALENDAR,
    alert_mend,
    alert_text,
    condition_word,
    instant_words,
    kind_word,
    severity_word,
    span_words,
)
from ingest.console.tables import Cell, Table, number_cell, table, words_cell
from ingest.console.words import Language
from ingest.fleet import Condition, GatewayStanding
from ingest.fleet_desk import Event, Fleet, GatewayFile
from ingest.fleet_words import fleet_words
from metering.identity import SiteId
from metering.interval import SiteCalendar
from provisioning.site import Names

BAD = frozenset({Condition.CLONED, Condition.SILENT})
MINUTE_MS = 60_000
WIDE = frozenset({1, 4, 5, 6, 7, 9, 10})


def calendar_of(fleet: Fleet, site: SiteId) -> SiteCalendar:
    """Give the calendar of a site; UTC where it is not imported."""
    face = fleet.sites.get(site)
    return UTC_CALENDAR if face is None else face.calendar


def site_name(fleet: Fleet, site: SiteId, language: Language) -> str:
    """Give the name of a site; its id where it is not imported."""
    face = fleet.sites.get(site)
    return str(site) if face is None else _named(face.names, language)


def fleet_table(found: Iterable[GatewayStanding], fleet: Fleet, language: Language) -> Table:
    """Give one row for each gateway. A spreadsheet gets instants in UTC and spans in seconds."""
    word = fleet_words(language)
    names = ("gateway", "site", "state", "seen", "lag", "missing", "waiting", "clock", "quarantine", "epoch")
    columns = [*(word[one] for one in names), word["certificate-days"]]
    return table("fleet", word["fleet"], columns, (_fleet_row(one, fleet, language) for one in found), wide=WIDE)


def condition_tone(condition: str) -> str:
    """Say how a condition is coloured."""
    return "bad" if condition in BAD else "warn" if condition != "well" else "good"


def seen_words(one: GatewayStanding, language: Language) -> str:
    """Say how long ago anything came."""
    word = fleet_words(language)
    if one.received_at is None:
        return word["never"]
    return word["ago"].format(span=span_words(one.silent_for, language))


def clock_words(one: GatewayStanding, language: Language) -> str:
    """Say how far the gateway's clock can be trusted."""
    word, clock = fleet_words(language), one.newest.clock
    if clock is None:
        return "–"
    told = word[f"clock-{clock.quality.name.lower()}"]
    if clock.error_ms is not None:
        told += f" ±{clock.error_ms} ms"
    ahead_ms = one.clock_ahead // timedelta(milliseconds=1)
    if not ahead_ms:
        return told
    ahead = f"{ahead_ms} ms" if ahead_ms < MINUTE_MS else span_words(one.clock_ahead, language)
    return f"{told}, {word['clock-ahead'].format(ahead=ahead)}"


def gateway_tables(file: GatewayFile, fleet: Fleet, language: Language) -> tuple[Table, ...]:
    """Give what is known of one gateway: epochs, gaps, events, quarantine."""
    word, calendar = fleet_words(language), calendar_of(fleet, file.standing.site)
    epochs = ("epoch", "key", "enrolled-at", "contiguous", "highest", "missing", "waiting", "envelopes", "repeats")
    return (
        table(
            "epochs",
            word["epochs"],
            (word[one] for one in epochs),
            _epoch_rows(file, calendar),
            wide=frozenset({1, 2, 7, 8}),
        ),
        table(
            "gaps",
            word["gaps"],
            (word[one] for one in ("epoch", "first", "last", "how-many", "since")),
            _gap_rows(file, calendar),
        ),
        table(
            "events",
            word["events"],
            (word[one] for one in ("when", "what", "detail")),
            _event_rows(file, calendar, language),
        ),
        table(
            "quarantine",
            word["quarantine"],
            (word[one] for one in ("number", "reason", "epoch", "seq", "times", "when", "detail")),
            _quarantine_rows(file, calendar),
            wide=frozenset({2, 4, 6}),
        ),
    )


def alerts_table(found: Sequence[Alert], calendars: Mapping[str, SiteCalendar], language: Language) -> Table:
    """Give one row for each alert; `calendars`: of sites, by id."""
    word = fleet_words(language)
    names = ("number", "severity", "kind", "subject", "text", "opened", "closed", "acknowledged-by", "note")
    rows = (_alert_row(one, calendar_for(one, calendars), language) for one in found)
    return table("alerts", word["alerts"], (word[one] for one in names), rows, wide=frozenset({2, 3, 5, 7, 8}))


def calendar_for(alert: Alert, calendars: Mapping[str, SiteCalendar]) -> SiteCalendar:
    """Give the calendar in whose zone an alert is told: its site's, or that which all sites share, else UTC."""
    site = alert.cause.subject if alert.cause.scope is Scope.SITE else alert.detail.get("site", "")
    shared = set(calendars.values())
    return calendars.get(site, shared.pop() if len(shared) == 1 else UTC_CALENDAR)


def alert_tone(alert: Alert) -> str:
    """Say how an alert is coloured."""
    return "plain" if not alert.is_open else "bad" if alert.severity is Severity.CRITICAL else "warn"


def alert_parts(alert: Alert, calendar: SiteCalendar, language: Language) -> dict[str, str]:
    """Give the words of an alert for a page."""
    return {
        "severity": severity_word(alert.severity, language),
        "kind": kind_word(alert.cause.kind, language),
        "text": alert_text(alert, language, calendar),
        "mend": alert_mend(alert, language),
        "opened": instant_words(alert.opened_at, calendar),
        "closed": instant_words(alert.closed_at, calendar),
        "acknowledged": instant_words(alert.acknowledged_at, calendar),
    }


def lines_of(found: Table) -> Iterator[str]:
    """Write a table for a terminal, in columns; Chinese signs are two wide."""
    rows = [found.columns, *([cell.text for cell in row] for row in found.rows)]
    widths = [max(_width(row[place]) for row in rows) for place in range(len(found.columns))]
    for row in rows:
        cells = (text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _fleet_row(one: GatewayStanding, fleet: Fleet, language: Language) -> Iterator[Cell]:
    chain, days = one.newest, fleet.certificate_days(one.gateway)
    received, lag = one.received_at, one.lag
    states = [str(each) for each in one.conditions] or ["well"]
    yield words_cell(one.gateway)
    yield words_cell(site_name(fleet, one.site, language), one.site)
    yield words_cell(", ".join(condition_word(each, language) for each in states), " ".join(states))
    yield words_cell(seen_words(one, language), "" if received is None else received.isoformat())
    yield Cell(span_words(lag, language), "" if lag is None else str(int(lag.total_seconds())), is_number=True)
    yield _bounded(one.missing, "≤", exact=one.counts_end)
    yield _bounded(one.waiting, "≥", exact=one.counts_end)
    yield words_cell(clock_words(one, language))
    yield number_cell(one.refused, 0)
    yield number_cell(chain.epoch, 0)
    yield number_cell(days, 0)


def _bounded(count: int, sign: str, *, exact: bool) -> Cell:
    cell = number_cell(count, 0)
    return cell if exact else Cell(f"{sign} {cell.text}", cell.plain, is_number=True)


def _epoch_rows(file: GatewayFile, calendar: SiteCalendar) -> Iterator[list[Cell]]:
    for one in file.standing.chains:
        counts = (one.contiguous_seq, one.highest_seq, one.missing, one.waiting, one.envelopes, one.repeats)
        enrolled = words_cell(instant_words(one.enrolled_at, calendar), one.enrolled_at.isoformat())
        yield [number_cell(one.epoch, 0), words_cell(one.key_id.hex()), enrolled, *(number_cell(n, 0) for n in counts)]


def _gap_rows(file: GatewayFile, calendar: SiteCalendar) -> Iterator[list[Cell]]:
    for one in file.gaps:
        counts = (one.epoch, one.first_seq, one.last_seq, one.last_seq - one.first_seq + 1)
        since = words_cell(instant_words(one.since, calendar), one.since.isoformat())
        yield [*(number_cell(count, 0) for count in counts), since]


def _event_rows(file: GatewayFile, calendar: SiteCalendar, language: Language) -> Iterator[list[Cell]]:
    word = fleet_words(language)
    for one in file.events:
        at = words_cell(instant_words(one.at, calendar), one.at.isoformat())
        tone = "bad" if one.what == "equivocation" else "warn" if one.what == "opened" else "plain"
        detail = _event_detail(one, calendar, language)
        yield [at, words_cell(word[f"event-{one.what}"], one.what, tone), words_cell(detail)]


def _event_detail(one: Event, calendar: SiteCalendar, language: Language) -> str:
    word = fleet_words(language)
    if one.what == "enrolled":
        return word["epoch-n"].format(epoch=one.detail)
    if one.what == "equivocation":
        return word["epoch-seq"].format(place=one.detail)
    assert one.alert is not None, "every other event is one of an alert"
    told = alert_text(one.alert, language, calendar)
    return f"{told} ({one.detail.removesuffix(': ')})" if one.detail else told


def _quarantine_rows(file: GatewayFile, calendar: SiteCalendar) -> Iterator[list[Cell]]:
    for one in file.quarantine:
        yield [
            number_cell(one.number, 0),
            words_cell(one.reason),
            number_cell(one.epoch, 0),
            number_cell(one.seq, 0),
            number_cell(one.times, 0),
            words_cell(instant_words(one.last_received_at, calendar), one.last_received_at.isoformat()),
            words_cell(one.detail),
        ]


def _alert_row(one: Alert, calendar: SiteCalendar, language: Language) -> Iterator[Cell]:
    parts = alert_parts(one, calendar, language)
    yield number_cell(one.alert, 0)
    yield words_cell(parts["severity"], one.severity, alert_tone(one))
    yield words_cell(parts["kind"], one.cause.kind)
    yield words_cell(one.cause.subject)
    yield words_cell(parts["text"])
    yield words_cell(parts["opened"], one.opened_at.isoformat())
    yield words_cell(parts["closed"], "" if one.closed_at is None else one.closed_at.isoformat())
    yield words_cell(one.acknowledged_by or "–", one.acknowledged_by or "")
    yield words_cell(one.note)


def _named(names: Names, language: Language) -> str:
    return names.of(language)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)
