"""The status of a gateway as lines for a person, in Chinese or English."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any


class Language(StrEnum):
    """A language of the gateway's commands."""

    ZH = "zh"
    EN = "en"


_WORDS = {
    "gateway": ("网关", "gateway"),
    "epoch": ("纪元", "epoch"),
    "running": ("已运行", "running for"),
    "not-running": ("未运行，或未开放 [face] 端口", "not running, or no [face] port in its file"),
    "hangs": ("轮询已停顿", "the poll cycle hangs since"),
    "clock": ("时钟", "clock"),
    "unknown": ("时间未知，读数待补时", "time unknown, readings are dated later"),
    "estimated": ("未同步", "not synchronised"),
    "synchronised": ("已同步", "synchronised"),
    "error": ("误差不超过", "off by at most"),
    "no-bound": ("误差不明", "error not known"),
    "centre": ("中心", "centre"),
    "online": ("已连接", "connected"),
    "connecting": ("正在连接", "connecting"),
    "offline": ("未连接", "not connected"),
    "receipt": ("最近回执", "newest receipt"),
    "no-receipt": ("启动以来无回执", "no receipt since the start"),
    "ago": ("前", "ago"),
    "outbox": ("发件箱", "outbox"),
    "waiting": ("批待回执", "batches wait for a receipt"),
    "all-receipted": ("全部已回执", "everything is receipted"),
    "settings": ("配置", "settings"),
    "own-file": ("本机文件", "its own file"),
    "ordered": ("中心下发", "ordered by the centre, number"),
    "on-trial": ("试用中", "on trial"),
    "port": ("端口", "port"),
    "never": ("尚未读取", "not read yet"),
    "answered": ("块应答", "answered"),
    "silent": ("块未应答", "silent"),
    "sweep": ("耗时", "took"),
    "meter": ("表计", "meter"),
    "no-answer": ("无应答", "no answer"),
    "refused": ("表计报错", "refused"),
    "invalid": ("应答校验不通过", "answer not valid"),
    "late": ("迟到", "late"),
    "clock-ahead": ("表钟快", "clock ahead by"),
    "clock-behind": ("表钟慢", "clock behind by"),
}


def word(key: str, language: Language) -> str:
    """Give a word; a missing one is an error."""
    return _WORDS[key][0 if language is Language.ZH else 1]


def status_lines(document: Mapping[str, Any], language: Language) -> Iterator[str]:
    """Say how a running gateway stands; meters only where something is to be said of them."""

    def say(key: str) -> str:
        return word(key, language)

    name = f"{say('gateway')} {document['gateway']}  {say('epoch')} {document['epoch']}"
    yield f"{name}  {say('running')} {span(document['up_s'])}"
    if document["idle_s"] > 60:
        yield f"  !! {say('hangs')} {span(document['idle_s'])}"
    clock = document["clock"]
    bound = say("no-bound") if clock["error_ms"] is None else f"{say('error')} {clock['error_ms']} ms"
    yield f"  {say('clock')}  {clock['now']}  {say(clock['quality'])}, {bound}"
    centre = document["centre"]
    heard = say("no-receipt")
    if centre["receipt_age_s"] is not None:
        heard = f"{say('receipt')} {span(centre['receipt_age_s'])} {say('ago')}"
    yield f"  {say('centre')}  {say(centre['link'])}, {heard}"
    waiting = document["outbox"]["waiting"]
    yield f"  {say('outbox')}  {f'{waiting} ' + say('waiting') if waiting else say('all-receipted')}"
    settings = document["settings"]
    source = f"{say('ordered')} {settings['seen']}" if settings["ordered"] else say("own-file")
    yield f"  {say('settings')}  {source}{', ' + say('on-trial') if settings['on_trial'] else ''}"
    for port in document["ports"]:
        yield f"  {say('port')} {port['port']}  {_port(port, language)}"
    for meter in document["meters"]:
        told = _meter(meter, language)
        if told:
            yield f"  {say('meter')} {meter['meter']}  {told}"


def span(seconds: float) -> str:
    """Write a span of time as `3 d 4 h`, `5 min 6 s`."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole % 86400 // 3600, whole % 3600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _port(port: Mapping[str, Any], language: Language) -> str:
    if port["swept_at"] is None:
        return word("never", language)
    counts = f"{port['answered']} {word('answered', language)}, {port['silent']} {word('silent', language)}"
    return f"{port['swept_at']}  {counts}, {word('sweep', language)} {port['sweep_s']} s"


def _meter(meter: Mapping[str, Any], language: Language) -> str:
    parts: list[str] = []
    quality = meter["quality"].replace("_", "-")
    if quality != "measured":
        parts.append(f"{word(quality, language)} ({meter['read_at']})")
    ahead_s = meter["clock_ahead_s"]
    if ahead_s:
        parts.append(f"{word('clock-ahead' if ahead_s > 0 else 'clock-behind', language)} {span(abs(ahead_s))}")
    return ", ".join(parts)
