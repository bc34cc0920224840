"""A scan in words for a person, Chinese or English; and as plain data."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from device_profiles.catalogue import Catalogue
from edge_agent.scanning.result import (
    FoundMeter,
    ScanEnd,
    ScanProgress,
    ScanResult,
    line_document,
    line_text,
)
from edge_agent.status_words import Language
from metering.errors import MeteringError

HEADS = {
    Language.EN: ("#", "protocol", "address", "line", "model", "serial", "shows"),
    Language.ZH: ("序", "协议", "地址", "线路", "型号", "表号", "示值"),
}
WIDTHS = (3, 12, 16, 11, 34, 14, 18)
WORDS = {
    Language.EN: {
        "status": "{elapsed}, about {left} left, {likely:.0%} of what is likely asked, {found} found | {asking}",
        "unknown": "no known model",
        "duplicate": "MORE THAN ONE METER at address {address} ({protocol}{line}): they answer at once. "
        "Disconnect all but one there and give each its own address",
        "several": "more meters answer than could be told apart ({protocol}{line}): disconnect all but one of them, "
        "or name their numbers by --expect",
        "foreign": "address {address} ({protocol}{line}) answers, and no profile fits{told}: add a profile by "
        "--profiles, or leave it out",
        "missing": "NOT FOUND: {what}. Look whether it is wired and has a supply; --all asks at unusual settings too",
        "free": "free unit ids: {ids}",
        ScanEnd.ALL_FOUND: "all that were expected are found; --all would look for others",
        ScanEnd.LIKELY_ASKED: "all that is likely was asked; --all goes on with the unlikely",
        ScanEnd.ALL_ASKED: "everything was asked",
        ScanEnd.CANCELLED: "interrupted; the same command goes on from here",
        "summary": "{found} meters, {questions} questions in {elapsed}",
    },
    Language.ZH: {
        "status": "{elapsed}，约剩 {left}，可能之处已问 {likely:.0%}，找到 {found} 块 | {asking}",
        "unknown": "未知型号",
        "duplicate": "地址 {address}（{protocol}{line}）上不止一块表，同时应答。请只留一块，并为每块设不同地址",
        "several": "还有多块表同时应答而无法区分（{protocol}{line}）：请断开其余各表，或用 --expect 给出表号",
        "foreign": "地址 {address}（{protocol}{line}）有应答，但没有合适的型号文件{told}："
        "请用 --profiles 添加，或不接入",
        "missing": "未找到：{what}。请检查接线和供电；--all 还会尝试少见的设置",
        "free": "空闲的从站地址：{ids}",
        ScanEnd.ALL_FOUND: "应有的表全部找到；--all 可继续寻找其他表",
        ScanEnd.LIKELY_ASKED: "可能之处已全部问过；--all 继续问少见的设置",
        ScanEnd.ALL_ASKED: "已全部问过",
        ScanEnd.CANCELLED: "已中断；用同一命令可从此处继续",
        "summary": "共 {found} 块表，{questions} 次询问，用时 {elapsed}",
    },
}
_OR = {Language.EN: " or ", Language.ZH: " 或 "}
CANDIDATES_TOLD = 3


def head(language: Language) -> str:
    """Give the head of the table."""
    return _row(HEADS[language])


def row(number: int, meter: FoundMeter, catalogue: Catalogue, language: Language) -> str:
    """Give the row of one meter."""
    shown = next((f"{obis} {each}" for obis, each in meter.registers), "")
    cells = (str(number), meter.protocol.value, meter.address, line_text(meter.line), model(meter, catalogue, language))
    return _row((*cells, meter.serial or "", shown))


def model(meter: FoundMeter, catalogue: Catalogue, language: Language) -> str:
    """Name the model, or those that cannot be told apart."""
    if not meter.candidates:
        return WORDS[language]["unknown"]
    best = [each.profile for each in meter.candidates if each.score == meter.candidates[0].score]
    names = [_name(each, catalogue, language) if len(best) == 1 else each for each in best[:CANDIDATES_TOLD]]
    return _OR[language].join(names) + (" …" if len(best) > CANDIDATES_TOLD else "")


def status(progress: ScanProgress, language: Language) -> str:
    """Say how far a scan is, in one line."""
    return WORDS[language]["status"].format(
        elapsed=seconds(progress.elapsed_s),
        left=seconds(progress.left_s),
        likely=progress.likely,
        found=len(progress.found),
        asking=progress.asking,
    )


def findings(result: ScanResult, language: Language) -> Iterator[str]:
    """Say what is wrong or worth knowing, one line each, and why the scan ended."""
    words = WORDS[language]
    for each in result.duplicates:
        is_one = not set(each.address) & {"A", "F", "*"}
        line = f", {line_text(each.line)}" if each.line is not None else ""
        key = "duplicate" if is_one else "several"
        yield words[key].format(address=each.address, protocol=each.protocol.value, line=line)
    for odd in result.foreign:
        line = f", {line_text(odd.line)}" if odd.line is not None else ""
        told = f" ({odd.told})" if odd.told else ""
        name = "" if odd.protocol is None else odd.protocol.value
        yield words["foreign"].format(address=odd.address, protocol=name, line=line, told=told)
    for wanted in result.missing:
        what = " ".join(part for part in (wanted.profile, wanted.serial, wanted.address) if part)
        yield words["missing"].format(what=what)
    for ids in result.free_addresses.values():
        yield words["free"].format(ids=", ".join(ids))
    summary = words["summary"].format(
        found=len(result.found), questions=result.asked, elapsed=seconds(result.elapsed_s)
    )
    yield f"{summary}: {words[result.end]}" if language is Language.EN else f"{summary}：{words[result.end]}"


def seconds(duration_s: float) -> str:
    """Write a duration as minutes and seconds."""
    whole = round(duration_s)
    return f"{whole // 60}:{whole % 60:02d}"


def progress_document(progress: ScanProgress) -> dict[str, Any]:
    """Give a word of progress as plain data."""
    return {
        "event": "progress" if progress.newest is None else "found",
        "asking": progress.asking,
        "asked": progress.asked,
        "elapsed_s": round(progress.elapsed_s, 1),
        "left_s": round(progress.left_s, 1),
        "likely": round(progress.likely, 4),
        "found": len(progress.found),
        **({} if progress.newest is None else {"meter": meter_document(progress.newest)}),
    }


def meter_document(meter: FoundMeter) -> dict[str, Any]:
    """Give a meter as plain data, with its model if that is certain."""
    return {"profile": meter.profile, **meter.to_document()}


def result_document(result: ScanResult) -> dict[str, Any]:
    """Give a result as plain data."""
    return {
        "event": "end",
        "end": result.end.value,
        "asked": result.asked,
        "elapsed_s": round(result.elapsed_s, 1),
        "meters": [meter_document(each) for each in result.found],
        "duplicates": [each.to_document() for each in result.duplicates],
        "foreign": [
            {
                "protocol": None if each.protocol is None else each.protocol.value,
                "address": each.address,
                "line": None if each.line is None else line_document(each.line),
                "told": each.told,
            }
            for each in result.foreign
        ],
        "missing": [
            {"serial": each.serial, "profile": each.profile, "address": each.address} for each in result.missing
        ],
        "free_addresses": {protocol.value: list(ids) for protocol, ids in result.free_addresses.items()},
    }


def _name(profile_id: str, catalogue: Catalogue, language: Language) -> str:
    try:
        return catalogue.by_id(profile_id).names[language.value]
    except MeteringError:
        return profile_id


def _row(cells: Sequence[str]) -> str:
    return "  ".join(_padded(cell, width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def _padded(text: str, width: int) -> str:
    """Fill up to `width` columns; Chinese characters take two."""
    columns = sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)
    return text + " " * max(width - columns, 0)
