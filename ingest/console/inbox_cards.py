"""What the page of one entry of the inbox shows: facts, differences, photos, and the steps that mend it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from ingest.alert_rules import Alert
from ingest.alert_words import alert_mend, alert_text, kind_word
from ingest.binding_review import Review
from ingest.console.tables import Cell, Table, table, words_cell
from ingest.console.words import Language
from ingest.inbox_words import inbox_word
from ingest.provisional_words import provisional_word
from ingest.reading_words import doubt_word
from ingest.store.bindings import BindingState, StoredBinding
from ingest.store.hand_readings import HandReading, HandState
from ingest.store.quarantine import Kept
from provisioning.finding_words import verdict_words
from provisioning.installation import Severity

_TONES = {Severity.WRONG: "bad", Severity.DOUBTFUL: "warn", Severity.NOTE: "info"}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a button, and whether it asks for words. asks: the key of the question; empty: none."""

    label: str
    action: str
    tone: str
    icon: str
    asks: str = ""
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """One entry with all that decides about it. notes: tone, text and mend."""

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str, str], ...]
    tables: tuple[Table, ...]
    photos: tuple[str, ...]
    steps: tuple[Step, ...]


Told = Callable[[datetime], str]


def binding_card(stored: StoredBinding, shown: Review, language: Language, told: Told) -> Card:
    """Show what was bound beside what was planned."""
    act, event = stored.act, stored.event

    def word(key: str) -> str:
        return inbox_word(key, language)

    notes = [("bad", stored.held_because, word("not-done"))] if stored.held_because else []
    for one in shown.differences:
        notes.append((_TONES[one.severity], one.told.of(language), ""))
    for finding in shown.findings:
        accepted = f"{provisional_word('accepted', language)}: {finding.accepted}" if finding.accepted else ""
        notes.append((_TONES[finding.severity], finding.told.of(language), accepted))
    what = provisional_word(str(act.kind), language)
    photos = () if event.binding is None else tuple(one.sha256.hex() for one in event.binding.photos)
    return Card(
        title=inbox_word(
            "binding", language, what=what, meter=act.serial or act.meter or act.node, node=act.node
        ),
        lead=word(f"binding-{stored.state}") if stored.state in _WAITING else "",
        facts=(
            (word("site"), act.site),
            (word("gateway"), stored.gateway),
            (word("begins-at"), told(act.begins_at)),
            (word("done-by"), act.done_by),
            (word("done-at"), told(event.at)),
            *(() if stored.decided_by is None else ((word("reason"), f"{stored.decided_by}: {stored.decision}"),)),
        ),
        notes=tuple(notes),
        tables=tuple(_binding_tables(stored, shown, language)),
        photos=tuple(f"/v1/photos/{one}" for one in photos),
        steps=tuple(_binding_steps(stored, shown, language)),
    )  # fmt: skip


_WAITING = (BindingState.PENDING, BindingState.HELD, BindingState.REFUSED)


def _binding_tables(stored: StoredBinding, shown: Review, language: Language) -> Iterator[Table]:
    made, plan = stored.event.binding, shown.expected

    def word(key: str) -> str:
        return inbox_word(key, language)

    if made is not None:
        planned = ("", "", "", "", "")
        if plan is not None:
            ratio = "" if plan.ct is None else f"{plan.ct} × {plan.pt or 1}"
            planned = (plan.node, plan.unit or "", plan.serial or "", plan.profile or "", ratio)
        meter = made.meter
        found = (meter.node, made.unit or "", meter.serial, meter.profile, f"{meter.ct} × {meter.pt}")
        names = ("row-node", "row-unit", "row-serial", "row-profile", "row-ratio")
        rows = [
            [words_cell(word(name)), *(words_cell(one or "–", one) for one in pair), _verdict(pair, word)]
            for name, pair in zip(names, zip(planned, found, strict=True), strict=True)
        ]
        yield table(
            "compared", word("differences"), (word(one) for one in ("what", "planned", "found", "verdict")), rows
        )
        if made.comparisons:
            told = (
                [words_cell(str(one.obis)), words_cell(one.typed), words_cell(verdict_words(one.verdict).of(language))]
                for one in made.comparisons
            )
            columns = (word(one) for one in ("register", "typed", "verdict"))
            yield table("comparisons", word("comparisons"), columns, told)


def _verdict(pair: tuple[str, str], word: Callable[[str], str]) -> Cell:
    planned, found = pair
    if not planned:
        return words_cell("–", "")
    is_same = planned == found
    return words_cell(word("same" if is_same else "differs"), tone="good" if is_same else "bad")


def _binding_steps(stored: StoredBinding, shown: Review, language: Language) -> Iterator[Step]:
    path = f"/inbox/bindings/{quote(stored.act.binding)}"
    if stored.state in (BindingState.PENDING, BindingState.REFUSED):
        asks = "reason-needed" if shown.needs_reason else "note"
        label = inbox_word("approve", language)
        yield Step(label, f"{path}/approve", "primary", "check", asks, shown.needs_reason)
    if stored.state in (BindingState.PENDING, BindingState.HELD):
        yield Step(inbox_word("refuse", language), f"{path}/refuse", "danger", "bad", "reason", True)


def reading_card(one: HandReading, language: Language, told: Told) -> Card:
    """Show what somebody read off a display, and why it waits."""
    path = f"/inbox/readings/{one.number}"

    def word(key: str) -> str:
        return inbox_word(key, language)

    seen = () if one.seen is None else ((word("seen"), f"{one.seen} ({(one.confidence_pm or 0) // 10} %)"),)
    is_open = one.state is HandState.WAITING
    return Card(
        title=inbox_word("reading-title", language, number=one.number),
        lead="",
        facts=(
            (word("meter"), one.meter),
            (word("register"), str(one.obis)),
            (word("shown"), one.shown),
            *seen,
            (word("read-at"), told(one.read_at)),
            (word("reader"), one.reader),
            (word("entered-by"), one.entered_by),
        ),
        notes=tuple(("warn", doubt_word(doubt, language), "") for doubt in one.doubts),
        tables=(),
        photos=() if one.photo is None else (f"/v1/photos/{one.photo.hex()}",),
        steps=(
            Step(word("accept"), f"{path}/accept", "primary", "check", "reason", True),
            Step(word("refuse"), f"{path}/refuse", "danger", "bad", "reason", True),
        )
        if is_open
        else (),
    )


def alert_card(one: Alert, language: Language, told: Told) -> Card:
    """Show one alert with what to do about it."""

    def word(key: str) -> str:
        return inbox_word(key, language)

    by = () if one.acknowledged_by is None else ((word("acknowledge"), f"{one.acknowledged_by}: {one.note}"),)
    step = Step(word("acknowledge"), f"/inbox/alerts/{one.alert}/acknowledge", "primary", "check", "note", False)
    return Card(
        title=kind_word(one.cause.kind, language),
        lead=alert_text(one, language),
        facts=((word("since"), told(one.opened_at)), (word("times"), str(one.times)), *by),
        notes=(("info", alert_mend(one, language), ""),),
        tables=(),
        photos=(),
        steps=() if by or not one.is_open else (step,),
    )


def quarantine_card(one: Kept, language: Language, told: Told) -> Card:
    """Show a message that could not be accepted."""

    def word(key: str) -> str:
        return inbox_word(key, language)

    place = f"{one.gateway or '?'}  {'' if one.epoch is None else f'{one.epoch} / {one.seq}'}"
    return Card(
        title=inbox_word("quarantine-title", language, number=one.number),
        lead=one.detail,
        facts=(
            (word("why"), one.reason),
            (word("gateway"), place.strip()),
            (word("proven"), word("is-proven" if one.proven else "is-not-proven")),
            (word("first-came"), told(one.first_received_at)),
            (word("last-came"), told(one.last_received_at)),
            (word("times"), str(one.times)),
            (word("octets"), str(len(one.octets))),
        ),
        notes=(("info", word("replay-note"), ""),),
        tables=(),
        photos=(),
        steps=(Step(word("replay"), f"/inbox/quarantine/{one.number}/replay", "primary", "check"),),
    )
