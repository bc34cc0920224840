"""What a gateway says about itself: leaves of a signed envelope."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metering.clock import ClockQuality, ClockState
from metering.envelope import EnvelopeMalformed, Kind, SignatureInvalid, disclose, from_ms, open_sealed, seal
from metering.report import REASON_LENGTH_MAX, Anchor, Outcome, SettingsReport, TimeSource, read_records

BOOT = bytes(range(16))
ANCHOR = Anchor(BOOT, 4_000_000, datetime(2026, 7, 1, 8, tzinfo=UTC), 120, TimeSource.RECEIPT)
SETTINGS = SettingsReport(7, Outcome.ROLLED_BACK, "no meter answered on any port")


def report_of(make_envelope: Any, *records: Any) -> Any:
    """A report with these records."""
    leaves = tuple(record.to_wire() if hasattr(record, "to_wire") else record for record in records)
    return replace(make_envelope(), readings=(), kind=Kind.REPORT, records=leaves, mark=None)


def test_a_report_is_sealed_and_opened_like_any_envelope(make_envelope: Any, gateway_signer: Any) -> None:
    sealed = open_sealed(seal(report_of(make_envelope, ANCHOR, SETTINGS), gateway_signer), gateway_signer.verifier)
    assert sealed.head.kind is Kind.REPORT
    assert sealed.head.count == 2
    assert sealed.envelope.readings == ()
    assert read_records(sealed.envelope.records) == (ANCHOR, SETTINGS)


def test_every_flipped_bit_of_a_report_is_refused(make_envelope: Any, gateway_signer: Any) -> None:
    octets = seal(report_of(make_envelope, ANCHOR), gateway_signer)
    for place in range(len(octets)):
        changed = bytearray(octets)
        changed[place] ^= 1
        with pytest.raises((EnvelopeMalformed, SignatureInvalid)):
            open_sealed(bytes(changed), gateway_signer.verifier)


def test_a_report_has_no_readings_to_disclose(make_envelope: Any, gateway_signer: Any) -> None:
    with pytest.raises(EnvelopeMalformed):
        disclose(seal(report_of(make_envelope, SETTINGS), gateway_signer), {"m-lift"})  # type: ignore[arg-type]


def test_an_anchor_dates_what_was_counted_from_its_boot() -> None:
    counted = from_ms(4_000_000) - timedelta(hours=1)
    assert ANCHOR.dated(counted) == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert ANCHOR.dated(from_ms(4_000_001)) - ANCHOR.instant == timedelta(milliseconds=1)


def test_a_record_of_later_make_is_passed_over() -> None:
    assert read_records([["weather", 21], SETTINGS.to_wire()]) == (SETTINGS,)


@pytest.mark.parametrize(
    "leaf",
    [
        [],
        [7],
        ["anchor"],
        ["anchor", BOOT[:15], 1, 2, 3, "host"],
        ["anchor", BOOT, -1, 2, 3, "host"],
        ["anchor", BOOT, 1, 2, -3, "host"],
        ["anchor", BOOT, 1, 2, 3, "the stars"],
        ["anchor", BOOT, 1, 2, 3, "host", 4],
        ["settings", 0, "applied", ""],
        ["settings", 1, "eaten", ""],
        ["settings", 1, "applied", "x" * (REASON_LENGTH_MAX + 1)],
        ["serial", "M 1", "42", 0],
        ["serial", "m-1", "", 0],
        ["serial", "m-1", "4\n2", 0],
        ["serial", "m-1", "4" * 65, 0],
        ["serial", "m-1", 42, 0],
        ["serial", "m-1", "42"],
        "anchor",
    ],
)
def test_a_record_that_is_none_is_refused(leaf: Any) -> None:
    with pytest.raises(EnvelopeMalformed):
        assert read_records([leaf]) == "never"


def test_a_long_reason_is_cut() -> None:
    report = SettingsReport(1, Outcome.REFUSED, "x" * 2000)
    assert read_records([report.to_wire()]) == (SettingsReport(1, Outcome.REFUSED, "x" * REASON_LENGTH_MAX),)


def test_readings_sealed_with_an_unknown_clock_keep_their_times_from_the_boot(
    make_envelope: Any, gateway_signer: Any
) -> None:
    plain = make_envelope()
    shift = plain.sealed_at - from_ms(600_000)
    readings = tuple(
        replace(one, started_at=one.started_at - shift, ended_at=one.ended_at - shift) for one in plain.readings
    )
    undated = replace(
        plain,
        sealed_at=from_ms(600_000),
        mark=None,
        clock=ClockState(ClockQuality.UNKNOWN, None),
        readings=readings,
    )
    opened = open_sealed(seal(undated, gateway_signer), gateway_signer.verifier).envelope
    assert opened == undated
    assert ANCHOR.dated(opened.sealed_at) == ANCHOR.instant - timedelta(milliseconds=3_400_000)


@pytest.mark.parametrize("kind", [0, 3, -1, "1", None])
def test_a_kind_that_is_not_known_is_refused(make_envelope: Any, gateway_signer: Any, kind: Any) -> None:
    from metering.envelope import decode_canonical, encode, head_of, read_head

    payload = list(decode_canonical(head_of(seal(make_envelope(), gateway_signer)).payload))
    payload[1] = kind
    with pytest.raises(EnvelopeMalformed):
        read_head(encode(payload))
