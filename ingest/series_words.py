"""The words of charts in both languages. A missing word is an error, not a blank."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.console.words import Language
from ingest.series.quality import QUALITIES
from metering.quantity_names import quantity_name

_WORDS: dict[str, tuple[str, str]] = {
    "events": ("事件", "What happened here"),
    "event-fitted": ("装表 {serial}", "meter {serial} fitted"),
    "event-exchanged": ("换表 {before} → {after}", "meter {before} exchanged for {after}"),
    "event-ratio": ("变比 {before} → {after}", "ratio changed from {before} to {after}"),
    "event-read": ("人工读数 {shown}", "read by a person: {shown}"),
    "chart": ("曲线", "Chart"),
    "quantity": ("数据项", "Quantity"),
    "per": ("粒度", "Per"),
    "per-slot": ("15 分钟", "15 minutes"),
    "per-hour": ("小时", "hour"),
    "per-day": ("日", "day"),
    "per-month": ("月", "month"),
    "span": ("时段", "Span"),
    "span-day": ("一日", "Day"),
    "span-week": ("一周", "Week"),
    "span-month": ("一月", "Month"),
    "span-year": ("一年", "Year"),
    "earlier": ("← 前", "← earlier"),
    "later": ("后 →", "later →"),
    "from": ("自", "From"),
    "to": ("至（不含）", "Until (not included)"),
    "show": ("显示", "Show"),
    "total": ("合计", "Total"),
    "most": ("最大", "Largest"),
    "least": ("最小", "Least"),
    "known": ("已知时段", "Known slots"),
    "known-note": ("共 {count} 个 15 分钟时段", "of {count} slots of 15 minutes"),
    "each-slot": ("每 15 分钟", "in 15 minutes"),
    "each-hour": ("每小时", "by hour"),
    "each-day": ("每日", "by day"),
    "each-month": ("每月", "by month"),
    "others": ("更多数据项", "More quantities"),
    "up": ("上级", "Above"),
    "down": ("下级", "Below"),
    "quality": ("数据质量", "Quality"),
    "quality-measured": ("实测", "measured"),
    "quality-rollover": ("翻转", "rollover"),
    "quality-exchange": ("换表", "exchange"),
    "quality-estimated": ("估算", "estimated"),
    "quality-missing": ("缺失", "missing"),
    "quality-held": ("挂起", "held"),
    "quality-unsettled": ("未结算", "not settled"),
    "minmax-note": (
        "每个像素画出其中最小与最大的时段，尖峰不会丢失；空白即没有数据，从不连线。",
        "Each pixel shows its least and its largest slot: no peak is lost; where nothing is known nothing is joined.",
    ),
    "sums-note": (
        "各柱为已知时段之和；缺少时段的柱画斜线，缺几个写在下表。",
        "Bars are sums of known slots; those with slots missing are hatched, how many stands in the table below.",
    ),
    "raw-note": ("逐时段原值。", "Every slot as it is."),
    "numbers": ("数值表", "Numbers"),
    "from-utc": ("起始 UTC", "Start UTC"),
    "from-local": ("起始（当地）", "Start, local"),
    "amount": ("数量", "Amount"),
    "missing": ("缺失时段", "Slots missing"),
    "slots-missing": ("缺 {count} 个时段", "{count} slots missing"),
    "exceptions": ("结算事件", "What settlement found"),
    "when": ("时间", "When"),
    "why": ("依据", "On what it rests"),
    "left-off": ("另有 {count} 条", "{count} more"),
    "nothing": ("此时段没有任何已知数据。", "Nothing is known of this span."),
    "no-meter": ("此计量点没有表计。", "There is no meter at this node."),
    "not-shown": ("画不出曲线", "No chart can be drawn"),
    "obis-1-0:1.8.0": ("用电量", "Energy taken"),
    "obis-1-0:2.8.0": ("上网电量", "Energy given"),
    "obis-1-0:1.8.1": ("用电量 费率 1", "Energy taken, tariff 1"),
    "obis-1-0:1.8.2": ("用电量 费率 2", "Energy taken, tariff 2"),
    "obis-1-0:1.8.3": ("用电量 费率 3", "Energy taken, tariff 3"),
    "obis-1-0:1.8.4": ("用电量 费率 4", "Energy taken, tariff 4"),
    "obis-8-0:1.0.0": ("用水量", "Water"),
    "obis-7-0:3.0.0": ("用气量", "Gas"),
    "obis-6-0:1.0.0": ("用热量", "Heat"),
    "obis-1-0:16.7.0": ("有功功率", "Active power"),
    "obis-1-0:14.7.0": ("频率", "Frequency"),
    "obis-1-0:32.7.0": ("A 相电压", "Voltage L1"),
    "obis-1-0:52.7.0": ("B 相电压", "Voltage L2"),
    "obis-1-0:72.7.0": ("C 相电压", "Voltage L3"),
    "obis-1-0:31.7.0": ("A 相电流", "Amperes L1"),
    "obis-1-0:51.7.0": ("B 相电流", "Amperes L2"),
    "obis-1-0:71.7.0": ("C 相电流", "Amperes L3"),
    "obis-1-0:36.7.0": ("A 相功率", "Power L1"),
    "obis-1-0:56.7.0": ("B 相功率", "Power L2"),
    "obis-1-0:76.7.0": ("C 相功率", "Power L3"),
}

_REFUSALS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "not-settled": (
        ("{obis} 不参与结算", "{obis} is not settled"),
        ("请用 source=registers", "ask with source=registers"),
    ),
    "no-sums": (
        ("{obis} 是瞬时值，没有合计", "{obis} shows a moment and has no sums"),
        ("请用 per=slot", "ask with per=slot"),
    ),
    "too-many-hours": (
        ("按小时显示 {days} 天太多", "{days} days by hour are too many"),
        ("请按日显示，或一次不超过 {most} 天", "ask per day, or for at most {most} days at a time"),
    ),
    "too-long": (
        ("{days} 天太多", "{days} days are too many"),
        ("一次不超过 {most} 天", "ask for at most {most} at a time"),
    ),
    "which-site": (
        ("这里有 {count} 个园区", "there are {count} sites here"),
        ("请写明 site=…", "say which one: site=..."),
    ),
    "not-after": (
        ("to={end} 不在 from={start} 之后", "to={end} is not after from={start}"),
        ("时段不含 to 这一刻", "the span ends before the instant `to`"),
    ),
    "no-offset": (
        (
            "{name}={text} 没有时差：调时钟时它会出现两次",
            "{name}={text} has no offset: it may come twice when clocks change",
        ),
        (
            "请给日期如 2026-07-01，或时刻如 2026-07-01T00:15:00+08:00",
            "give a day such as 2026-07-01, or an instant such as 2026-07-01T00:15:00+08:00",
        ),
    ),
    "no-instant": (
        ("{name}={text} 既不是日期也不是时刻", "{name}={text} is neither a day nor an instant"),
        (
            "请给日期如 2026-07-01，或时刻如 2026-07-01T00:15:00+08:00",
            "give a day such as 2026-07-01, or an instant such as 2026-07-01T00:15:00+08:00",
        ),
    ),
    "no-node": (
        ("园区 {site} 没有计量点 {node}", "site {site} has no node {node}"),
        ("`metertree site show DIR` 打印计量树", "`metertree site show DIR` prints the tree"),
    ),
    "no-quantity": (
        ("{node} 没有表计量 {obis}", "no meter at {node} knows {obis}"),
        ("可选：{known}", "ask for one of: {known}"),
    ),
}


def refusal_words(why: str, language: Language, named: Mapping[str, object]) -> tuple[str, str]:
    """Say what is wrong with a question, and how to mend it."""
    place = 0 if language is Language.ZH else 1
    problem, mend = (pair[place].format_map(named) for pair in _REFUSALS[why])
    return problem, mend


def series_words(language: Language) -> Mapping[str, str]:
    """Give every word of charts in one language."""
    return {key: series_word(key, language) for key in _WORDS}


def series_word(key: str, language: Language) -> str:
    """Give one word."""
    return _WORDS[key][0 if language is Language.ZH else 1]


def quality_word(quality: int, language: Language) -> str:
    """Name a PointQuality."""
    return series_word(f"quality-{QUALITIES[quality]}", language)


def obis_word(obis: str, language: Language) -> str:
    """Name a quantity; its code where nothing is known of it."""
    key = f"obis-{obis}"
    return series_word(key, language) if key in _WORDS else quantity_name(obis, language)
