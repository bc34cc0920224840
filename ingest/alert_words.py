"""Alerts, and how a gateway stands, in words of both languages: what is the matter, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ingest.alert_rules import Alert, AlertKind, Cause, Scope
from ingest.console.words import Language
from metering.interval import SiteCalendar

UTC_CALENDAR = SiteCalendar("UTC")
_Pair = tuple[str, str]

KINDS: dict[AlertKind, _Pair] = {
    AlertKind.GATEWAY_SILENT: ("网关无报文", "Gateway silent"),
    AlertKind.CHAIN_GAP: ("报文链有缺口", "Gap in the chain"),
    AlertKind.EQUIVOCATION: ("同序号两份内容", "Equivocation"),
    AlertKind.BATCHES_LOST: ("报文已丢失", "Batches lost"),
    AlertKind.CLAIM_MISUSED: ("领取码被他人使用", "Claim in wrong hands"),
    AlertKind.CLOCK_OFF: ("网关时钟不可信", "Gateway clock off"),
    AlertKind.QUARANTINE_GROWING: ("隔离区增长", "Quarantine growing"),
    AlertKind.SETTLEMENT_STUCK: ("结算停滞", "Settlement stuck"),
    AlertKind.PARTITIONS_MISSING: ("表分区缺失", "Partitions missing"),
    AlertKind.DISK_FULL: ("磁盘将满", "Disk filling up"),
    AlertKind.BACKUP_OLD: ("备份过旧", "Backup too old"),
    AlertKind.CERTIFICATE_ENDING: ("证书将到期", "Certificate ending"),
    AlertKind.METER_SWAPPED: ("表号不符", "Another meter"),
    AlertKind.COUNTER_BROKEN: ("表码中断", "Counter broken"),
    AlertKind.READINGS_WAIT: ("人工读数待复核", "Readings of people wait"),
    AlertKind.ENDPOINT_DEAD: ("订阅地址投递不到", "Webhook endpoint unreachable"),
}
_TEXTS: dict[AlertKind, _Pair] = {
    AlertKind.GATEWAY_SILENT: ("{subject} 自 {since} 起没有报文", "Nothing has come from {subject} since {since}"),
    AlertKind.CHAIN_GAP: (
        "{subject} 的报文链自 {since} 起缺号（纪元 {epochs}）",
        "Envelopes of {subject} have been missing since {since} (epoch {epochs})",
    ),
    AlertKind.EQUIVOCATION: (
        "{subject} 的同一序号来过两份不同内容，共 {count} 次，最近在纪元 {epoch} 序号 {seq}：网关可能被复制",
        "{subject} sent two contents under one seq, {count} times, last at epoch {epoch} seq {seq}: it may be cloned",
    ),
    AlertKind.BATCHES_LOST: (
        "{subject} 报告 {batches} 份报文已丢失，整刻从 {first_mark} 到 {last_mark}",
        "{subject} says that {batches} batches are lost, of marks from {first_mark} to {last_mark}",
    ),
    AlertKind.CLAIM_MISUSED: (
        "{subject} 的领取码（安装单 {order}）被另一台机器使用，共 {count} 次：该机自称 {named}，密钥 {key}，"
        "来自 {address}；凭此码已登记的密钥 {winner}",
        "The claim of {subject} (order {order}) was presented by another machine, {count} in all: it calls itself "
        "{named}, key {key}, from {address}; the key registered by this claim is {winner}",
    ),
    AlertKind.CLOCK_OFF: ("{subject} 的时钟：{fault}", "Clock of {subject}: {fault}"),
    AlertKind.QUARANTINE_GROWING: (
        "一小时内多份报文因 {subject} 进入隔离区",
        "Much came into quarantine within an hour for {subject}",
    ),
    AlertKind.SETTLEMENT_STUCK: ("有读数自 {since} 起等待结算", "Readings have waited to be settled since {since}"),
    AlertKind.PARTITIONS_MISSING: (
        "读数与报文的表还缺 {steps} 步：{first}",
        "The tables of readings and envelopes lack {steps} steps: {first}",
    ),
    AlertKind.DISK_FULL: (
        "{subject} 所在磁盘已用 {percent} % 以上",
        "The disk of {subject} is {percent} % full or more",
    ),
    AlertKind.BACKUP_OLD: ("最近一次完好备份：{since}", "The newest good backup is of {since}"),
    AlertKind.CERTIFICATE_ENDING: ("{subject} 于 {ends_at} 到期", "{subject} ends at {ends_at}"),
    AlertKind.METER_SWAPPED: (
        "{subject}：站点登记表 {meter} 的表号是 {written}，网关 {gateway} 自 {since} 起由总线读到 {read}{earlier}",
        "{subject}: the site has meter {meter} with serial {written}; since {since} gateway {gateway} has read {read}"
        "{earlier}",
    ),
    AlertKind.COUNTER_BROKEN: (
        "{subject} 的表码自 {since} 起不连续（{causes}），有关时段的电量暂挂",
        "The register of {subject} is broken since {since} ({causes}); the energy concerned is held",
    ),
    AlertKind.ENDPOINT_DEAD: (
        "订阅地址 {host}（{owner}）{standing}（自 {since}）；死信 {dead} 件",
        "Webhook endpoint {host} of {owner} {standing}, since {since}; dead letters: {dead}",
    ),
    AlertKind.READINGS_WAIT: (
        "园区 {subject} 自 {since} 起有人工读数等待另一人复核",
        "Readings of people at site {subject} have waited for a second person since {since}",
    ),
}
_ENDPOINTS: dict[str, _Pair] = {
    "gone": ("答复 410（已撤），已停用", "answered 410 (gone) and is off"),
    "failing": ("多日投递失败，已停用", "failed for days and is off"),
    "on": ("投递失败", "is not reached"),
    "dead": ("有投递用尽重试", "has deliveries that failed for good"),
}
_NO_BACKUP: _Pair = ("还没有完好的备份", "There is no good backup yet")
_FOLDED: dict[AlertKind, _Pair] = {
    AlertKind.GATEWAY_SILENT: (
        "{where}{of} 台网关中 {count} 台没有报文",
        "{count} of {of} gateways{where} send nothing",
    ),
    AlertKind.CHAIN_GAP: (
        "{where}{of} 台网关中 {count} 台的报文链有缺口",
        "{count} of {of} gateways{where} have gaps in their chains",
    ),
    AlertKind.CLOCK_OFF: (
        "{where}{of} 台网关中 {count} 台的时钟不可信",
        "The clocks of {count} of {of} gateways{where} cannot be trusted",
    ),
}
_MENDS: dict[AlertKind, _Pair] = {
    AlertKind.GATEWAY_SILENT: (
        "查网关供电、网络和 MQTT 服务器；多台同时无报文时先查服务器和接收进程。读数留在网关的发件箱，不会丢失。",
        "Look at the gateway's power and network, then at the MQTT broker; when many are silent, at broker and intake "
        "first. Readings wait in the gateway's outbox and are not lost.",
    ),
    AlertKind.CHAIN_GAP: (
        "网关没有收到回执会自动重发；一小时后仍缺，请查网关发件箱：metertree-gateway outbox。",
        "The gateway sends again what no receipt covers; if it is missing after an hour, look into its outbox: "
        "metertree-gateway outbox.",
    ),
    AlertKind.EQUIVOCATION: (
        "存储卡或密钥可能被复制。立即 metertree-provision revoke {subject} --reason 被复制，两台都不再作数；"
        "另开安装单，在真机上用新纪元重新注册，取走另一台；查清后确认本告警。",
        "Its card or key may have been copied. At once: metertree-provision revoke {subject} --reason cloned, and "
        "neither counts any more; make a new order, enrol the genuine one with a new epoch, take the other away; then "
        "acknowledge this.",
    ),
    AlertKind.BATCHES_LOST: (
        "网关的发件箱已满，或中心恢复后要的报文已超过网关保留期。表底读数是累计的：缺口两端的电量准确，其中的刻由结算估算"
        "并标明。查明网关为何长期离线，然后确认本告警。",
        "Its outbox was full, or what a restored centre asked for was older than the gateway keeps. Registers are "
        "cumulative: the energy over the gap is exact, its slots are estimated and marked. Find out why the gateway "
        "was cut off for so long, then acknowledge this.",
    ),
    AlertKind.CLAIM_MISUSED: (
        "把现场网关显示的密钥指纹与这两个比对。若已登记的不是它：metertree-provision revoke {subject} "
        "--reason 领取码被盗，另开安装单，用新纪元重新注册；若是，查明领取码如何外泄。然后确认本告警。",
        "Compare the fingerprint that the gateway on site shows with both. If the registered one is another: "
        "metertree-provision revoke {subject} --reason 'stolen claim', make a new order and enrol again with a new "
        "epoch; if it is the same, find out how the claim got out. Then acknowledge this.",
    ),
    AlertKind.CLOCK_OFF: (
        "查网关的对时（NTP）。读数照收，按序号排列；但整刻的时间不可信。",
        "Look at the gateway's time service (NTP). Readings are ordered by seq, but their marks are in doubt.",
    ),
    AlertKind.QUARANTINE_GROWING: (
        "metertree quarantine list --reason {subject} 查看；排除原因后 metertree quarantine replay 重新收取。",
        "Look: metertree quarantine list --reason {subject}. Mend the cause, then: metertree quarantine replay.",
    ),
    AlertKind.SETTLEMENT_STUCK: (
        "查结算进程是否在运行，以及其日志中的 settlement.failed。",
        "See whether a settlement process runs, and look for settlement.failed in its log.",
    ),
    AlertKind.PARTITIONS_MISSING: ("运行 metertree maintain。", "Run: metertree maintain."),
    AlertKind.DISK_FULL: (
        "扩容或清理；保留期见 metertree doctor。磁盘写满时网关会保留读数，不丢失。",
        "Make room; what is kept how long: metertree doctor. When it is full the gateways keep their readings.",
    ),
    AlertKind.BACKUP_OLD: (
        "运行 metertree backup，并查夜间任务。",
        "Run metertree backup, and look at the nightly job.",
    ),
    AlertKind.CERTIFICATE_ENDING: (
        "换发证书并让 MQTT 服务器重新加载；过期的吊销列表会挡住所有网关。",
        "Renew it and let the MQTT broker load it; a list of revoked certificates that has ended locks everybody out.",
    ),
    AlertKind.METER_SWAPPED: (
        "查是否换过表：换了请补办换表（metertree-gateway install exchange，或在站点文件写 [[exchanges]]）；"
        "没换则核对铭牌，改正站点里的表号，或查是否接错表。读数照收，但此前后的电量要有换表底码才能结算准确。",
        "See whether the meter was exchanged: then declare it (metertree-gateway install exchange, or [[exchanges]] in "
        "the site's files); if not, read its plate and mend the serial number of the site, or the wiring. Readings "
        "are kept, but the energy across it is exact only with the registers of both meters.",
    ),
    AlertKind.COUNTER_BROKEN: (
        "看该点的结算例外：换表未登记请补办换表；表码复位或更换变比请登记；确属表计故障请按手工读数处理。",
        "Look at the node's settlement exceptions: declare an exchange that was not, or a reset or other ratio; where "
        "the meter is faulty, enter readings by hand.",
    ),
    AlertKind.ENDPOINT_DEAD: (
        "请对方检查其服务器，再执行 metertree webhook on {subject}。死信：metertree webhook deliveries {subject} "
        "--state dead；重新投递：metertree webhook replay {subject} --since ... --only-dead。期间的事件都保留着。",
        "Ask its owner to look at the server, then: metertree webhook on {subject}. Dead letters: metertree webhook "
        "deliveries {subject} --state dead; again: metertree webhook replay {subject} --since ... --only-dead. Events "
        "of the meantime are kept.",
    ),
    AlertKind.READINGS_WAIT: (
        "metertree reading list --site {subject} --state waiting 查看，再 accept 或 refuse；未处理前不计入。",
        "Look: metertree reading list --site {subject} --state waiting, then accept or refuse; until then they do not "
        "count.",
    ),
}
_FAULTS: dict[str, _Pair] = {
    "unknown": ("尚未对时", "not set since it started"),
    "error": ("误差超过限度", "its error is beyond the limit"),
    "ahead": ("快于中心", "ahead of the centre's"),
}
_EARLIER: _Pair = ("，此前是 {before}", "; before it was {before}")
_BREAKS: dict[str, _Pair] = {
    "register-fell": ("表码倒走", "it fell"),
    "undeclared-exchange": ("换表未登记", "the meter was exchanged and nobody declared it"),
    "implausible": ("增量超出表的能力", "it rose by more than the meter can carry"),
}
_SEVERITIES: dict[str, _Pair] = {"warning": ("提醒", "warning"), "critical": ("紧急", "critical")}
_CONDITIONS: dict[str, _Pair] = {
    "well": ("正常", "well"),
    "cloned": ("疑似被复制", "cloned?"),
    "revoked": ("已吊销", "revoked"),
    "silent": ("无报文", "silent"),
    "never-sent": ("从未发送", "never sent"),
    "gap": ("有缺口", "gap"),
    "clock": ("时钟", "clock"),
    "quarantine": ("有隔离", "quarantine"),
    "late": ("滞后", "late"),
    "not-well": ("有状况", "not well"),
}


def kind_word(kind: AlertKind, language: Language) -> str:
    """Name a kind of alert."""
    return KINDS[kind][_place(language)]


def severity_word(severity: str, language: Language) -> str:
    """Name a severity."""
    return _SEVERITIES[severity][_place(language)]


def condition_word(condition: str, language: Language) -> str:
    """Name a condition of a gateway, or that it is well."""
    return _CONDITIONS[condition][_place(language)]


def alert_text(alert: Alert, language: Language, calendar: SiteCalendar = UTC_CALENDAR) -> str:
    """Say what is the matter; instants in the zone of `calendar`."""
    return cause_text(alert.cause, alert.detail, language, calendar)


def cause_text(
    cause: Cause, detail: Mapping[str, Any], language: Language, calendar: SiteCalendar = UTC_CALENDAR
) -> str:
    """Say what is the matter, of a cause that may have no alert yet."""
    place = _place(language)
    if cause.scope in (Scope.SITE, Scope.FLEET):
        where = _where(cause.scope, cause.subject, language)
        return _FOLDED[cause.kind][place].format(where=where, count=detail["count"], of=detail["of"])
    if detail.get("fault") and cause.kind is not AlertKind.CLOCK_OFF:
        return f"{cause.subject}: {detail['fault']}"
    if cause.kind is AlertKind.BACKUP_OLD and detail["since"] is None:
        return _NO_BACKUP[place]
    return _TEXTS[cause.kind][place].format(**_parts(cause, detail, language, calendar))


def alert_mend(alert: Alert, language: Language) -> str:
    """Say what to do about it."""
    return cause_mend(alert.cause, language)


def cause_mend(cause: Cause, language: Language) -> str:
    """Say what to do about it, of a cause that may have no alert yet."""
    return _MENDS[cause.kind][_place(language)].format(subject=cause.subject)


def alert_document(one: Alert) -> dict[str, Any]:
    """Give one alert for programs, with its words in both languages."""
    return {
        "alert": one.alert,
        "change": one.change,
        "kind": str(one.cause.kind),
        "scope": str(one.cause.scope),
        "subject": one.cause.subject,
        "severity": str(one.severity),
        "open": one.is_open,
        "opened_at": one.opened_at.isoformat(),
        "seen_at": one.seen_at.isoformat(),
        "closed_at": None if one.closed_at is None else one.closed_at.isoformat(),
        "times": one.times,
        "acknowledged_at": None if one.acknowledged_at is None else one.acknowledged_at.isoformat(),
        "acknowledged_by": one.acknowledged_by,
        "note": one.note,
        "detail": dict(one.detail),
        "text": {str(language): alert_text(one, language) for language in Language},
        "mend": {str(language): alert_mend(one, language) for language in Language},
    }


def span_words(span: timedelta | None, language: Language) -> str:
    """Write a span of time in its two largest units, rounded down."""
    if span is None:
        return "–"
    minutes = max(0, int(span.total_seconds()) // 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    units = ("天", "小时", "分") if language is Language.ZH else ("d", "h", "min")
    parts = [(days, units[0]), (hours, units[1]), (rest, units[2])]
    first = next((place for place, (count, _) in enumerate(parts) if count), 2)
    shown = [one for one in parts[first : first + 2] if one[0]] or [parts[2]]
    return " ".join(f"{count} {unit}" for count, unit in shown)


def instant_words(instant: datetime | None, calendar: SiteCalendar) -> str:
    """Write an instant to the minute, in the zone of `calendar`; UTC is named, since no site is in it."""
    if instant is None:
        return "–"
    return calendar.local(instant).strftime("%Y-%m-%d %H:%M") + (" UTC" if calendar.zone == "UTC" else "")


def _parts(cause: Cause, told: Mapping[str, Any], language: Language, calendar: SiteCalendar) -> Mapping[str, Any]:
    detail = dict(told)
    for name in ("since", "ends_at", "first_mark", "last_mark"):
        if name in detail:
            found = detail[name]
            detail[name] = instant_words(None if found is None else datetime.fromisoformat(found), calendar)
    if "fault" in detail:
        detail["fault"] = _FAULTS[detail["fault"]][_place(language)]
    place = _place(language)
    if cause.kind is AlertKind.METER_SWAPPED:
        before = detail["before"]
        detail["earlier"] = "" if before is None else _EARLIER[place].format(before=before)
    if cause.kind is AlertKind.ENDPOINT_DEAD:
        detail["standing"] = _ENDPOINTS[detail["state"]][place]
    detail["causes"] = ", ".join(_BREAKS.get(one, (one, one))[place] for one in detail.get("reasons", ()))
    detail["epochs"] = ", ".join(str(one) for one in detail.get("epochs", ()))
    return {"subject": cause.subject, **detail}


def _where(scope: Scope, subject: str, language: Language) -> str:
    if scope is Scope.FLEET:
        return "全部 " if language is Language.ZH else ""
    return f"园区 {subject}：" if language is Language.ZH else f" of site {subject}"


def _place(language: Language) -> int:
    return 0 if language is Language.ZH else 1
