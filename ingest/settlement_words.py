"""Texts about settlement in both languages: what waits, what changed since a run was computed, how a day came about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from allocation_engine.intervals import SlotQuality
from ingest.console.tables import Table, number_cell, table, words_cell
from ingest.console.words import Language
from ingest.run_words import state_word
from ingest.settlement_desk import DayStory, Waiting
from ingest.store.run_changes import ChangedRun, DayChange, RunChanges

_WORDS: dict[str, tuple[str, str]] = {
    "nothing-waits": ("没有待结算的日期。", "Nothing waits to be settled."),
    "waits": (
        "{site}：{meters} 只电表共 {days} 天待结算（UTC {first} 至 {last}）",
        "{site}: {days} days of {meters} meters wait to be settled (UTC, {first} to {last})",
    ),
    "no-site": ("不属于任何园区的电表", "meters of no site"),
    "no-run-changed": ("没有核算因后到的读数而失效。", "No run is touched by what came after it."),
    "run-changed": (
        "核算 {run}（{site} {period}，{state}）：自核算以来 {days} 天、{nodes} 个计量点的数据已变，最近 {last}",
        "run {run} ({site} {period}, {state}): {days} days of {nodes} nodes have changed since it was computed, "
        "last at {last}",
    ),
    "mend": (
        "重新核算该账期即可得到更正：metertree close --site {site} --period {period}",
        "Closing the period again gives the correction: metertree close --site {site} --period {period}",
    ),
    "changed": ("核算之后变化的日期", "Days changed since this run was computed"),
    "changed-note": (
        "{days} 天、{nodes} 个计量点的读数在核算之后到达或更正，最近一次 {last}。差为 0 表示同样的电量落在别的时段。"
        "重新核算该账期即可得到更正行。",
        "Days: {days}, nodes: {nodes}, the last change at {last}. Readings came, or were corrected, after this run was "
        "computed; a difference of 0 is the same energy in other slots. Closing the period again gives the correction.",
    ),
    "more": ("前 {shown} 行；CSV 与接口有全部 {entries} 行。", "The first {shown} of {entries} rows; the API has all."),
    "node": ("计量点", "Node"),
    "quantity": ("量", "Quantity"),
    "day": ("日期", "Day"),
    "was": ("核算时 Wh", "Then Wh"),
    "now": ("现在 Wh", "Now Wh"),
    "difference": ("差 Wh", "Difference Wh"),
    "times": ("结算次数", "Settled again"),
    "last": ("最近", "Last"),
    "unsettled": ("未结算", "not settled"),
    "day-story": ("{site} {node} {day} {obis}", "{site} {node} {day} {obis}"),
    "day-energy": ("  电量 {energy} Wh，{slots} 个时段：{qualities}", "  {energy} Wh in {slots} slots: {qualities}"),
    "day-readings": (
        "  依据 {count} 个读数，{first} 至 {last}，电表 {meters}",
        "  rests on {count} readings from {first} to {last} of {meters}",
    ),
    "day-no-readings": ("  没有任何读数", "  rests on no reading at all"),
    "day-current": ("  与现有读数一致", "  agrees with what is stored now"),
    "day-waits": (
        "  读数已变，等待结算",
        "  readings have changed since: it will be settled again",
    ),
    "day-unsettled": ("  尚未结算", "  is not settled"),
    "day-runs": ("  由其核算、现已变化：{runs}", "  changed since these runs were computed from it: {runs}"),
    "quality-measured": ("实测", "measured"),
    "quality-rollover": ("过零", "rolled over"),
    "quality-exchange": ("换表", "exchange"),
    "quality-estimated": ("估算", "estimated"),
    "quality-missing": ("缺失", "missing"),
    "quality-held": ("待查", "held"),
}


def settlement_word(key: str, language: Language, **parts: object) -> str:
    """Give a text about settlement."""
    return _WORDS[key][0 if language is Language.ZH else 1].format(**parts)


def waiting_lines(waiting: Sequence[Waiting], language: Language) -> Iterator[str]:
    """Tell what waits, site by site."""
    if not waiting:
        yield settlement_word("nothing-waits", language)
    for one in waiting:
        site = one.site or settlement_word("no-site", language)
        spans = {"days": one.days, "first": one.first, "last": one.last}
        yield settlement_word("waits", language, site=site, meters=one.meters, **spans)


def changed_run_lines(runs: Sequence[ChangedRun], language: Language) -> Iterator[str]:
    """Tell which runs have days that changed, and what mends it."""
    if not runs:
        yield settlement_word("no-run-changed", language)
    for one in runs:
        counted = {"days": one.days, "nodes": one.nodes, "last": one.last_at.isoformat(timespec="minutes")}
        state = state_word(one.state, language)
        yield settlement_word(
            "run-changed", language, run=one.run[:16], site=one.site, period=one.period, state=state, **counted
        )
        yield "  " + settlement_word("mend", language, site=one.site, period=one.period)


def changes_table(
    changes: Sequence[DayChange],
    summary: RunChanges,
    language: Language,
    shown: Callable[[datetime], str] | None = None,
) -> Table:
    """Give the changed days of a run as a table; `shown` writes an instant for the reader."""
    told = shown or _in_utc
    last = "–" if summary.last_at is None else told(summary.last_at)
    note = settlement_word("changed-note", language, days=summary.days, nodes=summary.nodes, last=last)
    if len(changes) < summary.entries:
        note += " " + settlement_word("more", language, shown=len(changes), entries=summary.entries)
    columns = ("node", "quantity", "day", "was", "now", "difference", "times", "last")
    unsettled = settlement_word("unsettled", language)
    rows = (
        (
            words_cell(one.key.node),
            words_cell(str(one.key.obis)),
            words_cell(one.key.day.isoformat()),
            number_cell(one.was_wh, 0) if one.was_settled else words_cell(unsettled),
            number_cell(one.now_wh, 0) if one.now_settled else words_cell(unsettled),
            number_cell((one.now_wh or 0) - (one.was_wh or 0), 0),
            number_cell(one.times, 0),
            words_cell(told(one.last_at), _in_utc(one.last_at)),
        )
        for one in changes
    )
    title = settlement_word("changed", language)
    names = (settlement_word(one, language) for one in columns)
    return table("changed", title, names, rows, note=note, wide=frozenset({1, 6, 7}))


def _in_utc(instant: datetime) -> str:
    return instant.isoformat(timespec="minutes")


def story_of_day(story: DayStory, language: Language) -> Iterator[str]:
    """Tell how one settled day came about."""
    key = story.key
    yield settlement_word("day-story", language, site=story.site, node=key.node, day=key.day, obis=key.obis)
    settled = story.settled
    if settled is None:
        yield settlement_word("day-unsettled", language)
    else:
        counts = {grade: sum(one == grade for one in settled.quality) for grade in SlotQuality}
        told = (
            f"{count} {settlement_word(f'quality-{grade.name.lower()}', language)}"
            for grade, count in counts.items()
            if count
        )
        energy, slots = sum(settled.energy_wh), len(settled.energy_wh)
        yield settlement_word("day-energy", language, energy=energy, slots=slots, qualities=", ".join(told))
        yield from (
            f"  {one.reason}: {one.start.isoformat()} – {one.end.isoformat()}: {one.basis}"
            for one in settled.exceptions
        )
    if story.readings:
        marks = [one.mark.isoformat() for one in story.readings]
        meters = ", ".join(sorted({one.meter for one in story.readings}))
        spans = {"first": marks[0], "last": marks[-1], "meters": meters}
        yield settlement_word("day-readings", language, count=len(marks), **spans)
    else:
        yield settlement_word("day-no-readings", language)
    if settled is not None:
        yield settlement_word("day-current" if story.is_current else "day-waits", language)
    if story.runs:
        yield settlement_word("day-runs", language, runs=", ".join(run[:16] for run in story.runs))
