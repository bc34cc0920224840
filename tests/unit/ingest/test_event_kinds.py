"""What kinds of event promise, and what is refused before anybody is told of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.event_kinds import KINDS, TEXT_MAX, Event, EventInvalid, EventKind
from metering.identity import SiteId

AT = datetime(2026, 8, 1, 9, tzinfo=UTC)
RUN = "ab" * 32
PARK = SiteId("park")
OF_RUN: dict[str, Any] = {"run": RUN, "site": "park", "period": "2026-07", "step": 2}


def event(**changed: Any) -> Event:
    return Event(EventKind.RUN_PUBLISHED, PARK, f"run/{RUN}", AT, {**OF_RUN, **changed})


def test_an_event_as_its_kind_says_is_taken() -> None:
    assert event().body == OF_RUN


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"party": "t-01"}, r"run.published has no field 'party': add it to KINDS"),
        ({"run": "ab"}, "'ab' is no run"),
        ({"step": "2"}, "'2' is no step"),
        ({"step": True}, "True is no step"),
        ({"period": "x" * (TEXT_MAX + 1)}, "is no period"),
        ({"site": 1}, "1 is no site"),
    ],
)
def test_a_body_unlike_its_schema_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(EventInvalid, match=told):
        event(**changed)


def test_a_missing_field_is_named() -> None:
    body = {name: given for name, given in OF_RUN.items() if name != "step"}
    with pytest.raises(EventInvalid, match=r"lacks step"):
        Event(EventKind.RUN_PUBLISHED, PARK, f"run/{RUN}", AT, body)


def test_an_optional_field_may_be_missing_and_choices_are_kept_to() -> None:
    body = {"statement": "park-2026-07-t-01-v1", "dispute": "d-1", "state": "upheld"}
    assert Event(EventKind.DISPUTE_ANSWERED, PARK, "dispute/d-1", AT, body).body == body
    with pytest.raises(EventInvalid, match="'lost' is no state"):
        Event(EventKind.DISPUTE_ANSWERED, PARK, "dispute/d-1", AT, {**body, "state": "lost"})


def test_an_event_without_subject_or_time_zone_is_refused() -> None:
    with pytest.raises(EventInvalid, match="give it a subject"):
        Event(EventKind.RUN_PUBLISHED, PARK, "", AT, OF_RUN)
    with pytest.raises(EventInvalid, match="no time zone"):
        Event(EventKind.RUN_PUBLISHED, PARK, "run/x", AT.replace(tzinfo=None), OF_RUN)


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_has_a_schema_in_both_languages_and_a_name_programs_can_go_by(kind: EventKind) -> None:
    """Names as the Standard Webhooks specification recommends them: words with full stops between."""
    assert re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", kind)
    one = KINDS[kind]
    assert one.en
    assert re.search(r"[\u4e00-\u9fff]", one.zh)
    schema = one.schema(kind)
    assert schema["additionalProperties"] is False
    assert schema["required"]
    for name, field in one.fields.items():
        assert field.en, name
        assert re.search(r"[\u4e00-\u9fff]", field.zh), name


def test_no_body_has_room_for_names_or_money() -> None:
    """Who is told of an event reads those under his own permissions."""
    forbidden = re.compile("amount|minor|name|party|actor|_by$|reason|phone|price|cost|energy")
    assert [name for one in KINDS.values() for name in one.fields if forbidden.search(name)] == []
