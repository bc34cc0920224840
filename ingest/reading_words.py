"""Texts about what people read, in both languages, and its plain form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ingest.console.words import Language
from ingest.store.hand_readings import HandReading, HandState
from provisioning.hand_reading import Doubt

_WORDS: dict[str, tuple[str, str]] = {
    "none": ("没有人工读数。", "Nobody has read anything."),
    "line": (
        "{number}  {meter} {obis}  {read_at}  {text}  {source}，{state}，抄表人 {reader}",
        "{number}  {meter} {obis}  {read_at}  {text}  {source}, {state}, read by {reader}",
    ),
    "doubt": ("    {doubt}", "    {doubt}"),
    "decided": ("    {by} 已处理：{reason}", "    decided by {by}: {reason}"),
    "photo": ("    照片 {photo}", "    photo {photo}"),
    "seen": ("    照片识别 {seen}，把握 {confidence}%", "    the photo shows {seen}, {confidence} % sure"),
    "mend": (
        "    须由另一人处理：metertree reading accept {number} --reason 理由，或 refuse",
        "    a second person decides: metertree reading accept {number} --reason WHY, or refuse",
    ),
    "source-typed": ("人工抄读", "typed"),
    "source-photo": ("照片", "photo"),
    "state-waiting": ("待复核", "waits"),
    "state-counted": ("已计入", "counts"),
    "state-kept": ("仅作核对（总线已有读数）", "kept as a check beside the bus"),
    "state-refused": ("已驳回", "refused"),
    "state-withdrawn": ("已撤回", "withdrawn"),
    "state-yielded": ("已由总线读数取代", "replaced by the bus's own reading"),
    "register-fell": (
        "低于之前的读数：请核对表号与数字；若换过表，请登记换表",
        "lower than before: look at the meter's number and the digits; if it was exchanged, declare that",
    ),
    "above-the-next": (
        "高于之后的读数：请核对日期与数字",
        "higher than a later reading: look at the date and the digits",
    ),
    "rolled-over": (
        "表码可能已翻转归零：请另一人确认",
        "the register seems to have gone over to zero: a second person confirms",
    ),
    "much-more-than-before": (
        "用量远多于此前：请核对数字与小数点",
        "far more than before: look at the digits and the point",
    ),
    "photo-differs": (
        "照片上的数字与所填不同：请对照照片",
        "the photo shows other digits than were typed: look at the photo",
    ),
    "photo-unsure": (
        "照片辨认不清：请按照片或现场填写数字",
        "the photo cannot be read with certainty: type what it or the display shows",
    ),
    "differs-from-bus": (
        "与总线同一时刻读数不符：可能读错了表，或表与总线地址接错",
        "the bus told another number at that time: the wrong meter was read, or it is wired to another address",
    ),
    "candidate-sure": (
        "照片显示 {text}，把握 {confidence}%",
        "the photo shows {text}, {confidence} % sure",
    ),
    "candidate-unsure": (
        "照片可能显示 {text}，把握仅 {confidence}%：请人工核对",
        "the photo may show {text}, {confidence} % sure only: look yourself",
    ),
    "candidate-none": (
        "照片中没有读出该表的数字（{seen}）：请人工填写",
        "no register of this meter was read off the photo ({seen}): type it",
    ),
    "photo-put": ("照片已保存：{photo}", "the photo is kept: {photo}"),
}


def reading_word(key: str, language: Language, **parts: object) -> str:
    """Give a text about readings of people."""
    return _WORDS[key][0 if language is Language.ZH else 1].format(**parts)


def doubt_word(doubt: Doubt, language: Language) -> str:
    """Say why a reading waits, with the mend."""
    return reading_word(str(doubt), language)


def reading_lines(readings: Sequence[Mapping[str, Any]], language: Language) -> Iterator[str]:
    """Tell readings, as their documents have them, each in a few lines."""
    if not readings:
        yield reading_word("none", language)
    for one in readings:
        source, state = (reading_word(f"{name}-{one[name]}", language) for name in ("source", "state"))
        yield reading_word("line", language, **{**one, "source": source, "state": state})
        if one["photo"] is not None:
            yield reading_word("photo", language, photo=one["photo"])
        if one["seen"] is not None:
            yield reading_word("seen", language, seen=one["seen"], confidence=one["confidence_pm"] // 10)
        for doubt in one["doubts"]:
            yield reading_word("doubt", language, doubt=reading_word(doubt["code"], language))
        if one["decided_by"] is not None:
            yield reading_word("decided", language, by=one["decided_by"], reason=one["reason"])
        elif one["state"] == HandState.WAITING:
            yield reading_word("mend", language, number=one["number"])


def candidate_lines(candidate: Mapping[str, Any], language: Language) -> Iterator[str]:
    """Tell what a photo shows, as the document of a candidate has it."""
    confidence = (candidate["confidence_pm"] or 0) // 10
    if candidate["text"] is None:
        seen = ", ".join(one["digits"] for one in candidate["seen"]) or "-"
        yield reading_word("candidate-none", language, seen=seen)
    else:
        key = "candidate-sure" if candidate["sure"] else "candidate-unsure"
        yield reading_word(key, language, text=candidate["text"], confidence=confidence)


def reading_document(one: HandReading) -> dict[str, Any]:
    """Give the plain form of a reading, with what its doubts mean."""
    place = None if one.place is None else {**_place(one), "seq": one.place[1]}
    return {
        "number": one.number,
        "site": one.site,
        "meter": one.meter,
        "obis": str(one.obis),
        "text": one.shown,
        "register": one.register,
        "read_at": one.read_at.isoformat(),
        "mark": one.mark.isoformat(),
        "source": str(one.source),
        "photo": None if one.photo is None else one.photo.hex(),
        "seen": one.seen,
        "confidence_pm": one.confidence_pm,
        "reader": one.reader,
        "entered_by": one.entered_by,
        "entered_at": one.entered_at.isoformat(),
        "state": str(one.state),
        "doubts": [
            {"code": str(doubt), "zh": doubt_word(doubt, Language.ZH), "en": doubt_word(doubt, Language.EN)}
            for doubt in one.doubts
        ],
        "decided_by": one.decided_by,
        "decided_at": None if one.decided_at is None else one.decided_at.isoformat(),
        "reason": one.reason,
        "sealed": place,
    }


def _place(one: HandReading) -> dict[str, Any]:
    assert one.place is not None
    return {"gateway": one.place[0].gateway, "epoch": one.place[0].epoch}
