"""What is told outside: each kind of event, the fields of its body, and its JSON schema. Pure.

A new kind is a line in `EventKind` and one in `KINDS`; a new field is one in the kind's fields. A body holds ids,
states, counts and instants. No name, no amount of money and nothing of a tenant's trade stands in it: who is told of an
event reads those under his own permissions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from metering.errors import BooksError
from metering.identity import SiteId

TEXT_MAX = 200
"""Longest text of a body: ids are far shorter, and what people write does not belong there."""


class EventInvalid(BooksError):
    """An event is not what its kind promises to those who are told of it."""


class EventKind(StrEnum):
    """What happened. Names are kept for good: programs of others go by them."""

    RUN_COMPUTED = "run.computed"
    RUN_CHECKED = "run.checked"
    RUN_APPROVED = "run.approved"
    RUN_PUBLISHED = "run.published"
    RUN_SUPERSEDED = "run.superseded"
    CORRECTION_PUBLISHED = "correction.published"
    STATEMENT_ISSUED = "statement.issued"
    STATEMENT_SEEN = "statement.seen"
    STATEMENT_CONFIRMED = "statement.confirmed"
    STATEMENT_DISPUTED = "statement.disputed"
    STATEMENT_SUPERSEDED = "statement.superseded"
    DISPUTE_ANSWERED = "dispute.answered"
    CHARGE_CREATED = "charge.created"
    CHARGE_ACKNOWLEDGED = "charge.acknowledged"
    BINDING_APPROVED = "binding.approved"
    BINDING_REFUSED = "binding.refused"
    ALERT_OPENED = "alert.opened"
    ALERT_CLOSED = "alert.closed"
    WEBHOOK_TEST = "webhook.test"


class Resource(StrEnum):
    """What an event is about: whoever may not read that is not told of it."""

    RUN = "run"
    STATEMENT = "statement"
    CHARGE = "charge"
    BINDING = "binding"
    ALERT = "alert"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class BodyField:
    """One field of a body: what it is in JSON, what it means, and whether it may be missing.

    choices   the only texts there are; empty: any
    """

    type: str
    zh: str
    en: str
    optional: bool = False
    choices: tuple[str, ...] = ()
    pattern: str = ""

    def schema(self) -> dict[str, Any]:
        """Give the JSON schema of the field."""
        found: dict[str, Any] = {"type": self.type, "description": self.en}
        if self.type == "string":
            found |= {"maxLength": TEXT_MAX}
        if self.choices:
            found |= {"enum": list(self.choices)}
        if self.pattern:
            found |= {"pattern": self.pattern}
        return found

    def holds(self, given: Any) -> bool:
        """Say whether `given` may stand in this field."""
        if self.type == "integer":
            return isinstance(given, int) and not isinstance(given, bool)
        if not isinstance(given, str) or len(given) > TEXT_MAX:
            return False
        return (not self.choices or given in self.choices) and re.search(self.pattern, given) is not None


@dataclass(frozen=True, slots=True)
class KindOfEvent:
    """What a kind promises: what happened, in both languages, what it is about, and the fields of its body."""

    resource: Resource
    zh: str
    en: str
    fields: Mapping[str, BodyField]

    def schema(self, kind: EventKind) -> dict[str, Any]:
        """Give the JSON schema (2020-12) of the body."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": str(kind),
            "description": self.en,
            "type": "object",
            "properties": {name: one.schema() for name, one in self.fields.items()},
            "required": [name for name, one in self.fields.items() if not one.optional],
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    site      where; None: it is about the whole centre
    subject   what it happened to, as the audit log names it: `run/<id>`, `statement/<number>`
    at        when, by whoever did it; with a time zone
    body      ids, states and counts, as the kind's schema says
    Raises EventInvalid.
    """

    kind: EventKind
    site: SiteId | None
    subject: str
    at: datetime
    body: Mapping[str, Any]

    def __post_init__(self) -> None:
        fields = KINDS[self.kind].fields
        if not self.subject:
            raise EventInvalid(f"an event {self.kind} says of nothing that it happened to it: give it a subject")
        if self.at.tzinfo is None:
            raise EventInvalid(f"the time of an event {self.kind} carries no time zone")
        for name, given in self.body.items():
            if name not in fields:
                raise EventInvalid(f"{self.kind} has no field {name!r}: add it to KINDS in ingest/event_kinds.py")
            if not fields[name].holds(given):
                raise EventInvalid(f"{self.kind}: {given!r} is no {name}; its schema: {fields[name].schema()}")
        missing = [name for name, one in fields.items() if name not in self.body and not one.optional]
        if missing:
            raise EventInvalid(f"an event {self.kind} lacks {', '.join(missing)}")


_RUN = BodyField("string", "核算批次", "id of the allocation run", pattern=r"^[0-9a-f]{64}$")
_SITE = BodyField("string", "园区", "id of the site")
_PERIOD = BodyField("string", "账期", "label of the period, as 2026-07")
_STEP = BodyField("integer", "第几步", "which step of the run this is, from 1")
_STATEMENT = BodyField("string", "确认单编号", "number of the statement")
_DISPUTE = BodyField("string", "异议", "id of the dispute")
_CHARGE = BodyField("string", "应收费用", "id of the charge")
_OF_RUN = {"run": _RUN, "site": _SITE, "period": _PERIOD, "step": _STEP}
_OF_STATEMENT = {
    "statement": _STATEMENT,
    "run": BodyField("string", "核算批次", _RUN.en, optional=True, pattern=_RUN.pattern),
    "period": BodyField("string", "账期", _PERIOD.en, optional=True),
}
_OF_BINDING = {
    "binding": BodyField("string", "绑定", "id of the binding"),
    "gateway": BodyField("string", "网关", "id of the gateway"),
    "node": BodyField("string", "计量点", "id of the metering point"),
    "meter": BodyField("string", "表计", "id of the meter; missing where a node without one changed", optional=True),
}
_OF_ALERT = {
    "alert": BodyField("integer", "告警", "number of the alert"),
    "kind": BodyField("string", "告警种类", "kind of the alert, as gateway-silent"),
    "scope": BodyField("string", "范围", "what it is about: gateway, site, fleet, service, node"),
    "of": BodyField("string", "对象", "id of that"),
    "severity": BodyField("string", "级别", "how soon somebody should look", choices=("warning", "critical")),
}
_ENDS = ("upheld", "recomputed")

KINDS: Mapping[EventKind, KindOfEvent] = {
    EventKind.RUN_COMPUTED: KindOfEvent(Resource.RUN, "批次已核算", "a run was computed", _OF_RUN),
    EventKind.RUN_CHECKED: KindOfEvent(Resource.RUN, "批次已复核", "a run was checked", _OF_RUN),
    EventKind.RUN_APPROVED: KindOfEvent(Resource.RUN, "批次已批准", "a run was approved", _OF_RUN),
    EventKind.RUN_PUBLISHED: KindOfEvent(Resource.RUN, "批次已发布", "a run was published and is final", _OF_RUN),
    EventKind.RUN_SUPERSEDED: KindOfEvent(Resource.RUN, "批次已被取代", "another run took a run's place", _OF_RUN),
    EventKind.CORRECTION_PUBLISHED: KindOfEvent(
        Resource.RUN,
        "更正已发布",
        "delta lines were booked on a published period",
        {
            "run": _RUN,
            "corrects": BodyField(
                "string", "被更正的批次", "id of the run that was published before", pattern=_RUN.pattern
            ),
            "site": _SITE,
            "period": _PERIOD,
            "lines": BodyField("integer", "差额行数", "how many delta lines"),
        },
    ),
    EventKind.STATEMENT_ISSUED: KindOfEvent(
        Resource.STATEMENT, "确认单已出具", "a statement became final", _OF_STATEMENT
    ),
    EventKind.STATEMENT_SEEN: KindOfEvent(
        Resource.STATEMENT, "确认单已查看", "a statement's page was opened for the first time", _OF_STATEMENT
    ),
    EventKind.STATEMENT_CONFIRMED: KindOfEvent(
        Resource.STATEMENT, "确认单已确认", "the payer confirmed a statement", _OF_STATEMENT
    ),
    EventKind.STATEMENT_DISPUTED: KindOfEvent(
        Resource.STATEMENT,
        "确认单有异议",
        "the payer disputes a statement, or one line of it",
        {
            **_OF_STATEMENT,
            "dispute": _DISPUTE,
            "line": BodyField("string", "明细行", "id of the line; missing: all of it", optional=True),
        },
    ),
    EventKind.STATEMENT_SUPERSEDED: KindOfEvent(
        Resource.STATEMENT,
        "确认单已被取代",
        "a newer statement took a statement's place",
        {**_OF_STATEMENT, "by": BodyField("string", "新确认单编号", "number of the newer one", optional=True)},
    ),
    EventKind.DISPUTE_ANSWERED: KindOfEvent(
        Resource.STATEMENT,
        "异议已答复",
        "a dispute was answered",
        {
            **_OF_STATEMENT,
            "dispute": _DISPUTE,
            "state": BodyField("string", "结果", "how it ended", choices=_ENDS),
        },
    ),
    EventKind.CHARGE_CREATED: KindOfEvent(
        Resource.CHARGE, "应收费用已生成", "a confirmed statement became billable", {**_OF_STATEMENT, "charge": _CHARGE}
    ),
    EventKind.CHARGE_ACKNOWLEDGED: KindOfEvent(
        Resource.CHARGE, "应收费用已有回执", "billing gave a charge its invoice", {**_OF_STATEMENT, "charge": _CHARGE}
    ),
    EventKind.BINDING_APPROVED: KindOfEvent(
        Resource.BINDING, "绑定已批准", "a meter's binding was approved and counts", _OF_BINDING
    ),
    EventKind.BINDING_REFUSED: KindOfEvent(
        Resource.BINDING, "绑定已拒绝", "a meter's binding was refused", _OF_BINDING
    ),
    EventKind.ALERT_OPENED: KindOfEvent(
        Resource.ALERT, "告警已发生", "an alert was opened, or opened again", _OF_ALERT
    ),
    EventKind.ALERT_CLOSED: KindOfEvent(Resource.ALERT, "告警已消除", "an alert was closed", _OF_ALERT),
    EventKind.WEBHOOK_TEST: KindOfEvent(
        Resource.WEBHOOK,
        "测试投递",
        "somebody asked for a test of an endpoint",
        {"endpoint": BodyField("string", "订阅地址", "id of the endpoint")},
    ),
}
